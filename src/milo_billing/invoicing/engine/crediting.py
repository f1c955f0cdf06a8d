"""Issue credit notes: draw the number, freeze, post, settle the invoice; and take a whole invoice back.

Owns: the order of locks and writes. Not: which part of which line (rules.crediting), the objects (resources).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime
from typing import Any, Final
from uuid import UUID

from milo_billing.infra import jobs
from milo_billing.infra.clock import new_uid
from milo_billing.infra.database import Tx
from milo_billing.invoicing.engine import settling
from milo_billing.invoicing.reads import grants as grant_reads
from milo_billing.invoicing.reads import invoices as invoice_reads
from milo_billing.invoicing.reads import lines as line_reads
from milo_billing.invoicing.reads import notes as note_reads
from milo_billing.invoicing.rules import crediting, early_payment, issuing, life
from milo_billing.invoicing.rules.crediting import CreditLine, CreditNote, LineCredit, UnableToCredit
from milo_billing.invoicing.rules.taxes import Credited
from milo_billing.invoicing.store import invoice_rows, note_rows
from milo_billing.invoicing.types.errors import UnableToSettle
from milo_billing.invoicing.types.invoices import Invoice, InvoiceLine, IssuerVersion, MoneyKind
from milo_billing.kernel.money import Money
from milo_billing.kernel.periods import local_day
from milo_billing.ledger import operations as ledger
from milo_billing.ledger.types import (
    EARLY_PAYMENT_DISCOUNT,
    MONEY_ON_ACCOUNT,
    RECEIVABLE,
    Entry,
    Fact,
    Posting,
)

TELL_CREDIT_NOTE: Final = "invoicing.tell_credit_note"
"""The job that announces a credit note, once it is committed."""

LINES_MAX: Final = 100_000
SERIES: Final[Mapping[str, Any]] = {"prefix": "CN-", "start": 1, "digits": 6, "perYear": True}
"""How credit notes are numbered where a version of the profile does not say it."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """What a credit note is to take back: of lines, or an amount over all of them, or all that is left.

    `amount_minor` is net of discounts and before tax. `uid`, `namespace` and `name` are the object's. `early`: it is
    the invoice's discount for early payment.
    """

    uid: UUID
    namespace: str
    name: str
    invoice: UUID
    lines: tuple[LineCredit, ...]
    amount_minor: int | None
    reason: str
    early: bool = False


@dataclass(frozen=True, slots=True)
class _Chosen:
    """What a note takes back: the invoice's lines, the parts of them, and the tax that comes back with these."""

    lines: Mapping[int, InvoiceLine]
    credited: tuple[CreditLine, ...]
    taxes: Mapping[int, Credited]

    @property
    def net_minor(self) -> int:
        return sum(one.net_minor for one in self.credited)

    @property
    def total_minor(self) -> int:
        return crediting.total_of(self.credited, self.taxes)


def choose(tx: Tx, wanted: Wanted) -> tuple[CreditLine, ...]:
    """The lines that the note would have, as things stand. Raises UnableToCredit, InvoiceNotFound."""
    return _choose(tx, wanted, invoice_reads.get_invoice_by_uid(tx, uid=wanted.invoice)).credited


def early_minor(tx: Tx, invoice: Invoice) -> int:
    """What its discount for early payment comes to, tax included, of what earlier notes left; 0 without one."""
    if invoice.early is None:
        return 0
    lines = lines_of(tx, invoice)
    credited = early_payment.discount_lines(
        invoice.early, lines=lines, left=_left(tx, invoice, lines), currency=invoice.currency
    )
    return crediting.total_of(credited, _taxed(tx, invoice, credited, lines=lines))


def issue(tx: Tx, wanted: Wanted, *, now: datetime) -> CreditNote:
    """Issue the note: number, lines, books, and the invoice settled as far as it was open.

    The invoice's object is locked by the caller. Raises UnableToCredit and InvoiceNotFound.
    """
    invoice = invoice_reads.lock_invoice(tx, uid=wanted.invoice)
    chosen = _choose(tx, wanted, invoice)
    today = invoice_reads.get_issuer_day(tx, invoice=invoice.uid, now=now)
    if chosen.net_minor <= 0:
        raise UnableToCredit("a credit note comes to more than zero: credit lines that were charged too")
    settled_minor = crediting.settled_part(invoice, chosen.total_minor)
    note, _ = _write(tx, wanted, invoice, chosen, settled_minor=settled_minor, voids=False, now=now)
    if settled_minor:
        kind: MoneyKind = "EarlyPaymentDiscount" if wanted.early else "CreditNote"
        for step in life.settle(invoice, kind=kind, amount_minor=settled_minor, today=today):
            key = key_of(note)
            if step.kind == "Recovery":
                key = f"{key}/recovery"
                settling.post_recovery(
                    tx,
                    invoice,
                    kind=kind,
                    key=key,
                    minor=-step.amount_minor,
                    posted_on=note.issued_on,
                    now=now,
                )
            settling.note(tx, step, reference=str(note.uid), posted=key, at=now, now=now)
    return note


