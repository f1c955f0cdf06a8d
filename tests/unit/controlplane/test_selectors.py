"""Selectors: what they match, and what is said of those that cannot be read."""

import pytest

from milo_billing.controlplane.selectors import parse_selector
from milo_billing.kernel.errors import BadRequest
from tests.unit.controlplane.test_schemas import Sample

KIND = Sample()


@pytest.mark.parametrize(
    ("selector", "labels", "matches"),
    [
        ("", {}, True),
        ("a=1", {"a": "1"}, True),
        ("a==1", {"a": "2"}, False),
        ("a!=1", {}, True),
        ("a!=1", {"a": "1"}, False),
        ("a in (1, 2)", {"a": "2"}, True),
        ("a notin (1,2)", {"a": "2"}, False),
        ("a notin (1,2)", {}, True),
        ("a", {"a": ""}, True),
        ("!a", {"a": ""}, False),
        ("a=1,b in (x,y)", {"a": "1", "b": "y"}, True),
        ("a=1,b in (x,y)", {"a": "1"}, False),
        ("example.com/a=1", {"example.com/a": "1"}, True),
        ("a=", {"a": ""}, True),
    ],
)
def test_label_selectors(selector: str, labels: dict[str, str], matches: bool) -> None:
    assert parse_selector(KIND, labels=selector, fields="").matches(labels=labels, fields={}) is matches


@pytest.mark.parametrize("selector", ["a b c", "a in b", "=1", "a=b c", "a=1=2", "a in (b"])
def test_what_cannot_be_read_is_refused(selector: str) -> None:
    with pytest.raises(BadRequest):
        parse_selector(KIND, labels=selector, fields="")


def test_field_selectors_know_their_fields_and_forgive_a_last_comma() -> None:
    selector = parse_selector(KIND, labels="", fields="metadata.name=x,metadata.namespace!=y,")
    assert selector.matches(labels={}, fields={"metadata.name": "x", "metadata.namespace": "z"})
    assert not selector.matches(labels={}, fields={"metadata.name": "x", "metadata.namespace": "y"})
    with pytest.raises(BadRequest, match=r"field label not supported: spec\.x"):
        parse_selector(KIND, labels="", fields="spec.x=1")
