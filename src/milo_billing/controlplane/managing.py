"""managedFields of stored objects: kept up to date on every write, and the merge when a configuration is applied.

Owns: which parts of an object have owners, what of a draft a verb takes over, and the conflict that a client reads.
Not: the algebra (ownership).
"""

import copy
from dataclasses import replace
from datetime import datetime
from functools import lru_cache
from typing import Any, Literal

import orjson

from milo_billing.controlplane import ownership
from milo_billing.controlplane.decoding import Draft
from milo_billing.controlplane.kinds import AnyKind, Json, rfc3339
from milo_billing.controlplane.ownership import Manager
from milo_billing.controlplane.rows import Row
from milo_billing.controlplane.schemas import apply_defaults, structural_schema
from milo_billing.controlplane.statuses import Failure, Status
from milo_billing.controlplane.store import LAST_APPLIED

KUBECTL = "kubectl"
"""The field manager of `kubectl apply --server-side`."""

CLIENT_SIDE_APPLY = "kubectl-client-side-apply"
"""The field manager of `kubectl apply` without --server-side."""

_LAST_APPLIED_PATH = ("f:metadata", "f:annotations", f"f:{LAST_APPLIED}")

_STRINGS: Json = {"type": "object", "additionalProperties": {"type": "string"}}
_METADATA: Json = {
    "type": "object",
    "properties": {
        "generateName": {"type": "string"},
        "labels": _STRINGS,
        "annotations": _STRINGS,
        "finalizers": {"type": "array", "items": {"type": "string"}, "x-kubernetes-list-type": "set"},
        "ownerReferences": {
            "type": "array",
            "items": {"type": "object", "x-kubernetes-map-type": "atomic"},
            "x-kubernetes-list-type": "map",
            "x-kubernetes-list-map-keys": ["uid"],
        },
    },
}


@lru_cache(maxsize=256)
def owned_schema(kind: AnyKind) -> Json:
    """The schema of everything in an object that somebody can own."""
    properties = structural_schema(kind)["properties"]
    return {
        "type": "object",
        "properties": {"metadata": _METADATA, "spec": properties["spec"], "status": properties["status"]},
    }


def owned_view(*, labels: dict[str, str], metadata: Json, spec: Json, status: Json, subresource: str) -> Json:
    """What this endpoint can write of an object: its status, or everything else."""
    if subresource == "status":
        return {"status": status}
    kept = {part: metadata[part] for part in _METADATA["properties"] if metadata.get(part)}
    if labels:
        kept["labels"] = labels
    return {"metadata": kept, "spec": spec} if kept else {"spec": spec}


def view_of(row: Row, *, subresource: str) -> Json:
    return owned_view(
        labels=row.labels,
        metadata=row.metadata,
        spec=row.spec,
        status=row.status,
        subresource=subresource,
    )


def track_update(
    kind: AnyKind, row: Row, old: Row | None, *, by: str, subresource: str, now: datetime
) -> None:
    """Give the fields that this write set or altered to `by`, in `row.metadata`; they have no other owner after it."""
    # metadata itself is nobody's: only what is in it
    nothing: Json = {"metadata": {}}
    before = nothing if old is None else nothing | view_of(old, subresource=subresource)
    after = nothing | view_of(row, subresource=subresource)
    changed, removed = ownership.changes(before, after, owned_schema(kind))
    if not changed and not removed:
        return
    managers = ownership.managers_of(row.metadata.get("managedFields") or [])
    writer = _manager(kind, by, "Update", subresource, {}, now)
    _put(row.metadata, ownership.updated(managers, writer, changed=changed, removed=removed))


def _manager(
    kind: AnyKind,
    name: str,
    operation: Literal["Apply", "Update"],
    subresource: str,
    fields: ownership.FieldSet,
    now: datetime,
) -> Manager:
    version = f"{kind.group}/{kind.version}"
    return Manager(name, operation, subresource, version, rfc3339(now), fields)


def _put(metadata: Json, managers: list[Manager]) -> None:
    if managers:
        metadata["managedFields"] = [manager.wire() for manager in managers]
    else:
        metadata.pop("managedFields", None)


def merge_applied(
    kind: AnyKind,
    found: Row | None,
    configuration: Json,
    *,
    by: str,
    force: bool,
    subresource: str,
    now: datetime,
) -> tuple[Json, list[Json]]:
    """The owned view of the object once `by` has applied the configuration (an owned view too), and managedFields.

    Raises 409 with every conflict unless `force` takes the fields over.
    """
    schema = owned_schema(kind)
    configuration = _with_defaults(configuration, schema)
    live: Json = {} if found is None else view_of(found, subresource=subresource)
    entries: list[Json] = [] if found is None else found.metadata.get("managedFields") or []
    managers = ownership.managers_of(entries)
    fields = ownership.owned_by_applying(configuration, schema)
    applier = _manager(kind, by, "Apply", subresource, fields, now)
    conflicts = ownership.find_conflicts(managers, applier, live, configuration, schema)
    if not force and by == KUBECTL and found is not None:
        conflicts = _not_applied_before(conflicts, kind, found)
    if conflicts and not force:
        raise _conflict(conflicts)
    merged, after = ownership.applied(managers, applier, live, configuration, schema)
    standing = next((m for m in managers if m.key == applier.key), None)
    if standing is not None and standing.fields == fields and merged == live:
        return merged, entries  # nothing new: not even a time
    return merged, [manager.wire() for manager in after if manager.fields]


