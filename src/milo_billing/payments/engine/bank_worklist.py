"""The worklist: entries that wait for a person, what they may pay, and what a person decides."""

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from uuid import UUID

from milo_billing.accounts.reads import accounts as account_reads
from milo_billing.accounts.types import AccountNotFound
from milo_billing.controlplane.work import Work
from milo_billing.infra.crypto import Vault
from milo_billing.infra.database import Tx
from milo_billing.invoicing.operations.office import Office
from milo_billing.invoicing.reads import invoices as invoice_reads
from milo_billing.invoicing.types.invoices import Invoice
from milo_billing.kernel.money import Money, settle
from milo_billing.payments.engine import bank_rows as rows
from milo_billing.payments.engine.bank_deciding import Place, UnableToApply, apply, find_rest, guess
from milo_billing.payments.engine.bank_rows import EntryRow
from milo_billing.payments.engine.debiting import note_settled
from milo_billing.payments.rules.bank_requests import Chosen
from milo_billing.payments.rules.matching import Allocation, Candidate, Matched


@dataclass(frozen=True, slots=True)
class Listed:
    """One entry of the worklist with what it may pay; `invoices` are those of the candidates."""

    row: EntryRow
    candidates: tuple[Candidate, ...]
    invoices: dict[UUID, Invoice]


def list_worklist(tx: Tx, vault: Vault, *, limit: int) -> tuple[Listed, ...]:
    """The entries that wait, the oldest first, each with its candidates."""
    found: list[Listed] = []
    for row in rows.list_waiting(tx, vault, limit=limit):
        candidates = guess(tx, vault, row) if row.entry.credit else ()
        named = {one.invoice: invoice_reads.get_invoice_by_uid(tx, uid=one.invoice) for one in candidates}
        found.append(Listed(row, candidates, named))
    return tuple(found)


def assign(
    work: Work, office: Office, *, uid: UUID, chosen: Sequence[Chosen], account: tuple[str, str] | None
) -> EntryRow:
    """Have the entry pay these invoices in their order; what is left is money on account, or unapplied cash where
    none is chosen.

    `account` is (namespace, name), and needed where no invoice is chosen. Raises EntryNotFound, InvoiceNotFound,
    AccountNotFound; UnableToApply where the entry does not wait or did not come in, and for invoices of several
    accounts or of another currency.
    """
    row = _waiting_entry(work.tx, office.vault, uid=uid)
    if not row.entry.credit:
        raise UnableToApply(f"entry {uid} went out: nothing can be paid with it; ignore it instead")
    named = [invoice_reads.get_invoice(work.tx, namespace=one.namespace, name=one.name) for one in chosen]
    number = _account(work.tx, named, account=account)
    outcome = Matched(number, *_allocated(row, chosen, named), rule="Assigned")
    place = Place(row.bank_account, row.currency)
    rest = find_rest(work, place=place, outcome=outcome, known={one.uid: one for one in named})
    rows.decide_entry(
        work.tx,
        uid=uid,
        state="Applied",
        reason="Assigned",
        detail=", ".join(filter(None, (f"by {work.identity.user}", rest.detail))),
        by=work.identity.user,
        now=work.now,
    )
    apply(work, office, uid=uid, entry=row.entry, place=place, outcome=outcome, rest=rest)
    note_settled(work.tx, end_to_end_id=row.entry.end_to_end_id)
    return rows.get_entry(work.tx, office.vault, uid=uid)


def ignore(work: Work, office: Office, *, uid: UUID, reason: str) -> EntryRow:
    """Take the entry off the worklist: it is not about invoices. Raises EntryNotFound, UnableToApply.

    A debit whose money it is is over all the same: what it was for can be asked for again.
    """
    row = _waiting_entry(work.tx, office.vault, uid=uid)
    rows.decide_entry(
        work.tx,
        uid=uid,
        state="Ignored",
        reason="Ignored",
        detail=reason,
        by=work.identity.user,
        now=work.now,
    )
    if row.entry.credit:
        note_settled(work.tx, end_to_end_id=row.entry.end_to_end_id)
    return rows.get_entry(work.tx, office.vault, uid=uid)


def _waiting_entry(tx: Tx, vault: Vault, *, uid: UUID) -> EntryRow:
    rows.lock_bank(tx)
    row = rows.get_entry(tx, vault, uid=uid, lock=True)
    if row.state != "Waiting":
        raise UnableToApply(
            f"entry {uid} is {row.state} already ({row.detail or row.reason}): nothing was changed"
        )
    return row


def _account(tx: Tx, named: Sequence[Invoice], *, account: tuple[str, str] | None) -> int:
    numbers = {one.account for one in named}
    if account is not None:
        found = account_reads.find_account(tx, namespace=account[0], name=account[1])
        if found is None:
            raise AccountNotFound(f'billingaccounts.billing.miloapis.com "{"/".join(account)}" not found')
        numbers.add(found.number)
    if len(numbers) != 1:
        raise UnableToApply(
            "an entry pays invoices of one account: name invoices of one, or an account"
            if not numbers
            else "the invoices and the account named are of several accounts: an entry pays invoices of one"
        )
    return numbers.pop()


def _allocated(
    row: EntryRow, chosen: Sequence[Chosen], named: Sequence[Invoice]
) -> tuple[tuple[Allocation, ...], int]:
    """What each invoice gets, and what is left."""
    left, found = row.entry.amount_minor, dict[UUID, Allocation]()
    for wanted, invoice in zip(chosen, named, strict=True):
        if invoice.currency != row.currency:
            raise UnableToApply(
                f"invoice {invoice.number} is in {invoice.currency}, the entry in {row.currency}: exchange is not ours"
            )
        if invoice.uid in found:
            raise UnableToApply(f"invoice {invoice.number} is named twice")
        most = min(left, 0 if invoice.phase == "Void" else invoice.open_minor)
        minor = most if wanted.amount is None else _minor(wanted.amount, row.currency)
        if not 0 < minor <= most:
            raise UnableToApply(
                f"invoice {invoice.number} can take {Money(most, row.currency)} of this entry, "
                f"not {Money(minor, row.currency)}"
            )
        found[invoice.uid] = Allocation(invoice.uid, minor)
        left -= minor
    return tuple(found.values()), left


def _minor(amount: Decimal, currency: str) -> int:
    found = settle(amount, currency)
    if found.decimal() != amount:
        raise UnableToApply(f"{amount} has more decimals than {currency} has")
    return found.minor