def void(tx: Tx, *, invoice: UUID, reason: str, now: datetime) -> CreditNote:
    """Take the whole invoice back, whose object is locked: a credit note over all that is left of it, and nothing due.

    Its days can be invoiced again. Raises UnableToSettle unless it is unpaid.
    """
    locked = invoice_reads.lock_invoice(tx, uid=invoice)
    step = life.void(locked)
    lines = lines_of(tx, locked)
    credited = crediting.everything(_left(tx, locked, lines))
    chosen = _Chosen(lines, credited, _taxed(tx, locked, credited, lines=lines))
    total_minor = chosen.total_minor
    if total_minor != step.amount_minor:
        raise UnableToSettle(
            f"invoice {locked.number} was credited or discounted when it had been paid: credit what is left of it, "
            "instead of making it void"
        )
    wanted = Wanted(new_uid(), locked.namespace, "", invoice, (), None, reason)
    note, posted = _write(tx, wanted, locked, chosen, settled_minor=total_minor, voids=True, now=now)
    settling.note(tx, step, reference=str(note.uid), posted=posted, at=now, now=now, reason=reason)
    return note


def lines_of(tx: Tx, invoice: Invoice) -> Mapping[int, InvoiceLine]:
    """The lines of the invoice, by number."""
    return {line.line: line for line in line_reads.list_lines(tx, invoice=invoice.uid, limit=LINES_MAX)}


def _left(tx: Tx, invoice: Invoice, lines: Mapping[int, InvoiceLine]) -> dict[int, int]:
    left = crediting.left_of(lines.values(), credited=note_reads.list_credited(tx, invoice=invoice.uid))
    if any(line.kind == "PrepaidCredit" for line in lines.values()):
        # what was used or has lapsed of the credit cannot be given back as well
        bought = grant_reads.find_bought_by(tx, invoice=invoice.uid)
        assert bought is not None, "credit that was bought is granted in the same transaction"
        left = {line: min(minor, bought.remaining_minor) for line, minor in left.items()}
    return left


def _choose(tx: Tx, wanted: Wanted, invoice: Invoice) -> _Chosen:
    if invoice.phase == "Void":
        raise UnableToCredit(
            f"invoice {invoice.number} is void: nothing is left of it", field="spec.invoiceRef.name"
        )
    lines = lines_of(tx, invoice)
    left = _left(tx, invoice, lines)
    if wanted.early and invoice.early is not None:
        credited = early_payment.discount_lines(
            invoice.early, lines=lines, left=left, currency=invoice.currency
        )
    else:
        credited = crediting.credit_lines(
            wanted.lines,
            amount_minor=wanted.amount_minor,
            lines=lines,
            left=left,
            currency=invoice.currency,
        )
    chosen = _Chosen(lines, credited, _taxed(tx, invoice, credited, lines=lines))
    earlier = note_reads.list_credited_taxes(tx, invoice=invoice.uid)
    left_minor = sum(left.values()) + invoice.tax_minor - sum(one.tax_minor for one in earlier.values())
    crediting.assert_within_total(
        chosen.credited, chosen.taxes, left_minor=left_minor, currency=invoice.currency
    )
    return chosen


def _taxed(
    tx: Tx, invoice: Invoice, credited: Sequence[CreditLine], *, lines: Mapping[int, InvoiceLine]
) -> Mapping[int, Credited]:
    """The tax that comes back with these lines, by the invoice's tax groups. Raises UnableToCredit."""
    earlier = note_reads.list_credited_taxes(tx, invoice=invoice.uid)
    return crediting.credited_taxes(
        credited, lines=lines, groups=invoice.taxes, earlier=earlier, currency=invoice.currency
    )


