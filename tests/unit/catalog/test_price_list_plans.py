"""What an import does to what stands: versions by day, what stays, what is in the way."""

import copy
import json
from datetime import date
from typing import Any

import pytest

from milo_billing.catalog.rules.importing.formats import read_price_list
from milo_billing.catalog.rules.importing.planning import Plan, Standing, plan

JULY, AUGUST, SEPTEMBER = date(2026, 7, 1), date(2026, 8, 1), date(2026, 9, 1)
A, B, C = ("llm.p.a.input-tokens", "llm.p.b.input-tokens", "llm.p.c.input-tokens")


def do(prices: dict[str, Any], standing: Standing | None = None, *, on: date = JULY, **more: Any) -> Plan:
    """The plan for models with these input prices; a list of prices has days, as ("2026-09-01", 3)."""
    models = [{"id": name, "prices": said(price)} for name, price in prices.items()]
    listed = read_price_list(
        json.dumps([{"id": "p", "models": models}]).encode(), format="llm", source="llm", currency="USD"
    )
    assert listed.problems == ()
    return plan(listed, standing=standing or Standing(), book="list", effective_from=on, **more)


def said(price: float | str | list[Any]) -> Any:
    if not isinstance(price, list):
        return {"input_mtok": price}
    first, *later = price
    return [
        {"prices": {"input_mtok": first}},
        *({"constraint": {"start_date": day}, "prices": {"input_mtok": value}} for day, value in later),
    ]


def standing(*plans: Plan, more: list[Any] | None = None) -> Standing:
    """What stands after these plans, as the server shows it."""
    objects: dict[tuple[str, str], Any] = {}
    for each in plans:
        assert each.problems == ()
        for manifest in (*each.manifests, *(more or [])):
            objects[manifest["kind"], manifest["metadata"]["name"]] = copy.deepcopy(manifest)
    kinds: dict[str, list[Any]] = {"MeterDefinition": [], "Sku": [], "PriceBook": []}
    for (kind, _), manifest in objects.items():
        for price in manifest["spec"].get("prices", ()):
            price.setdefault("includedQuantity", "0")
        kinds[kind].append(manifest)
    return Standing(kinds["MeterDefinition"], kinds["Sku"], kinds["PriceBook"])


def changes(planned: Plan) -> list[tuple[str, str, str, str, str]]:
    return [(f"{c.since:%m-%d}", c.kind, c.sku, c.old, c.new) for c in planned.changes]


def test_a_first_import_adds_everything_in_the_order_in_which_objects_need_each_other():
    planned = do({"a": 1, "b": 2})
    kinds = [each["kind"] for each in planned.manifests]
    assert kinds == ["MeterDefinition", "Sku", "Sku", "PriceBook"]
    assert changes(planned) == [("07-01", "added", A, "", "1"), ("07-01", "added", B, "", "2")]


@pytest.mark.parametrize("on", [JULY, AUGUST])
def test_the_same_again_changes_nothing_on_the_day_or_later(on: date):
    again = do(
        {"a": 1, "b": [2, ("2026-09-01", 3)]}, standing(do({"a": 1, "b": [2, ("2026-09-01", 3)]})), on=on
    )
    assert (again.manifests, again.changes, again.unchanged) == ((), (), 2)


def test_other_prices_are_the_next_version_and_only_what_is_new_is_declared():
    planned = do({"a": 1, "b": "2.50", "c": 4}, standing(do({"a": 1, "b": 2, "d": 9})), on=AUGUST)
    assert changes(planned) == [
        ("08-01", "changed", B, "2", "2.50"),
        ("08-01", "added", C, "", "4"),
        ("08-01", "gone", "llm.p.d.input-tokens", "9", ""),
    ]
    assert [each["metadata"]["name"] for each in planned.manifests] == [C, "list-2026-08-01"]
    assert (planned.unchanged, planned.kept) == (1, 0)


def test_the_same_number_written_with_other_digits_is_the_same_price():
    assert do({"a": 2.5}, standing(do({"a": "2.500"})), on=AUGUST).versions == ()


