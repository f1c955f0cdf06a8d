"""Rate one account's period: usage to the Sku that matches it, one line a Sku and price, split to who used it."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import date

from milo_billing.catalog.types import Meter, Sku
from milo_billing.kernel.aggregation import ADDITIVE
from milo_billing.kernel.quantity import is_int64
from milo_billing.pricing.rules.charges import charge, charges_at_zero, prepare
from milo_billing.pricing.rules.fx import convert_parts
from milo_billing.pricing.rules.quantities import charged_quantity
from milo_billing.pricing.rules.segments import Segment, price_segments
from milo_billing.pricing.rules.series import Tally, tally_series
from milo_billing.pricing.rules.splits import split_line
from milo_billing.pricing.types import (
    Conversion,
    CountDistinct,
    Dimensions,
    RateCard,
    RatedLine,
    Rating,
    SubLine,
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

    A Sku has a line if it was used, or if its price charges at zero. Usage that no Sku matches on its day
    comes back as unpriced. `bound` says for how many of the days the account pays for a project (all, where it is
    missing), `distinct` counts keys. Raises UnableToRate where usage matches two Skus of one book, where a meter is
    not defined, and where an amount does not fit in 64 bits.
    """
    segments = price_segments(card, first_day=first_day, end_day=end_day)
    used, unpriced = _assign(usage, segments, meters=card.meters)
    tallies = {
        segment: _tally(rows, card.meters[segment.sku.meter_name], bound=bound, distinct=distinct)
        for segment, rows in used.items()
    }
    lines = tuple(
        rate_segment(segment, tallies.get(segment, {}), card=card)
        for segment in segments
        if segment in tallies or charges_at_zero(segment.price)
    )
    return Rating(card.currency, lines, unpriced)


def _tally(
    rows: Tally | list[UsageQuantity],
    meter: Meter,
    *,
    bound: Mapping[int, tuple[int, int]],
    distinct: CountDistinct,
) -> Tally:
    return rows if isinstance(rows, dict) else tally_series(rows, meter=meter, bound=bound, distinct=distinct)


def _assign(
    usage: Iterable[UsageQuantity], segments: Sequence[Segment], *, meters: Mapping[str, Meter]
) -> tuple[dict[Segment, Tally | list[UsageQuantity]], tuple[Unpriced, ...]]:
    """Usage per segment, and what has no price, per meter, project and dimension set.

    Additive usage is summed up as it comes, by project and dimension set; of other usage the rows are kept.
    """
    by_meter: dict[str, list[Segment]] = {}
    for segment in segments:
        by_meter.setdefault(segment.sku.meter_name, []).append(segment)
    matching: dict[tuple[str, Dimensions], list[Segment]] = {}
    added: dict[Segment, Tally] = {}
    kept: dict[Segment, list[UsageQuantity]] = {}
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
        else:
            kept.setdefault(segment, []).append(row)
    return added | kept, tuple(Unpriced(*key, *totals) for key, totals in sorted(unpriced.items()))


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


def rate_segment(segment: Segment, tally: Tally, *, card: RateCard) -> RatedLine:
    """The line for what was metered in a segment, in the account's currency.

    Raises UnableToRate where the book is in another currency and there is no rate, and where an amount does not fit
    in 64 bits.
    """
    metered = sum((total for total, _ in tally.values()), 0)
    prepared = prepare(segment.price, currency=segment.book.currency)
    quantity = charged_quantity(metered, sku=segment.sku)
    parts = charge(prepared, quantity)
    conversion = None
    if segment.book.currency != card.currency:
        conversion = _conversion(parts, segment, card=card)
        parts = convert_parts(parts, price=segment.price, rate=conversion.rate)
    amount_minor = sum(part.amount_minor for part in parts)
    if not is_int64(amount_minor):
        raise UnableToRate(
            f"the amount for {segment.sku.name} does not fit in 64 bits: check the price and the meter"
        )
    shares, own_minor = split_line(amount_minor, tally)
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


def _conversion(parts: tuple[SubLine, ...], segment: Segment, *, card: RateCard) -> Conversion:
    rate = card.rates.get(segment.book.currency)
    if rate is None:
        raise UnableToRate(
            f"Sku {segment.sku.name} is priced in {segment.book.currency} by the price book {segment.book.book_name}, "
            f"and there is no exchange rate to {card.currency}: milo-billing rates import FILE brings them in"
        )
    return Conversion(rate, parts, sum(part.amount_minor for part in parts))
