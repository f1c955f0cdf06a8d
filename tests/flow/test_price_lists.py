"""Public price lists through the command line into a real server: once, again, and with other prices."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from milo_billing.client.http import ApiClient
from milo_billing.client.objects import Objects
from tests.flow.conftest import CommandLine, temporary_server

FIRST, SECOND, THIRD = "2026-07-01", "2026-10-01", "2026-10-15"


@pytest.fixture
def shop() -> Iterator[CommandLine]:
    """A server of its own: a currency has one list book, and these tests fill it."""
    with temporary_server() as server:
        yield CommandLine(server)


def book(milo: CommandLine, name: str) -> dict[str, str]:
    """The unit price of each Sku in a version of a book; graduated ones by their first tier."""
    prices: list[Any] = milo.json("get", "pricebook", name)["spec"]["prices"]
    return {each["skuRef"]["name"]: each.get("unitPrice") or each["tiers"][0]["unitPrice"] for each in prices}


PART = ("anthropic", "deepseek", "google")
"""Providers whose prices depend on size, hours and days, in the short run; the long run imports them all."""


@pytest.mark.long
@pytest.mark.shared
@pytest.mark.parametrize("providers", [PART, ()], ids=["part", "whole"])
def test_the_llm_list_is_imported_again_without_a_change_and_with_other_prices_as_a_new_version(
    shop: CommandLine, shared_data: Path, tmp_path: Path, providers: tuple[str, ...]
):
    listed: list[Any] = json.loads((shared_data / "price_lists" / "llm_genai_prices_data.json").read_text())
    file = tmp_path / "list.json"
    file.write_text(json.dumps([each for each in listed if not providers or each["id"] in providers]))
    command = ("catalog", "import", "--format", "llm", "--book", "models", "--effective-from")

    dry = shop.json(*command, FIRST, str(file), "--dry-run")
    assert dry["counts"]["added"] > 100 and dry["counts"]["unchanged"] == 0
    assert shop.json("get", "pricebooks")["items"] == []

    done = shop(*command, FIRST, str(file))
    assert done.returncode == 0, done.stderr
    assert f"version models-{FIRST} from {FIRST}" in done.stdout
    versions = [each["name"] for each in dry["versions"]]
    assert [each["metadata"]["name"] for each in shop.json("get", "pricebooks")["items"]] == versions
    before = book(shop, f"models-{FIRST}")
    assert len(before) == dry["counts"]["added"]
    assert before["llm.anthropic.claude-sonnet-4-5.input-tokens-over-200000"] == "6"

    again = shop.json(*command, FIRST, str(file))
    assert again["counts"] == {
        **dry["counts"],
        "added": 0,
        "changed": 0,
        "gone": 0,
        "unchanged": len(before),
    }
    assert again["versions"] == []

    newer = tmp_path / "newer.json"
    newer.write_bytes(with_other_prices(file))
    changed = shop(*command, SECOND, str(newer))
    assert changed.returncode == 0, changed.stderr
    assert "1 added, 1 changed, 2 gone" in changed.stdout
    shown = {line.split()[2]: line.split() for line in changed.stdout.splitlines() if line.startswith(SECOND)}
    assert shown["llm.anthropic.claude-2.output-tokens"][1:] == [
        "changed",
        "llm.anthropic.claude-2.output-tokens",
        "24",
        "24.5",
    ]
    after = book(shop, f"models-{SECOND}")
    assert after["llm.anthropic.claude-2.output-tokens"] == "24.5"
    assert after["llm.anthropic.claude-nine.input-tokens"] == "0.000000000000000000001"
    last = book(shop, versions[-1])
    assert {name for name in last if after.get(name) != last[name]} == {
        "llm.anthropic.claude-2.output-tokens",
        "llm.anthropic.claude-3-haiku.cache-read-tokens",
        "llm.anthropic.claude-3-haiku.cache-write-tokens",
    }
    assert shop.json(*command, SECOND, str(newer))["versions"] == []
    import_into_the_list_book(shop, shared_data / "price_lists" / "oci_prices_usd.json", kept=len(after))


def import_into_the_list_book(milo: CommandLine, file: Path, *, kept: int) -> None:
    """Another list, without a word of the book: it goes into the currency's, and leaves what is there."""
    done = milo.json("catalog", "import", str(file), "--format", "oci", "--effective-from", THIRD)
    (version,) = done["versions"]
    assert version["name"] == f"models-{THIRD}"
    counts = done["counts"]
    assert counts["added"] > 0 and (counts["changed"], counts["gone"], counts["kept"]) == (0, 0, kept)
    assert version["prices"] == counts["added"] + kept


