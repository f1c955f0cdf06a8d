"""Two more public lists of tax rates: of the world, with regions (node-sales-tax), and of VAT since it began
(kdeldycke/vat-rates). Pure.

Owns: their form. Not: what is done with their rates (rules.tax_lists).
"""

import csv
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from decimal import Decimal
from io import StringIO
from operator import itemgetter
from typing import Any, Final, TypeAlias

FIRST_DAY: Final = date(1970, 1, 1)
"""The first day of what no list says the first day of: before anybody asks."""
STANDARD: Final = "standard"
TAX: Final = "VAT"
HISTORY_HEAD: Final = b"start_date,"
"""What the list of VAT since it began begins with."""

_ALIASES: Final = frozenset({"EL", "UK"})
"""Codes that stand beside the one of ISO 3166."""
_WITHIN: Final = frozenset({"MC", "IM"})
"""States whose tax is another's (rules.tax_territories)."""
_RESERVED: Final = frozenset({"AC", "CP", "EA", "IC", "TA"})
"""Codes that ISO 3166 reserves for parts of countries."""
_HALF_A_DAY: Final = timedelta(hours=12)

Listed: TypeAlias = "tuple[tuple[ListedRate, ...], tuple[str, ...]]"
"""The rates, and what of the list no TaxRate can say."""


@dataclass(frozen=True, slots=True)
class ListedRate:
    """A rate of a list in `[starts_on, ends_on)`; None is without end. `region` is empty for a whole country's."""

    country: str
    category: str
    percent: Decimal
    starts_on: date
    ends_on: date | None
    tax: str = TAX
    region: str = ""

    @property
    def key(self) -> tuple[str, ...]:
        """What no two rates share."""
        return (*self.kind, self.starts_on.isoformat())

    @property
    def kind(self) -> tuple[str, ...]:
        """Of these only one holds on a day: tax, place, tax category."""
        return self.tax, self.country, self.region, self.category

    @property
    def name(self) -> str:
        """What its TaxRate is called where it is new."""
        place = f"{self.country}-{self.region}" if self.region else self.country
        return f"{self.tax}-{place}-{self.category}-{self.starts_on}".lower().replace(" ", "-")


def read_history(text: str) -> Listed:
    """The list of VAT since it began: a row for each rate, with the territories that have it."""
    rates: list[ListedRate] = []
    left_out: set[str] = set()
    for row in csv.DictReader(StringIO(text)):
        codes = row["territory_codes"].split("\n")
        countries = [code for code in codes if len(code) == 2 and code not in _ALIASES | _WITHIN | _RESERVED]
        if not countries:
            left_out.add(codes[0])
        for country in countries:
            rates.append(
                ListedRate(
                    country,
                    row["rate_type"],
                    Decimal(row["rate"]) * 100,
                    date.fromisoformat(row["start_date"]) if row["start_date"] else FIRST_DAY,
                    date.fromisoformat(row["stop_date"]) if row["stop_date"] else None,
                )
            )
    return tuple(sorted(rates, key=lambda one: one.key)), tuple(sorted(left_out))


def read_world(countries: Mapping[str, Mapping[str, Any]]) -> Listed:
    """The list of the world: what each country takes, and its regions beside it; with what was taken before.

    A region that takes less than its country is outside its tax, or has lower rates, and is left out.
    """
    rates: list[ListedRate] = []
    left_out: list[str] = []
    for country, said in sorted(countries.items()):
        rates.extend(_spans(country, "", said))
        for region, apart in sorted(said.get("states", {}).items()):
            if apart["rate"] < 0:
                left_out.append(f"{country}-{region}")
            else:
                rates.extend(_spans(country, region, apart))
    return tuple(rates), tuple(left_out)


def _spans(country: str, region: str, said: Mapping[str, Any]) -> Iterator[ListedRate]:
    """The rates one after the other: `before` has, by the instant at which each ended, those that were."""
    ended = sorted(
        ((_day(instant), before) for instant, before in said.get("before", {}).items()), key=itemgetter(0)
    )
    starts_on = FIRST_DAY
    for ends_on, one in [*ended, (None, said)]:
        if one["type"] != "none":
            tax = _name(country, one["type"])
            yield ListedRate(country, STANDARD, one["rate"] * 100, starts_on, ends_on, tax, region)
        starts_on = ends_on or starts_on


def _name(country: str, type: str) -> str:
    """What the tax is called; the list calls the sales taxes of the United States VAT."""
    return "Sales tax" if country == "US" else type.upper()


def _day(instant: str) -> date:
    """The day that began at this instant, a midnight somewhere within half a day of Greenwich."""
    return (datetime.fromisoformat(instant) + _HALF_A_DAY).date()
