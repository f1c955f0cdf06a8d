"""What paying early takes off an invoice: a part of every line, and exactly the tax on it (domain.md §8). Pure.

Owns: how much, and whether a payment deserves it. Not: the credit note by which it is given (engine.crediting).
"""

from collections.abc import Mapping, Sequence
from datetime import date
from fractions import Fraction
from typing import Final

from milo_billing.invoicing.rules.crediting import (
    CreditLine,
    credit_lines,
    credited_taxes,
    left_of,
    total_of,
)
from milo_billing.invoicing.types.invoices import Invoice, InvoiceLine
from milo_billing.kernel.money import Currency, half_up
from milo_billing.kernel.terms import EarlyPayment

_REASONS: Final[Mapping[str, str]] = {
    "en": "Discount of {percent} % for early payment",
    "de": "Skonto von {percent} % für frühe Zahlung",
    "fr": "Escompte de {percent} % pour paiement anticipé",
    "ja": "早期お支払いによる {percent} % の割引",
}


_ENDED: Final[Mapping[str, str]] = {
    "en": "The payment that earned the discount went back",
    "de": "Die Zahlung, für die Skonto gewährt wurde, ging zurück",
    "fr": "Le paiement qui donnait droit à l’escompte a été retourné",
    "ja": "割引の対象となったお支払いが取り消されたため",
}


def discount_lines(
    early: EarlyPayment, *, lines: Mapping[int, InvoiceLine], left: Mapping[int, int], currency: Currency
) -> tuple[CreditLine, ...]:
    """What the discount takes of every line: the percentage of what is left of the net, settled once, spread pro rata.

    `left` is what earlier credit notes left of each line. Empty where it comes to nothing.
    """
    exact = Fraction(early.percent) * sum(left.values()) / 100
    net_minor = half_up(exact.numerator, exact.denominator)
    if net_minor <= 0:
        return ()
    return credit_lines((), amount_minor=net_minor, lines=lines, left=left, currency=currency)


def printed_minor(invoice: Invoice, *, lines: Sequence[InvoiceLine]) -> int:
    """What the discount is, tax included, when the invoice is issued; 0 without one."""
    if invoice.early is None:
        return 0
    by_number = {line.line: line for line in lines}
    credited = discount_lines(
        invoice.early, lines=by_number, left=left_of(lines, credited={}), currency=invoice.currency
    )
    return total_of(
        credited,
        credited_taxes(
            credited, lines=by_number, groups=invoice.taxes, earlier={}, currency=invoice.currency
        ),
    )


def is_offered(invoice: Invoice, *, day: date) -> bool:
    """Whether paying on this day, where the invoice was issued, is early enough for a discount."""
    early = invoice.early
    return (
        early is not None
        and day <= early.until
        and invoice.phase != "Void"
        and invoice.amount_due_minor > 0
        and not invoice.written_off_minor
    )


def is_earned(*, open_minor: int, discount_minor: int) -> bool:
    """Whether nothing but the discount is left to pay: paying less earns nothing, and paying all asks for nothing."""
    return 0 < open_minor <= discount_minor


def reason(early: EarlyPayment, *, language: str) -> str:
    """What the credit note says of itself."""
    return _REASONS.get(language, _REASONS["en"]).format(percent=f"{early.percent.normalize():f}")


def ended_reason(*, language: str) -> str:
    """Why the credit note is cancelled, as the document that cancels it says it."""
    return _ENDED.get(language, _ENDED["en"])
