"""What late usage, voids of events and corrections change of an invoice that stands (domain.md §4). Pure.

The whole period is rated again at the versions that the invoice froze, over all of its lines with discounts, minimums
and shortfalls; what comes out is compared with what was charged and adjusted before. More is charged by an adjustment,
less is given back by a credit note; the change of a period is one amount, not one a line.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date, datetime
from decimal import Decimal
from itertools import chain
from typing import Final, Literal, TypeAlias
from uuid import UUID

from milo_billing.invoicing.rules.crediting import CreditNote
from milo_billing.invoicing.types.drafts import (
    SKU_KINDS,
    Adjusts,
    Draft,
    DraftLine,
    DraftShare,
    LineKind,
    Part,
)
from milo_billing.invoicing.types.invoices import Invoice, InvoiceLine
from milo_billing.kernel.money import allocate
from milo_billing.kernel.periods import Period
from milo_billing.kernel.taxes import TaxTreatment

_DEFERRED: Final[frozenset[LineKind]] = frozenset({"DrawDown"})
"""Lines by which money that was paid before is earned: the books move although nothing is owed."""


@dataclass(frozen=True, slots=True, order=True)
class Charged:
    """What a line charges for: it is the same line where it has the same, whatever it comes to.

    `of` is the Sku's name or the commitment's uid as text.
    """

    kind: LineKind
    of: str
    first_day: date
    end_day: date


@dataclass(frozen=True, slots=True)
class Additional:
    """Δ > 0: what is charged in addition, by line, some of them perhaps less; before tax, in minor units."""

    lines: Mapping[Charged, int]
    total_minor: int


@dataclass(frozen=True, slots=True)
class GivenBack:
    """Δ < 0: what a credit note takes back, by line, each positive for a charge; before tax, in minor units.

    Only lines that came to less are in it, each with its part of what the period came to less.
    """

    lines: Mapping[Charged, int]
    total_minor: int


Taxed: TypeAlias = tuple[TaxTreatment, ...]
"""How a line was taxed, by each of its taxes."""
Change: TypeAlias = Additional | GivenBack | None
Carrier: TypeAlias = Literal["NextInvoice", "AdjustmentInvoice"]


def charged(line: DraftLine | InvoiceLine) -> Charged:
    """What the line charges for; an adjustment for what it adjusts."""
    kind = line.kind if line.adjusts is None else line.adjusts.kind
    return Charged(kind, line.sku or _text(line.commitment), line.first_day, line.end_day)


def owed_minor(line: DraftLine | InvoiceLine) -> int:
    """What the line comes to after commitments and Discounts, and before credit that was granted: that is used once,
    by the invoice that was issued, whatever the period comes to afterwards.
    """
    given = [one for one in line.discounts if one.given_by in ("Commitment", "Discount")]
    return line.amount_minor + sum(one.amount_minor for one in given if one.scope == "Invoice")


def change_of(
    *,
    issued: Iterable[DraftLine | InvoiceLine],
    earlier: Iterable[Mapping[Charged, int]],
    now: Iterable[DraftLine | InvoiceLine],
) -> Change:
    """Δ = settled(now) − settled(issued + earlier Δ), over the whole period; None where it is zero.

    `earlier` are the changes that were charged or given back before, each by line with its sign: so asking again, or
    after another event, never charges one twice. Where prepaid money pays for the difference, it is Additional of zero.
    """
    changes: dict[Charged, int] = {}
    for line in now:
        _add(changes, charged(line), owed_minor(line))
    for line in issued:
        if line.kind != "Adjustment":  # what it carries of other invoices
            _add(changes, charged(line), -owed_minor(line))
    for change in earlier:
        for key, minor in change.items():
            _add(changes, key, -minor)
    by_line = {key: minor for key, minor in sorted(changes.items()) if minor}
    total = sum(by_line.values())
    if total > 0 or (total == 0 and any(key.kind in _DEFERRED for key in by_line)):
        return Additional(by_line, total)
    if total < 0:
        return GivenBack(_less(by_line, -total), -total)
    return None


def signed(change: Change) -> Mapping[Charged, int]:
    """The change as one of `earlier`, once it was charged or given back."""
    match change:
        case Additional(lines=lines):
            return lines
        case GivenBack(lines=lines):
            return {key: -minor for key, minor in lines.items()}
        case None:
            return {}


def carrier_of(*, follows: bool) -> Carrier:
    """Where what is charged in addition stands: on the next periodic invoice, or alone where none follows, because
    the account was closed or pays by another one.
    """
    return "NextInvoice" if follows else "AdjustmentInvoice"


# -------------------------------------------------------------------------------------------- what is charged


@dataclass(frozen=True, slots=True)
class Adjusted:
    """What was done about what issued invoices came to since: an invoice that charges more, and credit notes."""

    invoice: Invoice | None
    notes: tuple[CreditNote, ...]


@dataclass(frozen=True, slots=True)
class Before:
    """Lines that charged for a period: those of its invoice as issued, and of others that carry adjustments of it.

    `elsewhere` are lines of invoices of other periods, each with its invoice, that gave back what this one's had not
    left: they charged for other periods, and what they gave back is charged again by this one's change.
    """

    issued: tuple[DraftLine, ...]
    carried: tuple[DraftLine, ...] = ()
    elsewhere: tuple[tuple[Invoice, DraftLine], ...] = ()


def adjustment_lines(
    change: Additional, *, invoice: Invoice, now: Sequence[DraftLine], before: Before
) -> tuple[DraftLine, ...]:
    """The lines of a next invoice, or of one alone, that charge the change: each what one line of the period comes to
    now, less what was charged of it; or what another period's line gave back for it.
    """
    issued = [(invoice, line) for line in before.issued]
    of_category = {line.tax_category: treatments(of, line) for of, line in reversed(issued)}
    of_key = {charged(line): treatments(of, line) for of, line in reversed([*issued, *before.elsewhere])}
    found: list[DraftLine] = []
    for key, minor in change.lines.items():
        today = [line for line in now if charged(line) == key]
        then = [line for line in (*before.issued, *before.carried) if charged(line) == key]
        elsewhere = [line for _, line in before.elsewhere if charged(line) == key]
        pattern = (today or then or elsewhere)[0]
        found.append(
            replace(
                pattern,
                kind="Adjustment",
                quantity=_quantity(key, today, then),
                included=Decimal(0),
                amount_minor=minor,
                parts=_parts(sum(map(owed_minor, today)), minor),
                shares=_shares(today, then, minor),
                conversion=None,
                discounts=(),
                taxes=(),
                adjusts=Adjusts(
                    invoice.uid,
                    invoice.number,
                    key.kind,
                    of_key.get(key) or of_category.get(pattern.tax_category, ()),
                ),
            )
        )
    return tuple(found)


def with_adjustments(drafted: Draft, lines: Sequence[DraftLine]) -> Draft:
    """The untaxed draft with these lines behind its own."""
    minor = sum(line.net_minor for line in lines)
    return replace(
        drafted,
        lines=(*drafted.lines, *lines),
        subtotal_minor=drafted.subtotal_minor + minor,
        total_minor=drafted.total_minor + minor,
    )


def draft_alone(originals: Sequence[Invoice], lines: Sequence[DraftLine]) -> Draft:
    """The untaxed draft of an invoice of kind Adjustment: only these lines, over the days of the originals."""
    empty = Draft(
        account=originals[0].account,
        kind="Adjustment",
        period=Period(min(one.period.start for one in originals), max(one.period.end for one in originals)),
        currency=originals[0].currency,
        lines=(),
        subtotal_minor=0,
        discounts_minor=0,
        total_minor=0,
    )
    return with_adjustments(empty, lines)


def treatments(invoice: Invoice, line: DraftLine | InvoiceLine) -> Taxed:
    """How the invoice taxed its line."""
    return tuple(invoice.taxes[number - 1].treatment for number in line.taxes)


def unknown(change: Additional, *, now: Iterable[DraftLine], before: Before) -> bool:
    """Whether it charges what no line of the period did: then another period's line had given it back."""
    known = {charged(line) for line in chain(now, before.issued, before.carried)}
    return not known.issuperset(change.lines)


