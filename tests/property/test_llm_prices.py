"""Real API usage bodies, priced through the books that the import makes of the LLM price list: none is skipped."""

import json
import os
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest

from milo_billing.pricing.types import UsageQuantity, list_card
from tests import llm_requests
from tests.imported_prices import NOON, Imported, exact, rate_month, send

REASONING = {"output_reasoning_tokens"}


@pytest.fixture(scope="module")
def price_list(shared_data: Path) -> bytes:
    return (shared_data / "price_lists" / "llm_genai_prices_data.json").read_bytes()


@pytest.fixture(scope="module")
def imported(price_list: bytes) -> Imported:
    return Imported(price_list)


@pytest.fixture(scope="module")
def providers(price_list: bytes) -> Any:
    return json.loads(price_list, parse_float=Decimal)


def read_bodies(shared_data: Path) -> list[Any]:
    """The cases, or other ones of the same form where MILO_LLM_USAGES names a file."""
    file = os.environ.get("MILO_LLM_USAGES") or shared_data / "llm" / "genai_prices_usages_part.json"
    return json.loads(Path(file).read_text())


@dataclass(frozen=True)
class Case:
    """One extractor's reading of one body: what came of it, why, and what was sent for which price."""

    body: int
    outcome: str
    reason: str = ""
    rows: tuple[UsageQuantity, ...] = ()
    dollars: Fraction = Fraction(0)


@pytest.fixture(scope="module")
def cases(imported: Imported, providers: Any, shared_data: Path) -> list[Case]:
    """The cases, or other ones of the same form where MILO_LLM_USAGES names a file."""
    file = os.environ.get("MILO_LLM_USAGES") or shared_data / "llm" / "genai_prices_usages_part.json"
    bodies = json.loads(Path(file).read_text())
    return [
        compare(imported, providers, number, body.get("model"), extracted["usage"], extractor)
        for number, body in enumerate(bodies)
        for extracted in body["extracted"]
        for extractor in extracted["extractors"]
    ]


# The expected prices were computed before 2026-09-01, from which the list has other prices, and not in the hours that
# it has reductions for: NOON of a day in July stands for that.


def compare(
    imported: Imported,
    providers: Any,
    body: int,
    reference: str | None,
    usage: Mapping[str, int],
    extractor: Mapping[str, str],
) -> Case:
    """Whether a case is reproduced, ruled out or wrong, and why."""
    has_price = "input_price" in extractor
    found = reference and llm_requests.find_model(providers, extractor["provider_id"], reference)
    if not found and not has_price:
        why = "the provider does not offer the model" if reference else "the body names no model"
        return Case(body, "ruled out", f"{why}, and there is no expected price")
    case = f"body {body}, {reference} at {extractor['provider_id']} with {dict(usage)}"
    if not found or not has_price:
        return Case(body, "wrong", f"{case}: expected {dict(extractor)}, found {found and found[1]['id']}")
    provider, model = found
    prices = llm_requests.prices_on(model, NOON)
    rows = send(imported, provider=provider, model=model["id"], prices=prices, usage=usage, at=NOON)
    rating = rate_month(rows, imported.card(provider, model["id"]))
    expected = {key: Fraction(extractor[f"{key}_price"]) for key in ("input", "output")}
    charged = {key: exact(rating, direction=key) for key in expected}
    missing = sorted(kind for kind in usage if f"{kind.removesuffix('_tokens')}_mtok" not in prices)
    if charged != expected:
        # the list is made for readers that know fewer kinds of output than those who expect these prices
        own = [kind for kind in missing if kind.startswith("output") and kind not in REASONING]
        if charged["input"] == expected["input"] and own:
            return Case(
                body, "ruled out", f"{model['id']} has no price of its own for {', '.join(own)} in the list"
            )
        return Case(body, "wrong", f"{case}: expected {expected}, charged {charged}")
    total = Fraction(extractor.get("total_price", sum(expected.values())))
    if total != exact(rating) and all(kind.endswith("_tokens") for kind in missing):
        return Case(body, "wrong", f"{case}: expected {total} in total, charged {exact(rating)}")
    return Case(body, "reproduced", "", tuple(rows), sum(expected.values(), Fraction(0)))


@pytest.mark.shared
def test_every_expected_price_of_real_requests_is_reproduced_to_the_last_digit(
    cases: list[Case], capsys: pytest.CaptureFixture[str]
):
    outcomes = Counter(case.outcome for case in cases)
    bodies = {case.body for case in cases}
    reproduced = {case.body for case in cases if case.outcome == "reproduced"}
    with capsys.disabled():
        print(f"\n{len(bodies)} bodies, {len(reproduced)} of them with prices; cases: {dict(outcomes)}")
        for reason, count in Counter(c.reason for c in cases if c.outcome == "ruled out").most_common():
            print(f"  ruled out {count}: {reason}")
    assert [case.reason for case in cases if case.outcome == "wrong"] == []
    assert outcomes["reproduced"] > 0


@pytest.mark.shared
def test_all_real_requests_at_once_are_charged_by_the_whole_book(imported: Imported, cases: list[Case]):
    whole = list_card("USD", imported.books, imported.skus, imported.meters)
    rating = rate_month([row for case in cases for row in case.rows], whole)
    assert exact(rating) == sum(case.dollars for case in cases)