def with_other_prices(file: Path) -> bytes:
    """The list with one price changed, two gone and one model more."""
    providers: list[Any] = json.loads(file.read_text())
    anthropic = next(each for each in providers if each["id"] == "anthropic")
    models = {each["id"]: each for each in anthropic["models"]}
    models["claude-2"]["prices"]["output_mtok"] = 24.5
    del models["claude-3-haiku"]["prices"]["cache_read_mtok"]
    del models["claude-3-haiku"]["prices"]["cache_write_mtok"]
    anthropic["models"].append(
        {"id": "claude-nine", "match": {"equals": "x"}, "prices": {"input_mtok": 1e-21}}
    )
    return json.dumps(providers).encode()


@pytest.mark.long
def test_manifests_are_written_for_gitops_and_a_version_that_has_not_begun_gives_way_when_asked(
    milo: CommandLine, tmp_path: Path
):
    file = tmp_path / "list.json"
    command = (
        "catalog",
        "import",
        str(file),
        "--format",
        "llm",
        "--source",
        "own",
        "--book",
        "own",
        "--currency",
    )
    file.write_text(own_list(1, later=2))
    manifests = tmp_path / "own.yaml"
    milo.json(*command, "USD", "--offline", "--write", str(manifests), "--effective-from", "2026-07-01")
    # as GitOps would, but as a book for one organization's negotiations: a currency has one list book
    manifests.write_text(manifests.read_text().replace("bookName: own", "bookName: own\n  role: Negotiated"))
    assert milo("apply", "-f", str(manifests)).returncode == 0

    same = ("--effective-from", "2026-07-01")
    assert milo.json(*command, "USD", *same)["versions"] == []
    file.write_text(own_list(1, later=3))
    stands = milo(*command, "USD", *same)
    assert stands.returncode == 1
    assert "own-2999-01-01: prices" in stands.stderr and "--replace-later" in stands.stderr
    replaced = milo.json(*command, "USD", *same, "--replace-later")
    assert replaced["replaced"] == ["own-2999-01-01"]
    assert book(milo, "own-2999-01-01") == {"own.p.m.input-tokens": "3"}


def own_list(price: int, *, later: int) -> str:
    prices = [
        {"prices": {"input_mtok": price}},
        {"constraint": {"start_date": "2999-01-01"}, "prices": {"input_mtok": later}},
    ]
    return json.dumps([{"id": "p", "models": [{"id": "m", "match": {"equals": "m"}, "prices": prices}]}])


def test_a_meter_that_measures_something_else_is_named_before_anything_is_written(
    milo: CommandLine, tmp_path: Path
):
    with ApiClient(milo.server.connection()) as api:
        Objects(api).apply(
            {
                "apiVersion": "billing.miloapis.com/v1alpha1",
                "kind": "MeterDefinition",
                "metadata": {"name": "taken.input-tokens"},
                "spec": {
                    "meterName": "taken/input-tokens",
                    "phase": "Published",
                    "measurement": {"aggregation": "Max", "unit": "{token}"},
                },
            }
        )
    file = tmp_path / "list.json"
    file.write_text(own_list(1, later=1))
    done = milo("catalog", "import", str(file), "--format", "llm", "--source", "taken")
    assert done.returncode == 1
    assert "taken.input-tokens: measurement.aggregation" in done.stderr and "--source" in done.stderr


def test_what_is_wrong_with_a_list_names_the_entry_the_field_and_what_to_do(
    milo: CommandLine, tmp_path: Path
):
    file = tmp_path / "bad.json"
    models = [
        {"id": "good", "match": {"equals": "m"}, "prices": {"input_mtok": 1}},
        {"id": "bad", "match": {"equals": "m"}, "prices": {"input_mtok": -1}},
        {"id": "odd", "match": {"equals": "m"}, "prices": {"input_bushels": 1}},
    ]
    file.write_text(json.dumps([{"id": "p", "models": models}]))
    command = ("catalog", "import", str(file), "--format", "llm", "--source", "bad", "--dry-run")
    done = milo(*command)
    assert done.returncode == 1
    assert f"at: {file}: p/bad: prices.input_mtok" in done.stderr
    assert f"at: {file}: p/odd: prices.input_bushels" in done.stderr
    kept = milo.json(*command, "--skip-bad")
    assert (kept["counts"]["added"], kept["counts"]["bad"]) == (1, 2)
    other = milo("catalog", "import", str(file), "--format", "oci")
    assert other.returncode == 1 and "no price list of OCI" in other.stderr
