"""What a credit note takes back of an issued invoice: line by line, never more than is left (domain.md §7). Pure.

Owns: which part of which line, and the note's entries in the books. Not: the tax on it (rules.taxes), the invoice's
phase (rules.life).
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime
from decimal import Decimal
from fractions import Fraction
from typing import Any, Final, Literal, TypeAlias
from uuid import UUID

from milo_billing.invoicing.rules import postings
from milo_billing.invoicing.rules.spreading import spread
from milo_billing.invoicing.rules.taxes import Credited, credit_taxes
from milo_billing.invoicing.rules.taxes import UnableToCredit as UntaxableCredit
from milo_billing.invoicing.types.documents import DocumentKind
from milo_billing.invoicing.types.drafts import GROUP, Part
from milo_billing.invoicing.types.errors import UnableToSettle
from milo_billing.invoicing.types.invoices import EInvoicing, Invoice, InvoiceLine
from milo_billing.kernel.errors import NotFound
from milo_billing.kernel.money import Currency, Money, half_up, minor_to_decimal, settle
from milo_billing.kernel.taxes import TaxGroup
from milo_billing.ledger.types import AccountName, Posting, tax_payable

Paper: TypeAlias = Literal["Note", "Cancellation"]
"""Which of its documents: the credit note itself, or the one that cancels it."""
CANCELLATION: Final = "cancellation"
"""Below the credit note's path, what its cancellation is read at."""


class UnableToCredit(UnableToSettle):
    """More would be taken back than is left, or nothing. The message has the figures; `field` is the spec's."""

    def __init__(self, message: str, *, field: str = "spec") -> None:
        super().__init__(message)
        self.field = field


class CreditNoteNotFound(NotFound):
    """There is no such credit note, or not for the caller."""


@dataclass(frozen=True, slots=True)
class LineCredit:
    """What is asked for of one line, by its number: an amount, net in minor units, or a quantity; neither is all."""

    line: int
    amount_minor: int | None = None
    quantity: Decimal | None = None


@dataclass(frozen=True, slots=True)
class CreditLine:
    """What a credit note takes back of one line of its invoice, net of discounts, with the line's sign."""

    line: int
    net_minor: int
    quantity: Decimal | None = None


class CancellationNotFound(NotFound):
    """Nothing cancelled the credit note."""


@dataclass(frozen=True, slots=True)
class Cancellation:
    """The document that turns a credit note round: numbered in a series of its own, over exactly the note's amounts."""

    series: str
    sequence: int
    number: str
    reason: str
    issued_at: datetime
    issued_on: date


@dataclass(frozen=True, slots=True)
class CreditNote:
    """One issued credit note, which never changes.

    `cancellation` is there where nothing stands of what it took back: it gave a discount for early payment that ended.
    Of `total_minor`, `settled_minor` was still open of the invoice and is not owed any more; the rest is money on
    account of the customer. `voids` says that the invoice was taken back as a whole. `e_invoicing` is how the
    issuer sent the invoice, and so its credit notes.
    """

    uid: UUID
    name: str
    namespace: str
    owner_org: int
    invoice: UUID
    invoice_name: str
    invoice_number: str
    account: int
    account_name: str
    voids: bool
    issuer: str
    series: str
    sequence: int
    number: str
    currency: str
    net_minor: int
    tax_minor: int
    total_minor: int
    settled_minor: int
    reason: str
    issued_at: datetime
    issued_on: date
    e_invoicing: EInvoicing = "None"
    cancellation: Cancellation | None = None

    @property
    def cancelled_at(self) -> datetime | None:
        """Since when what it took back is owed again."""
        return None if self.cancellation is None else self.cancellation.issued_at

    def number_of(self, paper: Paper) -> str:
        """The number of the document, which is there."""
        if paper == "Note":
            return self.number
        assert self.cancellation is not None, "a cancellation was printed, so there is one"
        return self.cancellation.number

    @property
    def on_account_minor(self) -> int:
        """What had been paid already, and belongs to the customer now."""
        return self.total_minor - self.settled_minor


