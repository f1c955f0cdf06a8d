"""A month that gives back more than it charges: no invoice totals below zero (domain.md §7). Pure.

What an earlier invoice charged in advance and is not had after all stands below zero on the invoice of the month in
which that was said. Where the month does not charge as much, the rest is given back by credit notes over the
invoices that had charged it, with exactly their tax; a line for each says so on the month's invoice, which is zero.
Prepaid money that was taxed higher than what it pays for takes the total below zero by its tax alone: then so much of
it, with its tax, comes back by a credit note over the invoice that it was bought with.
"""

from bisect import bisect_left
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from decimal import Decimal
from itertools import chain
from typing import Final
from uuid import UUID

from milo_billing.invoicing.rules.adjusting import Charged, Place, Rerated, charged
from milo_billing.invoicing.rules.taxes import tax_minor
from milo_billing.invoicing.types.drafts import CHARGE_KINDS, Adjusts, Draft, DraftLine, DraftShare, Part
from milo_billing.invoicing.types.errors import UnableToIssue
from milo_billing.invoicing.types.invoices import Invoice
from milo_billing.kernel.money import Money

REASON: Final = "The month gave back more than it charged: the rest comes off invoice {number}."
DRAWN_REASON: Final = "Money prepaid with invoice {number} was taxed higher than what it paid for."


@dataclass(frozen=True, slots=True)
class Creditable:
    """An invoice that stands, an account's lines of it of which something is left, and the number of the next
    adjustment of that account's section.
    """

    invoice: Invoice
    places: tuple[Place, ...]
    sequence: int


def over_minor(draft: Draft) -> int:
    """What the draft comes to below zero, positive; zero where it does not."""
    return max(-draft.total_minor, 0)


def returns_minor(draft: Draft) -> int:
    """All that the draft's lines give back of earlier invoices, also where usage was corrected since."""
    return sum(-line.net_minor for line in draft.lines if _gives_back(line))


def takes_off(line: DraftLine) -> bool:
    """Whether the line says that a credit note gives something back instead of this invoice."""
    return any(part.kind == "GivenBack" for part in line.parts)


def give_elsewhere(
    draft: Draft, minor: int, *, creditable: Sequence[Creditable], earlier: Sequence[Rerated] = ()
) -> tuple[Rerated, ...]:
    """So much of what the draft gives back as credit notes over earlier invoices, each with the line of the draft that
    takes it off there.

    Of a line its own charge for these days is credited first, then what was taxed as that was, then whatever else the
    customer was charged, the newest invoice first: what counts is what is asked for. `creditable` are in that order.
    `earlier` are other adjustments by the same invoice, which they join, and whose credit notes left what is
    creditable. What nothing is left of was given back by a credit note before, and is not given back again: it is taken
    off here too, and stands against what its invoice comes to later; what was corrected since stays as it is.
    Raises UnableToIssue where the draft's lines do not give back as much, or no invoice stands that charged it.
    """
    taken: dict[Place, int] = {}
    found: dict[UUID, _Given] = {}
    for line in filter(_gives_back, draft.lines):
        wanted = min(-line.net_minor, minor)
        minor -= wanted
        for one, place in _in_turn(line, creditable):
            part = min(place.left_minor - taken.get(place, 0), wanted)
            if part > 0:
                taken[place] = taken.get(place, 0) + part
                reason = REASON if line.adjusts is None else ""
                found.setdefault(one.invoice.uid, _Given(one, reason)).add(line, place.of, part, place=place)
                wanted -= part
        if wanted and line.adjusts is None:
            if not creditable:
                raise UnableToIssue(_refusal(draft, wanted))
            newest = creditable[0]
            found.setdefault(newest.invoice.uid, _Given(newest, REASON)).add(line, charged(line), wanted)
    if minor:
        raise UnableToIssue(_refusal(draft, minor))
    return _joined(found, earlier)


def overdrawn(taxed: Draft) -> tuple[tuple[DraftLine, int], ...]:
    """How much less each line of the taxed draft may draw from prepaid money, for the total not to be below zero.

    The least that does, to the minor unit: with what is not drawn, the tax that it took along stays. The last line
    first; lines whose tax group takes nothing along are left alone.
    """
    over = over_minor(taxed)
    bases = [group.basis_minor for group in taxed.taxes]
    found: list[tuple[DraftLine, int]] = []
    for line in filter(_draws, reversed(taxed.lines)):
        taxes = [(number - 1, taxed.taxes[number - 1].treatment.percent) for number in line.taxes]
        if not any(taxed.taxes[group].tax_minor < 0 for group, _ in taxes):
            continue

        def raised(minor: int, taxes: Sequence[tuple[int, Decimal]] = tuple(taxes)) -> int:
            """What the total rises by, where so much less is drawn."""
            return minor + sum(
                tax_minor(bases[group] + minor, percent) - tax_minor(bases[group], percent)
                for group, percent in taxes
            )

        minor = bisect_left(range(-line.net_minor), over, key=raised)
        if minor:
            found.append((line, minor))
            over = max(over - raised(minor), 0)
            for group, _ in taxes:
                bases[group] += minor
    return tuple(found)


