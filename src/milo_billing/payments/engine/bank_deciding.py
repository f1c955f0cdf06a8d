"""What follows from an entry of a bank statement: invoices are settled, the books move, or it waits for a person.

Owns: the order of locks and writes. Not: what is certain (rules.matching), the rows (bank_rows), what comes back
(bank_returning).
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Final
from uuid import UUID

from milo_billing.accounts.reads import accounts as account_reads
from milo_billing.accounts.types import Account
from milo_billing.controlplane.work import Work
from milo_billing.infra.clock import new_uid
from milo_billing.infra.crypto import SubjectErased, Vault
from milo_billing.infra.database import Tx
from milo_billing.invoicing.operations import life
from milo_billing.invoicing.operations.office import Office
from milo_billing.invoicing.reads import invoices as invoice_reads
from milo_billing.invoicing.reads import issuers as issuer_reads
from milo_billing.invoicing.types.invoices import Invoice
from milo_billing.kernel.errors import Conflict
from milo_billing.kernel.money import Money
from milo_billing.ledger import operations as ledger
from milo_billing.ledger.types import RECEIVABLE, Entry, Fact, cash
from milo_billing.payments import store
from milo_billing.payments.engine import bank_rows as rows
from milo_billing.payments.engine import debit_rows, on_account
from milo_billing.payments.engine.bank_rows import EntryRow, MatchRow
from milo_billing.payments.engine.standing import reactivate_if_paid
from milo_billing.payments.rules import references
from milo_billing.payments.rules.matching import Candidate, Matched, OpenInvoice, Outcome, match, rank
from milo_billing.payments.rules.statements import cash_name
from milo_billing.payments.types import BankEntry

INVOICES_MAX: Final = 500
"""Invoices that one entry is compared with."""


class UnableToApply(Conflict):
    """An entry cannot be decided as was asked. The message says why, and what to do."""


@dataclass(frozen=True, slots=True)
class Place:
    """Where an entry was booked: the account at the bank, by what the books call it, and its currency."""

    bank_account: str
    currency: str


def look_up(tx: Tx, entry: BankEntry, *, currency: str) -> tuple[Outcome, Mapping[UUID, Invoice]]:
    """What the entry pays for certain, and the invoices that it was compared with."""
    payer = rows.payer_digest(entry.counterparty_iban)
    payers = rows.list_payers(tx, payer=payer) if payer is not None else frozenset[int]()
    words = references.tokens(entry)
    compact = {references.compacted(word) for word in words} | references.creditor_references(entry)
    debited = _debited(tx, entry)
    if debited is not None:
        compact.add(references.compacted(debited.number))
    found = invoice_reads.list_payable(tx, numbers=compact - {""}, accounts=payers, limit=INVOICES_MAX)
    compared = replace(entry, counterparty_iban="" if payer is None else payer.hex())
    off = {one.uid: _early_minor(tx, one, entry=entry) for one in found}
    comparable = [
        replace(one, aliases=frozenset({entry.end_to_end_id}))
        if debited is not None and one.uid == debited.uid
        else one
        for one in _comparable(found, payers=payers, payer=compared.counterparty_iban, off=off)
    ]
    return (
        match(compared, comparable, currency=currency),
        {one.uid: one for one in found},
    )


def look_up_locked(
    work: Work, office: Office, entry: BankEntry, *, currency: str
) -> tuple[Outcome, Mapping[UUID, Invoice]]:
    """The same, decided under the locks of the account and of all invoices that are to be paid.

    Who pays or credits them at the same moment comes first or after, and what an invoice can take is what it is given.
    """
    held: set[UUID] = set()
    while True:
        outcome, compared = look_up(work.tx, entry, currency=currency)
        if not isinstance(outcome, Matched):
            return outcome, compared
        wanted = {one.invoice for one in outcome.allocations}
        if wanted <= held:
            return outcome, compared
        store.lock_account(work.tx, account=outcome.account)
        for invoice in sorted(wanted - held):
            life.lock_invoice(work, engine=office.engine, invoice=invoice)
        held |= wanted


def guess(tx: Tx, vault: Vault, row: EntryRow) -> tuple[Candidate, ...]:
    """What a waiting entry may pay, ranked, with why; for people."""
    entry = row.entry
    payers = rows.list_payers(tx, payer=row.payer) if row.payer is not None else frozenset[int]()
    compact = {references.compacted(word) for word in references.tokens(entry)}
    named = invoice_reads.list_payable(
        tx,
        numbers=(compact | references.creditor_references(entry)) - {""},
        accounts=payers,
        limit=INVOICES_MAX,
    )
    alike = invoice_reads.list_resembling(
        tx,
        said=references.resembling(entry),
        alike=references.ALIKE,
        amount_minor=entry.amount_minor,
        currency=row.currency,
        limit=INVOICES_MAX,
    )
    found = tuple({one.uid: one for one in (*named, *alike)}.values())
    payer = "" if row.payer is None else row.payer.hex()
    names = {account: _names(tx, vault, account=account) for account in {one.account for one in found}}
    comparable = _comparable(found, payers=payers, payer=payer)
    named_too = [replace(one, names=names[one.account]) for one in comparable]
    return rank(replace(entry, counterparty_iban=payer), named_too, currency=row.currency)


def _comparable(
    found: Sequence[Invoice],
    *,
    payers: Collection[int],
    payer: str,
    off: Mapping[UUID, int] | None = None,
) -> tuple[OpenInvoice, ...]:
    """`off` is what each invoice is less by for who pays it on the day of the entry."""
    return tuple(
        OpenInvoice(
            uid=one.uid,
            number=one.number,
            account=one.account,
            currency=one.currency,
            open_minor=one.open_minor,
            due_on=one.due_on,
            void=one.phase == "Void",
            ibans=frozenset({payer}) if one.account in payers else frozenset(),
            early_minor=(off or {}).get(one.uid, 0),
        )
        for one in found
    )


def _debited(tx: Tx, entry: BankEntry) -> Invoice | None:
    """The invoice that was collected under the entry's end-to-end id: banks may repeat nothing else of a debit."""
    debit = debit_rows.find_debit(tx, end_to_end_id=entry.end_to_end_id) if entry.end_to_end_id else None
    return None if debit is None else invoice_reads.get_invoice_by_uid(tx, uid=debit.invoice)