def test_what_others_put_into_the_book_stays_as_it_is_and_so_does_what_versions_share():
    by_hand: dict[str, Any] = {
        "kind": "PriceBook",
        "metadata": {"name": "first"},
        "spec": {
            "bookName": "list",
            "effectiveFrom": "2026-01-01",
            "currencyCode": "USD",
            "phase": "Published",
            "role": "Negotiated",
            "organizationRef": {"name": "acme"},
            "prices": [{"skuRef": {"name": "support"}, "model": "PerUnit", "unitPrice": "9", "minimum": "5"}],
        },
    }
    planned = do({"a": 1}, Standing(books=[by_hand]))
    made = planned.manifests[-1]["spec"]
    assert made["prices"][0] == by_hand["spec"]["prices"][0]
    assert [price["skuRef"]["name"] for price in made["prices"]] == ["support", A]
    assert (made["role"], made["organizationRef"]) == ("Negotiated", {"name": "acme"})
    assert (planned.kept, len(planned.changes)) == (1, 1)


def test_a_price_that_somebody_gave_a_minimum_is_changed_back_and_shown():
    stands = standing(do({"a": 1}))
    stands.books[0]["spec"]["prices"][0]["minimum"] = "5"
    assert changes(do({"a": 1}, stands, on=AUGUST)) == [("08-01", "changed", A, "PerUnit", "1")]


def test_prices_that_start_later_are_versions_of_their_own_days():
    planned = do({"a": [1, ("2026-08-01", 2), ("2026-09-01", 3)], "b": 5}, on=date(2026, 8, 15))
    assert [(version.since, version.prices) for version in planned.versions] == [
        (date(2026, 8, 15), 2),
        (SEPTEMBER, 2),
    ]
    assert changes(planned)[-1] == ("09-01", "changed", A, "2", "3")


def test_a_published_version_of_the_day_stands_against_other_prices():
    (problem,) = do({"a": 2}, standing(do({"a": 1}))).problems
    assert (problem.entry, problem.field) == ("list-2026-07-01", "prices")


def test_a_draft_of_the_day_is_filled_and_published():
    stands = standing(do({"a": 1}))
    stands.books[0]["spec"]["phase"] = "Draft"
    planned = do({"a": 2}, stands)
    assert (planned.manifests[-1]["metadata"]["name"], planned.manifests[-1]["spec"]["phase"]) == (
        "list-2026-07-01",
        "Published",
    )


def test_a_later_version_with_other_prices_stands_in_the_way_until_it_may_be_replaced():
    stands = standing(do({"a": [1, ("2026-09-01", 2)], "b": 5}))
    newer = {"a": [1, ("2026-09-01", 3)], "b": 6}
    (problem,) = do(newer, stands, on=AUGUST).problems
    assert problem.entry == "list-2026-09-01" and "--replace-later" in problem.next_step
    planned = do(newer, stands, on=AUGUST, replace_after=AUGUST)
    assert [each["metadata"]["name"] for each in planned.replaced] == ["list-2026-09-01"]
    assert planned.replaced[0]["spec"]["phase"] == "Retired"
    assert changes(planned) == [("08-01", "changed", B, "5", "6"), ("09-01", "changed", A, "1", "3")]
    (problem,) = do(newer, stands, on=AUGUST, replace_after=SEPTEMBER).problems  # it may have begun
    assert problem.entry == "list-2026-09-01"


def test_a_later_version_that_the_list_no_longer_has_goes_when_it_may_be_replaced():
    stands = standing(do({"a": [1, ("2026-09-01", 2)]}))
    planned = do({"a": 1}, stands, on=AUGUST, replace_after=AUGUST)
    assert (len(planned.replaced), planned.manifests, planned.changes) == (1, (), ())


def test_a_sku_or_a_meter_that_stands_for_something_else_is_in_the_way():
    stands = standing(do({"a": 1}))
    stands.meters[0]["spec"]["measurement"]["unit"] = "By"
    stands.skus[0]["spec"]["pricingUnit"] = "GiBy"
    found = do({"a": 1}, stands, on=AUGUST)
    assert [(each.entry, each.field) for each in found.problems] == [
        ("llm.input-tokens", "measurement.unit"),
        (A, "meter"),
    ]
    assert found.manifests == ()


def test_a_book_has_a_bound_and_the_import_says_so():
    (problem,) = do({f"m{n}": 1 for n in range(5_001)}).problems
    assert "5,001 prices" in problem.what
