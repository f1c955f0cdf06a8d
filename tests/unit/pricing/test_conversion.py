"""Lines of books in other currencies: which parts are converted exactly, and what a bound comes to; files of rates."""

import io
import tracemalloc
import zipfile
from dataclasses import replace
from datetime import date
from decimal import Decimal
from fractions import Fraction

import pytest

from milo_billing.catalog.types import Price
from milo_billing.pricing.rules import fx
from milo_billing.pricing.rules.one_time import rate_charges
from milo_billing.pricing.rules.quotes import quotes_of
from milo_billing.pricing.types import (
    BookSource,
    Conversion,
    ExchangeRate,
    OneTimeCharge,
    RateCard,
    ReferenceRate,
    UnreadableRates,
)
from tests.unit.pricing.builders import (
    book,
    card,
    flat,
    graduated,
    meter,
    per_unit,
    rate_october,
    rate_units,
    sku,
    tier,
    usage,
    volume,
)

CHF = ExchangeRate("ECB", date(2026, 10, 30), "USD", "CHF", Decimal("1.25"), Decimal(1))  # 0.8
JPY = ExchangeRate("ECB", date(2026, 10, 30), "JPY", "CHF", Decimal(160), Decimal(1))  # 1/160


def converted(price: Price, units: int) -> list[tuple[str, int]]:
    default = BookSource("Default", "list", (book(price),))
    card = RateCard("CHF", (default,), {"requests": sku()}, {"requests": meter()}, {"USD": CHF})
    (line,) = rate_october([usage(units)], card).lines
    return [(part.kind, part.amount_minor) for part in line.parts]


@pytest.mark.parametrize(
    ("price", "units", "expected"),
    [
        # 0.50 + 0.50 is held to 0.80, which is 1.00 USD; the cap by itself would be 0.208, and leave 0.79
        (
            graduated(tier("1", "0.63"), tier(None, "0.63"), maximum="1"),
            2,
            [("Usage", 50), ("Usage", 50), ("Maximum", -20)],
        ),
        # fees are exact: 0.006 × 0.8 is no cent, though 0.01 × 0.8 would be one; 0.015 × 0.8 is one, not two
        (
            graduated(tier("1", "0", flat="0.006"), tier(None, "0", flat="0.015")),
            2,
            [("FlatFee", 0), ("FlatFee", 1)],
        ),
        # a flat price says no more than its settled cent, which is 0.008
        (flat("0.006"), 1, [("FlatFee", 1)]),
    ],
)
def test_parts_are_converted_from_what_they_were_before_they_were_settled(
    price: Price, units: int, expected: list[tuple[str, int]]
) -> None:
    assert converted(price, units) == expected


def test_minor_units_of_two_currencies_are_not_the_same_size() -> None:
    assert fx.before_conversion(Fraction(100), JPY) == 160  # 1.00 CHF is 160 yen, which have no hundredths
    assert fx.before_conversion(Fraction(100), CHF) == 125


def test_a_line_that_is_the_accounts_own_is_converted_whole() -> None:
    sold = replace(sku("setup", meter=""), charge_type="OneTime")
    price_on = quotes_of(card([book(per_unit("0.333", sku="setup"), number=3)], [sold]))
    charge = OneTimeCharge("setup", "setup", date(2026, 10, 3), Decimal(100))
    (line,) = rate_charges([charge], price_on).lines
    found = fx.convert_line(line, CHF)
    (part,) = line.parts
    assert found == replace(
        line,
        currency="CHF",
        parts=(part._replace(amount_minor=2664),),
        amount_minor=2664,
        own_minor=2664,
        conversion=Conversion(CHF, (part,), 3330),
    )


def test_the_bounds_of_a_line_that_is_the_accounts_own_are_converted_too() -> None:
    default = BookSource("Default", "list", (book(flat("20", minimum="25", at_zero=True)),))
    (line,) = rate_october([], RateCard("USD", (default,), {"requests": sku()}, {"requests": meter()})).lines
    found = fx.convert_line(line, CHF)
    assert [(part.kind, part.amount_minor) for part in found.parts] == [("FlatFee", 1600), ("Minimum", 400)]


def test_a_line_that_projects_share_is_not_converted_afterwards() -> None:
    with pytest.raises(
        ValueError, match="requests is shared by projects: it is converted before it is split"
    ):
        fx.convert_line(rate_units(1, per_unit("1")), CHF)


def test_a_tier_without_a_fee_has_no_part_for_it() -> None:
    assert converted(volume(tier("1", "1", flat="3"), tier(None, "2")), 2) == [("Usage", 320)]


# ----------------------------------------------------------------------------------------- files of rates


@pytest.mark.parametrize(
    ("number", "month"),
    [
        (1, "January"),
        (2, "February"),
        (3, "March"),
        (4, "April"),
        (5, "May"),
        (6, "June"),
        (7, "July"),
        (8, "August"),
        (9, "September"),
        (10, "October"),
        (11, "November"),
        (12, "December"),
    ],
)
def test_months_are_spelled_in_english(number: int, month: str) -> None:
    assert fx.parse_rates(f"Date, USD, \n3 {month} 2026, 1.17, \n".encode()) == (
        ReferenceRate(date(2026, number, 3), "USD", Decimal("1.17")),
    )


def test_a_last_currency_may_have_no_rate_and_a_line_no_more_rates_than_currencies() -> None:
    assert fx.parse_rates(b"Date,USD,JPY\n2026-04-13,1.1,\n") == (
        ReferenceRate(date(2026, 4, 13), "USD", Decimal("1.1")),
    )
    with pytest.raises(UnreadableRates, match=r"^line 2 has 2 rates, and the first line 1 currencies$"):
        fx.parse_rates(b"Date,USD\n2026-04-13,1.1,1.2\n")


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (
            b"Day,USD\n2026-04-13,1\n",
            "line 1 of the exchange rates must be Date and currencies, each once, as in the ECB's eurofxref-hist.csv",
        ),
        (
            b"Date,usd\n2026-04-13,1\n",
            "line 1 of the exchange rates must be Date and currencies, each once, as in the ECB's eurofxref-hist.csv;"
            " 'usd' is none",
        ),
        (b"Date,USD\n", "the file holds no exchange rate"),
    ],
)
def test_a_refusal_says_what_a_file_of_rates_is(content: bytes, said: str) -> None:
    with pytest.raises(UnreadableRates) as refused:
        fx.parse_rates(content)
    assert str(refused.value) == said


def zipped(content: bytes) -> bytes:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as file:
        file.writestr("rates.csv", content)
    return packed.getvalue()


def test_a_zip_is_unpacked_up_to_the_limit_and_no_further(monkeypatch: pytest.MonkeyPatch) -> None:
    history = b"Date,USD\n2026-04-13,1.1\n"
    monkeypatch.setattr(fx, "CSV_BYTES_MAX", len(history))
    assert len(fx.parse_rates(zipped(history))) == 1
    vast = zipped(bytes(16_000_000))
    tracemalloc.start()
    with pytest.raises(UnreadableRates, match="larger than 24 bytes"):
        fx.parse_rates(vast)
    _, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert most < 4_000_000
