"""The manifests for a cluster, checked without one: against Kubernetes' own schemas, and by the rules that a structural
schema must keep.

Rules: https://kubernetes.io/docs/tasks/extend-kubernetes/custom-resources/custom-resource-definitions/ "Specifying a
structural schema".
"""

from collections.abc import Iterator
from typing import Any

import kubernetes_validate
import pytest
import yaml

from milo_billing.app.manifests import render_manifests
from milo_billing.app.wiring import build_registry
from milo_billing.controlplane.schemas import validate as validate_value

REGISTRY = build_registry()
MANIFESTS: list[dict[str, Any]] = list(yaml.safe_load_all(render_manifests(REGISTRY)))
DEFINITIONS = [m for m in MANIFESTS if m["kind"] == "CustomResourceDefinition"]
RELEASES = ("1.30", "1.33", "1.35")

FORBIDDEN = {
    *("$ref", "$schema", "id", "definitions", "dependencies", "patternProperties", "additionalItems"),
    *("deprecated", "discriminator", "readOnly", "writeOnly", "xml", "examples", "const", "anyOf", "oneOf"),
}


def named(manifest: dict[str, Any]) -> str:
    return f"{manifest['kind']}/{manifest['metadata']['name']}"


@pytest.mark.parametrize("release", RELEASES)
def test_kubernetes_knows_every_field(release: str) -> None:
    for manifest in MANIFESTS:
        kubernetes_validate.validate(manifest, release, strict=True)


def test_every_kind_is_there_with_roles_and_webhooks() -> None:
    assert [d["spec"]["names"]["kind"] for d in DEFINITIONS] == [kind.kind for kind in REGISTRY.kinds]
    rest = {named(manifest) for manifest in MANIFESTS if manifest not in DEFINITIONS}
    assert rest == {
        "ClusterRole/milo-billing-admin",
        "ClusterRole/milo-billing-viewer",
        "ClusterRole/milo-billing-controller",
        "MutatingWebhookConfiguration/milo-billing",
        "ValidatingWebhookConfiguration/milo-billing",
    }


def problems(schema: dict[str, Any], path: str) -> Iterator[str]:
    """Why an API server would not take this schema."""
    for key in FORBIDDEN & set(schema):
        yield f"{path}: {key} is forbidden"
    free = schema.get("x-kubernetes-preserve-unknown-fields") or schema.get("x-kubernetes-int-or-string")
    if not schema.get("type") and not free:
        yield f"{path}: type is required"
    if schema.get("uniqueItems"):
        yield f"{path}: uniqueItems cannot be set"
    if schema.get("type") == "array" and "items" not in schema:
        yield f"{path}: items is required"
    if "properties" in schema and "additionalProperties" in schema:
        yield f"{path}: properties and additionalProperties exclude each other"
    if set(schema.get("required", ())) - set(schema.get("properties", {})):
        yield f"{path}: a required field has no schema"
    if "default" in schema and validate_value(schema["default"], schema, path):
        yield f"{path}: the default is not valid"
    yield from list_problems(schema, path)
    for name, below in schema.get("properties", {}).items():
        yield from problems(below, f"{path}.{name}")
    for key in ("items", "additionalProperties"):
        if isinstance(schema.get(key), dict):
            yield from problems(schema[key], f"{path}[{key}]")


def list_problems(schema: dict[str, Any], path: str) -> Iterator[str]:
    if schema.get("x-kubernetes-list-type") != "map":
        return
    items = schema["items"]
    for key in schema["x-kubernetes-list-map-keys"]:
        found = items["properties"].get(key, {})
        if found.get("type") not in ("string", "integer", "boolean"):
            yield f"{path}: the key {key} must be a scalar of the items"
        if key not in items.get("required", ()) and "default" not in found:
            yield f"{path}: the key {key} must be required or have a default"


@pytest.mark.parametrize("definition", DEFINITIONS, ids=named)
def test_the_schema_is_structural(definition: dict[str, Any]) -> None:
    spec = definition["spec"]
    assert definition["metadata"]["name"] == f"{spec['names']['plural']}.{spec['group']}"
    (version,) = spec["versions"]
    schema = version["schema"]["openAPIV3Schema"]
    assert schema["type"] == "object"
    assert schema["properties"]["metadata"] == {"type": "object"}, "nothing may be said of metadata"
    assert list(problems(schema, spec["names"]["kind"])) == []


def test_webhooks_ask_about_what_people_declare_and_nothing_else() -> None:
    (validating,) = [m for m in MANIFESTS if m["kind"] == "ValidatingWebhookConfiguration"]
    (webhook,) = validating["webhooks"]
    asked = {resource for rule in webhook["rules"] for resource in rule["resources"]}
    declared = {kind.plural for kind in REGISTRY.kinds if not kind.system}
    assert asked == declared | {f"{plural}/status" for plural in declared}
    assert webhook["failurePolicy"] == "Fail"
