"""Rate one account's period: usage to the Sku that matches it, one line a Sku and price, split to who used it.

Percentages are rated last, of the lines that they are taken of (`bases`).
"""

from collections.abc import Iterable, Mapping, Sequence, Set
from dataclasses import dataclass, field
from datetime import date
from fractions import Fraction

from milo_billing.catalog.types import Meter, Sku
from milo_billing.kernel.aggregation import ADDITIVE
from milo_billing.kernel.quantity import is_int64
from milo_billing.pricing.rules.bases import base_amounts, divided_segments, rating_order
from milo_billing.pricing.rules.charges import charge, charges_at_zero, prepare
from milo_billing.pricing.rules.fx import before_conversion, convert_parts
from milo_billing.pricing.rules.quantities import charged_quantity
from milo_billing.pricing.rules.segments import Segment, price_segments
from milo_billing.pricing.rules.series import Tally, tally_series
from milo_billing.pricing.rules.splits import split_line
from milo_billing.pricing.types import (
    Conversion,
    CountDistinct,
    Dimensions,
    ExchangeRate,
    RateCard,
    RatedLine,
    Rating,
    UnableToRate,
    Unpriced,
    UsageQuantity,
)


def rate(
    usage: Iterable[UsageQuantity],
    card: RateCard,
    *,
    first_day: date,
    end_day: date,
    bound: Mapping[int, tuple[int, int]],
    distinct: CountDistinct,
) -> Rating:
    """Every line that the account owes for its usage on the days `[first_day, end_day)`.

    A Sku has a line if it was used, or if its price charges at zero; a percentage on all days of the period, also where
    it was used on some of them. Usage that no Sku matches on its day
    comes back as unpriced. `bound` says for how many of the days the account pays for a project (all, where it is
    missing), `distinct` counts keys. Raises UnableToRate where usage matches two Skus of one book, where a meter is
    not defined, and where an amount does not fit in 64 bits.
    """
    segments = price_segments(card, first_day=first_day, end_day=end_day)
    used = _assign(usage, segments, meters=card.meters, by_day=divided_segments(segments))
    tallies = {
        segment: _tally(rows, card.meters[segment.sku.meter_name], bound=bound, distinct=distinct)
        for segment, rows in used.rows.items()
    }
    rated: dict[Segment, RatedLine] = {}
    used_names = {segment.sku.name for segment in tallies}
    for segment in rating_order(segments):
        if segment.price.model == "Percentage":
            if segment.sku.name in used_names or charges_at_zero(segment.price):
                base = base_amounts(segment, rated, metered=used.by_day)
                line = rate_segment(segment, tallies.get(segment, {}), card=card, base=base)
                if segment in tallies or line.parts:
                    rated[segment] = line
        elif segment in tallies or charges_at_zero(segment.price):
            rated[segment] = rate_segment(segment, tallies.get(segment, {}), card=card)
    lines = tuple(rated[segment] for segment in segments if segment in rated)
    return Rating(card.currency, lines, used.unpriced)


@dataclass(slots=True)
class _Assigned:
    """Usage per segment, and what has no price, per meter, project and dimension set.

    Additive usage is summed up as it comes, by project and dimension set; of other usage the rows are kept.
    """

    rows: dict[Segment, Tally | list[UsageQuantity]]
    unpriced: tuple[Unpriced, ...]
    by_day: dict[Segment, dict[date, int]] = field(default_factory=dict[Segment, dict[date, int]])


def _tally(
    rows: Tally | list[UsageQuantity],
    meter: Meter,
    *,
    bound: Mapping[int, tuple[int, int]],
    distinct: CountDistinct,
) -> Tally:
    return rows if isinstance(rows, dict) else tally_series(rows, meter=meter, bound=bound, distinct=distinct)


