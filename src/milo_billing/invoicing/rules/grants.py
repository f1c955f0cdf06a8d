"""Credit that was granted: the order in which it burns down, what of an invoice it takes, what it stands at (domain.md
§7). Pure.

Owns: which grant pays how much of which line. Not: the rows and the books (engine.granting), what a credit note or a
void gives back (rules.returning).
"""

from collections.abc import Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any, Final, Literal, TypeAlias
from uuid import UUID

from milo_billing.catalog.types import LabelRequirement, SkuSelector
from milo_billing.commitments.types import Giver
from milo_billing.invoicing.rules.taxes import Credited, credit_taxes
from milo_billing.invoicing.types.drafts import Draft, DraftLine, LineDiscount
from milo_billing.kernel.errors import Conflict, NotFound
from milo_billing.kernel.money import Currency, Money, allocate, settle

GrantKind: TypeAlias = Literal["Prepaid", "Promotional", "Goodwill"]
MovementKind: TypeAlias = Literal["Granted", "Used", "GivenBack", "Expired", "Revoked"]
TaxAt: TypeAlias = Literal["Use", "Purchase"]
"""When what prepaid credit buys is taxed: with the invoice that uses it, or when the credit is bought."""
GrantPhase: TypeAlias = Literal["Scheduled", "Active", "UsedUp", "Expired", "Revoked"]

GIVER: Final = "CreditGrant"
"""Who took promotional credit off a line, in `LineDiscount.given_by`."""
BOUGHT: Final = "PrepaidCredit"
"""Who took prepaid credit that was taxed when it was bought off a line, in the same."""
CREDIT_GIVERS: Final[frozenset[Giver]] = frozenset({GIVER, BOUGHT})

_NEVER: Final = datetime.max.replace(tzinfo=UTC)


class GrantNotFound(NotFound):
    """There is no such credit grant, or not for the caller."""


class UnableToGrant(Conflict):
    """The credit cannot be granted as it is asked for. The message says why, and what to do."""


class UnableToRevoke(Conflict):
    """Nothing is left of the credit that could be taken back."""


@dataclass(frozen=True, slots=True)
class Grant:
    """One granted credit and what became of it, in minor units; what is granted never changes.

    It may be used by an invoice that is issued within `[effective_from, expires_at)`; None never expires. `issuer` is
    in whose books the money of prepaid credit lies, and empty for credit that nobody paid. `selectors` say which Skus
    it pays for, all of them where there are none. `used_minor` is net of what was given back. `taken_last` is what took
    of it last, None as long as nothing did.

    Prepaid credit that is taxed at purchase was bought by an invoice, `bought_by`, with the tax of `tax_category`; its
    amounts are before tax, and it lowers what is taxed of lines of that category.
    """

    uid: UUID
    owner_org: int
    namespace: str
    name: str
    account: int
    account_name: str
    kind: GrantKind
    currency: Currency
    amount_minor: int
    priority: int
    effective_from: datetime
    expires_at: datetime | None
    issuer: str
    title: str
    reason: str
    selectors: tuple[SkuSelector, ...]
    granted_at: datetime
    remaining_minor: int = 0
    used_minor: int = 0
    expired_minor: int = 0
    revoked_minor: int = 0
    taken_last: MovementKind | None = None
    tax_at: TaxAt = "Use"
    tax_category: str = ""
    bought_by: UUID | None = None
    bought_number: str = ""

    def holds_at(self, instant: datetime) -> bool:
        """Whether an invoice that is issued then may use it."""
        return self.effective_from <= instant and (self.expires_at is None or instant < self.expires_at)

    def money(self, minor: int) -> Money:
        """An amount in the grant's currency."""
        return Money(minor, self.currency)


@dataclass(frozen=True, slots=True)
class Movement:
    """One thing that became of a grant: what is left rises by `amount_minor`, or falls where it is below zero.

    `invoice` is the number of the invoice that used it, or had it given back; `cause` tells what did it apart from all
    else; `posted` is the key of the transaction in the books, None where no money moved.
    """

    step: int
    kind: MovementKind
    amount_minor: int
    invoice: str | None
    cause: str
    posted: str | None
    reason: str | None
    at: datetime


