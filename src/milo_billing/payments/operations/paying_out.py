"""A provider pays out to the bank: its clearing accounts are emptied, and what it kept becomes an expense.

Owns: the order of locks, rows and books. Not: which part is whose (rules.payouts), how a provider says it (adapters).
"""

from datetime import date
from uuid import UUID

from milo_billing.controlplane.work import Work
from milo_billing.infra.clock import new_uid
from milo_billing.infra.crypto import Vault
from milo_billing.invoicing.reads import issuers as issuer_reads
from milo_billing.kernel.errors import Conflict
from milo_billing.kernel.money import Money
from milo_billing.ledger import operations as ledger
from milo_billing.ledger.types import UNAPPLIED_CASH, AccountName, Entry, Fact, cash
from milo_billing.payments.engine import bank_rows, payout_rows
from milo_billing.payments.engine.arrivals import defer_note, find_arrival
from milo_billing.payments.engine.payout_rows import PayoutNotFound, PayoutRow
from milo_billing.payments.operations.desk import Desk
from milo_billing.payments.rules.payouts import NOBODY, Bookable, Held, Share, judge
from milo_billing.payments.rules.statements import cash_name
from milo_billing.payments.types import Payout


class UnableToAccept(Conflict):
    """The payout does not wait for anybody. The message says how it stands."""


def apply_payout(work: Work, desk: Desk, *, class_uid: UUID, provider: str, payout: Payout) -> PayoutRow:
    """Note how a payout stands, and book it once it has arrived: by the provider's word or by the bank's.

    Safe to repeat, and in any order with the bank's statement: it is booked once. What does not add up, or is about no
    payment that is known here, waits for a person; payments may be told of later, so it is looked at again until then.
    A payout that came back is taken back: the money lies with the provider again.
    """
    tx = work.tx
    bank_rows.lock_bank(tx)
    row = payout_rows.note_payout(tx, payout, class_uid=class_uid, provider=provider, now=work.now)
    if row.entry is None and payout.state != "Failed":
        row = find_arrival(work, desk.vault, row)
    if row.booked_at is None:
        row = _book(work, desk.vault, row, payout)
    if payout.state == "Failed" and row.state == "Booked":
        bank = cash(cash_name(row.bank_account))
        assert row.entity is not None, "it is booked"
        back = ledger.settled_to_cash(row.amount, fee=Money(0, row.currency), provider=provider, bank=bank)
        _post(work, row, _nobody(row), ledger.taken_back(back), what="failed", on=work.now.date())
        row = payout_rows.set_state(tx, row, state="Failed", detail="it came back to the provider")
    return row


def accept(work: Work, *, class_uid: UUID, reference: str) -> PayoutRow:
    """Have a payout booked that waits, with what nobody knows as unapplied cash of nobody's account; a job does it.

    Raises PayoutNotFound, UnableToAccept.
    """
    bank_rows.lock_bank(work.tx)
    row = payout_rows.find_payout(work.tx, class_uid=class_uid, reference=reference)
    if row is None:
        raise PayoutNotFound(f'payout "{reference}" not found')
    if row.reason not in ("DoesNotAddUp", "UnknownItems"):
        raise UnableToAccept(
            f"payout {reference} is {row.state}: there is nothing to accept {row.detail}".rstrip()
        )
    row = payout_rows.set_accepted(work.tx, row, by=work.identity.user)
    defer_note(work.tx, class_uid=class_uid, reference=reference)
    return row


def _book(work: Work, vault: Vault, row: PayoutRow, payout: Payout) -> PayoutRow:
    tx = work.tx
    entry = None if row.entry is None else bank_rows.get_entry(tx, vault, uid=row.entry)
    bank = row.bank_account or ("" if entry is None else cash_name(entry.bank_account))
    if entry is None and (payout.state == "Pending" or (payout.state == "Paid" and not bank)):
        return payout_rows.set_state(tx, row, state="Noted")
    names = {item.payment for item in payout.items}
    default = issuer_reads.find_default_issuer(tx)
    judged = judge(
        payout,
        payments=payout_rows.list_known(tx, class_uid=row.class_uid, references=names),
        failed=payout_rows.list_failed(tx, class_uid=row.class_uid, references=names),
        default_entity=None if default is None else default.name,
        accepted=row.accepted_by is not None,
    )
    match judged:
        case Held(reason, detail):
            return payout_rows.set_state(tx, row, state="Waiting", reason=reason, detail=detail)
        case Bookable(home, parts, shares):
            arrived_on = entry.entry.booked_on if entry is not None else min(row.arrives_on, work.now.date())
            for share in shares:
                entries = _entries(share, provider=row.provider, bank=cash(cash_name(bank)))
                _post(work, row, share, entries, what="paid", on=arrived_on)
            return payout_rows.set_booked(tx, row, entity=home, bank_account=bank, parts=parts, now=work.now)


def _entries(share: Share, *, provider: str, bank: AccountName) -> tuple[Entry, ...]:
    unknown = (Entry(bank, share.unknown), Entry(UNAPPLIED_CASH, -share.unknown)) if share.unknown else ()
    return (*ledger.settled_to_cash(share.amount, fee=share.fee, provider=provider, bank=bank), *unknown)


def _nobody(row: PayoutRow) -> Share:
    assert row.entity is not None, "it is booked"
    zero = Money(0, row.currency)
    return Share(row.entity, NOBODY, NOBODY, zero, zero, zero)


def _post(
    work: Work, row: PayoutRow, share: Share, entries: tuple[Entry, ...], *, what: str, on: date
) -> None:
    fact = Fact(
        id=new_uid(),
        key=f"payout/{row.class_uid}/{row.reference}/{what}/{share.entity}/{share.account}",
        entity=share.entity,
        posted_on=on,
        billing_account=share.account,
        owner_org=share.owner_org,
        description=f"Payout {row.reference} of {row.provider}" + (" came back" if what == "failed" else ""),
    )
    ledger.post_fact(work.tx, fact=fact, entries=entries, now=work.now)
