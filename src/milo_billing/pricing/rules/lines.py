"""Rate one account's period: usage to the Sku that matches it, one line a Sku and price, split to who used it."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import date
from typing import TypeAlias

from milo_billing.catalog.types import Aggregation, Sku
from milo_billing.kernel.quantity import is_int64
from milo_billing.pricing.rules.charges import charge, charges_at_zero, prepare
from milo_billing.pricing.rules.quantities import charged_quantity
from milo_billing.pricing.rules.segments import Segment, price_segments
from milo_billing.pricing.rules.splits import split_line
from milo_billing.pricing.types import (
    Dimensions,
    RateCard,
    RatedLine,
    Rating,
    UnableToRate,
    Unpriced,
    UsageQuantity,
)

Tally: TypeAlias = dict[tuple[int, Dimensions], tuple[int, int]]
"""(project, dimension set) → (metered, events)."""


def rate(usage: Iterable[UsageQuantity], card: RateCard, *, first_day: date, end_day: date) -> Rating:
    """Every line that the account owes for its usage on the days `[first_day, end_day)`.

    A Sku has a line if it was used, or if its price charges at zero. Usage that no Sku matches on its day
    comes back as unpriced. Raises UnableToRate where usage matches two Skus of one book, where a meter counts
    in a way that cannot be priced, and where an amount does not fit in 64 bits.
    """
    segments = price_segments(card, first_day=first_day, end_day=end_day)
    used, unpriced = _assign(usage, segments, aggregations=card.aggregations)
    lines = tuple(
        _line(segment, used.get(segment, {}), card=card)
        for segment in segments
        if segment in used or charges_at_zero(segment.price)
    )
    return Rating(card.currency, lines, unpriced)


def _assign(
    usage: Iterable[UsageQuantity], segments: Sequence[Segment], *, aggregations: Mapping[str, Aggregation]
) -> tuple[dict[Segment, Tally], tuple[Unpriced, ...]]:
    """Usage summed per segment, project and dimension set; and what has no price, per meter, project and set."""
    by_meter: dict[str, list[Segment]] = {}
    for segment in segments:
        by_meter.setdefault(segment.sku.meter_name, []).append(segment)
    matching: dict[tuple[str, Dimensions], list[Segment]] = {}
    used: dict[Segment, Tally] = {}
    unpriced: dict[tuple[str, int, Dimensions], tuple[int, int]] = {}
    for row in usage:
        meter, dimensions = row.meter_name, row.dimensions
        candidates = matching.get((meter, dimensions))
        if candidates is None:
            candidates = [one for one in by_meter.get(meter, ()) if matches(one.sku, dict(dimensions))]
            matching[meter, dimensions] = candidates
        segment = _holding(candidates, row)
        if segment is None:
            total, count = unpriced.get((meter, row.project, dimensions), (0, 0))
            unpriced[meter, row.project, dimensions] = (total + row.sum, count + row.count)
        else:
            tally = used.setdefault(segment, {})
            total, count = tally.get((row.project, dimensions), (0, 0))
            metered = _metered(row, aggregations.get(meter))
            tally[row.project, dimensions] = (total + metered, count + row.count)
    return used, tuple(Unpriced(*key, *totals) for key, totals in sorted(unpriced.items()))


def matches(sku: Sku, dimensions: Mapping[str, str]) -> bool:
    """Whether every dimension that the Sku names has one of its values."""
    return all(dimensions.get(key) in values for key, values in sku.match.items())


def _holding(candidates: Sequence[Segment], row: UsageQuantity) -> Segment | None:
    """The segment that prices the row's day. A price held over from an older book goes before a newer book's Sku."""
    holding = [segment for segment in candidates if segment.first_day <= row.day < segment.end_day]
    if len(holding) < 2:
        return holding[0] if holding else None
    first, second = sorted(holding, key=lambda segment: segment.book.effective_from)[:2]
    if first.book is second.book:
        raise UnableToRate(
            f"usage of {row.meter_name} with {dict(row.dimensions)} matches {first.sku.name} and {second.sku.name} "
            f"of the price book {first.book.name}: publish a version in which only one of them matches"
        )
    return first


def _metered(row: UsageQuantity, aggregation: Aggregation | None) -> int:
    match aggregation:
        case "Sum":
            return row.sum
        case "Count":
            return row.count
        case None:
            raise UnableToRate(f"meter {row.meter_name} has usage and a price, but no definition")
        case _:
            raise UnableToRate(
                f"meter {row.meter_name} aggregates by {aggregation}, which cannot be priced: only Sum and Count can"
            )


def _line(segment: Segment, tally: Tally, *, card: RateCard) -> RatedLine:
    metered = sum(total for total, _ in tally.values())
    prepared = prepare(segment.price, currency=card.currency)
    quantity = charged_quantity(metered, sku=segment.sku)
    parts = charge(prepared, quantity)
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
    )
