"""A public list of VAT rates becomes TaxRates, and the same list again changes nothing."""

import json
from datetime import date
from decimal import Decimal
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from milo_billing.invoicing.rules.tax_bodies import plain
from milo_billing.invoicing.rules.tax_lists import UnableToReadRates, plan, read_list
from milo_billing.invoicing.rules.tax_sources import ListedRate

LIST = json.dumps(
    {
        "items": {
            "DE": [
                {"effective_from": "2021-01-01", "rates": {"standard": 19, "reduced": 7}},
                {"effective_from": "2020-07-01", "rates": {"standard": 16, "reduced": 5}},
                {"effective_from": "0000-01-01", "rates": {"standard": 19, "reduced": 7}},
            ],
            "FI": [
                {"effective_from": "2024-09-01", "rates": {"standard": 25.5, "reduced1": 10}},
                {
                    "effective_from": "0000-01-01",
                    "rates": {"standard": 24, "reduced1": 10},
                    "exceptions": [{"name": "Åland", "postcode": "22.*", "standard": 0}],
                },
            ],
        }
    }
).encode()


def standing(found: tuple[dict[str, Any], ...]) -> list[dict[str, Any]]:
    """The objects as a server has them: with the fields that a manifest may leave out."""
    return [{**one, "spec": {"region": "", "reason": "", "reasonCode": "", **one["spec"]}} for one in found]


def test_each_period_of_a_country_is_a_rate_and_equal_neighbours_are_one() -> None:
    listed = read_list(LIST, all_categories=True)
    assert [one for one in listed.rates if one.country == "FI"] == [
        ListedRate("FI", "reduced1", Decimal(10), date(1970, 1, 1), None),
        ListedRate("FI", "standard", Decimal(24), date(1970, 1, 1), date(2024, 9, 1)),
        ListedRate("FI", "standard", Decimal("25.5"), date(2024, 9, 1), None),
    ]
    assert listed.left_out == ("FI: Åland",)


def test_what_ended_before_a_day_is_left_out() -> None:
    assert [one.name for one in read_list(LIST, since=date(2021, 1, 1)).rates] == [
        "vat-de-standard-2021-01-01",
        "vat-fi-standard-1970-01-01",
        "vat-fi-standard-2024-09-01",
    ]


def test_the_same_list_again_changes_nothing() -> None:
    listed = read_list(LIST).rates
    first = plan(listed, ())
    assert [one["metadata"]["name"] for one in first.manifests] == [one.name for one in listed]
    again = plan(listed, standing(first.manifests))
    assert (again.manifests, again.unchanged) == ((), len(listed))


def test_an_open_rate_gets_its_end_before_the_next_one_begins() -> None:
    before = plan((ListedRate("FI", "standard", Decimal(24), date(1970, 1, 1), None),), ())
    finnish = [one for one in read_list(LIST).rates if one.country == "FI"]
    found = plan(finnish, standing(before.manifests))
    ended, added = (one["spec"] for one in found.manifests)
    assert (ended["endsOn"], added["startsOn"]) == ("2024-09-01", "2024-09-01")
    assert [one.kind for one in found.changes] == ["ended", "added"]


def test_a_rate_that_stands_otherwise_is_a_conflict_and_stays() -> None:
    first = plan(read_list(LIST).rates, ())
    other = standing(first.manifests)
    other[0]["spec"]["percent"] = "18"
    found = plan(read_list(LIST).rates, other)
    assert (found.manifests, [one.name for one in found.conflicts]) == ((), ["vat-de-standard-1970-01-01"])


@pytest.mark.parametrize("content", [b"{", b"[]", b'{"items": []}', b'{"items": {"DE": [{"rates": {}}]}}'])
def test_what_is_no_list_is_refused(content: bytes) -> None:
    with pytest.raises(UnableToReadRates, match="no list of VAT rates"):
        read_list(content)


@pytest.mark.shared
def test_the_real_list_has_a_standard_rate_of_every_member_state_today(shared_data: Path) -> None:
    content = (shared_data / "tax" / "eu_vat_rates_with_periods.json").read_bytes()
    listed = read_list(content, since=date(2026, 11, 1)).rates
    rates = {one.country: one.percent for one in listed if one.ends_on is None}
    assert len(rates) == 28
    assert (rates["DE"], rates["FI"], rates["HU"]) == (19, Decimal("25.5"), 27)