def _quantity(key: Charged, today: Iterable[DraftLine], then: Iterable[DraftLine]) -> Decimal:
    """How much more was used; what a commitment charges has no quantity."""
    if key.kind not in SKU_KINDS:
        return Decimal(0)
    changes = chain((line.quantity for line in today), (-line.quantity for line in then))
    return sum(changes, Decimal(0))


def _parts(now_minor: int, minor: int) -> tuple[Part, ...]:
    rerated = Part("Rerated", None, None, None, now_minor)
    before_minor = now_minor - minor
    return (rerated, Part("Charged", None, None, None, -before_minor)) if before_minor else (rerated,)


_Key: TypeAlias = tuple[int, tuple[tuple[str, str], ...]]
_OWN: Final = -1


def _shares(today: Iterable[DraftLine], then: Iterable[DraftLine], minor: int) -> tuple[DraftShare, ...]:
    """The change by project and dimension set; what their differences do not account for is the account's own."""
    none = Decimal(0), Decimal(0), 0
    changes: dict[_Key, tuple[Decimal, Decimal, int]] = {}
    for sign, lines in ((1, today), (-1, then)):
        for share in (share for line in lines for share in line.shares):
            key = (_OWN if share.project is None else share.project, share.dimensions)
            metered, quantity, amount = changes.get(key, none)
            changes[key] = (
                metered + sign * share.metered,
                quantity + sign * share.quantity,
                amount + sign * share.amount_minor,
            )
    weights = [(key, amount if minor >= 0 else -amount) for key, (_, _, amount) in sorted(changes.items())]
    whole = sum(weight for _, weight in weights)
    if whole > 0 and all(weight >= 0 for _, weight in weights):
        amounts = allocate(minor, weights)
    else:
        amounts = {key: amount for key, (_, _, amount) in changes.items()}
        own: _Key = (_OWN, ())
        amounts[own] = amounts.get(own, 0) + minor - sum(amounts.values())
        changes.setdefault(own, none)
    return tuple(
        DraftShare(None if key[0] == _OWN else key[0], key[1], metered, quantity, amounts[key])
        for key, (metered, quantity, _) in sorted(changes.items())
        if metered or quantity or amounts[key]
    )


