"""AWS, OCI and Google lists through import and engine: what others charged and what lists say, to the last digit."""

import csv
import json
import re
from collections import Counter
from collections.abc import Iterable
from decimal import Decimal
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest

from milo_billing.catalog.types import Sku
from milo_billing.kernel.aggregation import Figures
from milo_billing.pricing.types import RatedLine, UsageQuantity, list_card
from tests.imported_prices import NOON, Imported, rate_month

pytestmark = pytest.mark.shared

TIER = re.compile(r"(.*) \((first|next|over) ([\d.,]+)( ?[A-Za-z]*)\)", re.IGNORECASE)


def charge(imported: Imported, quantities: Iterable[tuple[Sku, Fraction]]) -> dict[str, RatedLine]:
    """The line of each Sku for a quantity in its pricing unit, of all of them at once."""
    rows = [
        UsageQuantity(
            1,
            sku.meter_name,
            tuple((dimension, values[0]) for dimension, values in sku.match.items()),
            NOON.date(),
            Figures(whole(quantity / sku.unit_factor), 1),
        )
        for sku, quantity in quantities
    ]
    card = list_card(imported.books[0].currency, imported.books, imported.skus, imported.meters)
    return {line.sku.name: line for line in rate_month(rows, card).lines}


def whole(quantity: Fraction) -> int:
    assert quantity.denominator == 1, f"{quantity} is no whole number of the meter's unit"
    return quantity.numerator


def test_charges_of_aws_tier_groups_are_reproduced_row_by_row(
    shared_data: Path, capsys: pytest.CaptureFixture[str]
):
    file = shared_data / "price_lists" / "infracost_golden_charges_aws.csv"
    imported = Imported(file.read_bytes(), format="aws")
    with file.open(newline="") as opened:
        charges = list(csv.DictReader(opened))
    groups: list[list[dict[str, str]]] = []
    for row in charges:
        tier = TIER.fullmatch(row["component"])
        row["tier"], row["of"] = (tier[2].lower(), tier[1]) if tier else ("", row["component"])
        same = groups and [groups[-1][0][key] == row[key] for key in ("test", "resource", "of", "unit")]
        if (
            same
            and all(same)
            and row["tier"] in ("next", "over")
            and groups[-1][-1]["tier"] in ("first", "next")
        ):
            groups[-1].append(row)
        else:
            groups.append([row])
    # without the price of what lies above, a group is no price; the import says so of each
    sold = [group for group in groups if group[-1]["tier"] in ("", "over")]
    assert len(sold) == len(imported.skus)
    assert len(groups) - len(sold) == len(imported.listed.left_out)
    prices = {price.sku: price for price in imported.books[0].prices}
    counts: Counter[str] = Counter()
    wanted: list[tuple[Sku, Fraction]] = []
    expected: dict[str, list[int]] = {}
    for group, sku in zip(sold, imported.skus.values(), strict=True):
        quantity = sum((Fraction(row["monthly_qty"]) for row in group), Fraction(0))
        amounts = [int(Decimal(row["monthly_cost_usd"]) * 100) for row in group]
        if group[0]["tier"] == "over":  # what it passes over is free
            free = prices[sku.name].tiers[0].up_to
            assert free is not None
            quantity += Fraction(free)
            amounts = [0, *amounts]
        if (quantity / sku.unit_factor).denominator != 1:
            counts["in parts of what the meter counts"] += 1
            continue
        counts["tier groups" if group[0]["tier"] else "single rows"] += 1
        counts["rows"] += len(group)
        wanted.append((sku, quantity))
        expected[sku.name] = amounts
    lines = charge(imported, wanted)
    with capsys.disabled():
        print(
            f"\n{len(charges)} charges of AWS, reproduced: {dict(counts)}; left out: {len(groups) - len(sold)} groups"
        )
        for sku in (sku for sku in imported.skus.values() if sku.name not in expected):
            print(f"  not whole: {sku.display_name}, in {sku.pricing_unit}")
    charged = {name: [part.amount_minor for part in line.parts] for name, line in lines.items()}
    assert charged == expected
    assert counts["tier groups"] > 0


def test_every_price_of_oci_is_charged_range_by_range(shared_data: Path):
    content = (shared_data / "price_lists" / "oci_prices_usd.json").read_bytes()
    imported = Imported(content, format="oci")
    items: list[Any] = json.loads(content, parse_float=Decimal)["items"]
    skus = {sku.match["partNumber"][0]: sku for sku in imported.skus.values()}
    quantities: dict[str, Fraction] = {}
    expected: dict[str, Fraction] = {}
    for item in items:
        sku = skus[item["partNumber"]]
        prices = item["currencyCodeLocalizations"][0]["prices"]
        quantity = max([Fraction(5, 2) * price.get("rangeMin", 0) for price in prices]) or Fraction(7)
        quantity = round(quantity / sku.unit_factor) * sku.unit_factor
        quantities[sku.name] = quantity
        expected[sku.name] = sum(
            (
                (min(quantity, Fraction(price.get("rangeMax", 10**15))) - price.get("rangeMin", 0))
                * Fraction(price["value"])
                for price in prices
                if quantity > price.get("rangeMin", 0)
            ),
            Fraction(0),
        )
    lines = charge(imported, [(imported.skus[name], quantity) for name, quantity in quantities.items()])
    assert {name: unsettled(line) for name, line in lines.items()} == expected


@pytest.mark.parametrize("currency", ["USD", "IDR"])
def test_every_price_of_google_is_charged_in_its_currency(shared_data: Path, currency: str):
    content = (shared_data / "price_lists" / "gcp_skus_sample.json").read_bytes()
    imported = Imported(content, format="gcp", currency=currency)
    skus = {sku.match["skuId"][0]: sku for sku in imported.skus.values()}
    expected: dict[str, Fraction] = {}
    for each in json.loads(content)["skus"]:
        (rate,) = each["pricingInfo"][0]["pricingExpression"]["tieredRates"]
        price = rate["unitPrice"]
        if price["currencyCode"] == currency:
            unit_price = Fraction(price["units"]) + Fraction(price["nanos"], 10**9)
            expected[skus[each["skuId"]].name] = 720 * unit_price
    assert expected
    lines = charge(imported, [(imported.skus[name], Fraction(720)) for name in expected])
    assert {name: unsettled(line) for name, line in lines.items()} == expected


def unsettled(line: RatedLine) -> Fraction:
    """What the line costs before it is settled."""
    return sum(
        (part.quantity * Fraction(part.unit_price) for part in line.parts if part.unit_price is not None),
        Fraction(0),
    )
