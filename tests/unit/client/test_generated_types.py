"""The types of the client as they are generated from OpenAPI documents."""

from typing import Any, get_type_hints

import pytest

from milo_billing.app.client_types import LINE_LENGTH_MAX, render_client_types

CONDITION = {
    "type": "object",
    "required": ["type"],
    "properties": {"type": {"type": "string"}, "status": {"type": "string", "enum": ["True", "False"]}},
}


def document(**kinds: dict[str, Any]) -> dict[str, Any]:
    schemas = {f"com.example.v1.{name}": schema for name, schema in kinds.items()}
    return {"components": {"schemas": schemas}}


def kind(**properties: Any) -> dict[str, Any]:
    return {"type": "object", "properties": properties}


def types_of(source: str) -> dict[str, Any]:
    namespace: dict[str, Any] = {}
    exec(source, namespace)
    return namespace


def test_a_kind_becomes_a_class_with_what_is_nested_in_it():
    spec = kind(
        amount={"type": "string"},
        days={"type": "integer"},
        tags={"type": "array", "items": {"type": "string"}},
    )
    source = render_client_types([document(Thing=kind(spec={**spec, "required": ["amount"]}))])
    hints = get_type_hints(types_of(source)["ThingSpec"])
    assert {name: str(hint) for name, hint in hints.items()} == {
        "amount": "<class 'str'>",
        "days": "<class 'int'>",
        "tags": "list[str]",
    }
    assert types_of(source)["ThingSpec"].__required_keys__ == {"amount"}


def test_one_shape_in_several_kinds_is_one_class():
    status = kind(conditions={"type": "array", "items": CONDITION})
    source = render_client_types([document(One=kind(status=status), Two=kind(status=status))])
    assert source.count("class Condition(TypedDict):") == 1
    assert source.count("conditions: NotRequired[list[Condition]]") == 2


def test_two_shapes_of_one_name_are_two_classes():
    source = render_client_types(
        [
            document(
                One=kind(owner=kind(name={"type": "string"})),
                Two=kind(owner=kind(name={"type": "string"})),
                Three=kind(owner=kind(uid={"type": "string"})),
                Four=kind(owner=kind(uid={"type": "string"})),
            )
        ]
    )
    assert "class Owner(TypedDict)" not in source
    assert {"OneOwner", "ThreeOwner"} <= types_of(source).keys()


def test_a_field_that_is_a_keyword_keeps_its_name():
    source = render_client_types([document(Page=kind(**{"continue": {"type": "string"}}))])
    assert types_of(source)["Page"].__optional_keys__ == {"continue"}


def test_lists_of_kinds_are_left_out_and_references_are_kept():
    thing = kind(metadata={"allOf": [{"$ref": "#/components/schemas/com.example.v1.ObjectMeta"}]})
    source = render_client_types(
        [document(Thing=thing, ThingList=kind(), ObjectMeta=kind(name={"type": "string"}))]
    )
    assert "ThingList" not in source
    assert source.index("class ObjectMeta") < source.index("class Thing")


def test_long_choices_are_broken_between_values_and_not_inside():
    values = [f"a value with spaces {number}" for number in range(12)]
    source = render_client_types([document(Thing=kind(choice={"type": "string", "enum": values}))])
    assert max(len(line) for line in source.splitlines()) <= LINE_LENGTH_MAX
    assert all(f'"{value}"' in source for value in values)
    types_of(source)


def test_truth_values_are_written_as_python_does():
    assert "Literal[True]" in render_client_types(
        [document(Thing=kind(all={"type": "boolean", "enum": [True]}))]
    )


def test_a_type_that_no_typed_dict_can_say_is_refused():
    with pytest.raises(ValueError, match="ThingOdd"):
        render_client_types([document(Thing=kind(odd={"type": "function"}))])
