"""Frozen values of rating: usage in, lines out, and the explanation of every amount.

Prices, books and Skus are the catalog's types. Quantities that were metered are integers in the meter's unit;
quantities that are charged are exact fractions in the Sku's pricing unit; amounts are minor units of
`currency`.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from decimal import Decimal
from fractions import Fraction
from itertools import pairwise
from typing import Literal, NamedTuple, Protocol, TypeAlias

from milo_billing.catalog.types import Book, Meter, Price, Sku
from milo_billing.kernel.aggregation import Figures
from milo_billing.kernel.errors import BadRequest, Conflict, NotFound
from milo_billing.kernel.money import Currency, Money
from milo_billing.kernel.periods import Period
from milo_billing.usage.types import AccountRow

Dimensions: TypeAlias = tuple[tuple[str, str], ...]
"""A dimension set in one spelling: (key, value) pairs sorted by key."""

Metered: TypeAlias = int | Fraction
"""A quantity in the meter's unit, exact: whole for sums, counts and extremes of whole periods, else a fraction."""

Cell: TypeAlias = tuple[AccountRow, ...]
"""Rows of the roll-up whose distinct keys are counted together."""

CountDistinct: TypeAlias = Callable[[Sequence[Cell]], Sequence[int]]
"""How many distinct keys the events of each cell had. Keys are too many to be read, so they are asked for."""

PartKind: TypeAlias = Literal["Usage", "Package", "Percentage", "FlatFee", "Discount", "Maximum", "Minimum"]


class UnableToRate(Conflict):
    """Usage stands against what the catalog says in a way that no price can settle; the message says which."""


# --------------------------------------------------------------------------------------------- exchange rates


class UnreadableRates(BadRequest):
    """A file of exchange rates that does not say what it should; the message says where."""


class RatesDiffer(Conflict):
    """A rate that was imported before has another value now. The one that stands stays."""


class RateNotFound(NotFound):
    """No exchange rate between two currencies was published on a day or before it."""


class ReferenceRate(NamedTuple):
    """What was published for one currency on one day: `rate` units of it are one euro."""

    day: date
    currency: Currency
    rate: Decimal


@dataclass(frozen=True, slots=True)
class ExchangeRate:
    """The way from one currency to another through the euro, as `source` published it on `day`.

    Both legs are units per euro; the rate is their ratio, exact. The euro itself has 1.
    """

    source: str
    day: date
    from_currency: Currency
    to_currency: Currency
    from_per_euro: Decimal
    to_per_euro: Decimal

    @property
    def rate(self) -> Fraction:
        """Units of `to_currency` for one unit of `from_currency`."""
        return Fraction(self.to_per_euro) / Fraction(self.from_per_euro)


@dataclass(frozen=True, slots=True)
class RatesImported:
    """What an import did: how many rates are new, and how many had been there with the same value."""

    source: str
    first_day: date
    last_day: date
    added: int
    known: int


# -------------------------------------------------------------------------------------------------- rating


@dataclass(frozen=True, slots=True)
class UsageQuantity:
    """What one project used of one meter, with one dimension set, on one billing day: a row of the roll-up.

    `row` says which one, for meters whose distinct keys are counted over rows.
    """

    project: int
    meter_name: str
    dimensions: Dimensions
    day: date
    figures: Figures
    row: AccountRow | None = None


SourceKind: TypeAlias = Literal["Entitlement", "Offer", "Partner", "List", "Default", "Simulated"]
"""Why a price book prices an account: negotiated, through an offer, a partner's, the list of its currency, the
provider's default in another currency, or because somebody asked what it would cost then."""


@dataclass(frozen=True, slots=True)
class BookSource:
    """One price book that may price an account, and on which days: `[first_day, end_day)`, None for no bound.

    `books` are its versions that touch the rating period, in order of `effective_from`, all in one currency; the first
    may have begun long before. `by` names the entitlement or agreement that it comes from, empty for lists.
    `known` has (day, end): which `end_day` was said when that day ended; empty where nobody asks what was known when.
    """

    kind: SourceKind
    book_name: str
    books: tuple[Book, ...]
    by: str = ""
    first_day: date | None = None
    end_day: date | None = None
    known: tuple[tuple[date, date | None], ...] = ()

    def is_given(self, day: date, *, known: date | None = None) -> bool:
        """Whether it may price the account on that day, by what was said before the day `known` where there is one."""
        end_day = self.end_day
        if known is not None and self.known:
            said = [end for on, end in self.known if on < known]
            if not said:
                return False
            end_day = said[-1]
        return (self.first_day is None or self.first_day <= day) and (end_day is None or day < end_day)

    def version_on(self, day: date) -> Book | None:
        """The version of the book in force on the day, given or not; None before the first."""
        standing = [book for book in self.books if book.effective_from <= day]
        return standing[-1] if standing else None


Precedence: TypeAlias = Literal["First", "List", "Only"]
"""Where other books stand: before the account's own, in place of the list and default books, or alone."""


