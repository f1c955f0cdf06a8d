"""docs/pricing.md: every model has an example, and the engine charges what its table says."""

from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any, get_args

import pytest
import yaml

from milo_billing.app.price_curves import Example, read_examples
from milo_billing.catalog.rules.prices import price_errors
from milo_billing.catalog.types import PriceModel

PAGE = Path(__file__).parents[3] / "docs" / "pricing.md"
EXAMPLES = read_examples(PAGE.read_text())


def test_every_model_has_its_section_with_a_curve_and_an_example() -> None:
    assert [example.model for example in EXAMPLES] == list(get_args(PriceModel))
    assert [example.price.model for example in EXAMPLES] == list(get_args(PriceModel))


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda example: example.model)
def test_the_engine_charges_what_the_page_says(example: Example) -> None:
    assert [amount for _, amount in example.rows] == [
        example.charge(Fraction(quantity)) for quantity, _ in example.rows
    ]


def prices_of_the_page() -> Iterator[dict[str, Any]]:
    for block in PAGE.read_text().split("```yaml\n")[1:]:
        found = yaml.safe_load(block.split("```")[0])
        yield from found["prices"] if isinstance(found, dict) else found


@pytest.mark.parametrize("body", [*prices_of_the_page()], ids=lambda body: body["model"])
def test_a_book_takes_every_price_of_the_page(body: dict[str, Any]) -> None:
    tiers = [{"flatFee": "0", "chargeAtZero": False, **tier} for tier in body.get("tiers", ())]
    assert list(price_errors({"includedQuantity": "0", **body, "tiers": tiers}, path="p")) == []
