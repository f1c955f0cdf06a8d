"""Frozen values of promises: commitments, discounts, intervals and what settles them, a composed rating period.

Days are local to the account, spans half-open. Amounts ending in `_minor` count the account's minor unit.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from fractions import Fraction
from typing import Final, Generic, Literal, TypeAlias, TypeVar
from uuid import UUID

from milo_billing.catalog.types import SkuSelector
from milo_billing.kernel.errors import Conflict, NotFound
from milo_billing.kernel.money import Currency, Money, allocate
from milo_billing.kernel.periods import DaySpan, Period
from milo_billing.pricing.types import OtherBooks, RatedLine, Unpriced, UnpricedSku

GROUP: Final = "billing.miloapis.com"

Interval: TypeAlias = Literal["Monthly", "Quarterly", "Yearly", "Term"]
ViolationPolicy: TypeAlias = Literal["TrueUp", "NotifyOnly", "GracePeriod"]
Stacking: TypeAlias = Literal["Refuse", "Best"]
"""What a commitment says to another one over the same Skus: no, or that the higher percentage of both counts."""
RenewalPolicy: TypeAlias = Literal["None", "Restart"]
CommitmentPhase: TypeAlias = Literal["Pending", "Active", "Fulfilled", "Expired", "Terminated"]
Scope: TypeAlias = Literal["Line", "Invoice"]
Giver: TypeAlias = Literal["Commitment", "Discount", "CreditGrant", "PrepaidCredit"]
"""Which kind of object takes something off."""
_OWN: Final = -1
"""The account itself among numbers of projects, which are not negative: keys that are shared out must compare."""
ChargeKind: TypeAlias = Literal["Shortfall", "Overage", "Prepayment", "DrawDown"]


class CommitmentNotFound(NotFound):
    """No commitment has this name."""


class UnableToAccept(Conflict):
    """A commitment that nobody can promise as it stands; the message says what is in the way."""


@dataclass(frozen=True, slots=True)
class PartOfSpan:
    """The days of an interval that lie within the commitment, and the days that it would have in full."""

    days: DaySpan
    full: DaySpan


# ------------------------------------------------------------------------------------------------- promises


@dataclass(frozen=True, slots=True)
class MinimumSpend:
    """At least `amount` in each interval, on the Skus that are selected."""

    amount: Decimal
    interval: Interval
    selectors: tuple[SkuSelector, ...] = ()


@dataclass(frozen=True, slots=True)
class SkuDiscount:
    """`percent` off the Skus that are selected, 0..100. The higher `priority` goes first; None counts as 0."""

    percent: Decimal
    selectors: tuple[SkuSelector, ...] = ()
    priority: int | None = None


@dataclass(frozen=True, slots=True)
class Promise:
    """What a commitment says, apart from whose it is.

    Its terms of `term_months` follow one another from `starts_on` and end with `ends_on`; None ends only when somebody
    says so. `overage_factor` multiplies what is spent beyond the one minimum; `prepayment` is of each term.
    """

    starts_on: date
    term_months: int
    ends_on: date | None
    minimums: tuple[MinimumSpend, ...] = ()
    discounts: tuple[SkuDiscount, ...] = ()
    stacking: Stacking = "Refuse"
    prepayment: Decimal | None = None
    overage_factor: Decimal | None = None
    policy: ViolationPolicy = "TrueUp"
    grace_days: int = 0
    tax_category: str = "standard"


@dataclass(frozen=True, slots=True)
class Commitment:
    """An accepted promise of an account, by its surrogate number."""

    uid: UUID
    namespace: str
    name: str
    account: int
    owner_org: int
    currency: Currency
    promise: Promise


@dataclass(frozen=True, slots=True)
class Discount:
    """A discount beside commitments: `percent`, or a fixed `amount` in each rating period.

    Line scope takes from the lines of the Skus selected, Invoice from all. It holds on the days from `starts_on` to
    `ends_on`, and in the first `uses` rating periods of those; None is without an end.
    """

    uid: UUID
    name: str
    scope: Scope
    percent: Decimal | None
    amount: Decimal | None
    selectors: tuple[SkuSelector, ...]
    starts_on: date
    ends_on: date | None
    uses: int | None
    description: str


# ---------------------------------------------------------------------------------------------------- spend


@dataclass(frozen=True, slots=True)
class Spend:
    """What was spent on each Sku within days that no interval divides, after discounts, before tax and credits."""

    days: DaySpan
    by_sku: Mapping[str, int]

    def on(self, skus: frozenset[str] | None) -> int:
        """The spend on these Skus; None is all of them."""
        return sum(minor for sku, minor in self.by_sku.items() if skus is None or sku in skus)


@dataclass(frozen=True, slots=True)
class Settlement:
    """How spend stands to a minimum: exactly one of `shortfall_minor` and `over_minor` can be above zero.

    `surcharge_minor` is what the overage factor adds to what lies over the minimum.
    """

    minimum_minor: int
    spent_minor: int
    shortfall_minor: int
    over_minor: int
    surcharge_minor: int


@dataclass(frozen=True, slots=True)
class SettledInterval:
    """One interval of one minimum of a commitment.

    `paid_minor` of what was spent are shortfalls that shorter intervals within it have paid. `due_on` is the first day
    after which the shortfall is charged; None where it never is (NotifyOnly).
    """

    minimum: int
    interval: Interval
    part: PartOfSpan
    paid_minor: int
    settlement: Settlement
    due_on: date | None

    @property
    def charged_minor(self) -> int:
        """What the interval costs beyond the usage itself."""
        s = self.settlement
        return (s.shortfall_minor if self.due_on is not None else 0) + s.surcharge_minor


# ------------------------------------------------------------------------------------------ a rating period


@dataclass(frozen=True, slots=True)
class TakenOff:
    """What one discount or commitment takes off a line: `by` is its kind, `source` and `name` are the object's.

    `percent` is None for a fixed amount, and where it differs within the period. `share` of the line lies in its days.
    `amount_minor` has the other sign than the line, or is zero. `title` is what the invoice calls it.
    """

    source: UUID
    name: str
    percent: Decimal | None
    share: Fraction
    amount_minor: int
    scope: Scope = "Line"
    by: Giver = "Discount"
    title: str = ""


@dataclass(frozen=True, slots=True)
class ComposedLine:
    """A rated line after every discount.

    `line` has what line scope takes off among its parts: a Discount for each of `inside`, percentages before fixed
    amounts. `taken` are the line's shares of discounts on the whole invoice. The net is the line less what was taken.
    """

    line: RatedLine
    inside: tuple[TakenOff, ...]
    taken: tuple[TakenOff, ...]

    @property
    def net_minor(self) -> int:
        """What is owed for the line, before tax and credits; never below zero, but for what is given back."""
        return self.line.amount_minor + sum(one.amount_minor for one in self.taken)

    @property
    def net_shares(self) -> Mapping[int | None, int]:
        """What each project owes of the net, and the account itself (None); they sum to it.

        What is taken off the whole invoice is borne by the shares in proportion.
        """
        line = self.line
        shares = {share.project: share.amount_minor for share in line.shares}
        shares[_OWN] = line.own_minor
        # what is given back has shares below zero, and is reduced in the same proportion
        weights = [
            (key, max(minor if line.amount_minor >= 0 else -minor, 0)) for key, minor in shares.items()
        ]
        for key, minor in allocate(self.net_minor - line.amount_minor, weights).items():
            shares[key] += minor
        own_minor = shares.pop(_OWN)
        return {**shares, None: own_minor} if own_minor else {**shares}


@dataclass(frozen=True, slots=True)
class CommitmentCharge:
    """What a commitment itself adds: a shortfall, a surcharge on overage, a prepayment bought, or drawn on (negative).

    `days` are the interval or term that it is for; a shortfall is earned at the interval's end. `settlement` says how a
    shortfall or a surcharge came about, a surcharge with the overage `factor`.
    """

    kind: ChargeKind
    commitment: UUID
    name: str
    days: DaySpan
    amount_minor: int
    tax_category: str
    minimum: int | None = None
    settlement: Settlement | None = None
    factor: Decimal | None = None


@dataclass(frozen=True, slots=True)
class ComposedPeriod:
    """One account's rating period with everything that was promised. While it is not `closed`, it is provisional.

    `unpriced` is usage and `unpriced_skus` are Charges and subscriptions that no book prices.
    """

    account: int
    period: Period
    closed: bool
    currency: Currency
    lines: tuple[ComposedLine, ...]
    charges: tuple[CommitmentCharge, ...]
    unpriced: tuple[Unpriced, ...]
    unpriced_skus: tuple[UnpricedSku, ...] = ()

    @property
    def total(self) -> Money:
        """What is owed before tax and credits."""
        lines = sum(line.net_minor for line in self.lines)
        return Money(lines + sum(charge.amount_minor for charge in self.charges), self.currency)


@dataclass(frozen=True, slots=True)
class Progress:
    """How a running interval of a minimum stands at the moment of reading.

    `projected_spend_minor` goes on at the interval's rate so far; `projected_shortfall_minor` is what would be missing
    then. `percent` is of the minimum, in whole numbers, rounded down.
    """

    minimum: int
    interval: Interval
    days: DaySpan
    minimum_minor: int
    spent_minor: int
    remaining_minor: int
    percent: int
    days_left: int
    projected_spend_minor: int
    projected_shortfall_minor: int


@dataclass(frozen=True, slots=True)
class AsIssued:
    """What an issued invoice froze, for rating its periods again: the instant whose price books and exchange rates
    price them, and the day of the month on which rating periods began. Promises need nothing: what stands in an
    invoiced period cannot be changed.
    """

    known_at: datetime
    invoice_day: int
    since: tuple[datetime, ...] = ()
    """The instants, in order, whose price books price what had no price before: those of its adjustments, and now."""


# ----------------------------------------------------------------------------------------------- simulation


@dataclass(frozen=True, slots=True)
class WhatIf:
    """What is other than declared when an account is rated for a simulation; by itself it changes nothing.

    `commitments` hold as if they had been accepted, beside the account's own; `without` are uids of own commitments and
    Discounts that are left out altogether.
    """

    other_books: OtherBooks | None = None
    commitments: tuple[Commitment, ...] = ()
    discounts: tuple[Discount, ...] = ()
    without: frozenset[UUID] = frozenset()


K = TypeVar("K")


@dataclass(frozen=True, slots=True)
class Compared(Generic[K]):
    """What one thing costs as declared, and what it would cost."""

    of: K
    today_minor: int
    simulated_minor: int

    @property
    def difference_minor(self) -> int:
        """Above zero where the simulation costs more."""
        return self.simulated_minor - self.today_minor


@dataclass(frozen=True, slots=True)
class Simulation:
    """The same usage twice: as everything stands, and under a WhatIf. Amounts are after discounts, before tax.

    Lines are compared by Sku and, once more, by project (None is the account's own); what commitments charge by
    themselves stands beside them, by (kind, name). So `skus` with `charges` sum to `total`, and so do `projects` with
    `charges`, and `periods`. `unpriced` is usage, and `unpriced_skus` what was declared, that nothing prices: as
    everything stands, then simulated.
    """

    account: int
    currency: Currency
    closed: bool
    periods: tuple[Compared[Period], ...]
    skus: tuple[Compared[str], ...]
    projects: tuple[Compared[int | None], ...]
    charges: tuple[Compared[tuple[str, str]], ...]
    total: Compared[None]
    unpriced: tuple[tuple[Unpriced, ...], tuple[Unpriced, ...]]
    unpriced_skus: tuple[tuple[UnpricedSku, ...], tuple[UnpricedSku, ...]]