def _early_minor(tx: Tx, invoice: Invoice, *, entry: BankEntry) -> int:
    """What is off for early payment, were the rest of the invoice paid by this entry."""
    return invoice.amount_due_minor - life.asked_minor(tx, invoice=invoice, now=_counts_from(tx, entry))


def _counts_from(tx: Tx, entry: BankEntry) -> datetime:
    """A debit is in time for a discount if it was to be collected in time, however late the bank books it."""
    debit = debit_rows.find_debit(tx, end_to_end_id=entry.end_to_end_id) if entry.end_to_end_id else None
    return noon(entry) if debit is None else min(noon(entry), debit_rows.noon(debit.collect_on))


def _names(tx: Tx, vault: Vault, *, account: int) -> tuple[str, ...]:
    """Whom the account's invoices are addressed to; nobody where it was deleted or erased."""
    if account_reads.get_account(tx, number=account).deleted_at is not None:
        return ()
    try:
        profile = account_reads.get_billing_profile(tx, vault, account=account)
    except SubjectErased:
        return ()
    contact = profile.contact
    return () if contact is None else tuple(name for name in (contact.business_name, contact.name) if name)


# ---------------------------------------------------------------------------------------------------- applying


@dataclass(frozen=True, slots=True)
class Rest:
    """What no invoice takes of an entry: in whose books it is kept, and as what."""

    home: str
    over: on_account.Over

    @property
    def detail(self) -> str:
        """How much is kept, as people read it: "12.00 EUR on account"; empty where nothing is."""
        parts = ((self.over.on_account, "on account"), (self.over.unapplied, "unapplied"))
        return " and ".join(f"{amount} {where}" for amount, where in parts if amount)


def find_rest(work: Work, *, place: Place, outcome: Matched, known: Mapping[UUID, Invoice]) -> Rest:
    """What is kept for the account: money on account where the entry was for invoices, unapplied cash where nobody said
    what it is for. The account is locked until the transaction ends.

    `known` has an invoice of the account at least: its issuer's books take what pays no invoice.
    """
    store.lock_account(work.tx, account=outcome.account)
    paid = [known[one] for one in sorted(one.invoice for one in outcome.allocations)]
    home = next((one.issuer for one in (*paid, *known.values()) if one.account == outcome.account), None)
    home = _default_issuer(work.tx) if home is None else home
    over = on_account.divide(
        work.tx,
        Money(outcome.over_minor, place.currency),
        account=outcome.account,
        entity=home,
        is_known=bool(paid) or outcome.rule != "Assigned",
    )
    return Rest(home, over)