def read_amount(text: str | None, *, currency: str, field: str) -> int | None:
    """A decimal amount in minor units. Raises UnableToCredit for more digits than the currency has, or too many."""
    if text is None:
        return None
    amount = Decimal(text)
    try:
        minor = settle(amount, currency)
    except OverflowError as error:
        raise UnableToCredit(f"{text} {currency} is more than any invoice comes to", field=field) from error
    if minor_to_decimal(minor.minor, currency) != amount:
        raise UnableToCredit(f"{text}: {currency} has fewer decimals; write {minor}", field=field)
    return minor.minor


def left_of(lines: Iterable[InvoiceLine], *, credited: Mapping[int, int]) -> dict[int, int]:
    """What is left to credit of every line, net, with the line's sign; `credited` is what earlier notes took."""
    return {line.line: line.net_minor - credited.get(line.line, 0) for line in lines}


def everything(left: Mapping[int, int]) -> tuple[CreditLine, ...]:
    """All that is left of the invoice."""
    return tuple(CreditLine(line, minor) for line, minor in sorted(left.items()) if minor)


def credit_lines(
    wanted: Sequence[LineCredit],
    *,
    amount_minor: int | None,
    lines: Mapping[int, InvoiceLine],
    left: Mapping[int, int],
    currency: Currency,
) -> tuple[CreditLine, ...]:
    """The lines of a credit note: those wanted, or an amount over all lines in proportion to what is left of them.

    With neither all that is left. Whoever takes the last quantity of a line takes what is left of its money. Raises
    UnableToCredit.
    """
    if wanted:
        found = tuple(
            _credited(one, lines=lines, left=left, currency=currency, field=f"spec.lines[{index}]")
            for index, one in enumerate(wanted)
        )
        if len({one.line for one in found}) < len(found):
            raise UnableToCredit("a line is credited once in a note: add the amounts up", field="spec.lines")
        return found
    if amount_minor is None:
        found = everything(left)
        if sum(one.net_minor for one in found) <= 0:
            raise UnableToCredit("nothing is left of the invoice that could be credited")
        return found
    whole = sum(left.values())
    if not 0 < amount_minor <= whole:
        raise UnableToCredit(
            f"{Money(amount_minor, currency)} cannot be credited: of the invoice {Money(max(whole, 0), currency)} is "
            "left, before tax; credit more than zero and at most that",
            field="spec.amount",
        )
    if amount_minor == whole:
        return everything(left)
    shares = spread(amount_minor, left, taxes={number: line.taxes for number, line in lines.items()})
    return tuple(CreditLine(line, minor) for line, minor in shares.items())


def _credited(
    wanted: LineCredit,
    *,
    lines: Mapping[int, InvoiceLine],
    left: Mapping[int, int],
    currency: Currency,
    field: str,
) -> CreditLine:
    line = lines.get(wanted.line)
    if line is None:
        raise UnableToCredit(f"the invoice has no line {wanted.line}", field=f"{field}.line")
    rest = left[wanted.line]
    if not rest:
        raise UnableToCredit(f"nothing is left of line {wanted.line}", field=field)
    if wanted.quantity is not None:
        minor = _part(wanted.quantity, line=line, rest=rest, field=field)
        return CreditLine(wanted.line, minor, wanted.quantity)
    if wanted.amount_minor is None:
        return CreditLine(wanted.line, rest)
    minor = wanted.amount_minor
    if minor == 0 or minor * rest < 0 or abs(minor) > abs(rest):
        raise UnableToCredit(
            f"{Money(minor, currency)} cannot be credited: of line {wanted.line} {Money(rest, currency)} is left, "
            "before tax; credit an amount of the same sign, and at most that",
            field=f"{field}.amount",
        )
    return CreditLine(wanted.line, minor)


