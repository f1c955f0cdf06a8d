"""Percentages off a line, before or after it was rated; and amounts through another currency and back."""

from decimal import Decimal
from fractions import Fraction

from hypothesis import given
from hypothesis import strategies as st

from milo_billing.pricing.rules import fx
from milo_billing.pricing.rules.charges import charge, prepare
from milo_billing.pricing.rules.percentages import discount_line
from milo_billing.pricing.types import ExchangeRate
from tests.unit.pricing.builders import graduated, rate_units, tier
from tests.unit.pricing.test_fx import DAY


@given(
    units=st.integers(0, 10**6),
    maximum=st.none() | st.integers(0, 10**6),
    minimum=st.none() | st.integers(0, 10**3),
    percents=st.lists(st.decimals(0, 100, places=2), max_size=3),
)
def test_discounting_a_rated_line_is_rating_it_with_the_percentages(
    units: int, maximum: int | None, minimum: int | None, percents: list[Decimal]
) -> None:
    if maximum is not None and minimum is not None and minimum > maximum:
        minimum = maximum
    price = graduated(
        tier("1000", "0.017"),
        tier(None, "0.011", flat="3"),
        maximum=None if maximum is None else str(maximum),
        minimum=None if minimum is None else str(minimum),
    )
    line = discount_line(rate_units(units, price), percents)
    assert line.parts == charge(prepare(price, currency="USD"), Fraction(units), percents)
    assert line.amount_minor == sum(part.amount_minor for part in line.parts) >= 0
    assert line.amount_minor == sum(share.amount_minor for share in line.shares) + line.own_minor


@given(
    st.decimals("0.0001", "99999", places=4),
    st.decimals("0.0001", "99999", places=4),
    st.decimals("-1e9", "1e9", places=6),
)
def test_there_and_back_is_where_one_was(there: Decimal, back: Decimal, amount: Decimal) -> None:
    out, home = (
        ExchangeRate("ECB", DAY, "USD", "CHF", there, back),
        ExchangeRate("ECB", DAY, "CHF", "USD", back, there),
    )
    assert fx.convert(fx.convert(amount, out), home) == Fraction(amount)
