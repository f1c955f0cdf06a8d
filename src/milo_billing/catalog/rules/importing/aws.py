"""AWS prices in CSV, as infracost prints them: a row a component, whose name says the tier it is in.

Two headers are read: unit prices (`unit_price_usd`, `per_unit`) and monthly charges (`monthly_qty`, `unit`,
`monthly_cost_usd`), from which a unit price is the decimal with the fewest digits that gives the charge to the cent.

Rows `… (first 10TB)`, `… (next 40TB)`, `… (over 50TB)` after one another are the tiers of one graduated price. Where a
charge fills a tier its quantity is the width, otherwise the text is. AWS counts bytes by 1024 and all else by 1000.
"""

import csv
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from decimal import ROUND_HALF_UP, Decimal
from fractions import Fraction
from io import StringIO
from typing import Final

from milo_billing.catalog.rules import units
from milo_billing.catalog.rules.importing import reading
from milo_billing.catalog.rules.importing.metrics import Metric, read_metric, scale_of
from milo_billing.catalog.rules.importing.parts import sell_part
from milo_billing.catalog.rules.importing.reading import UnableToReadPrices
from milo_billing.catalog.rules.importing.values import (
    DECIMALS_MAX,
    Gathering,
    PriceList,
    Step,
    Steps,
    flat,
    merged,
)
from milo_billing.catalog.types import IncompatibleUnits
from milo_billing.kernel.quantity import finite_decimal

PART: Final = "component"
CENTS: Final = 2

_TIER = re.compile(
    r"(?P<component>.*?)\s*\((?P<place>first|next|over)\s+(?P<size>[\d,.]+)\s*(?P<scale>[KMGTPB]?B?)\)",
    re.IGNORECASE,
)
_IDENTITY: Final = ("resource", "component")


@dataclass(frozen=True, slots=True)
class Row:
    """A line of the file. `place` is the tier it is in, empty where it is in none; `quantity` what was charged for."""

    line: int
    owner: str
    component: str
    place: str
    size: str
    scale: str
    words: str
    metric: Metric
    price: Decimal
    quantity: Decimal | None

    @property
    def entry(self) -> str:
        """Where it is: its line, and what it charges for."""
        return f"line {self.line}: {self.owner}/{self.component}"


def read(content: bytes, *, source: str, currency: str) -> PriceList:
    """The prices of the file. Raises UnableToReadPrices where its header is neither; bad rows are problems."""
    gathering = Gathering(source, currency)
    rows: list[Row] = []
    try:
        table = csv.DictReader(StringIO(content.decode("utf-8-sig")), strict=True)
        columns = _price_column(table.fieldnames or (), currency=currency)
        for number, cells in enumerate(table, start=2):
            try:
                row = _row(number, cells, columns=columns)
            except UnableToReadPrices as error:
                where = f"line {number}: {cells.get('resource')}/{cells.get('component')}"
                gathering.refuse(where, error.field, error.what, error.next_step or "Correct it in the file.")
                continue
            if row is None:
                gathering.leave_out(f"line {number}", "it charges for nothing, which says no price")
            else:
                rows.append(row)
    except (UnicodeDecodeError, csv.Error) as error:
        raise UnableToReadPrices(f"This is not CSV in UTF-8: {error}") from error
    seen: Counter[str] = Counter()
    for group in _groups(rows):
        _sell(gathering, group, seen=seen)
    return gathering.result()


def _price_column(header: Sequence[str], *, currency: str) -> tuple[str, str]:
    """The column of the price or the charge, and that of the unit. Raises UnableToReadPrices."""
    suffix = currency.lower()
    for price, unit in ((f"unit_price_{suffix}", "per_unit"), (f"monthly_cost_{suffix}", "unit")):
        if {*_IDENTITY, price, unit} <= set(header) and (price[0] == "u" or "monthly_qty" in header):
            return price, unit
    raise UnableToReadPrices(
        f"The header has no prices in {currency}: {', '.join(header) or 'there is none'}",
        next_step=f"It needs resource, component, and either unit_price_{suffix} and per_unit, or monthly_qty, unit "
        f"and monthly_cost_{suffix}.",
    )


