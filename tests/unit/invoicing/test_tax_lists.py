"""A public list of VAT rates becomes TaxRates, and the same list again changes nothing."""

import json
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from milo_billing.invoicing.rules.tax_lists import ListedRate, UnableToReadRates, plan, read_list

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
