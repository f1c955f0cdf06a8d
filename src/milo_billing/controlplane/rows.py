"""A row of controlplane.objects in clear, and its shape on the wire.

Owns: the mapping row ⇄ Kubernetes object, and which parts of metadata are stored where. Not: SQL (store), sealing of
personal fields (store, with the vault).
"""

from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from uuid import UUID

from milo_billing.controlplane.kinds import AnyKind, AnyObject, Json, Object, rfc3339

MANAGED = ("annotations", "finalizers", "ownerReferences", "generateName", "managedFields")
"""Parts of metadata that live in the `metadata` column; the others have columns of their own."""


@dataclass(slots=True)
class Row:
    """One stored object. `sealed` keeps the stored ciphertexts by path, so that an unchanged field keeps its own."""

    uid: UUID
    namespace: str
    name: str
    owner_org: int
    readable_by_all: bool
    generation: int
    created_at: datetime
    resource_version: int = 0
    deletion_requested_at: datetime | None = None
    labels: dict[str, str] = field(default_factory=dict[str, str])
    metadata: Json = field(default_factory=dict[str, Any])
    spec: Json = field(default_factory=dict[str, Any])
    status: Json = field(default_factory=dict[str, Any])
    sealed: dict[str, str] = field(default_factory=dict[str, str])


def to_wire(kind: AnyKind, row: Row) -> Json:
    """The object as a client reads it. Shares nested values with the row: treat as read-only."""
    metadata: Json = {"name": row.name}
    if row.namespace:
        metadata["namespace"] = row.namespace
    metadata["uid"] = str(row.uid)
    if row.resource_version:
        metadata["resourceVersion"] = str(row.resource_version)
    metadata["generation"] = row.generation
    metadata["creationTimestamp"] = rfc3339(row.created_at)
    if row.deletion_requested_at is not None:
        metadata["deletionTimestamp"] = rfc3339(row.deletion_requested_at)
        metadata["deletionGracePeriodSeconds"] = 0
    if row.labels:
        metadata["labels"] = row.labels
    for part in MANAGED:
        if row.metadata.get(part):
            metadata[part] = row.metadata[part]
    wire: Json = {
        "apiVersion": f"{kind.group}/{kind.version}",
        "kind": kind.kind,
        "metadata": metadata,
        "spec": row.spec,
    }
    if row.status:
        wire["status"] = row.status
    return wire


def to_object(kind: AnyKind, row: Row) -> AnyObject:
    """The object as the kind's rules see it. The row's spec and status are valid: they were admitted."""
    return Object(
        kind=type(kind),
        uid=row.uid,
        namespace=row.namespace,
        name=row.name,
        owner_org=row.owner_org,
        resource_version=row.resource_version,
        generation=row.generation,
        created_at=row.created_at,
        deletion_requested_at=row.deletion_requested_at,
        labels=row.labels,
        annotations=row.metadata.get("annotations") or {},
        finalizers=tuple(row.metadata.get("finalizers") or ()),
        owner_references=tuple(row.metadata.get("ownerReferences") or ()),
        spec=kind.spec_model.model_validate(row.spec),
        status=kind.status_model.model_validate(row.status),
    )


def dig(value: Any, path: str) -> Any:
    """The value at a dotted path such as `spec.contactInfo` or `.status.phase`; None where it leads nowhere."""
    for key in path.lstrip(".").split("."):
        if not isinstance(value, dict):
            return None
        value = value.get(key)  # pyright: ignore[reportUnknownVariableType, reportUnknownMemberType]
    return value  # pyright: ignore[reportUnknownVariableType]


def selectable_values(kind: AnyKind, row: Row) -> dict[str, str]:
    """What field selectors of this kind can match, beside name and namespace: as Kubernetes, always strings."""
    parts = {"spec": row.spec, "status": row.status}
    values: dict[str, str] = {}
    for path in kind.selectable:
        value = dig(parts, path)
        values[path] = "" if value is None else str(value)
    return values
