"""Numbers, dates, units and addresses as the reader of a document writes them, after CLDR.

Amounts have exactly the digits that ISO 4217 gives the currency: CLDR differs for some, so its own are not used.
Money is printed with the currency's code: a symbol such as $ or ¥ belongs to several.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, timedelta
from decimal import Decimal
from functools import lru_cache
from typing import Final, cast

from babel import Locale
from babel.core import UnknownLocaleError
from babel.dates import format_date, format_interval
from babel.numbers import NumberPattern, format_compact_decimal, format_percent, parse_pattern

from milo_billing.adapters.document_strings import FALLBACK, STRINGS, Strings
from milo_billing.invoicing.types.documents import PostalAddress
from milo_billing.kernel.money import exponent, minor_to_decimal
from milo_billing.kernel.quantity import fraction, shown_decimal

_NBSP: Final = "\u00a0"
_QUANTITY_PLACES: Final = 6
_QUANTITY_PLACES_MAX: Final = 12
_PRICE_PLACES_MAX: Final = 18
_QUANTITY: Final = f"#,##0.{'#' * _QUANTITY_PLACES_MAX}"

_NUMBER: Final = re.compile(r"(?:10[*^](?P<power>\d{1,2})|(?P<count>\d{1,18}))(?P<name>{.*})?")
_BYTE_PREFIXES: Final = frozenset({"k", "M", "G", "T", "P", "Ki", "Mi", "Gi", "Ti", "Pi"})
_UNIT_NAMES: Final = {"1": "", "By": "B", "bit": "bit", "mo": "month", "wk": "week", "a": "year", "Cel": "°C"}


@dataclass(frozen=True, slots=True)
class Formats:
    """How one reader writes things."""

    locale: Locale
    strings: Strings

    @property
    def language(self) -> str:
        """ISO 639, for hyphenation and for screen readers."""
        return self.locale.language

    @property
    def region(self) -> str | None:
        """ISO 3166, where the reader named one."""
        return self.locale.territory

    def day(self, day: date) -> str:
        """A date in words, as in a letter."""
        return format_date(day, "long", locale=self.locale)

    def days(self, first: date, end: date) -> str:
        """The days `[first, end)`, by the first and the last of them: `Oct 1 – 31, 2026`."""
        last = end - timedelta(days=1)
        if first == last:
            return format_date(first, "medium", locale=self.locale)
        return str(format_interval(first, last, skeleton="yMMMd", locale=self.locale))

    def amount(self, minor: int, currency: str) -> str:
        """An amount without its currency, for a column whose head names it."""
        pattern = "#,##0" + _decimals(exponent(currency))
        return _apply(pattern, minor_to_decimal(minor, currency), self.locale)

    def money(self, minor: int, currency: str) -> str:
        """An amount with the currency's code where the language puts it: `USD 47.61`, `47,61 EUR`."""
        number = self.amount(minor, currency)
        leads = self.locale.currency_formats["standard"].pattern.lstrip("\u200e\u200f").startswith("¤")
        return f"{currency}{_NBSP}{number}" if leads else f"{number}{_NBSP}{currency}"

    def unit_price(self, price: Decimal, currency: str) -> str:
        """A price with all its digits, and at least those of the currency."""
        least = exponent(currency)
        pattern = f"#,##0.{'0' * least}{'#' * (_PRICE_PLACES_MAX - least)}"
        return _apply(pattern, price, self.locale)

    def percent(self, rate: Decimal) -> str:
        """A rate as percents, with all its digits: `2.5%`, `2,5 %`."""
        pattern = self.locale.percent_formats[None].pattern
        pattern = pattern.replace("#,##0", f"#,##0.{'#' * _PRICE_PLACES_MAX}")
        return format_percent(rate, format=pattern, locale=self.locale)

    def quantity(self, quantity: Decimal) -> str:
        """Six decimals at most; twelve where six would print something as nothing."""
        exact = fraction(quantity)
        shown = shown_decimal(exact, places_max=_QUANTITY_PLACES)
        if shown == 0 and exact != 0:
            shown = shown_decimal(exact, places_max=_QUANTITY_PLACES_MAX)
        return _apply(_QUANTITY, shown, self.locale)

    def unit(self, ucum: str) -> str:
        """A UCUM unit as people write it: `10*6.{token}` is `1M token`, `GiBy.h` is `GiB·h`, `1` is nothing."""
        return _unit(ucum, self.locale)

    def address(self, address: PostalAddress, *, sent_from: str) -> tuple[str, ...]:
        """The lines of an address in the order of its country; the country itself only in letters abroad."""
        street = [address.line1, address.line2]
        lines = [line for line in _address_lines(address, street) if line.strip()]
        if address.country and address.country != sent_from:
            territories = cast("Mapping[str, str]", self.locale.territories)
            lines.append(territories.get(address.country, address.country))
        return tuple(lines)