def _part(quantity: Decimal, *, line: InvoiceLine, rest: int, field: str) -> int:
    """The line's money for some of its quantity; for all of it what is left. Never more, also where cents were
    rounded up before.
    """
    if not 0 < quantity <= line.quantity:
        raise UnableToCredit(
            f"{quantity}: line {line.line} has {line.quantity:f} {line.pricing_unit}",
            field=f"{field}.quantity",
        )
    if quantity == line.quantity:
        return rest
    exact = Fraction(quantity) / Fraction(line.quantity) * line.net_minor
    minor = half_up(exact.numerator, exact.denominator)
    if minor == 0:
        raise UnableToCredit(
            f"{quantity} of line {line.line} comes to nothing in its currency", field=f"{field}.quantity"
        )
    return rest if abs(minor) > abs(rest) else minor


def credited_taxes(
    credited: Iterable[CreditLine],
    *,
    lines: Mapping[int, InvoiceLine],
    groups: Sequence[TaxGroup],
    earlier: Mapping[int, Credited],
    currency: Currency,
) -> dict[int, Credited]:
    """The tax that comes back with these lines, by the invoice's tax groups; `earlier` is what notes before took.

    Raises UnableToCredit.
    """
    bases: dict[int, int] = {}
    for one in credited:
        for number in lines[one.line].taxes:
            bases[number] = bases.get(number, 0) + one.net_minor
    try:
        return credit_taxes(groups, earlier=[earlier], bases=bases)
    except UntaxableCredit as error:
        wanted, left, whole = (
            Money(minor, currency) for minor in (error.wanted_minor, error.left_minor, error.of_minor)
        )
        raise UnableToCredit(
            f"{wanted} would be credited of what is taxed alike, of which {left} of {whole} is left: credit at most "
            "that"
        ) from error


def total_of(credited: Iterable[CreditLine], taxes: Mapping[int, Credited]) -> int:
    """What a credit note over these comes to, tax included."""
    return sum(one.net_minor for one in credited) + sum(one.tax_minor for one in taxes.values())


def assert_within_total(
    credited: Iterable[CreditLine], taxes: Mapping[int, Credited], *, left_minor: int, currency: Currency
) -> None:
    """Raise UnableToCredit for more, with tax, than the invoice has left: lines have it where others are below zero."""
    total_minor = total_of(credited, taxes)
    if total_minor > left_minor:
        raise UnableToCredit(
            f"with tax {Money(total_minor, currency)} would be credited, and of the invoice "
            f"{Money(left_minor, currency)} is left: some of it stands below zero, so credit less of the other lines"
        )


def credited_line(
    line: InvoiceLine, credit: CreditLine, *, currency: str, groups: Mapping[int, int]
) -> InvoiceLine:
    """The line as the note's documents show it: what was credited of it, net of discounts, and no more.

    `groups` is by the invoice's number of a tax group the note's own. Quantity and price stand where they come to the
    amount: a quantity was credited, at the one price of the line.
    """
    parts: tuple[Part, ...] = ()
    if credit.quantity is not None and line.conversion is None and not line.included and len(line.parts) == 1:
        (part,) = line.parts
        if part.kind == "Usage" and part.unit_price is not None:
            amount = settle(credit.quantity * part.unit_price, currency)
            if amount.minor == credit.net_minor:
                parts = (replace(part, quantity=credit.quantity, amount_minor=credit.net_minor),)
    return replace(
        line,
        quantity=credit.quantity or Decimal(0),
        included=Decimal(0),
        amount_minor=credit.net_minor,
        parts=parts,
        projects=(),
        discounts=(),
        conversion=None,
        taxes=tuple(groups[number] for number in line.taxes if number in groups),
    )


# ---------------------------------------------------------------------------------------------------- the books


def consolidated_postings(
    credited: Sequence[CreditLine],
    *,
    payer: int,
    lines: Mapping[int, InvoiceLine],
    taxes: Mapping[int, Credited],
    groups: Sequence[TaxGroup],
    given_up: AccountName | None = None,
) -> tuple[tuple[Posting, ...], Mapping[int, tuple[Posting, ...]]]:
    """The postings of the account that pays, and by number those of each other account whose lines were credited, which
    a transfer stands for in the first. What is `given_up` is the payer's.
    """
    used_by = {one.line: lines[one.line].used_by for one in credited}
    others = sorted({*used_by.values()} - {payer}) if given_up is None else []
    own = [one for one in credited if used_by[one.line] not in others]
    sent = {
        account: _earned([one for one in credited if used_by[one.line] == account], lines=lines)
        for account in others
    }
    found = credit_postings(own, lines=lines, taxes=taxes, groups=groups, given_up=given_up)
    return postings.with_transfers(found, sent), sent