WORLD = json.dumps(
    {
        "US": {"type": "none", "rate": 0, "states": {"TX": {"rate": 0.0625, "type": "vat"}}},
        "CA": {"type": "gst", "rate": 0.05, "states": {"QC": {"rate": 0.09975, "type": "qst"}}},
        "ES": {"type": "vat", "rate": 0.21, "states": {"GC": {"rate": -0.14, "type": "igic"}}},
        "DE": {
            "type": "vat",
            "rate": 0.19,
            "before": {
                "2020-12-31T22:00:00.000Z": {"type": "vat", "rate": 0.16},
                "2020-06-30T22:00:00.000Z": {"type": "vat", "rate": 0.19},
            },
        },
    }
).encode()
HISTORY = b"""start_date,stop_date,territory_codes,currency_code,rate,rate_type,description
2000-01-01,,"AT-6991
DE-87567",EUR,0.19,standard,Mittelberg
2021-03-01,,"GR
EL",EUR,0.24,standard,
2010-07-01,2021-03-01,"GR
EL",EUR,0.23,standard,
"""


def test_the_list_of_the_world_has_regions_and_what_was_taken_before() -> None:
    listed = read_list(WORLD)
    found = [(one.name, str(plain(one.percent)), str(one.ends_on)) for one in listed.rates]
    assert found == [
        ("gst-ca-standard-1970-01-01", "5", "None"),
        ("qst-ca-qc-standard-1970-01-01", "9.975", "None"),
        ("vat-de-standard-1970-01-01", "19", "2020-07-01"),
        ("vat-de-standard-2020-07-01", "16", "2021-01-01"),
        ("vat-de-standard-2021-01-01", "19", "None"),
        ("vat-es-standard-1970-01-01", "21", "None"),
        ("sales-tax-us-tx-standard-1970-01-01", "6.25", "None"),
    ]
    assert listed.left_out == ("ES-GC",)
    (texas,) = (one["spec"] for one in plan(listed.rates, ()).manifests if one["spec"]["country"] == "US")
    assert (texas["region"], texas["tax"], texas["percent"]) == ("TX", "Sales tax", "6.25")


def test_the_same_rates_of_two_lists_are_the_same() -> None:
    first = plan(read_list(LIST).rates, ())
    german = [one for one in read_list(WORLD).rates if one.country == "DE"]
    assert plan(german, standing(first.manifests)).unchanged == 3


def test_the_history_has_each_rate_with_its_days_and_each_country_once() -> None:
    listed = read_list(HISTORY)
    assert [(one.name, one.percent, one.ends_on) for one in listed.rates] == [
        ("vat-gr-standard-2010-07-01", 23, date(2021, 3, 1)),
        ("vat-gr-standard-2021-03-01", 24, None),
    ]
    assert listed.left_out == ("AT-6991",)


def test_a_rate_that_began_on_another_day_is_in_the_way_of_one_that_holds_on_its_days() -> None:
    before = plan((ListedRate("GR", "standard", Decimal(24), date(2016, 6, 1), None),), ())
    found = plan(read_list(HISTORY).rates, standing(before.manifests))
    assert found.manifests == ()
    assert [(one.name, one.starts_on) for one in found.conflicts] == [
        ("vat-gr-standard-2016-06-01", "2010-07-01"),
        ("vat-gr-standard-2016-06-01", "2021-03-01"),
    ]


@pytest.mark.shared
@pytest.mark.parametrize(
    ("name", "countries"), [("world_sales_tax_rates.json", 128), ("vat_rates_history.csv", 70)]
)
def test_the_real_lists_are_read_whole_and_no_two_rates_hold_on_a_day(
    shared_data: Path, name: str, countries: int
) -> None:
    listed = read_list((shared_data / "tax" / name).read_bytes(), all_categories=True).rates
    assert len({one.country for one in listed}) == countries
    for kind in {one.kind for one in listed}:
        spans = sorted((one.starts_on, one.ends_on) for one in listed if one.kind == kind)
        for (_, ends_on), (starts_on, _) in pairwise(spans):
            assert ends_on is not None and ends_on <= starts_on, kind
    assert plan(listed, standing(plan(listed, ()).manifests)).unchanged == len(listed)
