"""Import one bank statement: every entry is kept and decided, in the transaction of the caller.

Owns: what is known already, and which way an entry goes. Not: reading files (adapters), what follows (bank_deciding).
"""

from dataclasses import dataclass
from datetime import timedelta
from typing import Final
from uuid import UUID

from milo_billing.controlplane.work import Work
from milo_billing.infra.clock import new_uid
from milo_billing.invoicing.operations.office import Office
from milo_billing.kernel.money import Money
from milo_billing.payments.engine import bank_rows as rows
from milo_billing.payments.engine import payout_rows
from milo_billing.payments.engine.arrivals import note_arrival
from milo_billing.payments.engine.bank_deciding import Place, apply, find_rest, look_up_locked
from milo_billing.payments.engine.bank_returning import send_back
from milo_billing.payments.engine.bank_rows import EntryState, StatementRow
from milo_billing.payments.engine.debiting import note_returned, note_settled
from milo_billing.payments.engine.payout_rows import PayoutRow
from milo_billing.payments.engine.transfer_rows import TransferRow
from milo_billing.payments.engine.transferring import book_told, find_told
from milo_billing.payments.rules.mandates import CURRENCY
from milo_billing.payments.rules.matching import Matched, Reason
from milo_billing.payments.rules.payouts import is_named, said_by
from milo_billing.payments.rules.statements import EntryKey, assert_adds_up, cash_name, entry_keys
from milo_billing.payments.types import BankEntry, BankStatement

EXPECTED: Final = timedelta(days=90)
"""How long ago a payout was heard of that may still arrive."""


@dataclass(frozen=True, slots=True)
class Imported:
    """A statement as it stands after its import. `again` says that it stood before; `gap` what lies between it and the
    one before, empty where it goes on where that one ended.
    """

    statement: StatementRow
    counts: dict[EntryState, int]
    again: bool
    gap: str


@dataclass(frozen=True, slots=True)
class _Decision:
    state: EntryState
    reason: str = ""
    detail: str = ""


def import_statement(
    work: Work, office: Office, statement: BankStatement, *, digest: bytes, ordinal: int
) -> Imported:
    """Keep the statement, apply what is certain, put the rest on the worklist; `engine.commit` ends it.

    `digest` is of the file, `ordinal` the statement's place in it: importing it again changes nothing. An entry that
    stood in another file is kept as Known. Raises UnreadableStatement where the statement does not add up.
    """
    tx = work.tx
    assert_adds_up(statement)
    rows.lock_bank(tx)
    standing = rows.find_statement(tx, digest=digest, ordinal=ordinal)
    if standing is not None:
        counts = rows.count_entries(tx, statements=[standing.uid])[standing.uid]
        return Imported(standing, counts, again=True, gap="")
    before = rows.find_last_statement(tx, bank_account=statement.account, before=statement.closed_on)
    uid = new_uid()
    rows.insert_statement(
        tx, statement, uid=uid, digest=digest, ordinal=ordinal, by=work.identity.user, now=work.now
    )
    keys = entry_keys(statement)
    known = rows.list_known_keys(tx, keys=keys)
    place = Place(statement.account, statement.currency)
    expected = list(payout_rows.list_expected(tx, currency=place.currency, since=work.now - EXPECTED))
    for entry, key in zip(statement.entries, keys, strict=True):
        known_already = key.digest in known
        _import_entry(
            work, office, entry, statement=uid, key=key, known=known_already, place=place, expected=expected
        )
    found = rows.find_statement(tx, digest=digest, ordinal=ordinal)
    assert found is not None, "it was inserted above"
    counts = rows.count_entries(tx, statements=[uid])[uid]
    return Imported(found, counts, again=False, gap=_gap(statement, before))


def _gap(statement: BankStatement, before: StatementRow | None) -> str:
    if before is None or before.closing_minor == statement.opening_minor:
        return ""
    if before.currency != statement.currency:
        return f"the statement before it was in {before.currency}"
    closed = Money(before.closing_minor, before.currency)
    opened = Money(statement.opening_minor, statement.currency)
    return f"it opens with {opened}, the one before closed on {before.closed_on} with {closed}: a statement is missing"


def _import_entry(
    work: Work,
    office: Office,
    entry: BankEntry,
    *,
    statement: UUID,
    key: EntryKey,
    known: bool,
    place: Place,
    expected: list[PayoutRow],
) -> None:
    """`expected` are payouts that have not arrived yet; one that the entry is stands there no more."""
    if known:
        decision = (
            _Decision("Known", "Known", "it stood in an earlier file")
            if key.certain
            else _waiting("PossibleDuplicate", "an equal entry without a reference stood in an earlier file")
        )
        _keep(work, office, entry, statement=statement, key=key, decision=decision)
    elif (payout := _payout(entry, place=place, expected=expected)) is not None:
        row, decision = payout
        uid = _keep(work, office, entry, statement=statement, key=key, decision=decision)
        if decision.state == "Payout":
            note_arrival(work, entry=uid, row=row)
            expected.remove(row)
    elif (told := find_told(work.tx, entry, currency=place.currency)) is not None:
        _import_transfer(work, office, entry, told, statement=statement, key=key, place=place)
    elif entry.credit and not entry.return_reason:
        _import_credit(work, office, entry, statement=statement, key=key, place=place)
    elif entry.reversal:
        _import_return(work, office, entry, statement=statement, key=key, place=place)
    else:
        _keep(work, office, entry, statement=statement, key=key, decision=_Decision("Outgoing"))