def _row(number: int, cells: Mapping[str, str | None], *, columns: tuple[str, str]) -> Row | None:
    """A line; None where nothing was charged for."""
    price_column, unit_column = columns
    component = reading.text(cells.get("component"), field="component")
    words = reading.text(cells.get(unit_column), field=unit_column)
    listed = reading.amount((cells.get(price_column) or "").replace(",", ""), field=price_column)
    quantity: Decimal | None = None
    if unit_column == "unit":
        quantity = reading.amount((cells.get("monthly_qty") or "").replace(",", ""), field="monthly_qty")
        if not quantity:
            return None
        listed = unit_price(listed, quantity)
    tier = _TIER.fullmatch(component)
    resource = reading.text(cells.get("resource"), field="resource")
    return Row(
        line=number,
        owner="/".join(part for part in (cells.get("test"), resource) if part),
        component=component if tier is None else tier["component"],
        place="" if tier is None else tier["place"].lower(),
        size="" if tier is None else tier["size"].replace(",", ""),
        scale="" if tier is None else tier["scale"].upper(),
        words=words,
        metric=read_metric(words, binary=True, field=unit_column),
        price=listed,
        quantity=quantity,
    )


def unit_price(charge: Decimal, quantity: Decimal) -> Decimal:
    """The price with the fewest decimals that, times the quantity and rounded half-up to cents, is the charge."""
    exact = Fraction(charge) / Fraction(quantity)
    for decimals in range(DECIMALS_MAX + 1):
        scaled = exact * 10**decimals
        price = Decimal(round(scaled)).scaleb(-decimals)
        if _cents(price, quantity) == charge:
            return price
    raise UnableToReadPrices(f"is {charge}, which no unit price gives for {quantity}", field="monthly_cost")


def _cents(price: Decimal, quantity: Decimal) -> Decimal:
    digits, others = price.as_tuple(), quantity.as_tuple()
    whole = int(price.scaleb(-int(digits.exponent))) * int(quantity.scaleb(-int(others.exponent)))
    exact = Decimal(whole).scaleb(int(digits.exponent) + int(others.exponent))
    return exact.quantize(Decimal(1).scaleb(-CENTS), rounding=ROUND_HALF_UP)


def _groups(rows: Sequence[Row]) -> Iterator[list[Row]]:
    """Rows that are the tiers of one price, and each other row by itself."""
    group: list[Row] = []
    for row in rows:
        follows = (
            bool(group)
            and row.place in ("next", "over")
            and group[-1].place in ("first", "next")
            and (row.owner, row.component, row.words) == (group[0].owner, group[0].component, group[0].words)
        )
        if group and not follows:
            yield group
            group = []
        group.append(row)
    if group:
        yield group


def _sell(gathering: Gathering, rows: Sequence[Row], *, seen: Counter[str]) -> None:
    first, last = rows[0], rows[-1]
    if last.place in ("first", "next"):
        gathering.leave_out(
            first.entry, f"nothing says what more than the {last.place} {last.size}{last.scale} costs"
        )
        return
    part = f"{first.owner}/{first.component}"
    seen[part] += 1
    if seen[part] > 1:
        part = f"{part} #{seen[part]}"
    try:
        steps = _steps(rows)
    except UnableToReadPrices as error:
        gathering.refuse(first.entry, error.field, error.what, error.next_step or "Correct it in the file.")
        return
    sell_part(
        gathering,
        part=part,
        dimension=PART,
        title=first.component,
        group=first.owner.rpartition("/")[2].partition(".")[0],
        metric=first.metric,
        prices=((None, steps),),
        entry=first.entry,
    )


def _steps(rows: Sequence[Row]) -> Steps:
    if not rows[0].place:
        return flat(rows[0].price)
    if rows[0].place == "over":
        # what the name passes over is free: AWS prints no row for it
        return merged((Step(_size(rows[0]), Decimal(0)), Step(None, rows[0].price)))
    steps: list[Step] = []
    bound = Decimal(0)
    for row in rows[:-1]:
        bound += _size(row) if row.quantity is None else row.quantity
        steps.append(Step(bound, row.price))
    return merged((*steps, Step(None, rows[-1].price)))


def _size(row: Row) -> Decimal:
    """The size that the name says, in the pricing unit."""
    number = Fraction(reading.amount(row.size, field="component"))
    stored = len(row.scale) == len("TB") and row.scale[1] == "B"
    try:
        if stored:
            factor = units.conversion_factor(from_unit=f"{row.scale[0]}iBy", to_unit=row.metric.pricing_unit)
        else:
            factor = Fraction(scale_of(row.scale), row.metric.multiplier)
    except IncompatibleUnits as error:
        raise UnableToReadPrices(str(error), field="component") from error
    size = finite_decimal(number * factor)
    if size is None or size <= 0:
        raise UnableToReadPrices(
            f"{row.size}{row.scale} is no bound of a tier in {row.words}", field="component"
        )
    return size
