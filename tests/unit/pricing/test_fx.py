"""Reading the ECB's files and converting amounts: exact until the one rounding in the target currency."""

import io
import zipfile
from datetime import date
from decimal import Decimal

import pytest

from milo_billing.pricing.rules import fx
from milo_billing.pricing.types import ExchangeRate, ReferenceRate, UnreadableRates

DAY = date(2026, 4, 10)


def exchange(from_currency: str, to_currency: str, legs: tuple[str, str]) -> ExchangeRate:
    return ExchangeRate("ECB", DAY, from_currency, to_currency, Decimal(legs[0]), Decimal(legs[1]))


def zipped(**files: str) -> bytes:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as file:
        for name, text in files.items():
            file.writestr(f"{name}.csv", text)
    return packed.getvalue()


HISTORY = "Date,USD,CYP,JPY,\n2026-04-13,1.1684,N/A,186.75,\n2008-01-02,1.4688,,161.02,\n"


@pytest.mark.parametrize("content", [HISTORY.encode(), zipped(history=HISTORY)])
def test_a_history_is_read_with_its_gaps_zipped_or_not(content: bytes) -> None:
    assert fx.parse_rates(content) == (
        ReferenceRate(date(2026, 4, 13), "USD", Decimal("1.1684")),
        ReferenceRate(date(2026, 4, 13), "JPY", Decimal("186.75")),
        ReferenceRate(date(2008, 1, 2), "USD", Decimal("1.4688")),
        ReferenceRate(date(2008, 1, 2), "JPY", Decimal("161.02")),
    )


def test_the_file_of_one_day_spells_its_date() -> None:
    (rate,) = fx.parse_rates(b"Date, USD, \n3 April 2026, 1.1700, \n")
    assert rate == ReferenceRate(date(2026, 4, 3), "USD", Decimal("1.1700"))


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "line 1"),
        (b"Day,USD\n2026-04-13,1\n", "line 1"),
        (b"Date,USD,USD\n2026-04-13,1,1\n", "line 1"),
        (b"Date,EUR\n2026-04-13,1\n", "'EUR' is none"),
        (b"Date,USD\n", "no exchange rate"),
        (b"Date,USD\n13.04.2026,1.1\n", "line 2: '13.04.2026' is not a day"),
        (b"Date,USD\n2026-02-30,1.1\n", "line 2: '2026-02-30' is not a day"),
        (b"Date,USD\n2026-04-13,-1.1\n", "line 2: '-1.1' is not units of USD per euro"),
        (b"Date,USD\n2026-04-13,0\n", "line 2: '0' is not units"),
        (b"Date,USD\n2026-04-13,NaN\n", "line 2: 'NaN' is not units"),
        (b"Date,USD,JPY\n2026-04-13,1.1\n", "line 2 has 1 rates"),
        (b"\xff\xfe", "neither a zip nor UTF-8"),
        (b"PK\x03\x04 and no more", "cannot be unpacked"),
        (zipped(one=HISTORY, two=HISTORY), "one .csv file, not 2"),
    ],
)
def test_a_file_that_says_something_else_is_refused_by_line(content: bytes, said: str) -> None:
    with pytest.raises(UnreadableRates, match=said.replace(".", r"\.")):
        fx.parse_rates(content)


def test_a_zip_that_unpacks_without_end_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fx, "CSV_BYTES_MAX", 20)
    with pytest.raises(UnreadableRates, match="larger than 20 bytes"):
        fx.parse_rates(zipped(history=HISTORY))


@pytest.mark.parametrize(
    ("amount", "rate", "minor"),
    [
        ("5.00", exchange("EUR", "USD", ("1", "1.1711")), 586),  # 5.8555
        ("5.00", exchange("USD", "EUR", ("1.1711", "1")), 427),  # 4.2694…
        ("5.00", exchange("USD", "CHF", ("1.1711", "0.9241")), 395),  # 3.9454…, across the euro
        ("1000", exchange("JPY", "USD", ("186.43", "1.1711")), 628),
        ("12.34", exchange("USD", "JPY", ("1.1711", "186.43")), 1964),  # no decimals there
        ("-5.00", exchange("EUR", "USD", ("1", "1.1711")), -586),
        (
            "0.004",
            exchange("JPY", "EUR", ("0.25", "1")),
            2,
        ),  # 0.016 EUR: nothing was rounded to whole yen before
    ],
)
def test_an_amount_is_rounded_once_in_the_target_currency(
    amount: str, rate: ExchangeRate, minor: int
) -> None:
    assert fx.settle_converted(Decimal(amount), rate) == minor
