"""Rating loses nothing, whatever the prices, the usage and its order; the books balance over any invoice."""

import random
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import replace
from datetime import date, timedelta
from decimal import ROUND_HALF_UP, Decimal
from fractions import Fraction
from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from milo_billing.catalog.types import Price, PriceModel, Tier
from milo_billing.kernel.aggregation import Figures
from milo_billing.kernel.money import settle
from milo_billing.ledger.rules.posting import receivable_entries
from milo_billing.ledger.types import AccountName, ServicePeriod, revenue
from milo_billing.pricing.types import RatedLine, UsageQuantity
from tests.unit.pricing.builders import (
    FIRST_DAY,
    book,
    card,
    graduated,
    per_unit,
    percentage,
    price_of,
    rate_october,
    rate_units,
    sku,
    stairstep,
)

amounts = st.decimals(0, 1000, places=5)
bounds = st.lists(st.decimals(Decimal("0.001"), 10_000, places=3), max_size=5, unique=True).map(sorted)
quantities = st.decimals(0, 20_000, places=4)
sizes = st.decimals(Decimal("0.001"), 5_000, places=3)


@st.composite
def tier_lists(draw: st.DrawFn) -> tuple[Tier, ...]:
    ends = [*draw(bounds), None]
    return tuple(Tier(end, draw(amounts), draw(amounts), draw(st.booleans())) for end in ends)


MODELS: tuple[PriceModel, ...] = ("PerUnit", "Graduated", "Volume", "Package", "Stairstep", "Flat")
TIERED = ("Graduated", "Volume", "Stairstep")


@st.composite
def prices(draw: st.DrawFn, *, models: Sequence[PriceModel] = MODELS) -> Price:
    limits = st.none() | amounts.map(str)
    model = draw(st.sampled_from(models))
    return price_of(
        model,
        None if model in TIERED else str(draw(amounts)),
        tiers=draw(tier_lists()) if model in TIERED else (),
        package_size=str(draw(sizes)) if model == "Package" else None,
        included=str(draw(quantities)),
        minimum=draw(limits),
        maximum=draw(limits),
        at_zero=model == "Flat" and draw(st.booleans()),
    )


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


@given(price=prices(models=("PerUnit", "Graduated", "Package", "Flat")), first=quantities, second=quantities)
def test_more_usage_never_costs_less(price: Price, first: Decimal, second: Decimal) -> None:
    """Volume prices may fall where a tier is entered, and steps as they are written."""
    less, more = sorted((first, second))
    if less > 0:  # from nothing to something, chargeAtZero or not, a fee may come or go
        assert rate_units(less, price).amount_minor <= rate_units(more, price).amount_minor


@given(tiers=tier_lists(), first=quantities, second=quantities)
def test_more_usage_never_costs_less_on_steps_that_rise(
    tiers: tuple[Tier, ...], first: Decimal, second: Decimal
) -> None:
    fees = sorted(tier.flat_fee for tier in tiers)
    rising = stairstep(*(replace(tier, flat_fee=fee) for tier, fee in zip(tiers, fees, strict=True)))
    less, more = sorted((first, second))
    if less > 0:
        assert rate_units(less, rising).amount_minor <= rate_units(more, rising).amount_minor


@given(price=prices(models=("Volume",)), quantity=quantities)
def test_a_volume_price_is_that_of_the_tier_reached_for_everything(price: Price, quantity: Decimal) -> None:
    billable = max(quantity - price.included_quantity, Decimal(0))
    tier = next(tier for tier in price.tiers if tier.up_to is None or billable <= tier.up_to)
    due = 0
    if billable:
        due = cents(tier.flat_fee) + cents(billable * tier.unit_price)
    elif price.tiers[0].charge_at_zero:
        due = cents(price.tiers[0].flat_fee)
    if price.maximum is not None:
        due = min(due, cents(price.maximum))
    if price.minimum is not None:
        due = max(due, cents(price.minimum))
    assert rate_units(quantity, price).amount_minor == due


pieces = st.lists(
    st.tuples(st.integers(0, 10**6), st.integers(1, 4), st.integers(0, 30)), min_size=1, max_size=12
)


