"""Structural schemas: what a model becomes, and what is said of a value that breaks it."""

from typing import Any, Literal

import pytest
from pydantic import Field

from milo_billing.controlplane.kinds import Fields, Kind
from milo_billing.controlplane.schemas import (
    apply_defaults,
    drop_nulls,
    prune,
    structural_schema,
    validate,
)


class Terms(Fields):
    net_days: int = Field(default=30, ge=1)
    frequency: Literal["Monthly", "Annual"] = "Monthly"


class SampleSpec(Fields):
    currency_code: str = Field(pattern=r"^[A-Z]{3}$")
    terms: Terms | None = None
    emails: list[str] = Field(default_factory=list[str], max_length=2)
    labels: dict[str, str] = Field(default_factory=dict[str, str])
    share: float | None = Field(default=None, gt=0, le=1)


class SampleStatus(Fields):
    phase: str | None = None


class Sample(Kind[SampleSpec, SampleStatus]):
    group, kind, plural, singular, namespaced = "test.example", "Sample", "samples", "sample", True
    spec_model, status_model = SampleSpec, SampleStatus


SCHEMA = structural_schema(Sample())
SPEC = SCHEMA["properties"]["spec"]


def test_it_is_made_once_for_all_instances_of_a_kind() -> None:
    assert structural_schema(Sample()) is structural_schema(Sample())


def test_the_schema_is_structural() -> None:
    text = str(SCHEMA)
    assert not any(word in text for word in ("$ref", "anyOf", "'title'", "'null'", "'const'"))
    assert SPEC["properties"]["terms"]["properties"]["netDays"] == {
        "type": "integer",
        "minimum": 1,
        "default": 30,
    }
    assert SPEC["properties"]["share"] == {
        "type": "number",
        "minimum": 0,
        "exclusiveMinimum": True,
        "maximum": 1,
    }
    assert SPEC["required"] == ["currencyCode"]


@pytest.mark.parametrize(
    ("spec", "field", "message"),
    [
        ({}, "spec.currencyCode", "Required value"),
        (
            {"currencyCode": "usd"},
            "spec.currencyCode",
            "Invalid value: \"usd\": spec.currencyCode in body should match '^[A-Z]{3}$'",
        ),
        # a JSON schema's $ is the end of the text, not the end of its first line
        (
            {"currencyCode": "USD\n"},
            "spec.currencyCode",
            "Invalid value: \"USD\\n\": spec.currencyCode in body should match '^[A-Z]{3}$'",
        ),
        (
            {"currencyCode": "USD", "terms": {"netDays": 0}},
            "spec.terms.netDays",
            "Invalid value: 0: spec.terms.netDays in body should be greater than or equal to 1",
        ),
        (
            {"currencyCode": "USD", "terms": {"netDays": "x"}},
            "spec.terms.netDays",
            'Invalid value: "string": spec.terms.netDays in body must be of type integer: "string"',
        ),
        (
            {"currencyCode": "USD", "terms": {"frequency": "Weekly"}},
            "spec.terms.frequency",
            'Unsupported value: "Weekly": supported values: "Monthly", "Annual"',
        ),
        (
            {"currencyCode": "USD", "emails": ["a", "b", "c"]},
            "spec.emails",
            "Too many: 3: must have at most 2 items",
        ),
        (
            {"currencyCode": "USD", "share": 0},
            "spec.share",
            "Invalid value: 0: spec.share in body should be greater than 0",
        ),
        (
            {"currencyCode": "USD", "labels": {"a": 1}},
            "spec.labels.a",
            'Invalid value: "integer": spec.labels.a in body must be of type string: "integer"',
        ),
    ],
)
def test_messages_are_those_of_kubernetes(spec: dict[str, Any], field: str, message: str) -> None:
    (error,) = validate({"spec": spec}, SCHEMA)
    assert (error.field, error.message) == (field, message)


def test_every_error_is_reported_at_once() -> None:
    broken = {"currencyCode": "usd", "terms": {"netDays": 0, "frequency": "Weekly"}}
    assert len(validate({"spec": broken}, SCHEMA)) == 3


def test_pruning_names_what_it_removes_by_path() -> None:
    value = {"spec": {"currencyCode": "USD", "x": 1, "terms": {"y": 2}, "labels": {"kept": "yes"}}, "z": 3}
    assert prune(value, SCHEMA) == ["spec.x", "spec.terms.y", "z"]
    assert value == {"spec": {"currencyCode": "USD", "terms": {}, "labels": {"kept": "yes"}}}


def test_defaults_reach_into_objects_that_are_there_and_replace_null() -> None:
    value: dict[str, Any] = {"spec": {"currencyCode": "USD", "terms": {"frequency": None}}}
    drop_nulls(value, SCHEMA)
    apply_defaults(value, SCHEMA)
    assert value["spec"]["terms"] == {"netDays": 30, "frequency": "Monthly"}


def test_an_optional_object_that_is_absent_stays_absent() -> None:
    value: dict[str, Any] = {"spec": {"currencyCode": "USD"}}
    apply_defaults(value, SCHEMA)
    assert "terms" not in value["spec"]