def _numbered(
    tx: Tx,
    wanted: Wanted,
    invoice: Invoice,
    chosen: _Chosen,
    *,
    issuer: IssuerVersion,
    invoiced_on: date,
    settled_minor: int,
    voids: bool,
    now: datetime,
) -> CreditNote:
    """The note with the next number of its series, dated in the issuer's zone, never before its invoice."""
    spec: Mapping[str, Any] = issuer.body.get("creditNoteSeries", SERIES)
    today = max(local_day(now, zone=issuer.body["timeZone"]), invoiced_on)
    drawn = draw(tx, issuer=issuer, spec=spec, day=today)
    name, second_name = issuing.object_names(issuer=issuer.name, number=drawn.number)
    if wanted.name:
        name = wanted.name
    elif note_reads.is_note_name_taken(tx, namespace=wanted.namespace, name=name):
        name = second_name
    return CreditNote(
        uid=wanted.uid,
        name=name,
        namespace=wanted.namespace,
        owner_org=invoice.owner_org,
        invoice=invoice.uid,
        invoice_name=invoice.name,
        invoice_number=invoice.number,
        account=invoice.account,
        account_name=invoice.account_name,
        voids=voids,
        issuer=issuer.name,
        series=drawn.series,
        sequence=drawn.sequence,
        number=drawn.number,
        currency=invoice.currency,
        net_minor=chosen.net_minor,
        tax_minor=chosen.total_minor - chosen.net_minor,
        total_minor=chosen.total_minor,
        settled_minor=settled_minor,
        reason=wanted.reason,
        issued_at=now,
        issued_on=drawn.issued_on,
        e_invoicing=invoice.e_invoicing,
    )


@dataclass(frozen=True, slots=True)
class Drawn:
    """A number of a series, and the date of what bears it."""

    series: str
    sequence: int
    number: str
    issued_on: date


def draw(tx: Tx, *, issuer: IssuerVersion, spec: Mapping[str, Any], day: date) -> Drawn:
    """The next number of the series that the profile declares by `spec`; the series stays locked until commit."""
    series = issuing.series_of(prefix=spec["prefix"], per_year=spec["perYear"], day=day)
    sequence, issued_on = invoice_rows.draw_number(
        tx, issuer=issuer.name, series=series, start=spec["start"], day=day
    )
    number = issuing.number_text(series=series, sequence=sequence, digits=spec["digits"])
    return Drawn(series, sequence, number, issued_on)


def key_of(note: CreditNote) -> str:
    """The key of the transaction in the books by which the note was issued."""
    return f"credit-note/{note.uid}/issue"


def _write(
    tx: Tx,
    wanted: Wanted,
    invoice: Invoice,
    chosen: _Chosen,
    *,
    settled_minor: int,
    voids: bool,
    now: datetime,
) -> tuple[CreditNote, str | None]:
    """The note, numbered, with its rows, its entries and the job that tells of it; the key of these entries, None where
    nothing moved."""
    issuer, invoiced_on = note_reads.find_issuer_of(tx, invoice=invoice.uid)
    note = _numbered(
        tx,
        wanted,
        invoice,
        chosen,
        issuer=issuer,
        invoiced_on=invoiced_on,
        settled_minor=settled_minor,
        voids=voids,
        now=now,
    )
    note_rows.insert_credit_note(
        tx, note, lines=chosen.credited, taxes=chosen.taxes, issuer_version=issuer.digest
    )
    fact = Fact(
        id=new_uid(),
        key=key_of(note),
        entity=note.issuer,
        posted_on=note.issued_on,
        billing_account=note.account,
        owner_org=note.owner_org,
        description=f"Credit note {note.number} of invoice {invoice.number}",
    )
    given_back, sent = crediting.consolidated_postings(
        chosen.credited,
        payer=note.account,
        lines=chosen.lines,
        taxes=chosen.taxes,
        groups=invoice.taxes,
        given_up=EARLY_PAYMENT_DISCOUNT if wanted.early else None,
    )
    entries = entries_of(given_back, settled_minor=note.settled_minor, currency=note.currency)
    moved = ledger.post_fact(tx, fact=fact, entries=entries, now=now)
    for account, lines in sorted(sent.items()):
        other = replace(fact, id=new_uid(), key=f"{fact.key}/{account}", billing_account=account)
        passed_back = ledger.taken_back(ledger.passed_on(lines, currency=note.currency))
        ledger.post_fact(tx, fact=other, entries=passed_back, now=now)
    # by a job: whoever issues a note, such as a kind that is created, has no key to seal addresses with
    name = f"{TELL_CREDIT_NOTE}/{note.uid}"
    jobs.defer(tx, TELL_CREDIT_NOTE, lock=name, once=name, note=str(note.uid))
    return note, None if moved is None else fact.key


def entries_of(given_back: Sequence[Posting], *, settled_minor: int, currency: str) -> tuple[Entry, ...]:
    """What is given back against what is not owed any more; the rest becomes money on account."""
    entries = ledger.credit_noted(given_back, currency=currency)
    rest = sum(minor for _, minor, _ in given_back) - settled_minor
    if not rest:
        return entries
    others = tuple(entry for entry in entries if entry.account != RECEIVABLE)
    settled = (Entry(RECEIVABLE, Money(-settled_minor, currency)),) if settled_minor else ()
    return (*settled, Entry(MONEY_ON_ACCOUNT, Money(-rest, currency)), *others)