def formats_for(language: str) -> Formats:
    """The formats of a BCP 47 language tag such as `de`, `de-AT` or `ja-JP`; American English for an unknown one."""
    try:
        locale = Locale.parse(language, sep="-")
    except (UnknownLocaleError, ValueError):
        locale = Locale.parse(FALLBACK)
    if locale.language not in STRINGS:
        locale = Locale.parse(FALLBACK)
    return Formats(locale=locale, strings=STRINGS[locale.language])


def _decimals(digits: int) -> str:
    return f".{'0' * digits}" if digits else ""


@lru_cache(maxsize=1024)
def _unit(ucum: str, locale: Locale) -> str:
    factor, unit = _read_unit(ucum)
    if factor == 1:
        return unit
    shown = _factor(factor, locale)
    return f"{shown}{_NBSP}{unit}" if unit else shown


def _factor(factor: Decimal, locale: Locale) -> str:
    """`1M` for a million where the language has such a word for a round power, else all digits."""
    if factor >= 1000 and factor.normalize().as_tuple().digits == (1,):
        return format_compact_decimal(int(factor), format_type="short", locale=locale)
    return _apply("#,##0", factor, locale)


def _apply(pattern: str, number: Decimal, locale: Locale) -> str:
    return _parsed(pattern).apply(number, locale)


@lru_cache(maxsize=256)
def _parsed(pattern: str) -> NumberPattern:
    """Babel parses a pattern anew for each number that it formats: half the time of a page's texts."""
    return parse_pattern(pattern)


def _read_unit(ucum: str) -> tuple[Decimal, str]:
    """The number that a unit counts by, and the unit."""
    factor, names = Decimal(1), list[str]()
    for part in re.split(r"[.](?![^{]*})", ucum):
        named = part
        if (number := _NUMBER.fullmatch(part)) is not None:
            factor *= Decimal(10) ** int(number["power"]) if number["power"] else int(number["count"])
            named = number["name"] or ""
        if named and (name := "/".join(_unit_name(side) for side in re.split(r"/(?![^{]*})", named))):
            names.append(name)
    return factor, "·".join(names)


def _unit_name(part: str) -> str:
    """One unit of a product or quotient. An annotation in braces names what is counted; after a unit it explains it."""
    if (match := re.fullmatch(r"([^{}]*)\{([^{}]*)\}", part)) is not None:
        return match[2] if match[1] in ("", "1") else f"{_unit_name(match[1])} {match[2]}"
    if part.endswith("By") and part[:-2] in _BYTE_PREFIXES:
        return part[:-1]
    return _UNIT_NAMES.get(part, part)


def _address_lines(address: PostalAddress, street: list[str]) -> list[str]:
    city, region, postal_code = address.city, address.region, address.postal_code
    match address.country:
        case "JP":
            return [f"〒{postal_code}" if postal_code else "", f"{region}{city}", *street]
        case "US" | "CA" | "AU":
            return [
                *street,
                f"{city}, {region} {postal_code}".strip(", ") if region else f"{city} {postal_code}",
            ]
        case "GB" | "IE":
            return [*street, city, region, postal_code]
        case _:
            return [*street, f"{postal_code} {city}".strip(), region]
