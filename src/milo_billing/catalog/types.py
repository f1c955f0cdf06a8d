"""Frozen values of what is sold: meters, Skus, prices, books; and the errors of units.

The contract with pricing, usage and invoicing. Money stays `Decimal` here: nothing in this slice rounds.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date
from decimal import Decimal
from fractions import Fraction
from typing import Final, Literal, TypeAlias

from milo_billing.kernel.aggregation import Aggregation, Window
from milo_billing.kernel.errors import MiloError
from milo_billing.kernel.periods import Interval

MeterPhase: TypeAlias = Literal["Draft", "Published", "Deprecated", "Retired"]
BookPhase: TypeAlias = Literal["Draft", "Published", "Retired"]
BookRole: TypeAlias = Literal["List", "Negotiated", "Partner"]
PriceModel: TypeAlias = Literal[
    "PerUnit", "Graduated", "Volume", "Package", "Stairstep", "Percentage", "Flat"
]
ChargeType: TypeAlias = Literal["Usage", "Recurring", "OneTime"]
Billing: TypeAlias = Literal["Advance", "Arrears"]
DEFAULT_INTERVAL: Final[Interval] = "Monthly"
DEFAULT_BILLING: Final[Billing] = "Advance"
"""What a price of a recurring Sku means where it does not say."""

LabelOperator: TypeAlias = Literal["In", "NotIn", "Exists", "DoesNotExist"]


RESOURCE_KEY: Final = "resource"
"""The `uniqueKey` of a meter that counts what events were measured on, instead of the values of a label."""


@dataclass(frozen=True, slots=True)
class TimeOfDayBands:
    """Puts an event into a band by the wall clock of a zone, at the instant by which its payer is found.

    Band `names[i]` begins at `starts[i]`, in minutes after midnight and in ascending order from 0, and ends where the
    next one begins: a start belongs to its band. An hour that a clock change repeats is twice in the same band.
    """

    dimension: str
    time_zone: str
    starts: tuple[int, ...]
    names: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class ValueBands:
    """Puts an event into a band by its value. Band `names[i]` goes up to and includes `bounds[i]`, like a tier; the
    last name is of what lies above all bounds.
    """

    dimension: str
    bounds: tuple[int, ...]
    names: tuple[str, ...]


Bands: TypeAlias = TimeOfDayBands | ValueBands


@dataclass(frozen=True, slots=True)
class Meter:
    """What is measured. `number` is never reused; `meter_name` can be, once the meter has been deleted.

    A series is a project, split further by the values of `series_by`. `unique_key` is what UniqueCount counts: a label
    that events carry beside the dimensions, or RESOURCE_KEY. `resource_types` are names; none admits any resource.
    """

    number: int
    meter_name: str
    phase: MeterPhase
    aggregation: Aggregation
    unit: str
    dimensions: tuple[str, ...]
    series_by: tuple[str, ...] = ()
    window: Window = "Period"
    bands: tuple[Bands, ...] = ()
    unique_key: str | None = None
    resource_types: tuple[str, ...] = ()

    @property
    def labels(self) -> tuple[str, ...]:
        """What usage of the meter is told apart by: its dimensions, then those that its bands decide."""
        return (*self.dimensions, *(bands.dimension for bands in self.bands))


@dataclass(frozen=True, slots=True)
class ResourceType:
    """A type of resource that events may say they were measured on, known by (`group`, `kind`), and its labels."""

    number: int
    name: str
    phase: MeterPhase
    group: str
    kind: str
    labels: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class LabelRequirement:
    """One demand on the labels of a Sku. In and NotIn have `values`, the other two none.

    NotIn also holds where the label is absent, as in Kubernetes.
    """

    key: str
    op: LabelOperator
    values: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class SkuSelector:
    """Which Skus are meant: those that meet every requirement and for which the CEL expression is true.

    With neither, every Sku. A list of selectors means what any of them means, and an empty list every Sku.
    """

    match_labels: tuple[LabelRequirement, ...] = ()
    cel: str | None = None


@dataclass(frozen=True, slots=True)
class QuantityRounding:
    """How a converted quantity is rounded: `Up` and `Down` by size, `HalfUp` away from zero at the half."""

    mode: Literal["Up", "Down", "HalfUp"]
    decimals: int


@dataclass(frozen=True, slots=True)
class Sku:
    """What is sold: the usage of a meter, something that recurs, or something once.

    `meter_name` and `match` are empty where no usage is sold; a quantity is then declared, in `pricing_unit`.
    `match` constrains dimensions: usage belongs to the Sku if, for every dimension named, its value is one of
    those listed. `unit_factor` is exact: quantity in `pricing_unit` = metered value × `unit_factor`.
    `quantity_rounding` None keeps the exact quantity. `service` names the Service, empty where there is none. `labels`
    are what selectors of prices, discounts, commitments and budgets see.
    """

    number: int
    name: str
    meter_name: str
    match: Mapping[str, tuple[str, ...]]
    pricing_unit: str
    unit_factor: Fraction
    quantity_rounding: QuantityRounding | None
    tax_category: str
    display_name: str
    invoice_group: str
    service: str
    labels: Mapping[str, str] = field(default_factory=dict[str, str])
    charge_type: ChargeType = "Usage"


@dataclass(frozen=True, slots=True)
class Tier:
    """One band of a tiered price. `up_to` is inclusive and cumulative; None is the last, open tier."""

    up_to: Decimal | None
    unit_price: Decimal
    flat_fee: Decimal
    charge_at_zero: bool


@dataclass(frozen=True, slots=True)
class Price:
    """What one Sku costs in one book.

    `unit_price` is of a unit (PerUnit), of a package of `package_size` units (Package), or of a rating period (Flat).
    Of a recurring Sku it is of an `interval`, charged on its first day or after its last one as `billing` says; both
    are None where the book leaves them out, and for other Skus.
    Graduated, Volume and Stairstep have tiers instead; Percentage has `percent` of the settled amounts of the Skus that
    `base` names (never of its own). `charge_at_zero` says that a Flat or Percentage price is due where the Sku was not
    used too. `included_quantity` is in the Sku's pricing unit; `minimum` and `maximum` are in the book's currency, a
    rating period.
    """

    sku: str
    model: PriceModel
    unit_price: Decimal | None
    tiers: tuple[Tier, ...]
    included_quantity: Decimal
    minimum: Decimal | None
    maximum: Decimal | None
    package_size: Decimal | None = None
    percent: Decimal | None = None
    base: frozenset[str] = frozenset()
    charge_at_zero: bool = False
    interval: Interval | None = None
    billing: Billing | None = None


@dataclass(frozen=True, slots=True)
class Book:
    """One published version of a price book; in force from the local midnight of `effective_from`."""

    number: int
    name: str
    book_name: str
    effective_from: date
    currency: str
    prices: tuple[Price, ...]


@dataclass(frozen=True, slots=True)
class BookHead:
    """A price book without its prices. `owner_org` 0 is the provider's own; `is_default` prices accounts of currencies
    that have no list book.
    """

    name: str
    book_name: str
    effective_from: date
    phase: BookPhase
    role: BookRole
    owner_org: int
    currency: str
    is_default: bool = False


class UnknownUnit(MiloError):
    """Not a unit of UCUM, or one that no price can be counted in."""


class IncompatibleUnits(MiloError):
    """Two units that measure different things: no factor leads from one to the other."""
