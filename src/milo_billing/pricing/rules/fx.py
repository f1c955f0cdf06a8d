"""Exchange rates: read what the European Central Bank publishes, cross two currencies through the euro (domain.md §2).

Owns: the form of the file, and exact conversion. Not: where rates are kept (store), which day's rate is used (reads).
"""

import csv
import io
import re
import zipfile
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import date
from decimal import Decimal
from fractions import Fraction
from typing import Final

from milo_billing.catalog.types import Price
from milo_billing.kernel.money import Currency, Exact, exponent, minor_to_decimal, settle
from milo_billing.kernel.quantity import fraction
from milo_billing.pricing.types import (
    Conversion,
    ExchangeRate,
    RatedLine,
    ReferenceRate,
    SubLine,
    UnreadableRates,
)

EURO: Final[Currency] = "EUR"

CSV_BYTES_MAX: Final = 32 * 1024 * 1024
"""Of a file once it is unpacked; the whole history since 1999 is under 2 MB."""

_ZIP_START = b"PK\x03\x04"
_CURRENCY = re.compile(r"[A-Z]{3}")
_DAY = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")
_SPELLED_DAY = re.compile(r"([0-9]{1,2}) ([A-Z][a-z]+) ([0-9]{4})")
_RATE = re.compile(r"[0-9]{1,15}(\.[0-9]{1,15})?")
_NOT_PUBLISHED = ("N/A", "")
_MONTHS = (
    "January", "February", "March", "April", "May", "June",
    "July", "August", "September", "October", "November", "December",
)  # fmt: skip


def parse_rates(content: bytes) -> tuple[ReferenceRate, ...]:
    """Every rate in a file of the ECB: `eurofxref-hist.csv`, `eurofxref.csv`, or one of them in a zip.

    The first line is `Date` and currencies, each other one a day and units per euro; N/A is not published. Raises
    UnreadableRates, which names the line, for anything else, and where there is no rate at all.
    """
    text = _text_of(content)
    rows = csv.reader(io.StringIO(text))
    header = [cell.strip() for cell in next(rows, list[str]())]
    currencies = header[1:-1] if header and header[-1] == "" else header[1:]
    wrong = next((name for name in currencies if not _CURRENCY.fullmatch(name) or name == EURO), None)
    if (
        header[:1] != ["Date"]
        or not currencies
        or wrong is not None
        or len(set(currencies)) < len(currencies)
    ):
        raise UnreadableRates(
            "line 1 of the exchange rates must be Date and currencies, each once, as in the ECB's eurofxref-hist.csv"
            + ("" if wrong is None else f"; {wrong!r} is none")
        )
    found = tuple(rate for row in rows if row for rate in _rates_of(row, currencies, line=rows.line_num))
    if not found:
        raise UnreadableRates("the file holds no exchange rate")
    return found


def _text_of(content: bytes) -> str:
    if content.startswith(_ZIP_START):
        content = _unpacked(content)
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise UnreadableRates(f"the exchange rates are neither a zip nor UTF-8 text: {error}") from error


def _unpacked(content: bytes) -> bytes:
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as packed:
            names = [name for name in packed.namelist() if name.endswith(".csv")]
            if len(names) != 1:
                raise UnreadableRates(f"the zip must hold one .csv file, not {len(names)}")
            with packed.open(names[0]) as file:
                text = file.read(CSV_BYTES_MAX + 1)
    except (zipfile.BadZipFile, zlib.error, EOFError, ValueError, RuntimeError) as error:
        raise UnreadableRates(f"the zip cannot be unpacked: {error}") from error
    if len(text) > CSV_BYTES_MAX:
        raise UnreadableRates(f"the file in the zip is larger than {CSV_BYTES_MAX} bytes")
    return text


