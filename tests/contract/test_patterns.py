"""A value that does not match its field's pattern is refused in words, and the words are true of the pattern."""

import re
from collections.abc import Iterator
from typing import Any, cast

import pytest

from milo_billing.app.wiring import build_registry
from milo_billing.controlplane.patterns import WORDS, what_matches
from milo_billing.controlplane.schemas import structural_schema, validate

KINDS = {kind.kind: kind for kind in build_registry().kinds}


def patterns_below(schema: dict[str, Any]) -> Iterator[str]:
    if "pattern" in schema:
        yield schema["pattern"]
    nested: list[Any] = [*schema.get("properties", {}).values()]
    nested += [schema.get(name) for name in ("items", "additionalProperties")]
    for below in nested:
        if isinstance(below, dict):
            yield from patterns_below(cast("dict[str, Any]", below))


ASKED = {p for kind in KINDS.values() for p in patterns_below(structural_schema(kind)["properties"]["spec"])}


def test_every_pattern_of_a_spec_has_words_and_no_words_are_left_over() -> None:
    assert set(WORDS) == ASKED


@pytest.mark.parametrize("pattern", WORDS)
def test_the_example_is_one_that_the_pattern_admits(pattern: str) -> None:
    words, example = WORDS[pattern]
    said = what_matches(pattern, path="spec.field")
    assert re.search(pattern, example)
    assert said == f"must be {words}, such as {example}"
    assert not set(said) & set("^$[]{}\\"), said


@pytest.mark.parametrize(
    ("kind", "part", "wrong", "message"),
    [
        ("Discount", "amount", "12,50", "must be a number of zero or more, .*, such as 12.50"),
        (
            "IssuerProfile",
            "accountingCurrency",
            "eur",
            "must be a currency code of ISO 4217, .*, such as EUR",
        ),
        ("TaxRate", "country", "Germany", "must be a country code of ISO 3166-1, two capitals, such as DE"),
        ("Charge", "date", "31.10.2026", "must be a day written YYYY-MM-DD, such as 2026-10-31"),
        ("CreditNote", "amount", "-1", "must be a number of zero or more, .*, such as 12.50"),
    ],
)
def test_what_a_person_reads(kind: str, part: str, wrong: str, message: str) -> None:
    schema = structural_schema(KINDS[kind])
    (error,) = (
        error for error in validate({"spec": {part: wrong}}, schema) if error.reason == "FieldValueInvalid"
    )
    assert error.field == f"spec.{part}"
    assert re.fullmatch(re.escape(f'Invalid value: "{wrong}": ') + message, error.message), error.message


def test_an_accounts_currency_is_refused_as_a_real_api_server_is_recorded_to_refuse_it() -> None:
    schema = structural_schema(KINDS["BillingAccount"])
    (error,) = validate({"spec": {"currencyCode": "usd"}}, schema)
    assert error.message == "Invalid value: \"usd\": spec.currencyCode in body should match '^[A-Z]{3}$'"


def test_a_pattern_without_words_is_shown_as_it_is() -> None:
    assert what_matches("^a+$", path="spec.note") == "spec.note in body should match '^a+$'"
