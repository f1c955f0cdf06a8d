"""Rating loses nothing, whatever the prices, the usage and its order; the books balance over any invoice."""

import random
from datetime import date, timedelta
from decimal import ROUND_HALF_UP, Decimal
from fractions import Fraction
from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from milo_billing.catalog.types import Price, Tier
from milo_billing.kernel.aggregation import Figures
from milo_billing.kernel.money import settle
from milo_billing.ledger.rules import receivable_entries
from milo_billing.ledger.types import AccountName, ServicePeriod, revenue
from milo_billing.pricing.types import UsageQuantity
from tests.unit.pricing.builders import (
    FIRST_DAY,
    book,
    card,
    graduated,
    per_unit,
    rate_october,
    rate_units,
    sku,
)

amounts = st.decimals(0, 1000, places=5)
bounds = st.lists(st.decimals(Decimal("0.001"), 10_000, places=3), max_size=5, unique=True).map(sorted)
quantities = st.decimals(0, 20_000, places=4)


@st.composite
def tier_lists(draw: st.DrawFn) -> tuple[Tier, ...]:
    ends = [*draw(bounds), None]
    return tuple(Tier(end, draw(amounts), draw(amounts), draw(st.booleans())) for end in ends)


@st.composite
def prices(draw: st.DrawFn) -> Price:
    limits = st.none() | amounts.map(str)
    included, minimum, maximum = str(draw(quantities)), draw(limits), draw(limits)
    if draw(st.booleans()):
        return per_unit(str(draw(amounts)), included=included, minimum=minimum, maximum=maximum)
    return graduated(*draw(tier_lists()), included=included, minimum=minimum, maximum=maximum)


usage_rows = st.lists(
    st.builds(
        UsageQuantity,
        project=st.integers(1, 4),
        meter_name=st.just("requests"),
        dimensions=st.sampled_from([(), (("region", "a"),), (("region", "b"),)]),
        day=st.integers(0, 30).map(lambda days: FIRST_DAY + timedelta(days=days)),
        figures=st.builds(Figures, st.integers(-1000, 10**6), st.integers(1, 50)),
    ),
    max_size=30,
)


def cents(amount: Decimal) -> int:
    return int((amount * 100).quantize(Decimal(1), rounding=ROUND_HALF_UP))


def graduated_by_the_book(tiers: tuple[Tier, ...], quantity: Decimal) -> int:
    """Tier after tier as domain.md §5 says it, without a shortcut."""
    if quantity == 0:
        return cents(tiers[0].flat_fee) if tiers[0].charge_at_zero else 0
    total, lower = 0, Decimal(0)
    for tier in tiers:
        if quantity > lower:
            within = quantity if tier.up_to is None else min(quantity, tier.up_to)
            total += cents(tier.flat_fee) + cents((within - lower) * tier.unit_price)
        lower = tier.up_to or lower
    return total


@given(tiers=tier_lists(), quantity=quantities)
def test_graduated_prices_are_what_the_rule_says_tier_after_tier(
    tiers: tuple[Tier, ...], quantity: Decimal
) -> None:
    assert rate_units(quantity, graduated(*tiers)).amount_minor == graduated_by_the_book(tiers, quantity)


@given(tiers=tier_lists())
def test_each_bound_belongs_to_the_tier_below_it(tiers: tuple[Tier, ...]) -> None:
    for number, tier in enumerate(tiers[:-1], start=1):
        assert tier.up_to is not None
        at_bound = rate_units(tier.up_to, graduated(*tiers))
        assert max((part.tier or 0 for part in at_bound.parts), default=number) <= number


@given(price=prices(), rows=usage_rows)
def test_a_line_is_the_sum_of_its_parts_and_of_its_shares(price: Price, rows: list[UsageQuantity]) -> None:
    for line in rate_october(rows, card([book(price)])).lines:
        assert line.amount_minor == sum(part.amount_minor for part in line.parts)
        assert line.amount_minor == line.own_minor + sum(share.amount_minor for share in line.shares)
        assert line.metered == sum(share.metered for share in line.shares)
        assert line.events == sum(share.events for share in line.shares)
        for share in line.shares:
            assert share.amount_minor == sum(one.amount_minor for one in share.dimensions)
            assert share.amount_minor >= 0


@given(price=prices(), rows=usage_rows, seed=st.integers())
def test_the_order_of_usage_does_not_matter(price: Price, rows: list[UsageQuantity], seed: int) -> None:
    shuffled = rows.copy()
    random.Random(seed).shuffle(shuffled)
    assert rate_october(rows, card([book(price)])) == rate_october(shuffled, card([book(price)]))


@given(price=prices(), first=quantities, second=quantities)
def test_more_usage_never_costs_less(price: Price, first: Decimal, second: Decimal) -> None:
    less, more = sorted((first, second))
    if less > 0:  # from nothing to something, chargeAtZero or not, a fee may come or go
        assert rate_units(less, price).amount_minor <= rate_units(more, price).amount_minor


@given(rows=usage_rows, changes=st.lists(st.integers(-40, 40), min_size=1, max_size=4, unique=True))
def test_no_usage_is_lost_or_priced_twice_whatever_the_price_does(
    rows: list[UsageQuantity], changes: list[int]
) -> None:
    versions = [
        book(per_unit(str(number + 1)), number=number, since=FIRST_DAY + timedelta(days=day))
        for number, day in enumerate(sorted(changes), start=1)
    ]
    rating = rate_october(rows, card(versions))
    assert sum(line.metered for line in rating.lines) + sum(row.sum for row in rating.unpriced) == sum(
        row.figures.sum for row in rows
    )
    days = [(line.first_day, line.end_day) for line in rating.lines]
    assert all(earlier[1] <= later[0] for earlier, later in pairwise(days))


@given(
    metered=st.integers(0, 2**63 - 1),
    factor=st.fractions(Fraction(1, 2**60), 3600, max_denominator=2**60),
    unit_price=st.decimals(0, 1, places=12),
)
def test_conversion_and_price_are_exact_up_to_the_one_rounding(
    metered: int, factor: Fraction, unit_price: Decimal
) -> None:
    sold = sku(unit_factor=factor)
    exact = metered * factor * Fraction(unit_price)
    if exact * 100 < 2**63 - 1:
        rating = rate_october(
            [UsageQuantity(1, "requests", (), FIRST_DAY, Figures(metered, 1))],
            card([book(per_unit(str(unit_price)))], [sold]),
        )
        assert rating.lines[0].amount == settle(exact, "USD")


service_days = st.integers(1, 28).map(lambda day: (date(2026, 9, day), date(2026, 10, day)))
invoice_lines = st.lists(
    st.tuples(st.sampled_from(["A", "B", "C"]).map(revenue), st.integers(-(10**12), 10**12), service_days)
)


@given(invoice_lines)
def test_a_receivable_balances_whatever_the_lines(
    lines: list[tuple[AccountName, int, ServicePeriod]],
) -> None:
    entries = receivable_entries(lines, currency="USD")
    assert sum(entry.amount.minor for entry in entries) == 0
    assert all(entry.amount for entry in entries)
    assert len(entries) != 1
