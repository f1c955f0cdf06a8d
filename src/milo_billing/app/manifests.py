"""The Kubernetes manifests of every kind: a CustomResourceDefinition each, and the roles to use them.

For installations where a Kubernetes API server serves the kinds and the service mirrors them. Generated from the kinds,
never written by hand.
"""

import copy
from collections.abc import Iterable
from typing import Any

import yaml

from milo_billing.controlplane.kinds import AnyKind, Registry
from milo_billing.controlplane.schemas import structural_schema

HEADER = "# Generated from the kinds by `./task generate`. Do not edit.\n"
READ = ["get", "list", "watch"]
WRITE = ["create", "update", "patch", "delete"]


def render_manifests(registry: Registry | None = None) -> str:
    """All manifests as one YAML stream."""
    if registry is None:
        from milo_billing.app.wiring import build_registry

        registry = build_registry()
    documents = [definition(kind) for kind in registry.kinds]
    documents += [_role("admin", _admin_rules(registry)), _role("viewer", _rules(registry.kinds, READ))]
    return HEADER + yaml.safe_dump_all(
        documents, sort_keys=False, explicit_start=True, allow_unicode=True, width=120
    )


def definition(kind: AnyKind) -> dict[str, Any]:
    """The CustomResourceDefinition of a kind."""
    names: dict[str, Any] = {
        "kind": kind.kind,
        "listKind": f"{kind.kind}List",
        "plural": kind.plural,
        "singular": kind.singular,
    }
    if kind.short_names:
        names["shortNames"] = list(kind.short_names)
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": f"{kind.plural}.{kind.group}"},
        "spec": {
            "group": kind.group,
            "names": names,
            "scope": "Namespaced" if kind.namespaced else "Cluster",
            "versions": [_version(kind)],
        },
    }


def _version(kind: AnyKind) -> dict[str, Any]:
    schema = copy.deepcopy(structural_schema(kind))
    if not schema["required"]:
        del schema["required"]
    version: dict[str, Any] = {
        "name": kind.version,
        "served": True,
        "storage": True,
        "schema": {"openAPIV3Schema": schema},
        "subresources": {"status": {}},
        "additionalPrinterColumns": [*_columns(kind), {"name": "Age", "type": "date", "jsonPath": _AGE}],
    }
    if kind.selectable:
        version["selectableFields"] = [{"jsonPath": f".{field}"} for field in kind.selectable]
    return version


_AGE = ".metadata.creationTimestamp"


def _columns(kind: AnyKind) -> Iterable[dict[str, Any]]:
    for column in kind.columns:
        shown: dict[str, Any] = {"name": column.name, "type": column.type, "jsonPath": column.path}
        if column.priority:
            shown["priority"] = column.priority
        yield shown


def _admin_rules(registry: Registry) -> list[dict[str, Any]]:
    """Everything on what people declare; only reading what the service writes."""
    declared = tuple(kind for kind in registry.kinds if not kind.system)
    written = tuple(kind for kind in registry.kinds if kind.system)
    return _rules(declared, READ + WRITE) + _rules(written, READ)


def _rules(kinds: Iterable[AnyKind], verbs: list[str]) -> list[dict[str, Any]]:
    plurals: dict[str, list[str]] = {}
    for kind in kinds:
        plurals.setdefault(kind.group, []).append(kind.plural)
    return [
        {"apiGroups": [group], "resources": sorted(found), "verbs": list(verbs)}
        for group, found in plurals.items()
    ]


def _role(name: str, rules: list[dict[str, Any]]) -> dict[str, Any]:
    return {
        "apiVersion": "rbac.authorization.k8s.io/v1",
        "kind": "ClusterRole",
        "metadata": {"name": f"milo-billing-{name}"},
        "rules": rules,
    }
