"""Patches that lead nowhere, out of the object, or make something else of it."""

from collections.abc import Iterator
from typing import Any

from tests.contract.nasty.requests import ACCOUNT_PATH, APPLY, JSON_PATCH, MERGE, Nasty, encoded

_OPERATIONS: dict[str, Any] = {
    "dots": [{"op": "add", "path": "/../../spec", "value": 1}],
    "dots replaced": [{"op": "replace", "path": "/spec/../metadata/name", "value": "x"}],
    "no slash": [{"op": "add", "path": "spec", "value": 1}],
    "root": [{"op": "replace", "path": "", "value": {}}],
    "root removed": [{"op": "remove", "path": ""}],
    "root null": [{"op": "add", "path": "", "value": None}],
    "root list": [{"op": "add", "path": "", "value": []}],
    "escapes": [{"op": "add", "path": "/metadata/annotations/~2", "value": "x"}],
    "last": [{"op": "add", "path": "/spec/-", "value": 1}],
    "last test": [{"op": "test", "path": "/status/conditions/-", "value": 1}],
    "last removed": [{"op": "remove", "path": "/status/conditions/-"}],
    "below a text": [{"op": "add", "path": "/spec/currencyCode/x", "value": 1}],
    "below a text by index": [{"op": "replace", "path": "/spec/currencyCode/0", "value": "E"}],
    "text removed by index": [{"op": "remove", "path": "/spec/currencyCode/0"}],
    "below a number": [{"op": "add", "path": "/metadata/generation/x", "value": 1}],
    "index of a text": [{"op": "add", "path": "/status/conditions/first", "value": 1}],
    "moved into itself": [{"op": "move", "from": "/spec", "path": "/spec/contactInfo"}],
    "copied into itself": [{"op": "copy", "from": "", "path": "/spec/x"}] * 12,
    "doubled": [{"op": "copy", "from": "/metadata", "path": "/metadata/annotations"}] * 30,
    "no op": [{"path": "/spec"}],
    "no path": [{"op": "add", "value": 1}],
    "no value": [{"op": "add", "path": "/spec"}],
    "no from": [{"op": "move", "path": "/spec"}],
    "path of another type": [{"op": "add", "path": 7, "value": 1}],
    "path null": [{"op": "add", "path": None, "value": 1}],
    "from of another type": [{"op": "copy", "path": "/spec/x", "from": []}],
    "op of another type": [{"op": [], "path": "/spec", "value": 1}],
    "op object": [{"op": {"a": 1}, "path": "/spec", "value": 1}],
    "texts": ["add", "remove"],
    "nulls": [None],
    "lists": [[], [[]]],
    "object": {"op": "add", "path": "/spec", "value": 1},
    "too many": [{"op": "test", "path": "/kind", "value": "BillingAccount"}] * 10_001,
    "kind": [{"op": "replace", "path": "/kind", "value": "Project"}],
    "metadata": [{"op": "replace", "path": "/metadata", "value": "x"}],
    "metadata removed": [{"op": "remove", "path": "/metadata"}],
    "spec removed": [{"op": "remove", "path": "/spec"}],
    "spec text": [{"op": "replace", "path": "/spec", "value": "x"}],
    "name": [{"op": "replace", "path": "/metadata/name", "value": "other"}],
    "namespace": [{"op": "replace", "path": "/metadata/namespace", "value": "organization-zq7org"}],
    "managed fields": [{"op": "replace", "path": "/metadata/managedFields", "value": "x"}],
    "a manager": [
        {
            "op": "replace",
            "path": "/metadata/managedFields",
            "value": [
                {
                    "manager": "x",
                    "operation": "Apply",
                    "fieldsType": "FieldsV1",
                    "fieldsV1": {"f:spec": {"v:x": 7, "k:{": {}, "i:x": {}, "": {}}},
                }
            ],
        }
    ],
    "long pointer": [{"op": "add", "path": "/a" * 100_000, "value": 1}],
}

_MERGES: dict[str, Any] = {
    "all gone": {"apiVersion": None, "kind": None, "metadata": None, "spec": None, "status": None},
    "dots": {"..": {"spec": 1}, "spec": {"..": 1}},
    "spec of another type": {"spec": []},
    "labels of another type": {"metadata": {"labels": "x", "annotations": [], "finalizers": "x"}},
    "label values": {"metadata": {"labels": {"a": 1}, "annotations": {"a": {"b": 1}}}},
    "owners": {"metadata": {"ownerReferences": [{}], "finalizers": [None]}},
    "owner uid": {
        "metadata": {"ownerReferences": [{"apiVersion": "v1", "kind": "x", "name": "x", "uid": "x"}]}
    },
    "managers": {"metadata": {"managedFields": [{"fieldsV1": {"f:spec": 1}}, {}]}},
    "managers of another type": {"metadata": {"managedFields": {"a": 1}}},
    "managers null": {"metadata": {"managedFields": [None]}},
    "times": {"metadata": {"creationTimestamp": {}, "deletionTimestamp": "never"}},
    "status": {"status": {"conditions": [{"type": 1}, None, "x"], "phase": 7, "suspension": []}},
    "status conditions": {"status": {"conditions": {"a": 1}}},
    "conditions": {
        "status": {
            "conditions": [
                {"type": "X", "status": "Maybe", "reason": "", "message": 7, "lastTransitionTime": "x"}
            ]
        }
    },
    "phase": {"status": {"phase": "Archived"}},
}


def json_patches() -> Iterator[Nasty]:
    """RFC 6902."""
    for what, patch in _OPERATIONS.items():
        for path in (ACCOUNT_PATH, f"{ACCOUNT_PATH}/status"):
            yield Nasty(f"{what} {path[-7:]}", "PATCH", f"{path}?dryRun=All", encoded(patch), JSON_PATCH)


def merges() -> Iterator[Nasty]:
    """RFC 7396, and the same as configurations that are applied."""
    for what, patch in _MERGES.items():
        whole = {"apiVersion": "billing.miloapis.com/v1alpha1", "kind": "BillingAccount", **patch}
        for path in (ACCOUNT_PATH, f"{ACCOUNT_PATH}/status"):
            for validation in ("", "&fieldValidation=Ignore", "&fieldValidation=Strict"):
                named = f"{what} {path[-7:]}{validation}"
                yield Nasty(
                    f"merge {named}", "PATCH", f"{path}?dryRun=All{validation}", encoded(patch), MERGE
                )
                applied = f"{path}?dryRun=All&fieldManager=f{validation}"
                yield Nasty(f"apply {named}", "PATCH", applied, encoded(whole), APPLY)