def amount_minor(text: str, *, currency: Currency) -> int:
    """An amount of credit in minor units, settled once, half-up [CR-071].

    Raises UnableToGrant for what comes to nothing, or does not fit in 64 bits.
    """
    try:
        minor = settle(Decimal(text), currency).minor
    except OverflowError as error:
        raise UnableToGrant(f"{text} {currency} is more than can be counted: say less") from error
    if minor <= 0:
        raise UnableToGrant(f"{text} {currency} is no amount of credit: say more than zero")
    return minor


def in_order(grants: Iterable[Grant]) -> tuple[Grant, ...]:
    """In the order in which they burn down within a kind: priority (the lowest number first), soonest expiry (none
    last), oldest, id [CM-057..061].
    """
    return tuple(
        sorted(grants, key=lambda one: (one.priority, one.expires_at or _NEVER, one.granted_at, one.uid))
    )


# ------------------------------------------------------------------------------------------------- burn-down


@dataclass(frozen=True, slots=True)
class Usable:
    """What a grant could pay: so much, of the charges at these positions; None is of all of them."""

    minor: int
    reaches: frozenset[int] | None = None


@dataclass(frozen=True, slots=True)
class Room:
    """What the charges at these positions may give together: those that are taxed as one give no more than they net to,
    though a line among them draws prepaid money down, or gives a charge in advance back.
    """

    positions: frozenset[int]
    minor: int


def burn(
    charges: Sequence[int],
    credits: Sequence[Usable],
    *,
    limit_minor: int | None = None,
    rooms: Sequence[Room] = (),
) -> tuple[Mapping[int, int], ...]:
    """What each credit takes of which charge, by position: credits in their order, each the charges in theirs.

    A charge never goes below zero; what is zero or below is left alone. No more than `limit_minor` is taken in all, and
    of the charges of each room no more than it has [CM-058, CM-059, CM-061].
    """
    left = [max(charge, 0) for charge in charges]
    room_left = [max(room.minor, 0) for room in rooms]
    rooms_of = [
        [n for n, room in enumerate(rooms) if position in room.positions] for position in range(len(left))
    ]
    rest = sum(left) if limit_minor is None else max(limit_minor, 0)
    found: list[Mapping[int, int]] = []
    for credit in credits:
        taken: dict[int, int] = {}
        available = credit.minor
        for position, charge in enumerate(left):
            if credit.reaches is not None and position not in credit.reaches:
                continue
            minor = min(charge, available, rest, *(room_left[number] for number in rooms_of[position]))
            if minor > 0:
                taken[position] = minor
                left[position] -= minor
                for number in rooms_of[position]:
                    room_left[number] -= minor
                available -= minor
                rest -= minor
        found.append(taken)
    return tuple(found)


@dataclass(frozen=True, slots=True)
class Reaching:
    """A grant that may be used now, and the positions of the draft's lines that it may pay; None is all."""

    grant: Grant
    lines: frozenset[int] | None = None

    @property
    def usable(self) -> Usable:
        """All that is left of it."""
        return Usable(self.grant.remaining_minor, self.lines)


def before_tax(draft: Draft, found: Sequence[Reaching], *, issuer: str) -> Draft:
    """The draft, which has no tax yet, with all credit that lowers what is taxed when this issuer invoices it."""
    return with_bought(with_promotional(draft, found), found, issuer=issuer)


def with_promotional(draft: Draft, found: Sequence[Reaching]) -> Draft:
    """The draft, which has no tax yet, with promotional credit as discounts of invoice scope, each grant one.

    What the lines give back (an advance charge, money that was prepaid) counts: neither the invoice nor what is taxed
    as one is ever below zero for it, so no tax is either.
    """
    return _taken_off(draft, [one for one in found if one.grant.kind == "Promotional"])


def with_bought(draft: Draft, found: Sequence[Reaching], *, issuer: str) -> Draft:
    """The draft, which has no tax yet, with prepaid credit that was taxed when it was bought from this issuer.

    It settles lines before tax, so that what was taxed is not taxed again; behind what the provider gives himself.
    """
    return _taken_off(
        draft, [one for one in found if one.grant.tax_at == "Purchase" and one.grant.issuer == issuer]
    )