def apply(
    work: Work,
    office: Office,
    *,
    uid: UUID,
    entry: BankEntry,
    place: Place,
    outcome: Matched,
    rest: Rest,
) -> None:
    """Settle the invoices, keep the `rest` (`find_rest`) for the account, and post both.

    The entry's row says Applied in the same transaction; the database refuses the commit where the parts are not the
    whole.
    """
    tx = work.tx
    parts = {one.invoice: one.amount_minor for one in outcome.allocations}
    locked = {
        invoice: life.lock_invoice(work, engine=office.engine, invoice=invoice) for invoice in sorted(parts)
    }
    owner = account_reads.get_account(tx, number=outcome.account)
    home = rest.home
    nothing = on_account.Over(Money(0, place.currency), Money(0, place.currency))
    by_issuer: dict[str, dict[UUID, int]] = {home: {}} if outcome.over_minor else {}
    for invoice in locked.values():
        by_issuer.setdefault(invoice.issuer, {})[invoice.uid] = parts[invoice.uid]
    for entity, paid in by_issuer.items():
        key = f"bank/{uid}/{entity}"
        over = rest.over if entity == home else nothing
        entries = _received(place, paid_minor=sum(paid.values()), over=over)
        post(
            work,
            key=key,
            entity=entity,
            account=owner.number,
            org=owner.owner_org,
            entry=entry,
            entries=entries,
        )
        _settle(work, office, uid=uid, entry=entry, org=owner.owner_org, outcome=outcome, paid=paid, key=key)
        if entity == home and outcome.over_minor:
            _keep_rest(tx, over, uid=uid, owner=owner, outcome=outcome, entity=entity, key=key)
    if parts:
        reactivate_if_paid(work, office.engine, account=owner.number)
    payer = rows.payer_digest(entry.counterparty_iban)
    if payer is not None:
        rows.remember_payer(tx, account=owner.number, owner_org=owner.owner_org, payer=payer)


def _received(place: Place, *, paid_minor: int, over: on_account.Over) -> list[Entry]:
    """Money in the bank, against what it pays and what is the account's."""
    came = Money(paid_minor, place.currency) + over.unapplied + over.on_account
    entries = [Entry(cash(cash_name(place.bank_account)), came)]
    if paid_minor:
        entries.append(Entry(RECEIVABLE, Money(-paid_minor, place.currency)))
    return entries + over.credited()


def _settle(
    work: Work,
    office: Office,
    *,
    uid: UUID,
    entry: BankEntry,
    org: int,
    outcome: Matched,
    paid: Mapping[UUID, int],
    key: str,
) -> None:
    """Settle the invoices of one issuer by their parts of the entry, and note which part is whose."""
    counts_from = _counts_from(work.tx, entry)
    for invoice, minor in paid.items():
        life.settle_invoice(
            work,
            engine=office.engine,
            invoice=invoice,
            kind="Payment",
            reference=f"bank/{uid}",
            amount_minor=minor,
            posted=key,
            at=counts_from,
        )
        _match(work.tx, uid=uid, org=org, outcome=outcome, invoice=invoice, minor=minor, key=key)


def _keep_rest(
    tx: Tx, over: on_account.Over, *, uid: UUID, owner: Account, outcome: Matched, entity: str, key: str
) -> None:
    """Note what pays no invoice as the account's, and what of it is on account with its source."""
    org, minor = owner.owner_org, outcome.over_minor
    _match(tx, uid=uid, org=org, outcome=outcome, invoice=None, minor=minor, key=key)
    source = on_account.Source(entry=uid)
    on_account.note(tx, over.on_account, posted=key, account=owner, entity=entity, source=source)


def _match(
    tx: Tx, *, uid: UUID, org: int, outcome: Matched, invoice: UUID | None, minor: int, key: str
) -> None:
    found = MatchRow(new_uid(), uid, org, outcome.account, invoice, minor, key)
    rows.insert_match(tx, found, rule=outcome.rule)


def post(
    work: Work, *, key: str, entity: str, account: int, org: int, entry: BankEntry, entries: Sequence[Entry]
) -> None:
    """Post what an entry of the bank's does, on its day."""
    fact = Fact(
        id=new_uid(),
        key=key,
        entity=entity,
        posted_on=entry.booked_on,
        billing_account=account,
        owner_org=org,
        description="Bank transfer" if entry.credit else f"Returned payment {entry.return_reason}".strip(),
    )
    ledger.post_fact(work.tx, fact=fact, entries=entries, now=work.now)


def _default_issuer(tx: Tx) -> str:
    """In whose books money stands of an account that has no invoice."""
    found = issuer_reads.find_default_issuer(tx)
    if found is None:
        raise UnableToApply(
            "nobody is declared to issue invoices, so no books can take the money: apply an IssuerProfile with "
            "spec.isDefault true, then try again"
        )
    return found.name


def noon(entry: BankEntry) -> datetime:
    """When the money of an entry counts from."""
    return debit_rows.noon(entry.booked_on)