def adopt_client_side(found: Row, *, by: str) -> Row:
    """The object as if `by` had applied on the server what was applied on the client's side before; a copy if it was.

    So a field of that earlier configuration goes away when the next one does not have it. As client-go's csaupgrade
    does before a first server-side apply; the annotation stays for the client that wrote it, and is nobody's.
    """
    if LAST_APPLIED not in (found.metadata.get("annotations") or {}):
        return found
    managers = ownership.managers_of(found.metadata.get("managedFields") or [])
    before = [
        m
        for m in managers
        if m.operation == "Update" and not m.subresource and m.name in (CLIENT_SIDE_APPLY, by)
    ]
    if not before:
        return found
    own: ownership.FieldSet = {}
    for manager in (*before, *(m for m in managers if m.key == (by, "Apply", ""))):
        own = ownership.union(own, manager.fields)
    own = ownership.difference(own, ownership.from_paths([_LAST_APPLIED_PATH]))
    kept = [m for m in managers if m not in before and m.key != (by, "Apply", "")]
    adopted = Manager(by, "Apply", "", before[0].api_version, before[0].time, own)
    entries = [manager.wire() for manager in (*kept, adopted)]
    return replace(found, metadata={**found.metadata, "managedFields": entries})


def _not_applied_before(
    conflicts: list[ownership.Conflict], kind: AnyKind, found: Row
) -> list[ownership.Conflict]:
    """The conflicts that are not with what kubectl itself applied on the client's side before.

    As the API server's LastAppliedManager: the annotation says what those fields are.
    """
    annotations: dict[str, str] = found.metadata.get("annotations") or {}
    text = annotations.get(LAST_APPLIED, "")
    try:
        applied: Any = orjson.loads(text)
    except ValueError:
        return conflicts
    if not isinstance(applied, dict):
        return conflicts
    schema = owned_schema(kind)
    kept = {part: applied[part] for part in ("metadata", "spec") if isinstance(applied.get(part), dict)}  # pyright: ignore
    before = set(ownership.paths(ownership.owned_by_applying(kept, schema)))
    before.add(_LAST_APPLIED_PATH)
    return [conflict for conflict in conflicts if conflict.path not in before]


def _with_defaults(value: Any, schema: Json) -> Any:
    """The configuration with the schema's defaults inside what is owned as a whole, as it stands in the live object.

    Else a list without its items' defaults would differ from the very same list, stored.
    """
    if not ownership.is_granular(value, schema):
        whole = copy.deepcopy(value)
        apply_defaults(whole, schema)
        return whole
    found = ownership.children(value, schema)
    if isinstance(value, dict):
        return {element[2:]: _with_defaults(below, of) for element, (below, of) in found.items()}
    return [_with_defaults(below, of) for below, of in found.values()]


def _conflict(conflicts: list[ownership.Conflict]) -> Failure:
    by_manager: dict[str, list[str]] = {}
    for found in conflicts:
        by_manager.setdefault(_shown_manager(found.manager), []).append(ownership.shown_path(found.path))
    causes: list[Any] = [
        {"reason": "FieldManagerConflict", "message": f"conflict with {manager}", "field": path}
        for manager, paths in by_manager.items()
        for path in paths
    ]
    if len(conflicts) == 1:
        manager, (path,) = next(iter(by_manager.items()))
        message = f"Apply failed with 1 conflict: conflict with {manager}: {path}"
    else:
        listed = "\n".join(
            f"conflicts with {manager}:\n" + "\n".join(f"- {path}" for path in paths)
            for manager, paths in by_manager.items()
        )
        message = f"Apply failed with {len(conflicts)} conflicts: {listed}"
    return Failure(Status(409, "Conflict", message, {"causes": causes}))


def _shown_manager(manager: Manager) -> str:
    below = f' with subresource "{manager.subresource}"' if manager.subresource else ""
    if manager.operation == "Update":
        return f'"{manager.name}"{below} using {manager.api_version}'
    return f'"{manager.name}"{below}'


def merged(found: Row, draft: Draft, *, subresource: str) -> Row:
    """The row with what this verb may change: status through /status, everything else through the object."""
    row = copy.deepcopy(found)
    managers = _managers_wanted(found, draft)
    if subresource == "status":
        row.status = draft.status
        row.metadata = {**without_managers(row.metadata), **managers}
        return row
    row.labels = dict(draft.labels)
    kept = {part: found.metadata[part] for part in ("generateName",) if part in found.metadata}
    row.metadata = {**without_managers(draft.metadata), **managers, **kept}
    row.spec = draft.spec
    return row


def _managers_wanted(found: Row, draft: Draft) -> Json:
    """managedFields as the client left them: a list of nothing clears them, leaving them out changes nothing."""
    if "managedFields" not in draft.metadata:
        return {part: found.metadata[part] for part in ("managedFields",) if part in found.metadata}
    named = [entry for entry in draft.metadata["managedFields"] if entry]
    return {"managedFields": named} if named else {}


def without_managers(metadata: Json) -> Json:
    """The metadata without its managedFields."""
    return {part: value for part, value in metadata.items() if part != "managedFields"}
