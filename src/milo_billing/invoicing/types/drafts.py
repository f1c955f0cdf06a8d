"""What an account would be invoiced for: lines with their parts, discounts and shares; computed, never stored."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from typing import Final, Literal, TypeAlias
from uuid import UUID

from milo_billing.commitments.types import Giver, Scope
from milo_billing.kernel.money import Money
from milo_billing.kernel.periods import Period
from milo_billing.kernel.taxes import TaxGroup, TaxTreatment
from milo_billing.pricing.types import Dimensions
from milo_billing.pricing.types import PartKind as PricedKind

InvoiceKind: TypeAlias = Literal["Periodic", "OneTime", "Adjustment", "Consolidated", "Final"]
LineKind: TypeAlias = (
    Literal["Usage", "Recurring", "OneTime", "Shortfall", "Overage", "Prepayment", "DrawDown", "Interest"]
    | Literal["PrepaidCredit", "Adjustment"]
)
"""A Sku by its charge type, what a commitment adds, time that a payment was late, credit that was bought with tax, what
came to more or less since."""
PartKind: TypeAlias = PricedKind | Literal["Committed", "Spent", "Rerated", "Charged", "GivenBack"]
"""Pricing's; the two amounts whose difference is a shortfall, and the two whose difference is an adjustment; what a
credit note gives back instead of the invoice."""
SKU_KINDS: Final[frozenset[LineKind]] = frozenset({"Usage", "Recurring", "OneTime"})
CHARGE_KINDS: Final[frozenset[LineKind]] = SKU_KINDS | frozenset[LineKind]({"Shortfall", "Overage"})
"""By which it is charged what was used and promised; what is prepaid is none of it."""
GROUP: Final = "billing.miloapis.com"
QUANTITY_PLACES_MAX: Final = 12
"""Decimals of a quantity that an invoice keeps; a longer one is rounded half-up, for display only."""


@dataclass(frozen=True, slots=True)
class Part:
    """One settled sub-line. `kind` is pricing's (`SubLine`): Usage, Package and Percentage have a quantity and a unit
    price, a FlatFee that belongs to a tier has its number, from 1. A shortfall is what was Committed less what was
    Spent; an overage is a Percentage, the factor less one, of what is over the minimum.
    """

    kind: PartKind
    tier: int | None
    quantity: Decimal | None
    unit_price: Decimal | None
    amount_minor: int


@dataclass(frozen=True, slots=True)
class LineDiscount:
    """What one Discount or commitment took off a line: `source` is the object's uid, `title` what the invoice calls it.

    Of scope Line it is inside the line's amount, one of its parts; of scope Invoice it is the line's share of what was
    taken off the whole invoice. `percent` is None for an amount, and where it changed within the period.
    `amount_minor` has the other sign than the line.
    """

    scope: Scope
    given_by: Giver
    source: UUID
    name: str
    title: str
    percent: Decimal | None
    amount_minor: int


@dataclass(frozen=True, slots=True)
class LineConversion:
    """How a line whose price book is in another currency came into the invoice's: `amount_minor` before it.

    `rate` is units of the invoice's currency for one of `currency`, as people read it; exact is the ratio of the two
    legs, which are units per euro as `source` published them on `day`. Unit prices of the line are in `currency`.
    """

    currency: str
    amount_minor: int
    rate: Decimal
    day: date
    source: str
    from_per_euro: Decimal
    to_per_euro: Decimal


@dataclass(frozen=True, slots=True)
class DraftShare:
    """What one project used of a line with one set of dimensions. `project` None is the account's own share.

    `metered` is in the meter's unit, `quantity` the same in the line's pricing unit; both as people read them, since
    averages and parts of a period may be fractions without an end.
    """

    project: int | None
    dimensions: Dimensions
    metered: Decimal
    quantity: Decimal
    amount_minor: int


@dataclass(frozen=True, slots=True)
class Adjusts:
    """The issued invoice, and the kind of its lines, that came to more or less; and how these were taxed."""

    invoice: UUID
    number: str
    kind: LineKind
    treatments: tuple[TaxTreatment, ...] = ()


@dataclass(frozen=True, slots=True)
class DraftLine:
    """The charge for one Sku at one price over `[first_day, end_day)`: the sum of its parts, and of its shares.

    `included` of the quantity was free. `book` is the version of the price book, by number. What a commitment charges
    has its uid, its name as description, the days that it is for, and neither Sku nor book. `in_advance` says that a
    recurring charge is earned after it falls due. `taxes` are the numbers, from 1, of the draft's tax groups that the
    line belongs to. `used_by` is the account that used, by number; None where that is the one that pays.
    """

    kind: LineKind
    sku: str | None
    sku_number: int | None
    description: str
    service: str
    invoice_group: str
    tax_category: str
    book: int | None
    commitment: UUID | None
    first_day: date
    end_day: date
    quantity: Decimal
    included: Decimal
    pricing_unit: str
    amount_minor: int
    parts: tuple[Part, ...]
    shares: tuple[DraftShare, ...]
    conversion: LineConversion | None = None
    discounts: tuple[LineDiscount, ...] = ()
    in_advance: bool = False
    taxes: tuple[int, ...] = ()
    adjusts: Adjusts | None = None
    used_by: int | None = None

    @property
    def net_minor(self) -> int:
        """What is owed for the line after every discount, before tax."""
        return self.amount_minor + beside_minor(self.discounts)


def beside_minor(discounts: Iterable[LineDiscount]) -> int:
    """What discounts on the whole invoice take off; those of line scope are inside the line."""
    return sum(one.amount_minor for one in discounts if one.scope == "Invoice")


@dataclass(frozen=True, slots=True)
class Draft:
    """What an account would be invoiced for a period: computed, never stored.

    The subtotal is the sum of the lines; the total what discounts on the whole invoice leave of it, and the tax.
    """

    account: int
    kind: InvoiceKind
    period: Period
    currency: str
    lines: tuple[DraftLine, ...]
    subtotal_minor: int
    discounts_minor: int
    total_minor: int
    tax_minor: int = 0
    taxes: tuple[TaxGroup, ...] = ()

    @property
    def total(self) -> Money:
        return Money(self.total_minor, self.currency)
