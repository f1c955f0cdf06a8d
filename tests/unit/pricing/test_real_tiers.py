"""Tier groups of real AWS price lists, as Infracost's tests charge them: each tier's charge is a part of one line."""

import csv
import re
from collections.abc import Iterable, Iterator, Mapping
from decimal import Decimal
from itertools import accumulate
from pathlib import Path

from milo_billing.kernel.money import settle
from tests.unit.pricing.builders import graduated, rate_units, tier

Row = Mapping[str, str]

TIER = re.compile(r"(?P<name>.*)\((?P<place>first|next|over) [^)]*\)")
PLACES_MAX = 12


def tier_groups(rows: Iterable[Row]) -> Iterator[tuple[str, list[Row]]]:
    """Rows that follow one another as the tiers of one thing: first, next …, over."""
    name, group = "", list[Row]()
    for row in rows:
        found = TIER.fullmatch(row["component"])
        owner = f"{row['resource']}: {found['name']}" if found else ""
        if found is None or found["place"] == "first" or owner != name:
            if len(group) > 1:
                yield name, group
            name, group = owner, []
        if found is not None:
            group.append(row)
    if len(group) > 1:
        yield name, group


def list_price(row: Row) -> str:
    """The unit price behind a charge that was rounded to cents: the shortest number that leads to it."""
    quantity, cost = Decimal(row["monthly_qty"]), Decimal(row["monthly_cost_usd"])
    for places in range(PLACES_MAX):
        price = round(cost / quantity, places)
        if settle(price * quantity, "USD").decimal() == cost:
            return str(price)
    raise AssertionError(f"no price leads to {cost} for {quantity}: {row}")


def test_real_tier_groups_come_out_tier_by_tier(shared_data: Path) -> None:
    """All but the last tier reached are full, so that their quantities are the widths of the tiers."""
    with (shared_data / "price_lists" / "infracost_golden_charges_aws.csv").open() as file:
        groups = [*tier_groups(csv.DictReader(file))]
    assert groups
    for name, rows in groups:
        used = [Decimal(row["monthly_qty"]) for row in rows]
        ends = [*[str(bound) for bound in accumulate(used[:-1])], None]
        price = graduated(*[tier(end, list_price(row)) for end, row in zip(ends, rows, strict=True)])
        line = rate_units(sum(used, Decimal(0)), price)
        charged = [Decimal(part.amount_minor) / 100 for part in line.parts]
        assert charged == [Decimal(row["monthly_cost_usd"]) for row in rows], name
        assert line.amount.decimal() == sum(charged)
    print(f"{len(groups)} tier groups with {sum(len(rows) for _, rows in groups)} charges reproduced")