# ------------------------------------------------------------------------------------------ what is given back


@dataclass(frozen=True, slots=True)
class Place:
    """A line that charged for something, what is left of it that a credit note can take back, zero or above, and how it
    was taxed.

    It is the same place whatever is left of it.
    """

    invoice: UUID
    line: int
    of: Charged
    left_minor: int = field(compare=False)
    taxed: Taxed = field(default=(), compare=False)


def give_back(
    change: GivenBack,
    places: Sequence[Place],
    others: Sequence[Place] = (),
    *,
    withheld: Mapping[Taxed, int],
) -> tuple[tuple[Place, int], ...]:
    """How much of which line is taken back: of the lines themselves as far as they go, in order; then of what was taxed
    as they were, here and on `others`; then of what is left, as what the customer is asked for counts and not which
    line says it. What is left of nothing is not given back: an earlier credit note did that.

    `others` are lines of other invoices, of which no more is taken than is `withheld` of these: by tax, what is left of
    lines and cannot be credited, because others are below zero.
    """
    taken, rest = _taken_as_taxed(change, places)
    elsewhere = dict.fromkeys(others, 0)
    for taxed, minor in rest.items():
        wanted = min(minor, withheld.get(taxed, 0))
        missing = _take(elsewhere, [place for place in others if place.taxed == taxed], wanted)
        rest[taxed] -= wanted - missing
    rest_minor = _take(taken, places, sum(rest.values()))
    _take(elsewhere, others, min(rest_minor, sum(withheld.values()) - sum(elsewhere.values())))
    return tuple((place, minor) for place, minor in chain(taken.items(), elsewhere.items()) if minor)


