"""Splitting conserves, settling is exact (domain.md §2)."""

from decimal import Decimal
from fractions import Fraction

from hypothesis import given
from hypothesis import strategies as st

from milo_billing.kernel.ids import id_ms, int_to_ulid, ulid, ulid_to_int, uuid7
from milo_billing.kernel.money import Money, allocate, exponent, half_up, settle
from milo_billing.kernel.quantity import finite_decimal, fraction, shown_decimal

currencies = st.sampled_from(["JPY", "USD", "EUR", "KWD", "CLF"])
weights = st.one_of(
    st.integers(0, 10**18),
    st.fractions(0, 10**6, max_denominator=10**6),
    st.decimals(0, 10**6, allow_nan=False, places=6),
)


@given(total=st.integers(-(2**62), 2**62), shares=st.dictionaries(st.text(), weights, min_size=1))
def test_the_parts_sum_to_the_whole(total: int, shares: dict[str, int | Fraction | Decimal]) -> None:
    if not any(shares.values()):
        total = 0
    parts = allocate(total, list(shares.items()))
    assert sum(parts.values()) == total
    assert parts.keys() == shares.keys()


@given(total=st.integers(0, 10**12), shares=st.dictionaries(st.integers(), st.integers(0, 10**9), min_size=1))
def test_no_part_is_a_whole_unit_away_from_its_exact_share(total: int, shares: dict[int, int]) -> None:
    whole = sum(shares.values())
    if whole == 0:
        return
    for key, part in allocate(total, list(shares.items())).items():
        exact = Fraction(total * shares[key], whole)
        assert abs(part - exact) < 1
        assert part == 0 or shares[key] > 0


@given(total=st.integers(0, 10**12), shares=st.dictionaries(st.integers(), st.integers(1, 10**9), min_size=1))
def test_a_split_does_not_depend_on_the_order_of_its_weights(total: int, shares: dict[int, int]) -> None:
    forwards = list(shares.items())
    assert allocate(total, forwards) == allocate(total, forwards[::-1])
    assert allocate(-total, forwards) == {key: -part for key, part in allocate(total, forwards).items()}


@given(amount=st.fractions(-(10**12), 10**12), currency=currencies)
def test_settling_moves_an_amount_by_half_a_minor_unit_at_most(amount: Fraction, currency: str) -> None:
    scaled = amount * 10 ** exponent(currency)
    settled = settle(amount, currency)
    assert abs(settled.minor - scaled) <= Fraction(1, 2)
    assert settle(-amount, currency) == -settled


@given(minor=st.integers(-(2**63), 2**63 - 1), currency=currencies)
def test_money_survives_the_way_through_decimal(minor: int, currency: str) -> None:
    money = Money(minor, currency)
    assert settle(money.decimal(), currency) == money
    assert -int(money.decimal().as_tuple().exponent) == exponent(currency)


@given(numerator=st.integers(), denominator=st.integers(1))
def test_half_up_agrees_with_decimal_rounding(numerator: int, denominator: int) -> None:
    sign = -1 if numerator < 0 else 1
    magnitude = Fraction(abs(numerator), denominator) + Fraction(1, 2)
    assert half_up(numerator, denominator) == sign * (magnitude.numerator // magnitude.denominator)


@given(st.decimals(allow_nan=False, allow_infinity=False, min_value=-(10**15), max_value=10**15, places=9))
def test_a_decimal_survives_the_way_through_a_fraction(value: Decimal) -> None:
    assert finite_decimal(fraction(value)) == value
    assert shown_decimal(fraction(value), places_max=9) == value


@given(ms=st.integers(0, 2**48 - 1), random80=st.integers(0, 2**80 - 1))
def test_ulids_keep_their_bits_and_their_time(ms: int, random80: int) -> None:
    text = ulid(ms, random80)
    assert ulid_to_int(text) == ms << 80 | random80
    assert int_to_ulid(ulid_to_int(text.lower())) == text
    assert id_ms(ulid_to_int(text)) == ms


@given(first=st.integers(0, 2**48 - 1), second=st.integers(0, 2**48 - 1), bits=st.integers(0, 2**74 - 1))
def test_uuid7_is_well_formed_and_sorts_by_time(first: int, second: int, bits: int) -> None:
    early, late = sorted((first, second))
    assert uuid7(early, bits).version == 7
    assert uuid7(early, bits).variant == "specified in RFC 4122"
    assert id_ms(uuid7(late, bits).int) == late
    if early < late:
        assert uuid7(early, bits) < uuid7(late, 2**74 - 1 - bits)