def _taken_off(draft: Draft, credits: Sequence[Reaching]) -> Draft:
    burned = burn(
        [line.net_minor for line in draft.lines],
        [one.usable for one in credits],
        limit_minor=draft.total_minor,
        rooms=_rooms_of_categories(draft),
    )
    taken: dict[int, tuple[LineDiscount, ...]] = {}
    for one, uses in zip(credits, burned, strict=True):
        for position, minor in uses.items():
            taken[position] = (*taken.get(position, ()), _discount(one.grant, minor))
    if not taken:
        return draft
    off_minor = sum(sum(uses.values()) for uses in burned)
    return replace(
        draft,
        lines=tuple(
            replace(line, discounts=(*line.discounts, *taken[position])) if position in taken else line
            for position, line in enumerate(draft.lines)
        ),
        discounts_minor=draft.discounts_minor - off_minor,
        total_minor=draft.total_minor - off_minor,
    )


def _rooms_of_categories(draft: Draft) -> tuple[Room, ...]:
    """Lines that are taxed alike, as far as is known before they are: those of a tax category."""
    found: dict[Hashable, dict[int, int]] = {}
    for position, line in enumerate(draft.lines):
        key = (line.adjusts and line.adjusts.treatments) or line.tax_category
        found.setdefault(key, {})[position] = line.net_minor
    return tuple(Room(frozenset(nets), sum(nets.values())) for nets in found.values())


def uses_before_tax(draft: Draft) -> dict[UUID, int]:
    """What the draft takes of credit that acts before tax, by the grant's uid; positive, in the order of its lines."""
    found: dict[UUID, int] = {}
    for line in draft.lines:
        for one in line.discounts:
            if one.given_by in CREDIT_GIVERS:
                found[one.source] = found.get(one.source, 0) - one.amount_minor
    return found


def _discount(grant: Grant, minor: int) -> LineDiscount:
    return LineDiscount(
        scope="Invoice",
        given_by=GIVER if grant.kind == "Promotional" else BOUGHT,
        source=grant.uid,
        name=grant.name,
        # whoever is shown that less is taxed can find where it was
        title=f"{grant.title} ({grant.bought_number})" if grant.bought_number else grant.title,
        percent=None,
        amount_minor=-minor,
    )


@dataclass(frozen=True, slots=True)
class GoodwillUse:
    """A credit note to be: what one grant takes of the lines, by position and net, and the tax that comes back."""

    grant: Grant
    lines: Mapping[int, int]
    tax_minor: int

    @property
    def net_minor(self) -> int:
        """What is used of the grant: goodwill counts before tax, like the credit note that gives it."""
        return sum(self.lines.values())

    @property
    def total_minor(self) -> int:
        """What is owed less."""
        return self.net_minor + self.tax_minor


@dataclass(frozen=True, slots=True)
class Settling:
    """How an invoice is settled as it is issued: by goodwill first, which lowers its tax, then by prepaid credit."""

    goodwill: tuple[GoodwillUse, ...] = ()
    prepaid: tuple[tuple[Grant, int], ...] = ()

    @property
    def goodwill_minor(self) -> int:
        """With tax."""
        return sum(one.total_minor for one in self.goodwill)

    @property
    def prepaid_minor(self) -> int:
        return sum(minor for _, minor in self.prepaid)


def settling(draft: Draft, found: Sequence[Reaching], *, issuer: str) -> Settling:
    """What granted credit settles of the taxed draft. Prepaid credit lies with one issuer, and pays only its invoices.

    A grant for some Skus pays at most what their lines come to, with their part of the tax [CR-072].
    """
    goodwill = _goodwill(draft, found)
    prepaid = [
        one
        for one in found
        if one.grant.kind == "Prepaid" and one.grant.tax_at == "Use" and one.grant.issuer == issuer
    ]
    due = draft.total_minor - sum(one.total_minor for one in goodwill)
    burned = burn(_gross(draft, goodwill), [one.usable for one in prepaid], limit_minor=due)
    return Settling(
        goodwill,
        tuple((one.grant, sum(uses.values())) for one, uses in zip(prepaid, burned, strict=True) if uses),
    )