def _assign(
    usage: Iterable[UsageQuantity],
    segments: Sequence[Segment],
    *,
    meters: Mapping[str, Meter],
    by_day: Set[Segment],
) -> _Assigned:
    """Every row of usage to the segment that prices it; of the additive among `by_day` also how much on which day."""
    by_meter: dict[str, list[Segment]] = {}
    for segment in segments:
        by_meter.setdefault(segment.sku.meter_name, []).append(segment)
    matching: dict[tuple[str, Dimensions], list[Segment]] = {}
    added: dict[Segment, Tally] = {}
    kept: dict[Segment, list[UsageQuantity]] = {}
    daily: dict[Segment, dict[date, int]] = {}
    unpriced: dict[tuple[str, int, Dimensions], tuple[int, int]] = {}
    for row in usage:
        meter_name, dimensions, figures = row.meter_name, row.dimensions, row.figures
        candidates = matching.get((meter_name, dimensions))
        if candidates is None:
            candidates = [one for one in by_meter.get(meter_name, ()) if matches(one.sku, dict(dimensions))]
            matching[meter_name, dimensions] = candidates
        segment = _holding(candidates, row)
        if segment is None:
            total, count = unpriced.get((meter_name, row.project, dimensions), (0, 0))
            unpriced[meter_name, row.project, dimensions] = (total + figures.sum, count + figures.count)
            continue
        meter = meters.get(meter_name)
        if meter is None:
            raise UnableToRate(f"meter {meter_name} has usage and a price, but no definition")
        if meter.aggregation in ADDITIVE:
            tally = added.setdefault(segment, {})
            metered, events = tally.get((row.project, dimensions), (0, 0))
            more = figures.sum if meter.aggregation == "Sum" else figures.count
            tally[row.project, dimensions] = (metered + more, events + figures.count)
            if segment in by_day:
                days = daily.setdefault(segment, {})
                days[row.day] = days.get(row.day, 0) + more
        else:
            kept.setdefault(segment, []).append(row)
    without_price = tuple(Unpriced(*key, *totals) for key, totals in sorted(unpriced.items()))
    return _Assigned(added | kept, without_price, daily)


def matches(sku: Sku, dimensions: Mapping[str, str]) -> bool:
    """Whether every dimension that the Sku names has one of its values."""
    return all(dimensions.get(key) in values for key, values in sku.match.items())


def _holding(candidates: Sequence[Segment], row: UsageQuantity) -> Segment | None:
    """The segment that prices the row's day.

    Where Skus of several books match, the source that goes before does, and of one source the older version. A price
    that counts over the whole period keeps its usage to the end, whatever begins later.
    """
    holding = [segment for segment in candidates if segment.first_day <= row.day < segment.end_day]
    if len(holding) < 2:
        return holding[0] if holding else None
    chosen, *rivals = sorted(holding, key=lambda one: (one.first_day, one.rank, one.book.effective_from))
    for rival in rivals:
        if rival.book is chosen.book:
            raise UnableToRate(
                f"usage of {row.meter_name} with {dict(row.dimensions)} matches {chosen.sku.name} and "
                f"{rival.sku.name} of the price book {chosen.book.name}: publish a version in which only one of them "
                "matches"
            )
        if rival.rank < chosen.rank and rival.first_day > chosen.first_day and not chosen.firm:
            chosen = rival
    return chosen


def rate_segment(
    segment: Segment, tally: Tally, *, card: RateCard, base: Mapping[int, Fraction] | None = None
) -> RatedLine:
    """The line for what was metered in a segment, in the account's currency.

    `base` is what a percentage is taken of, by project, in minor units of the account's currency. Raises UnableToRate
    where the book is in another currency and there is no rate, and where an amount does not fit in 64 bits.
    """
    metered = sum((total for total, _ in tally.values()), 0)
    prepared = prepare(segment.price, currency=segment.book.currency)
    quantity = charged_quantity(metered, sku=segment.sku)
    base_minor = sum((base or {}).values(), Fraction(0))
    conversion = None
    if segment.book.currency == card.currency:
        parts = charge(prepared, quantity, base_minor=base_minor)
    else:
        found = _rate(segment, card=card)
        before = charge(prepared, quantity, base_minor=before_conversion(base_minor, found))
        conversion = Conversion(found, before, sum(part.amount_minor for part in before))
        parts = convert_parts(before, price=segment.price, rate=found)
    amount_minor = sum(part.amount_minor for part in parts)
    if not is_int64(amount_minor):
        raise UnableToRate(
            f"the amount for {segment.sku.name} does not fit in 64 bits: check the price and the meter"
        )
    shares, own_minor = split_line(amount_minor, tally, weights=base)
    return RatedLine(
        sku=segment.sku,
        price=segment.price,
        book=segment.book.number,
        currency=card.currency,
        first_day=segment.first_day,
        end_day=segment.end_day,
        metered=metered,
        events=sum(count for _, count in tally.values()),
        quantity=quantity,
        included=min(quantity, prepared.included),
        parts=parts,
        amount_minor=amount_minor,
        shares=shares,
        own_minor=own_minor,
        source=segment.source.kind,
        conversion=conversion,
    )


def _rate(segment: Segment, *, card: RateCard) -> ExchangeRate:
    rate = card.rates.get(segment.book.currency)
    if rate is None:
        raise UnableToRate(
            f"Sku {segment.sku.name} is priced in {segment.book.currency} by the price book {segment.book.book_name}, "
            f"and there is no exchange rate to {card.currency}: milo-billing rates import FILE brings them in"
        )
    return rate