def used(pieces: Iterable[tuple[int, int, int]]) -> list[UsageQuantity]:
    """Rows of usage: units, project, days after the first."""
    return [
        UsageQuantity(project, "requests", (), FIRST_DAY + timedelta(days=days), Figures(units, 1))
        for units, project, days in pieces
    ]


@given(price=prices(), pieces=pieces)
def test_a_period_costs_the_same_however_its_usage_comes(
    price: Price, pieces: list[tuple[int, int, int]]
) -> None:
    (line,) = rate_october(used(pieces), card([book(price)])).lines
    assert line.parts == rate_units(sum(units for units, _, _ in pieces), price).parts


@given(price=prices(), pieces=pieces, cuts=st.sets(st.integers(1, 11)))
def test_invoices_within_a_period_add_up_to_its_parts(
    price: Price, pieces: list[tuple[int, int, int]], cuts: set[int]
) -> None:
    """Each is the period so far less what was billed, part by part (domain.md §4); the cuts leave no trace."""
    invoiced: Counter[tuple[str, int | None]] = Counter()
    for cut in sorted({*cuts, len(pieces)}):
        (so_far,) = rate_october(used(pieces[:cut]), card([book(price)])).lines
        now = by_part(so_far)
        invoice = {key: now[key] - invoiced[key] for key in {*now, *invoiced}}
        for key, amount_minor in invoice.items():
            invoiced[key] += amount_minor
    (period,) = rate_october(used(pieces), card([book(price)])).lines
    assert {key: due for key, due in invoiced.items() if due} == {
        key: due for key, due in by_part(period).items() if due
    }
    assert sum(invoiced.values()) == period.amount_minor


def by_part(line: RatedLine) -> Counter[tuple[str, int | None]]:
    found: Counter[tuple[str, int | None]] = Counter()
    for part in line.parts:
        found[part.kind, part.tier] += part.amount_minor
    return found


@given(
    percents=st.lists(st.decimals(0, 50, places=3), min_size=1, max_size=3),
    pieces=pieces,
    minimum=st.none() | amounts.map(str),
)
def test_percentages_are_of_what_was_settled_and_lose_nothing(
    percents: list[Decimal], pieces: list[tuple[int, int, int]], minimum: str | None
) -> None:
    """A chain of percentages, each of the one before; shares add up whoever has a part in the base."""
    names = ["requests", *[f"fee-{number}" for number in range(len(percents))]]
    chain = [
        percentage(str(percent), [base], sku=name, at_zero=True)
        for percent, (base, name) in zip(percents, pairwise(names), strict=True)
    ]
    prices = [per_unit("0.0123", minimum=minimum), *chain]
    skus = [sku(name, meter=name) for name in names]
    lines = {line.sku.name: line for line in rate_october(used(pieces), card([book(*prices)], skus)).lines}
    for percent, (base, name) in zip(percents, pairwise(names), strict=True):
        due = cents(Decimal(lines[base].amount_minor) * percent / 10_000) if base in lines else 0
        assert (lines[name].amount_minor if name in lines else 0) == due
    for line in lines.values():
        assert line.amount_minor == line.own_minor + sum(share.amount_minor for share in line.shares)
        for share in line.shares:
            assert share.amount_minor == sum(one.amount_minor for one in share.dimensions)


@given(pieces=pieces, days=st.sets(st.integers(1, 30), max_size=3))
def test_a_percentage_that_changes_is_of_the_whole_base_in_the_end(
    pieces: list[tuple[int, int, int]], days: set[int]
) -> None:
    versions = [
        book(
            per_unit("1"),
            percentage(str(number + 1), ["requests"], sku="fee", at_zero=True),
            number=number + 1,
            since=FIRST_DAY + timedelta(days=day),
        )
        for number, day in enumerate([0, *sorted(days)])
    ]
    skus = [sku(name, meter=name) for name in ("requests", "fee")]
    lines = rate_october(used(pieces), card(versions, skus)).lines
    bases = [part.quantity for line in lines if line.sku.name == "fee" for part in line.parts]
    assert sum(bases) * 100 == sum(line.amount_minor for line in lines if line.sku.name == "requests")


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