def _rates_of(row: list[str], currencies: list[str], *, line: int) -> Iterator[ReferenceRate]:
    cells = [cell.strip() for cell in row]
    if cells[-1] == "" and len(cells) == len(currencies) + 2:
        cells.pop()
    if len(cells) != len(currencies) + 1:
        raise UnreadableRates(
            f"line {line} has {len(cells) - 1} rates, and the first line {len(currencies)} currencies"
        )
    day = _day_of(cells[0])
    if day is None:
        raise UnreadableRates(f"line {line}: {cells[0]!r} is not a day such as 2026-10-31")
    for currency, cell in zip(currencies, cells[1:], strict=True):
        if cell in _NOT_PUBLISHED:
            continue
        rate = Decimal(cell) if _RATE.fullmatch(cell) else Decimal(0)
        if not rate:
            raise UnreadableRates(f"line {line}: {cell!r} is not units of {currency} per euro")
        yield ReferenceRate(day, currency, rate)


def _day_of(text: str) -> date | None:
    """A day as in the history (2026-10-31) or as in the file of one day (31 October 2026)."""
    spelled = _SPELLED_DAY.fullmatch(text)
    try:
        if _DAY.fullmatch(text):
            return date.fromisoformat(text)
        if spelled is not None and spelled[2] in _MONTHS:
            return date(int(spelled[3]), _MONTHS.index(spelled[2]) + 1, int(spelled[1]))
    except ValueError:
        return None
    return None


def convert(amount: Exact, rate: ExchangeRate | Exact) -> Fraction:
    """An amount in the other currency, exact: nothing is rounded before it is settled there [FX-004]."""
    ratio = rate.rate if isinstance(rate, ExchangeRate) else fraction(rate)
    return fraction(amount) * ratio


def settle_converted(amount: Exact, rate: ExchangeRate) -> int:
    """An amount in minor units of the target currency: the one rounding of a conversion."""
    return settle(convert(amount, rate), rate.to_currency).minor


def before_conversion(amount_minor: Fraction, rate: ExchangeRate) -> Fraction:
    """The amount in minor units of `from_currency` that comes to this one of `to_currency`, exact."""
    minor_units = Fraction(10) ** (exponent(rate.from_currency) - exponent(rate.to_currency))
    return amount_minor / rate.rate * minor_units


def convert_parts(parts: Sequence[SubLine], *, price: Price, rate: ExchangeRate) -> tuple[SubLine, ...]:
    """The settled parts of a line in the target currency; quantities and unit prices stay the book's.

    What was exact is converted exact, and rounded once. Whether a maximum or a minimum acts was decided in the book's
    currency: the parts up to it then come to that bound, converted.
    """
    converted: list[SubLine] = []
    total_minor = 0
    for part in parts:
        bound = price.maximum if part.kind == "Maximum" else price.minimum if part.kind == "Minimum" else None
        if bound is None:
            minor = settle_converted(_exact_amount(part, price=price, currency=rate.from_currency), rate)
        else:
            minor = settle_converted(bound, rate) - total_minor
        total_minor += minor
        converted.append(part._replace(amount_minor=minor))
    return tuple(converted)


def convert_line(line: RatedLine, rate: ExchangeRate) -> RatedLine:
    """A line that no project has a share of, in the target currency: its amount is the account's own."""
    if line.shares:
        raise ValueError(
            f"the line of {line.sku.name} is shared by projects: it is converted before it is split"
        )
    parts = convert_parts(line.parts, price=line.price, rate=rate)
    amount_minor = sum(part.amount_minor for part in parts)
    return replace(
        line,
        currency=rate.to_currency,
        parts=parts,
        amount_minor=amount_minor,
        own_minor=amount_minor,
        conversion=Conversion(rate, line.parts, line.amount_minor),
    )


def _exact_amount(part: SubLine, *, price: Price, currency: Currency) -> Exact:
    """What the part came to before it was settled in the book's currency, where the part still says so."""
    exact: Exact | None = None
    if part.unit_price is not None:
        exact = part.quantity * Fraction(part.unit_price)
    elif part.kind == "FlatFee" and part.tier is not None and part.tier <= len(price.tiers):
        exact = price.tiers[part.tier - 1].flat_fee
    if exact is not None and settle(exact, currency).minor == part.amount_minor:
        return exact
    return minor_to_decimal(part.amount_minor, currency)
