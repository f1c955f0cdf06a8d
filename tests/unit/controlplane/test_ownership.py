"""Field ownership: the algebra of field sets, and what applying does, in the words of the Kubernetes documentation."""

from typing import Any

import pytest

from milo_billing.controlplane.ownership import (
    FieldSet,
    Manager,
    applied,
    changes,
    find_conflicts,
    owned_by_applying,
    shown_path,
    updated,
)

SCHEMA: dict[str, Any] = {
    "type": "object",
    "properties": {
        "a": {"type": "string"},
        "b": {"type": "string"},
        "box": {"type": "object", "properties": {"x": {"type": "integer"}, "y": {"type": "integer"}}},
        "tags": {"type": "object", "additionalProperties": {"type": "string"}},
        "whole": {"type": "array", "items": {"type": "string"}},
        "names": {"type": "array", "items": {"type": "string"}, "x-kubernetes-list-type": "set"},
        "items": {
            "type": "array",
            "items": {"type": "object", "properties": {"type": {"type": "string"}, "v": {"type": "string"}}},
            "x-kubernetes-list-type": "map",
            "x-kubernetes-list-map-keys": ["type"],
        },
    },
}


def _manager(name: str, value: dict[str, Any] | None = None, *, operation: Any = "Apply") -> Manager:
    fields = {} if value is None else owned_by_applying(value, SCHEMA)
    return Manager(name, operation, "", "test.example/v1", "2026-11-21T00:00:00Z", fields)


def _apply(live: dict[str, Any], managers: list[Manager], name: str, value: dict[str, Any]) -> Any:
    return applied(managers, _manager(name, value), live, value, SCHEMA)


@pytest.mark.parametrize(
    ("value", "fields"),
    [
        ({"a": "1"}, {"f:a": {}}),
        ({"box": {"x": 1}}, {"f:box": {"f:x": {}}}),
        ({"box": {}}, {"f:box": {}}),
        ({"whole": ["p", "q"]}, {"f:whole": {}}),
        ({"names": ["p"]}, {"f:names": {'v:"p"': {}}}),
        (
            {"items": [{"type": "T", "v": "1"}]},
            {"f:items": {'k:{"type":"T"}': {".": {}, "f:type": {}, "f:v": {}}}},
        ),
    ],
)
def test_what_a_configuration_owns(value: dict[str, Any], fields: FieldSet) -> None:
    assert owned_by_applying(value, SCHEMA) == fields


def test_a_new_value_brings_its_containers() -> None:
    changed, removed = changes({}, {"box": {"x": 1}, "tags": {}}, SCHEMA)
    assert (changed, removed) == ({"f:box": {".": {}, "f:x": {}}, "f:tags": {}}, {})


def test_changes_name_what_was_altered_and_what_went() -> None:
    old = {"a": "1", "box": {"x": 1, "y": 2}, "names": ["p", "q"]}
    new = {"a": "2", "box": {"x": 1}, "names": ["q", "r"]}
    changed, removed = changes(old, new, SCHEMA)
    assert changed == {"f:a": {}, "f:names": {'v:"r"': {}}}
    assert removed == {"f:box": {"f:y": {}}, "f:names": {'v:"p"': {}}}


def test_an_update_takes_what_it_alters_from_everybody_else() -> None:
    ann = _manager("ann", {"a": "1", "b": "1"})
    after = updated([ann], _manager("bob", operation="Update"), changed={"f:a": {}}, removed={})
    assert {m.name: m.fields for m in after} == {"ann": {"f:b": {}}, "bob": {"f:a": {}}}


def test_an_update_that_takes_everything_leaves_no_empty_manager() -> None:
    after = updated(
        [_manager("ann", {"a": "1"})], _manager("bob", operation="Update"), changed={"f:a": {}}, removed={}
    )
    assert [m.name for m in after] == ["bob"]


def test_fields_that_the_manager_drops_are_removed_when_nobody_else_owns_them() -> None:
    first = {"a": "1", "box": {"x": 1, "y": 2}}
    live, managers = _apply({}, [], "ann", first)
    live, managers = _apply(live, managers, "bob", {"box": {"y": 2}})
    live, managers = _apply(live, managers, "ann", {"a": "1"})
    assert live == {"a": "1", "box": {"y": 2}}
    assert {m.name: m.fields for m in managers} == {"ann": {"f:a": {}}, "bob": {"f:box": {"f:y": {}}}}


def test_the_same_value_is_shared_and_another_one_conflicts() -> None:
    live, managers = _apply({}, [], "ann", {"a": "1"})
    assert find_conflicts(managers, _manager("bob", {"a": "1"}), live, {"a": "1"}, SCHEMA) == []
    (conflict,) = find_conflicts(managers, _manager("bob", {"a": "2"}), live, {"a": "2"}, SCHEMA)
    assert (conflict.manager.name, shown_path(conflict.path)) == ("ann", ".a")


def test_force_takes_the_field_over() -> None:
    live, managers = _apply({}, [], "ann", {"a": "1", "b": "1"})
    live, managers = _apply(live, managers, "bob", {"a": "2"})
    assert live == {"a": "2", "b": "1"}
    assert {m.name: m.fields for m in managers} == {"ann": {"f:b": {}}, "bob": {"f:a": {}}}


def test_items_of_a_map_list_have_owners_of_their_own() -> None:
    live, managers = _apply({}, [], "ann", {"items": [{"type": "A", "v": "1"}]})
    live, managers = _apply(live, managers, "bob", {"items": [{"type": "B", "v": "2"}]})
    assert [item["type"] for item in live["items"]] == ["A", "B"]
    live, managers = _apply(live, managers, "ann", {})
    assert [item["type"] for item in live["items"]] == ["B"]


def test_an_atomic_list_is_replaced_as_a_whole() -> None:
    live, managers = _apply({}, [], "ann", {"whole": ["p", "q"]})
    live, _ = _apply(live, managers, "ann", {"whole": ["r"]})
    assert live == {"whole": ["r"]}


def test_paths_read_as_in_conflict_messages() -> None:
    path = ("f:status", "f:conditions", 'k:{"type":"Ready"}', "f:status")
    assert shown_path(path) == '.status.conditions[type="Ready"].status'