def _goodwill(draft: Draft, found: Sequence[Reaching]) -> tuple[GoodwillUse, ...]:
    given = [one for one in found if one.grant.kind == "Goodwill"]
    burned = burn(
        [line.net_minor for line in draft.lines],
        [one.usable for one in given],
        limit_minor=sum(line.net_minor for line in draft.lines),
        rooms=[
            Room(
                frozenset(n for n, line in enumerate(draft.lines) if number in line.taxes),
                group.basis_minor,
            )
            for number, group in enumerate(draft.taxes, start=1)
        ],
    )
    uses: list[GoodwillUse] = []
    earlier: list[Mapping[int, Credited]] = []
    for one, lines in zip(given, burned, strict=True):
        if not lines:
            continue
        bases: dict[int, int] = {}
        for position, minor in lines.items():
            for number in draft.lines[position].taxes:
                bases[number] = bases.get(number, 0) + minor
        back = credit_taxes(draft.taxes, earlier=earlier, bases=bases)
        earlier.append(back)
        uses.append(GoodwillUse(one.grant, lines, sum(tax.tax_minor for tax in back.values())))
    return tuple(uses)


def _gross(draft: Draft, goodwill: Sequence[GoodwillUse]) -> list[int]:
    """What each line comes to with its part of the tax, after goodwill: what money may be said to pay of it."""
    gross = [line.net_minor for line in draft.lines]
    for number, group in enumerate(draft.taxes, start=1):
        within = [
            (position, line.net_minor)
            for position, line in enumerate(draft.lines)
            if number in line.taxes and line.net_minor > 0
        ]
        if group.tax_minor > 0 and within:
            for position, minor in allocate(group.tax_minor, within).items():
                gross[position] += minor
    for use in goodwill:
        weights = list(use.lines.items())
        for position, minor in allocate(use.total_minor, weights).items():
            gross[position] -= minor
    return gross


def charged_minor(line: DraftLine) -> int:
    """The line's net as if no credit had been granted: what was earned of it."""
    return line.net_minor - granted_minor(line) - bought_minor(line)


def granted_minor(line: DraftLine) -> int:
    """What promotional credit took off the line, zero or below."""
    return sum(one.amount_minor for one in line.discounts if one.given_by == GIVER)


def bought_minor(line: DraftLine) -> int:
    """What credit that was taxed when it was bought paid of the line, zero or below."""
    return sum(one.amount_minor for one in line.discounts if one.given_by == BOUGHT)


# ---------------------------------------------------------------------------------------------------- bodies


def phase_of(grant: Grant, *, now: datetime) -> GrantPhase:
    """Where the grant stands at the instant; where nothing is left of it, by what took the last of it."""
    if grant.remaining_minor == 0:
        match grant.taken_last:
            case "Revoked" | "Expired":
                return grant.taken_last
            case _:
                return "UsedUp"
    if now < grant.effective_from:
        return "Scheduled"
    return "Active" if grant.expires_at is None or now < grant.expires_at else "Expired"


_SAID: Final[Mapping[GrantPhase, tuple[str, str]]] = {
    "Scheduled": ("NotYetEffective", "The credit is used by invoices from its first day on."),
    "Active": ("CreditRemains", "The next invoice that it reaches uses it."),
    "UsedUp": ("CreditUsedUp", "Nothing is left of the credit."),
    "Expired": ("CreditExpired", "What had not been used is gone."),
    "Revoked": ("CreditRevoked", "What had not been used was taken back."),
}


def condition_of(phase: GrantPhase) -> tuple[Literal["True", "False"], str, str]:
    """Status, reason and message of the condition Usable."""
    reason, message = _SAID[phase]
    return ("True" if phase == "Active" else "False", reason, message)


def parse_selectors(body: Sequence[Mapping[str, Any]]) -> tuple[SkuSelector, ...]:
    """Selectors as they stand in the spec of an object."""
    return tuple(
        SkuSelector(
            tuple(
                LabelRequirement(demand["key"], demand["op"], tuple(demand.get("values") or ()))
                for demand in one.get("matchLabels") or ()
            ),
            one.get("cel"),
        )
        for one in body
    )
