"""How a line that adjusts an issued invoice came about: what was charged before, what reached its days since, what the
period comes to, and that the difference is the line. Pure.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from milo_billing.invoicing.rules.adjusting import Adjustment, Charged, owed_minor
from milo_billing.invoicing.types.invoices import Invoice, InvoiceLine
from milo_billing.kernel.money import minor_to_decimal
from milo_billing.usage.types import UsageChange


@dataclass(frozen=True, slots=True)
class AdjustedLine:
    """What stands behind one line of kind Adjustment.

    `original` is the invoice that it adjusts and `issued` the lines of that which charge for the same; `earlier` are
    the adjustments of it that were made before. `changes` is what usage reached its days between them and this one.
    """

    of: Charged
    original: Invoice
    issued: tuple[InvoiceLine, ...]
    earlier: tuple[Adjustment, ...]
    changes: tuple[UsageChange, ...]

    @property
    def before_minor(self) -> int:
        """What had been charged, less what had been given back, when the line was made."""
        return sum(map(owed_minor, self.issued)) + sum(one.lines.get(self.of, 0) for one in self.earlier)


def last_look(original: Invoice, earlier: Sequence[Adjustment]) -> datetime:
    """Until when usage was in what was charged before."""
    return max((original.issued_at, *(one.adjusted_at for one in earlier if one.carrier is not None)))


def recomputed_minor(line: InvoiceLine, found: AdjustedLine) -> int:
    """What the line should charge: what the period came to, less what the documents before say; where a credit note
    gives back instead, what it gives.
    """
    by_kind = {part.kind: part.amount_minor for part in line.parts}
    if "GivenBack" in by_kind:
        return by_kind["GivenBack"]
    return by_kind.get("Rerated", 0) - found.before_minor


def steps(line: InvoiceLine, found: AdjustedLine) -> Iterator[dict[str, Any]]:
    """What was charged before, document by document; what came since; what the period comes to, or what is given back
    elsewhere.
    """
    currency = found.original.currency
    number = found.original.number
    days = f"from {line.first_day} up to {line.end_day}"
    if any(part.kind == "GivenBack" for part in line.parts):
        amount = _money(line.amount_minor, currency)
        text = (
            f"prepaid money was taxed higher than what it pays for: a credit note over invoice {number} gives {amount} "
            "of it back, with its tax"
            if line.adjusts is not None and line.adjusts.kind == "DrawDown"
            else f"the month gives back {amount} more than it charges: a credit note over invoice {number} does instead"
        )
        yield {
            "step": "givenBack",
            "text": text,
            "invoice": number,
            "amount": _shown(line.amount_minor, currency),
        }
        return
    for one in found.issued:
        minor = owed_minor(one)
        text = f"invoice {number} charged {_money(minor, currency)} in line {one.line}, {days}"
        yield {
            "step": "issued",
            "text": text,
            "invoice": number,
            "line": one.line,
            "amount": _shown(minor, currency),
        }
    if not found.issued:
        text = f"invoice {number} charged nothing for it, {days}"
        yield {"step": "issued", "text": text, "invoice": number, "line": None, "amount": _shown(0, currency)}
    for one in found.earlier:
        minor = one.lines.get(found.of, 0)
        if minor:
            text = f"{one.document} {'gave back' if minor < 0 else 'charged'} {_money(abs(minor), currency)} of it"
            yield {
                "step": "adjusted",
                "text": text,
                "document": one.document,
                "amount": _shown(minor, currency),
            }
    for cause in sorted({one.cause for one in found.changes}):
        of = [one for one in found.changes if one.cause == cause]
        events, quantity = sum(one.events for one in of), sum(one.quantity for one in of)
        text = f"since then usage changed by {quantity} metered, {cause}: {events} event{'' if events == 1 else 's'}"
        yield {"step": "changed", "text": text, "cause": cause, "events": events, "quantity": str(quantity)}


def _money(minor: int, currency: str) -> str:
    return f"{_shown(minor, currency)} {currency}"


def _shown(minor: int, currency: str) -> str:
    return str(minor_to_decimal(minor, currency))
