"""What a price list says, in the catalog's own terms: meters, Skus, and prices with the day from which they hold."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import date
from decimal import Decimal
from typing import Final, TypeAlias

LIST_LABEL: Final = "priceList"
"""Label of a Sku that says from which list it comes: what a newer list has no longer is gone, others' Skus stay."""

HOURS: Final = "hours"
"""The dimension that bands of the time of day decide."""

INTEGER_DIGITS_MAX: Final = 15
DECIMALS_MAX: Final = 30
"""What an amount in a price book may have."""


@dataclass(frozen=True, slots=True)
class Problem:
    """An entry that cannot be imported: which one, which field, what is wrong, what to do."""

    entry: str
    field: str
    what: str
    next_step: str


@dataclass(frozen=True, slots=True)
class LeftOut:
    """An entry that is rightly not imported, and why."""

    entry: str
    reason: str


@dataclass(frozen=True, slots=True)
class HourBand:
    """A stretch of the UTC day, `HH:MM` to `HH:MM` (past midnight where it ends at or before it begins)."""

    name: str
    start: str
    end: str


@dataclass(frozen=True, slots=True)
class ListedMeter:
    """A meter that sums up usage. `hours` are bands of the time of day, over the whole day, or none."""

    name: str
    meter_name: str
    display_name: str
    unit: str
    dimensions: tuple[str, ...]
    hours: tuple[HourBand, ...] = ()


@dataclass(frozen=True, slots=True)
class ListedSku:
    """What an entry of the list sells. The name says everything that usage is matched by, so it never changes."""

    name: str
    display_name: str
    meter_name: str
    match: tuple[tuple[str, tuple[str, ...]], ...]
    pricing_unit: str
    labels: tuple[tuple[str, str], ...]
    invoice_group: str = ""


@dataclass(frozen=True, slots=True)
class Step:
    """A tier of a price: `unit_price` for what lies below `up_to`, inclusive; None is the last, open one."""

    up_to: Decimal | None
    unit_price: Decimal


Steps: TypeAlias = tuple[Step, ...]
"""One step is a price per unit, more are a graduated price."""


@dataclass(frozen=True, slots=True)
class ListedPrice:
    """What a Sku costs from a day on (None: as long as the list remembers); `steps` None: it is not sold any more."""

    sku: str
    since: date | None
    steps: Steps | None


@dataclass(frozen=True, slots=True)
class PriceList:
    """Everything that a file lists in one currency. Prices of a Sku are in the order of their days.

    `source` is what its meters and Skus are called after. Skus and meters have different names, and each is used.
    """

    source: str
    currency: str
    meters: tuple[ListedMeter, ...]
    skus: tuple[ListedSku, ...]
    prices: tuple[ListedPrice, ...]
    left_out: tuple[LeftOut, ...] = ()
    problems: tuple[Problem, ...] = ()

    def prices_at(self, day: date) -> Mapping[str, Steps]:
        """What each Sku that is sold on that day costs, in the order of the list."""
        found: dict[str, Steps | None] = {}
        for price in self.prices:
            if price.since is None or price.since <= day:
                found[price.sku] = price.steps
        return {sku: steps for sku, steps in found.items() if steps is not None}

    def days_after(self, day: date) -> tuple[date, ...]:
        """The days after that one on which some price changes, ascending."""
        return tuple(
            sorted({price.since for price in self.prices if price.since is not None and price.since > day})
        )


@dataclass(slots=True)
class Gathering:
    """A price list while its file is read: entries add what they sell, or say why they cannot."""

    source: str
    currency: str
    _meters: dict[str, ListedMeter] = field(default_factory=dict[str, ListedMeter])
    _skus: dict[str, ListedSku] = field(default_factory=dict[str, ListedSku])
    _prices: list[ListedPrice] = field(default_factory=list[ListedPrice])
    _left_out: list[LeftOut] = field(default_factory=list[LeftOut])
    _problems: list[Problem] = field(default_factory=list[Problem])

    def sell(self, meter: ListedMeter, sku: ListedSku, prices: Iterable[ListedPrice], *, entry: str) -> None:
        """A Sku of a meter, and its prices in the order of their days. A second one of that name is a problem."""
        standing = self._skus.setdefault(sku.name, sku)
        if standing is not sku:
            self.refuse(entry, "", f"is listed twice, as Sku {sku.name}", "Keep one of the two entries.")
            return
        self._meters.setdefault(meter.meter_name, meter)
        self._prices.extend(prices)

    def leave_out(self, entry: str, reason: str) -> None:
        """An entry that this list does not sell, and why."""
        self._left_out.append(LeftOut(entry, reason))

    def refuse(self, entry: str, field: str, what: str, next_step: str) -> None:
        """Something that is wrong with an entry."""
        self._problems.append(Problem(entry, field, what, next_step))

    def result(self) -> PriceList:
        """The list as far as it could be read."""
        return PriceList(
            source=self.source,
            currency=self.currency,
            meters=tuple(self._meters.values()),
            skus=tuple(self._skus.values()),
            prices=tuple(self._prices),
            left_out=tuple(self._left_out),
            problems=tuple(self._problems),
        )


def amount_text(value: Decimal) -> str:
    """An amount as it is written in a price book: all its digits, no exponent."""
    return format(value, "f")


def flat(price: Decimal) -> Steps:
    """A price per unit, whatever the quantity."""
    return (Step(None, price),)


def merged(steps: Iterable[Step]) -> Steps:
    """The same steps with neighbours of one price made one."""
    kept: list[Step] = []
    for step in steps:
        if kept and kept[-1].unit_price == step.unit_price:
            kept[-1] = Step(step.up_to, kept[-1].unit_price)
        else:
            kept.append(step)
    return tuple(kept)