@dataclass(frozen=True, slots=True)
class OtherBooks:
    """A price book that is to price an account from `first_day` on, instead of what was agreed: for simulations.

    `book` holds on all of these days, from whichever day it says; without one, the published versions of `book_name`
    do, each from its own.
    """

    first_day: date
    precedence: Precedence
    book_name: str
    book: Book | None = None


@dataclass(frozen=True, slots=True)
class RateCard:
    """Everything prices are read from, for one account and rating period.

    `sources` are in order of precedence: of each Sku, the first that prices it on a day does. `skus` has every Sku
    they price, by name; `meters` says how usage adds up, by meter name. `rates` leads from the currency of a book to
    the rate into `currency`, which is the account's; where there is none, what such a book prices cannot be rated.
    """

    currency: Currency
    sources: tuple[BookSource, ...]
    skus: Mapping[str, Sku]
    meters: Mapping[str, Meter]
    rates: Mapping[Currency, ExchangeRate] = field(default_factory=dict[str, ExchangeRate])


def list_card(
    currency: Currency, books: Sequence[Book], skus: Mapping[str, Sku], meters: Mapping[str, Meter]
) -> RateCard:
    """A rate card of the versions of one list book."""
    sources = (BookSource("List", books[0].book_name, tuple(books)),) if books else ()
    return RateCard(currency, sources, skus, meters)


class SubLine(NamedTuple):
    """One settled amount within a line, as an e-invoice would carry it.

    Three are `quantity` × `unit_price`: Usage of units, Package of whole packages, Percentage of an amount in the main
    unit of the currency, whose `unit_price` is the hundredth of the percents. FlatFee is due once: on reaching `tier`
    (counted from 1), or for the period where there is none. Discount is what one percentage takes off, and Maximum what
    the cap does: negative. Minimum is what the floor adds. Those four have no quantity and no unit price, but for the
    FlatFee of a recurring Sku: the part of an interval, and the price of a whole one. What is given back has a quantity
    below zero.
    """

    kind: PartKind
    amount_minor: int
    quantity: Fraction = Fraction(0)
    unit_price: Decimal | None = None
    tier: int | None = None


@dataclass(frozen=True, slots=True)
class DimensionShare:
    """The part of a project's share that falls to one dimension set."""

    dimensions: Dimensions
    metered: Metered
    events: int
    amount_minor: int


@dataclass(frozen=True, slots=True)
class ProjectShare:
    """The part of a line that falls to one project; its dimension shares sum to it."""

    project: int
    metered: Metered
    events: int
    amount_minor: int
    dimensions: tuple[DimensionShare, ...]


@dataclass(frozen=True, slots=True)
class Conversion:
    """How a line of a book in another currency came into the account's: `parts` and `amount_minor` before it."""

    rate: ExchangeRate
    parts: tuple[SubLine, ...]
    amount_minor: int


@dataclass(frozen=True, slots=True)
class RatedLine:
    """What one account owes for one Sku over the days `[first_day, end_day)`, at one price.

    `metered` is the sum over series and windows; `quantity` is that, converted and rounded, in `sku.pricing_unit`;
    `included` of it is free.
    The amount is the sum of the parts, and of the shares with `own_minor`: what no project's usage accounts
    for. Amounts are in `currency`, the account's; unit prices are in the book's, which is another one where there is a
    `conversion`.
    """

    sku: Sku
    price: Price
    book: int
    currency: Currency
    first_day: date
    end_day: date
    metered: Metered
    events: int
    quantity: Fraction
    included: Fraction
    parts: tuple[SubLine, ...]
    amount_minor: int
    shares: tuple[ProjectShare, ...]
    own_minor: int
    source: SourceKind = "List"
    conversion: Conversion | None = None

    @property
    def amount(self) -> Money:
        """The line's amount, before discounts and tax."""
        return Money(self.amount_minor, self.currency)


@dataclass(frozen=True, slots=True)
class Unpriced:
    """Usage that no Sku of the book matches: reported, never silently free. Totals over the period."""

    meter_name: str
    project: int
    dimensions: Dimensions
    sum: int
    count: int


@dataclass(frozen=True, slots=True)
class Rating:
    """What usage costs: lines by Sku name, then day, and what has no price."""

    currency: Currency
    lines: tuple[RatedLine, ...]
    unpriced: tuple[Unpriced, ...]


@dataclass(frozen=True, slots=True)
class RatedUsage:
    """One account's rating period. Lines are by Sku name, then day; `account` is its surrogate number.

    `closed` says that the period was over when it was rated; until then more usage comes, and the figures are
    provisional. `unpriced_skus` are those of charges that no book prices on their day.
    """

    account: int
    period: Period
    closed: bool
    currency: Currency
    lines: tuple[RatedLine, ...]
    unpriced: tuple[Unpriced, ...]
    unpriced_skus: tuple["UnpricedSku", ...] = ()

    @property
    def total(self) -> Money:
        """The sum of the lines, before discounts, credits and tax."""
        return Money(sum(line.amount_minor for line in self.lines), self.currency)


