"""What a credit note takes back of an issued invoice: line by line, never more than is left (domain.md §7). Pure.

Owns: which part of which line, and the note's entries in the books. Not: the tax on it (rules.taxes), the invoice's
phase (rules.life).
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from fractions import Fraction
from typing import Any
from uuid import UUID

from milo_billing.invoicing.rules import postings
from milo_billing.invoicing.rules.taxes import Credited
from milo_billing.invoicing.types import GROUP, Invoice, InvoiceLine, UnableToSettle
from milo_billing.kernel.errors import NotFound
from milo_billing.kernel.money import allocate, half_up, minor_to_decimal, settle
from milo_billing.kernel.taxes import TaxGroup
from milo_billing.ledger.types import Posting, tax_payable


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


@dataclass(frozen=True, slots=True)
class CreditNote:
    """One issued credit note, which never changes.

    Of `total_minor`, `settled_minor` was still open of the invoice and is not owed any more; the rest is money on
    account of the customer. `voids` says that the invoice was taken back as a whole.
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

    @property
    def on_account_minor(self) -> int:
        """What had been paid already, and belongs to the customer now."""
        return self.total_minor - self.settled_minor


def read_amount(text: str | None, *, currency: str, field: str) -> int | None:
    """A decimal amount in minor units. Raises UnableToCredit for more digits than the currency has."""
    if text is None:
        return None
    amount = Decimal(text)
    minor = settle(amount, currency)
    if minor_to_decimal(minor.minor, currency) != amount:
        raise UnableToCredit(f"{text}: {currency} has fewer decimals", field=field)
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
) -> tuple[CreditLine, ...]:
    """The lines of a credit note: those wanted, or an amount over all lines in proportion to what is left of them.

    With neither all that is left. Whoever takes the last quantity of a line takes what is left of its money. Raises
    UnableToCredit.
    """
    if wanted:
        found = tuple(
            _credited(one, lines=lines, left=left, field=f"spec.lines[{index}]")
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
            f"{amount_minor} minor units: between 1 and {whole} can be credited", field="spec.amount"
        )
    if amount_minor == whole:
        return everything(left)
    weights = [(line, minor) for line, minor in sorted(left.items()) if minor > 0]
    shares = allocate(amount_minor, weights)
    return tuple(CreditLine(line, minor) for line, minor in sorted(shares.items()) if minor)


def _credited(
    wanted: LineCredit, *, lines: Mapping[int, InvoiceLine], left: Mapping[int, int], field: str
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
            f"{minor} minor units: of line {wanted.line}, {rest} is left", field=f"{field}.amount"
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


# ---------------------------------------------------------------------------------------------------- the books


def credit_postings(
    credited: Iterable[CreditLine],
    *,
    lines: Mapping[int, InvoiceLine],
    taxes: Mapping[int, Credited],
    groups: Sequence[TaxGroup],
) -> tuple[Posting, ...]:
    """What is given back, positive: by the accounts and days of the credited lines, and the tax by its place."""
    charged: list[Posting] = [
        (postings.account_of(lines[one.line]), one.net_minor, postings.service_of(lines[one.line]))
        for one in credited
    ]
    charged += [
        (tax_payable(groups[number - 1].treatment.place), one.tax_minor, None)
        for number, one in taxes.items()
        if one.tax_minor
    ]
    return tuple(charged)


# --------------------------------------------------------------------------------------------------- the object


def note_path(note: CreditNote, *, kind: str) -> str:
    """Where a document of the credit note is read, on this server."""
    return f"/apis/{GROUP}/v1alpha1/namespaces/{note.namespace}/creditnotes/{note.name}/{kind}"


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


def void_spec(note: CreditNote) -> dict[str, Any]:
    """The spec of the CreditNote object that a void made: nobody declared it."""
    return {"invoiceRef": {"name": note.invoice_name}, "reason": note.reason}


def lines_spec(note: CreditNote, lines: Sequence[LineCredit]) -> dict[str, Any]:
    """The spec of the CreditNote object over amounts of lines that nobody declared."""
    return {
        **void_spec(note),
        "lines": [
            {"line": one.line, "amount": str(minor_to_decimal(one.amount_minor, note.currency))}
            for one in lines
            if one.amount_minor is not None
        ],
    }


def settled_part(invoice: Invoice, total_minor: int) -> int:
    """How much of a note the invoice still takes."""
    return min(total_minor, invoice.open_minor)
