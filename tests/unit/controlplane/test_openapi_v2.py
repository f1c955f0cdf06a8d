"""OpenAPI v2: the same content as v3, in the older form and in protobuf."""

from collections.abc import Iterator
from typing import Any, cast

import pytest

from milo_billing.app.wiring import build_registry
from milo_billing.controlplane import openapi, openapi_v2
from milo_billing.controlplane.protobuf import Message, nested, read_message, text

REGISTRY = build_registry()
V3 = [
    openapi.document(REGISTRY, group, version)
    for group, versions in REGISTRY.groups.items()
    for version in versions
]
V2 = openapi_v2.convert(V3)
ACCOUNT = "com.miloapis.billing.v1alpha1.BillingAccount"


def references(value: Any) -> Iterator[str]:
    """Every $ref in a document."""
    if isinstance(value, dict):
        fields = cast("dict[str, Any]", value)
        if isinstance(fields.get("$ref"), str):
            yield fields["$ref"]
        for below in fields.values():
            yield from references(below)
    elif isinstance(value, list):
        for below in cast("list[Any]", value):
            yield from references(below)


def test_every_definition_and_path_of_v3_is_there() -> None:
    for document in V3:
        assert set(document["components"]["schemas"]) <= set(V2["definitions"])
        assert set(document["paths"]) <= set(V2["paths"])


def test_every_reference_resolves_inside_the_document() -> None:
    found = set(references(V2))
    assert found
    for reference in found:
        assert reference.removeprefix("#/definitions/") in V2["definitions"]


def test_a_patch_says_what_kubectl_looks_for_before_it_validates_on_the_server() -> None:
    patch = V2["paths"]["/apis/billing.miloapis.com/v1alpha1/namespaces/{namespace}/billingaccounts/{name}"][
        "patch"
    ]
    assert patch["x-kubernetes-group-version-kind"] == {
        "group": "billing.miloapis.com",
        "version": "v1alpha1",
        "kind": "BillingAccount",
    }
    assert "fieldValidation" in {parameter["name"] for parameter in patch["parameters"]}
    assert "application/strategic-merge-patch+json" not in patch["consumes"]


def test_an_operation_id_names_one_operation() -> None:
    ids = [
        operation["operationId"]
        for item in V2["paths"].values()
        for method, operation in item.items()
        if method != "parameters"
    ]
    assert len(ids) == len(set(ids))


def entries(message: Message | None, number: int) -> dict[str, Message]:
    """A repeated field of names and values."""
    assert message is not None
    found: dict[str, Message] = {}
    for content in message[number]:
        assert isinstance(content, bytes)
        entry = read_message(content)
        value = nested(entry, 2)
        assert value is not None
        found[text(entry, 1)] = value
    return found


@pytest.fixture(scope="module")
def encoded() -> Message:
    return read_message(openapi_v2.encode(V2))


def test_the_protobuf_form_has_the_same_paths_and_definitions(encoded: Message) -> None:
    assert text(encoded, 1) == "2.0"
    assert set(entries(nested(encoded, 8), 2)) == set(V2["paths"])
    assert set(entries(nested(encoded, 9), 1)) == set(V2["definitions"])


def test_the_protobuf_form_has_types_and_descriptions_of_fields(encoded: Message) -> None:
    account = entries(nested(encoded, 9), 1)[ACCOUNT]
    wanted = V2["definitions"][ACCOUNT]
    assert text(account, 4) == wanted["description"]
    spec = entries(nested(account, 25), 1)["spec"]
    fields = entries(nested(spec, 25), 1)
    assert set(fields) == set(wanted["properties"]["spec"]["properties"])
    currency = nested(fields["currencyCode"], 22)
    assert currency is not None and text(currency, 1) == "string"
    extensions = [read_message(content) for content in account[31] if isinstance(content, bytes)]
    assert "x-kubernetes-group-version-kind" in {text(extension, 1) for extension in extensions}
