"""Numbers, dates, units and addresses in the reader's language."""

from datetime import date
from decimal import Decimal
from pathlib import Path

import pytest

from milo_billing.adapters import font_coverage
from milo_billing.adapters.document_formats import formats_for
from milo_billing.adapters.document_strings import STRINGS
from milo_billing.invoicing.types.documents import PostalAddress

NBSP, THIN = "\u00a0", "\u202f"


@pytest.mark.parametrize(
    ("language", "minor", "currency", "shown"),
    [
        ("en", 123_456_789, "USD", f"USD{NBSP}1,234,567.89"),
        ("de", 123_456_789, "EUR", f"1.234.567,89{NBSP}EUR"),
        ("de-CH", 123_456_789, "CHF", f"CHF{NBSP}1’234’567.89"),
        ("fr", 123_456_789, "EUR", f"1{THIN}234{THIN}567,89{NBSP}EUR"),
        ("ja", 4500, "JPY", f"JPY{NBSP}4,500"),
        ("en", 1_234_567, "KWD", f"KWD{NBSP}1,234.567"),
        ("en", 12_345, "CLF", f"CLF{NBSP}1.2345"),  # four digits, whatever CLDR says
        ("en", -500, "USD", f"USD{NBSP}-5.00"),
        ("en", 2**63 - 1, "USD", f"USD{NBSP}92,233,720,368,547,758.07"),
        ("es", 100, "USD", f"USD{NBSP}1.00"),  # no Spanish words, so no Spanish numbers either
        ("nonsense", 100, "USD", f"USD{NBSP}1.00"),
        ("", 100, "USD", f"USD{NBSP}1.00"),
    ],
)
def test_money_has_the_currencys_digits_and_the_languages_marks(
    language: str, minor: int, currency: str, shown: str
) -> None:
    assert formats_for(language).money(minor, currency) == shown


@pytest.mark.parametrize(
    ("language", "first", "end", "shown"),
    [
        ("en", "2026-10-01", "2026-11-01", "Oct 1 – 31, 2026"),
        ("en-GB", "2026-10-01", "2026-11-01", "1–31 Oct 2026"),
        ("de", "2026-12-15", "2027-01-15", "15. Dez. 2026 – 14. Jan. 2027"),
        ("ja", "2026-10-01", "2026-11-01", "2026年10月1日～31日"),
        ("en", "2026-10-01", "2026-10-02", "Oct 1, 2026"),
    ],
)
def test_a_period_shows_its_first_and_last_day(language: str, first: str, end: str, shown: str) -> None:
    days = formats_for(language).days(date.fromisoformat(first), date.fromisoformat(end))
    assert days.replace("\u2009", " ") == shown


@pytest.mark.parametrize(
    ("quantity", "shown"),
    [
        ("18.059974", "18.059974"),
        ("18059974.0000001", "18,059,974"),
        ("0.333333333333", "0.333333"),
        ("0.00000001", "0.00000001"),  # six decimals would show nothing
        ("0", "0"),
        ("1E+3", "1,000"),
    ],
)
def test_a_quantity_has_six_decimals_at_most_unless_it_would_vanish(quantity: str, shown: str) -> None:
    assert formats_for("en").quantity(Decimal(quantity)) == shown


@pytest.mark.parametrize(
    ("price", "currency", "shown"),
    [
        ("2.5", "USD", "2.50"),
        ("0.0000025", "USD", "0.0000025"),
        ("250", "JPY", "250"),
        ("0.1", "JPY", "0.1"),
        ("0.1", "KWD", "0.100"),
    ],
)
def test_a_unit_price_keeps_every_digit(price: str, currency: str, shown: str) -> None:
    assert formats_for("en").unit_price(Decimal(price), currency) == shown


@pytest.mark.parametrize(
    ("ucum", "shown"),
    [
        ("10*6.{token}", f"1M{NBSP}token"),
        ("10*3{request}", f"1K{NBSP}request"),
        ("10*6", "1M"),
        ("1000.{request}", f"1K{NBSP}request"),
        ("250.{request}", f"250{NBSP}request"),
        ("{request}", "request"),
        ("GiBy", "GiB"),
        ("GBy.h", "GB·h"),
        ("{token}/min", "token/min"),
        ("h", "h"),
        ("1", ""),
        ("{odd.name/here}", "odd.name/here"),
    ],
)
def test_a_unit_is_written_as_people_do(ucum: str, shown: str) -> None:
    assert formats_for("en").unit(ucum) == shown


@pytest.mark.parametrize(
    ("language", "address", "lines"),
    [
        (
            "en",
            PostalAddress("US", "1 Main St", "", "Springfield", "IL", "62701"),
            "1 Main St|Springfield, IL 62701|United States",
        ),
        ("de", PostalAddress("FR", "1 rue X", "", "Paris", "", "75007"), "1 rue X|75007 Paris|Frankreich"),
        (
            "en",
            PostalAddress("GB", "1 High St", "", "London", "", "EC1A 1AA"),
            "1 High St|London|EC1A 1AA|United Kingdom",
        ),
        (
            "ja",
            PostalAddress("JP", "丸の内1-9-1", "", "千代田区", "東京都", "100-6738"),
            "〒100-6738|東京都千代田区|丸の内1-9-1|日本",
        ),
        ("en", PostalAddress("IE", "", "", "Dublin", "", ""), "Dublin"),
    ],
)
def test_an_address_follows_its_country(language: str, address: PostalAddress, lines: str) -> None:
    assert "|".join(formats_for(language).address(address, sent_from="IE")) == lines


def test_every_text_of_every_language_can_be_shown_with_the_shipped_fonts() -> None:
    folder = Path(font_coverage.__file__).parent / "fonts"
    coverage = font_coverage.read_coverage(folder.glob("*.otf"))
    for language, strings in STRINGS.items():
        texts = [value for name in strings.__slots__ if isinstance(value := getattr(strings, name), str)]
        for text in (*texts, *strings.tax_ids.values()):
            assert font_coverage.fit(text, coverage=coverage) == text, (language, text)


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("Zoé", "Zoé"),
        ("Zoe\u0301", "Zoé"),
        ("髙﨑", "髙﨑"),
        ("a\tb\u2028c", "a b c"),
        ("\x00a\x07b", "ab"),
        ("go 🚀️", "go □"),
    ],
)
def test_a_text_is_fitted_to_the_fonts(text: str, shown: str) -> None:
    folder = Path(font_coverage.__file__).parent / "fonts"
    coverage = font_coverage.read_coverage(folder.glob("*.otf"))
    assert font_coverage.fit(text, coverage=coverage) == shown


def test_a_file_that_is_no_font_is_named(tmp_path: Path) -> None:
    broken = tmp_path / "broken.otf"
    broken.write_bytes(b"OTTO" + bytes(8))
    with pytest.raises(ValueError, match=r"broken\.otf is not an OpenType font"):
        font_coverage.read_coverage([broken])