def give_prepaid(
    drawn: Sequence[tuple[DraftLine, int]],
    *,
    creditable: Sequence[Creditable],
    earlier: Sequence[Rerated] = (),
) -> tuple[Rerated, ...]:
    """So much of the prepaid money that these lines draw as credit notes over the invoices that it was bought with.

    Each with the line that takes it off here, and joined with `earlier`, as by `give_elsewhere`. What nothing is left
    of there is drawn as it was.
    """
    taken: dict[Place, int] = {}
    every = [(one, place) for one in creditable for place in one.places]
    found: dict[UUID, _Given] = {}
    for line, wanted in drawn:
        for one, place in every:
            part = min(place.left_minor - taken.get(place, 0), wanted)
            if part > 0 and (place.of.kind, place.of.of) == ("Prepayment", str(line.commitment)):
                taken[place] = taken.get(place, 0) + part
                given = found.setdefault(one.invoice.uid, _Given(one, DRAWN_REASON))
                given.add(line, place.of, part, place=place)
                wanted -= part
    return _joined(found, earlier)


def _joined(found: Mapping[UUID, "_Given"], earlier: Sequence[Rerated]) -> tuple[Rerated, ...]:
    before = {one.invoice.uid: one for one in earlier}
    joined = [one.joined(before.pop(uid, None)) for uid, one in found.items()]
    return (*before.values(), *joined)


@dataclass(slots=True)
class _Given:
    """What of one invoice is given back, and the lines that take it off there."""

    of: Creditable
    reason: str
    parts: list[tuple[DraftLine, Charged, int]] = field(default_factory=list[tuple[DraftLine, Charged, int]])
    places: dict[Place, int] = field(default_factory=dict[Place, int])

    def add(self, line: DraftLine, of: Charged, minor: int, *, place: Place | None = None) -> None:
        self.parts.append((line, of, minor))
        if place is not None:
            self.places[place] = self.places.get(place, 0) + minor

    def joined(self, before: Rerated | None) -> Rerated:
        """With what else the same invoice charges and gives back of it."""
        invoice = self.of.invoice
        before = before or Rerated(invoice, (), {}, (), self.of.sequence)
        change, given_back = dict(before.change), dict(before.given_back)
        for _, of, minor in self.parts:
            change[of] = change.get(of, 0) + minor
        for place, minor in self.places.items():
            given_back[place] = given_back.get(place, 0) + minor
        return replace(
            before,
            lines=(*before.lines, *(_line(line, invoice, minor) for line, _, minor in self.parts)),
            change={of: minor for of, minor in change.items() if minor},
            given_back=tuple(given_back.items()),
            reason=self.reason.format(number=invoice.number),
        )


def _gives_back(line: DraftLine) -> bool:
    """What was charged before comes back by it; what prepaid money pays is none of it."""
    return charged(line).kind in CHARGE_KINDS and line.net_minor < 0


def _draws(line: DraftLine) -> bool:
    """Prepaid money pays by it, also where it says so later of an earlier month."""
    kind = line.kind if line.adjusts is None else line.adjusts.kind
    return kind == "DrawDown" and line.net_minor < 0


def _in_turn(line: DraftLine, creditable: Sequence[Creditable]) -> Iterable[tuple[Creditable, Place]]:
    every = [(one, place) for one in creditable for place in one.places]
    own = [pair for pair in every if _charges_for(pair[1].of, charged(line))]
    taxed = {place.taxed for _, place in own}
    alike = (pair for pair in every if pair[1].taxed in taxed)
    return chain(own, alike, every)  # of what comes again nothing is left


def _charges_for(of: Charged, line: Charged) -> bool:
    same = (of.kind, of.of) == (line.kind, line.of)
    return same and of.first_day < line.end_day and line.first_day < of.end_day


def _line(line: DraftLine, invoice: Invoice, minor: int) -> DraftLine:
    """What takes so much off what the line gives back: of the same days, taxed as the line is, so both are nothing."""
    none = Decimal(0)
    return replace(
        line,
        kind="Adjustment",
        quantity=none,
        included=none,
        amount_minor=minor,
        parts=(Part("GivenBack", None, None, None, minor),),
        shares=(DraftShare(None, (), none, none, minor),),
        conversion=None,
        discounts=(),
        taxes=(),
        adjusts=Adjusts(invoice.uid, invoice.number, line.kind)
        if line.adjusts is None
        else replace(line.adjusts, invoice=invoice.uid, number=invoice.number),
    )


def _refusal(draft: Draft, minor: int) -> str:
    amount = Money(minor, draft.currency)
    return (
        f"the month gives back {amount} more than it charges, and no invoice stands of which that could be taken: "
        "where the invoice that charged it is void, run its month again first; else check the prices and the usage"
    )