def _import_transfer(
    work: Work,
    office: Office,
    entry: BankEntry,
    told: tuple[TransferRow, bool],
    *,
    statement: UUID,
    key: EntryKey,
    place: Place,
) -> None:
    """Money that goes back to a customer has left, or has come back."""
    row, fits = told
    amount = Money(row.amount_minor, CURRENCY)
    decision = (
        _Decision("Transfer", entry.return_reason, f"transfer to {row.account_name}")
        if fits
        else _waiting(
            "TransferDiffers",
            f"transfer {row.end_to_end_id} to {row.account_name} is {row.state}, of {amount}",
        )
    )
    uid = _keep(work, office, entry, statement=statement, key=key, decision=decision)
    if fits:
        book_told(work, row, entry=entry, uid=uid, bank_account=place.bank_account)


def _payout(
    entry: BankEntry, *, place: Place, expected: list[PayoutRow]
) -> tuple[PayoutRow, _Decision] | None:
    """A provider's payout that the entry names, and what becomes of it; None where it names none."""
    if not expected or not entry.credit or entry.return_reason:
        return None
    said = said_by(entry)
    named = [one for one in expected if is_named(said, reference=one.reference, trace=one.trace)]
    here = [one for one in named if one.bank_account in ("", cash_name(place.bank_account))]
    equal = [one for one in here if one.amount_minor == entry.amount_minor]
    if len(equal) == 1:
        return equal[0], _Decision("Payout", "Payout", f"payout {equal[0].reference}")
    exactly = [one for one in named if is_named(said, reference=one.reference, trace="")]
    if not exactly:
        return None
    one = exactly[0]
    return one, _waiting(
        "PayoutDiffers", f"payout {one.reference} is {one.amount}, to account …{one.bank_account}"
    )


def _import_credit(
    work: Work, office: Office, entry: BankEntry, *, statement: UUID, key: EntryKey, place: Place
) -> None:
    outcome, compared = look_up_locked(work, office, entry, currency=place.currency)
    if isinstance(outcome, Matched):
        rest = find_rest(work, place=place, outcome=outcome, known=compared)
        decision = _Decision("Applied", outcome.rule, rest.detail)
        uid = _keep(work, office, entry, statement=statement, key=key, decision=decision)
        apply(work, office, uid=uid, entry=entry, place=place, outcome=outcome, rest=rest)
        note_settled(work.tx, end_to_end_id=entry.end_to_end_id)
    else:
        decision = _waiting(outcome.reason, outcome.detail)
        _keep(work, office, entry, statement=statement, key=key, decision=decision)


def _import_return(
    work: Work, office: Office, entry: BankEntry, *, statement: UUID, key: EntryKey, place: Place
) -> None:
    """Take back what the original paid; the one that was sent back is named by its end-to-end id."""
    found = (
        ()
        if entry.credit
        else rows.list_applied(
            work.tx,
            office.vault,
            end_to_end_id=entry.end_to_end_id,
            amount_minor=entry.amount_minor,
        )
    )
    originals = [
        one for one in found if (one.bank_account, one.currency) == (place.bank_account, place.currency)
    ]
    if len(originals) != 1:
        detail = (
            "no payment is known that it sends back" if not originals else "it may send back several payments"
        )
        decision = _waiting("UnknownReturn", detail)
        _keep(work, office, entry, statement=statement, key=key, decision=decision)
        return
    decision = _Decision("Returned", entry.return_reason, f"sends back entry {originals[0].uid}")
    uid = _keep(work, office, entry, statement=statement, key=key, decision=decision)
    send_back(work, office, uid=uid, entry=entry, original=originals[0], place=place)
    note_returned(work.tx, end_to_end_id=entry.end_to_end_id, reason=entry.return_reason)


def _waiting(reason: Reason, detail: str) -> _Decision:
    return _Decision("Waiting", reason, detail)


def _keep(
    work: Work, office: Office, entry: BankEntry, *, statement: UUID, key: EntryKey, decision: _Decision
) -> UUID:
    return rows.insert_entry(
        work.tx,
        office.vault,
        entry,
        statement=statement,
        key=key,
        state=decision.state,
        reason=decision.reason,
        detail=decision.detail,
        by=work.identity.user,
        now=work.now,
    )