def _earned(credited: Iterable[CreditLine], *, lines: Mapping[int, InvoiceLine]) -> tuple[Posting, ...]:
    """What was earned by these, by the accounts of the books and the days of the invoice's lines."""
    return tuple(
        (postings.account_of(lines[one.line]), one.net_minor, postings.service_of(lines[one.line]))
        for one in credited
    )


def credit_postings(
    credited: Iterable[CreditLine],
    *,
    lines: Mapping[int, InvoiceLine],
    taxes: Mapping[int, Credited],
    groups: Sequence[TaxGroup],
    given_up: AccountName | None = None,
) -> tuple[Posting, ...]:
    """What is given back, positive: by the accounts and days of the credited lines, and the tax by its place.

    With `given_up` revenue stays as it was earned, and what is given up of it stands there.
    """
    charged: list[Posting] = (
        [(given_up, sum(one.net_minor for one in credited), None)]
        if given_up is not None
        else [*_earned(credited, lines=lines)]
    )
    charged += [
        (tax_payable(groups[number - 1].treatment.place), one.tax_minor, None)
        for number, one in taxes.items()
        if one.tax_minor
    ]
    return tuple(charged)


# --------------------------------------------------------------------------------------------------- the object


def note_paths(note: CreditNote) -> dict[DocumentKind, str]:
    """Where the documents that the issuer sends are read, on this server: those of an invoice."""
    sent: tuple[DocumentKind, ...] = ("pdf", "ubl") if note.e_invoicing == "UBL" else ("pdf",)
    return {kind: note_path(note, kind=kind) for kind in sent}


def note_path(note: CreditNote, *, kind: str) -> str:
    """Where a document of the credit note is read, on this server."""
    return f"/apis/{GROUP}/v1alpha1/namespaces/{note.namespace}/creditnotes/{note.name}/{kind}"


def cancellation_body(note: CreditNote) -> dict[str, Any]:
    """What the CreditNote's status says of the document that cancelled it; every part empty where it stands."""
    one = note.cancellation
    if one is None:
        return {"number": "", "issuedOn": "", "reason": "", "documents": {}}
    return {
        "number": one.number,
        "issuedOn": one.issued_on.isoformat(),
        "reason": one.reason,
        "documents": {kind: note_path(note, kind=f"{CANCELLATION}/{kind}") for kind in note_paths(note)},
    }


def note_status(note: CreditNote) -> dict[str, Any]:
    """The status of the CreditNote object, without its conditions; amounts are decimal strings."""

    def amount(minor: int) -> str:
        return str(minor_to_decimal(minor, note.currency))

    return {
        "number": note.number,
        "issuer": note.issuer,
        "account": note.account_name,
        "invoiceNumber": note.invoice_number,
        "voids": note.voids,
        "currencyCode": note.currency,
        "net": amount(note.net_minor),
        "tax": amount(note.tax_minor),
        "total": amount(note.total_minor),
        "settled": amount(note.settled_minor),
        "onAccount": amount(note.on_account_minor),
        "issuedOn": note.issued_on.isoformat(),
    }


def made_spec(note: CreditNote) -> dict[str, Any]:
    """The spec of the CreditNote object that a void or a discount made: nobody declared it."""
    return {"invoiceRef": {"name": note.invoice_name}, "lines": [], "reason": note.reason}


def lines_spec(note: CreditNote, lines: Sequence[LineCredit]) -> dict[str, Any]:
    """The spec of the CreditNote object over amounts of lines that nobody declared."""
    return {
        **made_spec(note),
        "lines": [
            {"line": one.line, "amount": str(minor_to_decimal(one.amount_minor, note.currency))}
            for one in lines
            if one.amount_minor is not None
        ],
    }


def settled_part(invoice: Invoice, total_minor: int) -> int:
    """How much of a note the invoice still takes."""
    return min(total_minor, invoice.open_minor)
