"""How a price comes about: which books were asked, which one answered, and the line that its price makes.

The numbers are those of the line itself (`lines.rate_segment`), so a price model explains itself as it charges.
"""

from datetime import date
from fractions import Fraction

from milo_billing.catalog.types import Book, Sku
from milo_billing.pricing.rules.lines import rate_segment
from milo_billing.pricing.rules.segments import Segment, price_segments
from milo_billing.pricing.rules.series import Tally
from milo_billing.pricing.types import BookSource, Candidate, PriceExplanation, RateCard, UnableToRate


def explain(
    card: RateCard, *, sku: Sku, day: date, first_day: date, end_day: date, metered: Fraction
) -> PriceExplanation:
    """What `metered`, in the meter's unit, costs if it is all that the period's segment of this day meters.

    `[first_day, end_day)` is the rating period. Raises UnableToRate as rating does.
    """
    segment = next(
        (
            one
            for one in price_segments(card, first_day=first_day, end_day=end_day)
            if one.sku.name == sku.name and one.first_day <= day < one.end_day
        ),
        None,
    )
    if segment is not None and segment.price.model == "Percentage":
        raise UnableToRate(
            f"the price of Sku {sku.name} is a percentage of what other Skus come to, not of a quantity: "
            f"ask for the price of {', '.join(sorted(segment.price.base))}"
        )
    tally: Tally = {(0, ()): (metered, 1)}
    return PriceExplanation(
        sku=sku,
        meter=card.meters.get(sku.meter_name),
        day=day,
        first_day=first_day,
        end_day=end_day,
        metered=metered,
        converted=metered * sku.unit_factor,
        candidates=tuple(
            _candidate(source, rank, sku=sku.name, day=day, segment=segment)
            for rank, source in enumerate(card.sources)
        ),
        book=None if segment is None else segment.book,
        line=None if segment is None else rate_segment(segment, tally, card=card),
    )


def _candidate(source: BookSource, rank: int, *, sku: str, day: date, segment: Segment | None) -> Candidate:
    book = source.version_on(day)
    if segment is not None and segment.rank == rank:
        return Candidate(source, segment.book, True, _why_chosen(segment, book))
    return Candidate(source, book, False, _why_not(source, book, sku=sku, day=day, segment=segment))


def _why_chosen(segment: Segment, standing: Book | None) -> str:
    if standing is not segment.book and segment.firm:
        return f"it began on {segment.first_day}, counts over the whole rating period, and is kept to its end"
    return "the first that prices the Sku on this day"


def _why_not(source: BookSource, book: Book | None, *, sku: str, day: date, segment: Segment | None) -> str:
    if source.first_day is not None and day < source.first_day:
        return f"it is given from {source.first_day} on"
    if source.end_day is not None and day >= source.end_day:
        return f"it was given up to {source.end_day}"
    if book is None:
        return f"its first version is in force from {source.books[0].effective_from} on"
    if all(price.sku != sku for price in book.prices):
        return "it does not price the Sku"
    if segment is not None and segment.firm and segment.first_day < day:
        return f"a price that counts over the whole rating period began on {segment.first_day} and is kept to the end"
    return "one before it prices the Sku"
