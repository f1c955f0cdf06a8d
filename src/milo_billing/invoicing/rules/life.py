"""What may become of an issued invoice, and in which phase it is then (domain.md §7). Pure.

The phase follows from four amounts and a date: the total, what was paid of it, credited and written off, and whether
the last day to pay is over. Only that an invoice is void is said by itself.
"""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import date
from typing import Final

from milo_billing.invoicing.types.errors import UnableToSettle
from milo_billing.invoicing.types.invoices import Invoice, InvoicePhase, MoneyKind, SettlementKind
from milo_billing.kernel.money import Money

PAID_KINDS: Final[frozenset[SettlementKind]] = frozenset({"Payment", "PaymentReversal", "Credit"})
CREDITED_KINDS: Final[frozenset[SettlementKind]] = frozenset({"CreditNote", "EarlyPaymentDiscount", "Void"})


@dataclass(frozen=True, slots=True)
class Step:
    """One settlement to be noted, and the invoice as it is after it."""

    kind: SettlementKind
    amount_minor: int
    after: Invoice


def phase_of(invoice: Invoice, *, today: date) -> InvoicePhase:
    """The phase of an invoice that is not void, from its amounts; `today` is the day where it was issued."""
    if invoice.amount_due_minor == 0:
        return "Uncollectible" if invoice.written_off_minor else "Paid"
    if today > invoice.due_on:
        return "PastDue"
    return "Issued" if invoice.amount_due_minor == invoice.total_minor else "PartiallyPaid"


def restated(invoice: Invoice, *, today: date) -> Invoice:
    """The invoice with the phase of this day."""
    return invoice if invoice.phase == "Void" else replace(invoice, phase=phase_of(invoice, today=today))


def settle(invoice: Invoice, *, kind: MoneyKind, amount_minor: int, today: date) -> tuple[Step, ...]:
    """What is to be noted when this amount, above zero, settles the invoice, or goes back where it is a reversal.

    Where it reaches into what was written off, a Recovery takes that back first. Raises UnableToSettle for more than is
    open (what is over belongs elsewhere: money on account), for a reversal of more than was paid, and for a void
    invoice.
    """
    if amount_minor <= 0:
        raise UnableToSettle(
            f"invoice {invoice.number}: {_money(invoice, amount_minor)} settles nothing; say more than zero"
        )
    if invoice.phase == "Void":
        raise UnableToSettle(f"invoice {invoice.number} is void: nothing is owed for it")
    if kind == "PaymentReversal":
        if amount_minor > invoice.amount_paid_minor:
            raise UnableToSettle(
                f"invoice {invoice.number} was paid {_money(invoice, invoice.amount_paid_minor)}: "
                f"{_money(invoice, amount_minor)} cannot go back"
            )
        return _steps(invoice, ((kind, -amount_minor),), today)
    if amount_minor > invoice.open_minor:
        raise UnableToSettle(
            f"invoice {invoice.number} can take {_money(invoice, invoice.open_minor)}, not "
            f"{_money(invoice, amount_minor)}: keep the rest as money on account"
        )
    recovered_minor = max(0, amount_minor - invoice.amount_due_minor)
    before: tuple[tuple[SettlementKind, int], ...] = (
        (("Recovery", -recovered_minor),) if recovered_minor else ()
    )
    return _steps(invoice, (*before, (kind, amount_minor)), today)


def write_off(invoice: Invoice, *, today: date) -> tuple[Step, ...]:
    """What is to be noted when the rest is given up. Raises UnableToSettle where nothing is due."""
    if invoice.phase == "Void" or invoice.amount_due_minor == 0:
        raise UnableToSettle(
            f"invoice {invoice.number} is {invoice.phase}: nothing is due that could be given up"
        )
    return _steps(invoice, (("WriteOff", invoice.amount_due_minor),), today)


def end_discount(invoice: Invoice, *, amount_minor: int, today: date) -> Step:
    """What is to be noted when a discount for early payment, which settled this much, is not deserved any more."""
    (step,) = _steps(invoice, (("DiscountReversal", -amount_minor),), today)
    return step


def void(invoice: Invoice) -> Step:
    """What is to be noted when the invoice is taken back as a whole.

    Raises UnableToSettle unless it is unpaid: money that came must be given back first, and what was given up is
    credited instead.
    """
    if invoice.phase == "Void":
        raise UnableToSettle(f"invoice {invoice.number} is void already")
    if invoice.amount_paid_minor:
        raise UnableToSettle(
            f"invoice {invoice.number} was paid {_money(invoice, invoice.amount_paid_minor)}: only an unpaid one can "
            "be void; refund the payment first, or issue a credit note"
        )
    if invoice.written_off_minor:
        raise UnableToSettle(
            f"invoice {invoice.number} was written off: issue a credit note over it instead of making it void"
        )
    left_minor = invoice.amount_due_minor
    return Step("Void", left_minor, replace(invoice, phase="Void", credited_minor=invoice.total_minor))


def _steps(invoice: Invoice, changes: Iterable[tuple[SettlementKind, int]], today: date) -> tuple[Step, ...]:
    found: list[Step] = []
    for kind, minor in changes:
        invoice = restated(_added(invoice, kind=kind, amount_minor=minor), today=today)
        found.append(Step(kind, minor, invoice))
    return tuple(found)


def _added(invoice: Invoice, *, kind: SettlementKind, amount_minor: int) -> Invoice:
    if kind in PAID_KINDS:
        return replace(invoice, amount_paid_minor=invoice.amount_paid_minor + amount_minor)
    if kind in CREDITED_KINDS or kind == "DiscountReversal":
        return replace(invoice, credited_minor=invoice.credited_minor + amount_minor)
    return replace(invoice, written_off_minor=invoice.written_off_minor + amount_minor)


def _money(invoice: Invoice, minor: int) -> Money:
    return Money(minor, invoice.currency)
