"""The Kubernetes manifests of every kind: a CustomResourceDefinition each, roles, and admission webhooks.

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
UPDATE = ["update", "patch"]

NAMESPACE, SERVICE = "milo-billing", "milo-billing"
"""Where the service runs that the webhooks call. An overlay that installs it elsewhere says so there as well."""

WEBHOOK_TIMEOUT_S = 10


def render_manifests(registry: Registry | None = None) -> str:
    """All manifests as one YAML stream."""
    if registry is None:
        from milo_billing.app.wiring import build_registry

        registry = build_registry()
    documents = [definition(kind) for kind in registry.kinds]
    documents += [
        _role("admin", _admin_rules(registry)),
        _role("viewer", _rules(registry.kinds, READ)),
        _role("controller", _controller_rules(registry)),
    ]
    documents += [_mutating(registry), _validating(registry)]
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


def _declared(registry: Registry) -> tuple[AnyKind, ...]:
    """What people declare; the rest the service writes."""
    return tuple(kind for kind in registry.kinds if not kind.system)


def _written(registry: Registry) -> tuple[AnyKind, ...]:
    return tuple(kind for kind in registry.kinds if kind.system)


def _admin_rules(registry: Registry) -> list[dict[str, Any]]:
    """Everything on what people declare, and every action; only reading what the service writes."""
    declared, written = _declared(registry), _written(registry)
    return [
        *_rules(declared, READ + WRITE),
        *_rules(declared, UPDATE, below=("status",)),
        *_action_rules(registry.kinds),
        *_rules(written, READ),
    ]


def _controller_rules(registry: Registry) -> list[dict[str, Any]]:
    """What mirrors the objects: it reads all, writes status and finalizers, and all of what the service writes."""
    return [
        *_rules(registry.kinds, READ),
        *_rules(registry.kinds, UPDATE, below=("status", "finalizers")),
        *_rules(_written(registry), WRITE),
    ]


def _rules(
    kinds: Iterable[AnyKind], verbs: list[str], *, below: tuple[str, ...] = ()
) -> list[dict[str, Any]]:
    """A rule a group, for the kinds themselves or for subresources of each."""
    resources: dict[str, list[str]] = {}
    for kind in kinds:
        named = [f"{kind.plural}/{subresource}" for subresource in below] or [kind.plural]
        resources.setdefault(kind.group, []).extend(named)
    return [_rule(group, found, verbs) for group, found in resources.items()]


def _action_rules(kinds: Iterable[AnyKind]) -> list[dict[str, Any]]:
    resources: dict[str, list[str]] = {}
    for kind in kinds:
        if kind.actions:
            named = (f"{kind.plural}/{action}" for action in kind.actions)
            resources.setdefault(kind.group, []).extend(named)
    return [_rule(group, found, ["create"]) for group, found in resources.items()]


def _rule(group: str, resources: Iterable[str], verbs: list[str]) -> dict[str, Any]:
    return {"apiGroups": [group], "resources": sorted(resources), "verbs": list(verbs)}


def _mutating(registry: Registry) -> dict[str, Any]:
    """Fills in what the schemas' own defaults cannot."""
    rules = _webhook_rules(registry, ["CREATE", "UPDATE"])
    return _webhook("Mutating", "mutate", rules, {"reinvocationPolicy": "IfNeeded"})


def _validating(registry: Registry) -> dict[str, Any]:
    """Asks the kinds' rules, also for status and before something goes."""
    rules = _webhook_rules(registry, ["CREATE", "UPDATE", "DELETE"], below=("", "/status"))
    return _webhook("Validating", "validate", rules, {})


def _webhook(name: str, verb: str, rules: list[dict[str, Any]], more: dict[str, Any]) -> dict[str, Any]:
    """Fails closed: an object that nobody has checked must not stand. The certificate's bundle is added on install."""
    return {
        "apiVersion": "admissionregistration.k8s.io/v1",
        "kind": f"{name}WebhookConfiguration",
        "metadata": {"name": "milo-billing"},
        "webhooks": [
            {
                "name": f"{verb}.billing.miloapis.com",
                "admissionReviewVersions": ["v1"],
                "clientConfig": {
                    "service": {
                        "namespace": NAMESPACE,
                        "name": SERVICE,
                        "path": f"/admission/{verb}",
                        "port": 443,
                    }
                },
                "rules": rules,
                "failurePolicy": "Fail",
                "matchPolicy": "Equivalent",
                "sideEffects": "None",
                "timeoutSeconds": WEBHOOK_TIMEOUT_S,
                **more,
            }
        ],
    }


def _webhook_rules(
    registry: Registry, operations: list[str], *, below: tuple[str, ...] = ("",)
) -> list[dict[str, Any]]:
    """A rule a group, version and scope, over everything that people declare."""
    resources: dict[tuple[str, str, str], list[str]] = {}
    for kind in _declared(registry):
        key = (kind.group, kind.version, "Namespaced" if kind.namespaced else "Cluster")
        resources.setdefault(key, []).extend(f"{kind.plural}{subresource}" for subresource in below)
    return [
        {
            "apiGroups": [group],
            "apiVersions": [version],
            "operations": list(operations),
            "resources": sorted(found),
            "scope": scope,
        }
        for (group, version, scope), found in resources.items()
    ]


def _role(name: str, rules: list[dict[str, Any]]) -> dict[str, Any]:
    return {
        "apiVersion": "rbac.authorization.k8s.io/v1",
        "kind": "ClusterRole",
        "metadata": {"name": f"milo-billing-{name}"},
        "rules": rules,
    }