# ------------------------------------------------------------------------------------------------ explaining


class SkuNotFound(NotFound):
    """There is no Sku of that name."""


@dataclass(frozen=True, slots=True)
class Candidate:
    """One book that was asked for a price, in order of precedence, and what became of it.

    `book` is the version in force on the day; None where there is none. `reason` is for people.
    """

    source: BookSource
    book: Book | None
    chosen: bool
    reason: str


@dataclass(frozen=True, slots=True)
class PriceExplanation:
    """How a quantity of a Sku is priced on a day of a rating period, step by step.

    `converted` is what was metered in the pricing unit, before it is rounded. `book` and `line` are None where nothing
    prices the Sku on that day.
    """

    sku: Sku
    meter: Meter | None
    day: date
    first_day: date
    end_day: date
    metered: Fraction
    converted: Fraction
    candidates: tuple[Candidate, ...]
    book: Book | None
    line: RatedLine | None


@dataclass(frozen=True, slots=True)
class FrozenLine:
    """What is known of a line that was charged; amounts are minor units of `currency`, the account's.

    `metered` is in the meter's unit, `quantity` in the Sku's pricing unit, for what was declared and not metered.
    `base` is what a percentage was of, in the main unit of the book's currency. `percents_minor` are what percentages
    took off, `fixed_minor` what fixed amounts did, in order; zero or of the other sign than the line.
    """

    currency: Currency
    first_day: date
    end_day: date
    metered: Fraction
    quantity: Fraction
    base: Fraction
    percents_minor: tuple[int, ...]
    fixed_minor: tuple[int, ...]
    rate: ExchangeRate | None


# ------------------------------------------------------------------------------- what recurs, and what is sold once


class QuantitySince(NamedTuple):
    """How many units there are from a day on: that day belongs to the new quantity."""

    first_day: date
    quantity: Decimal


@dataclass(frozen=True, slots=True)
class Subscription:
    """A recurring Sku that an account has on the days `[start, end)`, None without an end.

    `quantities` are by day, the first from `start` on, in the Sku's pricing unit and not negative. Days before
    `trial_end` cost nothing. All dates are billing days of the account. `by` names where it comes from, for people.

    So it is known from the day `known_from` on: what an invoice carries that was issued at the midnight with which that
    day began, or later, follows from it. Until then it was `before`; without one, nothing was known.
    """

    sku: str
    start: date
    quantities: tuple[QuantitySince, ...]
    end: date | None = None
    trial_end: date | None = None
    by: str = ""
    known_from: date = date.min
    before: "Subscription | None" = None

    def __post_init__(self) -> None:
        days = [one.first_day for one in self.quantities]
        if days[:1] != [self.start] or any(later <= earlier for earlier, later in pairwise(days)):
            raise ValueError(
                f"quantities of {self.sku} are by day, each once, from {self.start} on, unlike {days}"
            )
        if any(one.quantity < 0 for one in self.quantities):
            raise ValueError(f"a quantity of {self.sku} is below nothing")
        if self.before is not None and self.known_from <= self.before.known_from:
            raise ValueError(f"what is known of {self.sku} on {self.known_from} does not follow what was")

    @property
    def paid_from(self) -> date:
        """The first day that costs something, if it is before the end."""
        return self.start if self.trial_end is None else max(self.start, self.trial_end)

    @property
    def states(self) -> tuple["Subscription", ...]:
        """What was known of it, the first first and this one last."""
        found: list[Subscription] = [self]
        while found[-1].before is not None:
            found.append(found[-1].before)
        return tuple(reversed(found))


@dataclass(frozen=True, slots=True)
class OneTimeCharge:
    """A Sku that is sold once, on a billing day of the account; `quantity` is in its pricing unit.

    `description` is what the invoice calls it, empty for the Sku's own name. `name` is the Charge object's.
    """

    name: str
    sku: str
    day: date
    quantity: Decimal
    description: str = ""


@dataclass(frozen=True, slots=True)
class Quote:
    """What one Sku costs on a day: its price, in which version of a book, in which currency."""

    sku: Sku
    price: Price
    book: int
    currency: Currency


class PriceOn(Protocol):
    """The price that an account has for a Sku on a billing day; None where nothing prices it."""

    def __call__(self, sku: str, day: date, *, known: date | None = None) -> Quote | None:
        """By what was known before the day `known`; without it, by what is known now."""
        ...


class UnpricedSku(NamedTuple):
    """Something declared that no book prices on the day from which it would be charged: reported, never free."""

    sku: str
    day: date


@dataclass(frozen=True, slots=True)
class DeclaredRating:
    """What is charged of declared quantities: lines by Sku name, then day, and what has no price."""

    lines: tuple[RatedLine, ...]
    unpriced: tuple[UnpricedSku, ...]