def falls_short(change: GivenBack, places: Sequence[Place]) -> bool:
    """Whether the lines themselves, and what was taxed as they were, do not have as much as is to be taken back."""
    _, rest = _taken_as_taxed(change, places)
    return any(rest.values())


def waits(
    change: GivenBack,
    given_back: Iterable[tuple[Place, int]],
    others: Collection[Place],
    *,
    withheld: Mapping[Taxed, int],
) -> bool:
    """Whether less was given back than is to be, and some of what is withheld was found on no other invoice: one that
    is issued later may have it.
    """
    given_minor = elsewhere_minor = 0
    for place, minor in given_back:
        given_minor += minor
        elsewhere_minor += minor if place in others else 0
    return given_minor < change.total_minor and elsewhere_minor < sum(withheld.values())


def _taken_as_taxed(change: GivenBack, places: Sequence[Place]) -> tuple[dict[Place, int], dict[Taxed, int]]:
    """What is taken of the lines themselves and of what was taxed as they were; and by tax what these do not have."""
    taken = dict.fromkeys(places, 0)
    rest: dict[Taxed, int] = {}
    for key, minor in change.lines.items():
        own = [place for place in places if place.of == key]
        taxed = own[0].taxed if own else ()
        rest[taxed] = rest.get(taxed, 0) + _take(taken, own, minor)
    for taxed, minor in rest.items():
        rest[taxed] = _take(taken, [place for place in places if place.taxed == taxed], minor)
    return taken, rest


def _take(taken: dict[Place, int], places: Iterable[Place], minor: int) -> int:
    """Take it of these places; what they do not have."""
    for place in places:
        part = min(place.left_minor - taken[place], minor)
        taken[place] += part
        minor -= part
    return minor


def by_line(given_back: Iterable[tuple[Place, int]]) -> Mapping[Charged, int]:
    """What was taken back as one of `earlier`."""
    found: dict[Charged, int] = {}
    for place, minor in given_back:
        _add(found, place.of, -minor)
    return found


@dataclass(frozen=True, slots=True)
class Rerated:
    """What an issued invoice came to since: lines that charge more, and what of which line is given back.

    It is of the section of one account. `change` is what the lines charge. `sequence` is the number of the
    section's next adjustment. `reason` is what its credit notes say; empty where usage was corrected. `waits`: there is
    more to be given back, of which no invoice has any left yet.
    """

    invoice: Invoice
    lines: tuple[DraftLine, ...]
    change: Mapping[Charged, int]
    given_back: tuple[tuple[Place, int], ...]
    sequence: int
    reason: str = ""
    waits: bool = False


@dataclass(frozen=True, slots=True)
class Adjustment:
    """One adjustment of an invoice: by which document, and the change of every line, with its sign.

    `stands` is False where the invoice that carried it is void: then nothing is charged by it any more.
    """

    sequence: int
    carrier: UUID | None
    credit_note: UUID | None
    stands: bool
    amount_minor: int
    adjusted_at: datetime
    document: str
    lines: Mapping[Charged, int]


def _less(by_line: Mapping[Charged, int], total: int) -> dict[Charged, int]:
    """The total over the lines that came to less, in proportion: what others came to more is taken off it first."""
    weights = [(key, -minor) for key, minor in by_line.items() if minor < 0]
    return {key: minor for key, minor in allocate(total, weights).items() if minor}


def _add(changes: dict[Charged, int], key: Charged, minor: int) -> None:
    changes[key] = changes.get(key, 0) + minor


def _text(commitment: UUID | None) -> str:
    return "" if commitment is None else str(commitment)
