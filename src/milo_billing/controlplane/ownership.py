"""Who owns which field: managedFields, and the merge of server-side apply.

A field set is a trie as FieldsV1 writes it: `f:name` a field, `k:{"type":"Ready"}` an item of a list of type map,
`v:"x"` a member of a list of type set, `.` the container itself. Leaves are empty.
Rules: https://kubernetes.io/docs/reference/using-api/server-side-apply/. Pure. Not: storage, HTTP, times.
"""

import copy
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias, cast

import orjson

from milo_billing.controlplane.kinds import Json

FieldSet: TypeAlias = dict[str, Any]
"""Path element → what is owned below it."""

Path: TypeAlias = tuple[str, ...]

SELF = "."
"""The element that says: the container itself, not only fields in it."""


# -- field sets ---------------------------------------------------------------------------------------------------


def _is_owned(below: FieldSet) -> bool:
    """Whether what stands at an element is itself owned, beside what is owned in it."""
    return not below or SELF in below


def union(left: FieldSet, right: FieldSet) -> FieldSet:
    merged = dict(left)
    for element, below in right.items():
        if element not in merged:
            merged[element] = below
        elif merged[element] or below:
            both = union(merged[element], below)
            whole = _is_owned(merged[element]) or _is_owned(below)
            merged[element] = {SELF: {}, **both} if whole else both
    return merged


def difference(left: FieldSet, right: FieldSet) -> FieldSet:
    """What is in `left` and not in `right`."""
    kept: FieldSet = {}
    for element, below in left.items():
        other = right.get(element)
        if other is None:
            kept[element] = below
        elif not below:
            if not _is_owned(other):
                kept[element] = below
        elif remaining := difference(below, other or {SELF: {}}):
            kept[element] = remaining
    return kept


def intersection(left: FieldSet, right: FieldSet) -> FieldSet:
    common: FieldSet = {}
    for element, below in left.items():
        other = right.get(element)
        if other is None:
            continue
        if not below or not other:
            if _is_owned(below) and _is_owned(other):
                common[element] = {}
        elif shared := intersection(below, other):
            common[element] = shared
    return common


def paths(fields: FieldSet, prefix: Path = ()) -> Iterator[Path]:
    """The leaves, in order."""
    for element, below in fields.items():
        if below:
            yield from paths(below, (*prefix, element))
        else:
            yield (*prefix, element)


def from_paths(found: Sequence[Path]) -> FieldSet:
    fields: FieldSet = {}
    for path in found:
        level = fields
        for element in path:
            level = level.setdefault(element, {})
    return fields


# -- values -------------------------------------------------------------------------------------------------------


def list_type(schema: Json) -> Literal["atomic", "set", "map"]:
    return schema.get("x-kubernetes-list-type", "atomic")


def _below(schema: Json, name: str) -> Json:
    """The schema of a field of an object; an open one for what the schema does not name."""
    found = schema.get("properties", {}).get(name)
    if found is None:
        others = schema.get("additionalProperties")
        found = cast("Json", others) if isinstance(others, dict) else {}
    return cast("Json", found)


def is_granular(value: Any, schema: Json) -> bool:
    """Whether the value has fields of its own; an atomic one is owned as a whole."""
    if isinstance(value, dict):
        return schema.get("x-kubernetes-map-type") != "atomic"
    return isinstance(value, list) and list_type(schema) != "atomic"


def element_of(item: Any, schema: Json) -> str:
    """How an item of a set or map list is named in a path."""
    if list_type(schema) == "set":
        return "v:" + orjson.dumps(item, option=orjson.OPT_SORT_KEYS).decode()
    keys = {key: item.get(key) for key in schema["x-kubernetes-list-map-keys"] if key in item}
    return "k:" + orjson.dumps(keys, option=orjson.OPT_SORT_KEYS).decode()


def children(value: Any, schema: Json) -> dict[str, tuple[Any, Json]]:
    """Path element → (value, schema) of what a granular value consists of."""
    if isinstance(value, dict):
        return {f"f:{name}": (below, _below(schema, name)) for name, below in cast("Json", value).items()}
    items: Json = schema.get("items", {})
    return {element_of(item, schema): (item, items) for item in cast("list[Any]", value)}


def owned_by_applying(value: Any, schema: Json) -> FieldSet:
    """The field set of an applied configuration: its leaves, and the items of its lists."""
    fields: FieldSet = {}
    for element, (below, below_schema) in children(value, schema).items():
        if is_granular(below, below_schema) and below:
            inner = owned_by_applying(below, below_schema)
            fields[element] = {SELF: {}, **inner} if element.startswith("k:") else inner
        else:
            fields[element] = {}
    return fields


def changes(old: Any, new: Any, schema: Json) -> tuple[FieldSet, FieldSet]:
    """What was set or altered from `old` to `new`, and what was removed."""
    changed: FieldSet = {}
    removed: FieldSet = {}
    before = children(old, schema) if old is not None else {}
    after = children(new, schema)
    for element, (value, below) in after.items():
        standing = before.get(element)
        if standing is None or type(standing[0]) is not type(value) or not is_granular(value, below):
            if standing is None or standing[0] != value:
                changed[element] = _whole(value, below)
            continue
        inner_changed, inner_removed = changes(standing[0], value, below)
        if inner_changed:
            changed[element] = inner_changed
        if inner_removed:
            removed[element] = inner_removed
    for element, (value, below) in before.items():
        if element not in after:
            removed[element] = _whole(value, below)
    return changed, removed


def _whole(value: Any, schema: Json) -> FieldSet:
    """A value with everything in it, the container included."""
    if not is_granular(value, schema) or not value:
        return {}
    return {SELF: {}, **{e: _whole(v, s) for e, (v, s) in children(value, schema).items()}}


def lookup(value: Any, path: Path, schema: Json) -> tuple[bool, Any]:
    """Whether there is something at the path, and what."""
    for element in path:
        if element == SELF:
            return True, value
        if not is_granular(value, schema):
            return False, None
        found = children(value, schema).get(element)
        if found is None:
            return False, None
        value, schema = found
    return True, value


def merge(live: Any, applied: Any, schema: Json) -> Any:
    """The live value with the applied configuration in it."""
    if not is_granular(applied, schema) or type(live) is not type(applied):
        return copy.deepcopy(applied)
    if isinstance(applied, dict):
        merged: Json = dict(cast("Json", live))
        for name, value in cast("Json", applied).items():
            standing = merged.get(name)
            merged[name] = (
                merge(standing, value, _below(schema, name)) if name in merged else copy.deepcopy(value)
            )
        return merged
    return _merge_items(cast("list[Any]", live), cast("list[Any]", applied), schema)


def _merge_items(live: list[Any], applied: list[Any], schema: Json) -> list[Any]:
    items: Json = schema.get("items", {})
    wanted = {element_of(item, schema): item for item in applied}
    merged = [
        merge(item, wanted.pop(element), items) if (element := element_of(item, schema)) in wanted else item
        for item in live
    ]
    return [*merged, *(copy.deepcopy(item) for item in wanted.values())]


def without(value: Any, fields: FieldSet, schema: Json) -> Any:
    """The value with these fields removed from it, and what is left empty by that removed with them."""
    if not fields or not is_granular(value, schema):
        return value
    if isinstance(value, dict):
        kept: Json = {}
        for name, below in cast("Json", value).items():
            named = fields.get(f"f:{name}")
            if named is None:
                kept[name] = below
            elif named:
                inner = without(below, named, _below(schema, name))
                if inner:
                    kept[name] = inner
        return kept
    items: Json = schema.get("items", {})
    listed: list[Any] = []
    for item in cast("list[Any]", value):
        named = fields.get(element_of(item, schema))
        if named is None:
            listed.append(item)
        elif named and SELF not in named:
            listed.append(without(item, named, items))
    return listed


# -- managers -----------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Manager:
    """One entry of managedFields."""

    name: str
    operation: Literal["Apply", "Update"]
    subresource: str
    api_version: str
    time: str
    fields: FieldSet

    @property
    def key(self) -> tuple[str, str, str]:
        return self.name, self.operation, self.subresource

    def wire(self) -> Json:
        entry: Json = {
            "manager": self.name,
            "operation": self.operation,
            "apiVersion": self.api_version,
            "time": self.time,
            "fieldsType": "FieldsV1",
            "fieldsV1": self.fields,
        }
        if self.subresource:
            entry["subresource"] = self.subresource
        return entry


def managers_of(entries: Sequence[Json]) -> list[Manager]:
    return [
        Manager(
            name=entry.get("manager", ""),
            operation=entry.get("operation", "Update"),
            subresource=entry.get("subresource", ""),
            api_version=entry.get("apiVersion", ""),
            time=entry.get("time", ""),
            fields=entry.get("fieldsV1") or {},
        )
        for entry in entries
    ]


@dataclass(frozen=True, slots=True)
class Conflict:
    """A field that another manager owns with another value."""

    manager: Manager
    path: Path


def updated(
    managers: Sequence[Manager], by: Manager, *, changed: FieldSet, removed: FieldSet
) -> list[Manager]:
    """The managers after `by` wrote the fields `changed` and took `removed` away; `by.fields` is not looked at."""
    touched = union(changed, removed)
    if not touched:
        return list(managers)
    result: list[Manager] = []
    own: FieldSet = changed
    for manager in managers:
        if manager.key == by.key:
            own = union(difference(manager.fields, removed), changed)
        elif remaining := difference(manager.fields, touched):
            result.append(_with_fields(manager, remaining))
    return [*result, _with_fields(by, own)] if own else result


def find_conflicts(
    managers: Sequence[Manager], by: Manager, live: Any, applied: Any, schema: Json
) -> list[Conflict]:
    """The fields of the applied configuration that others own and that it would change."""
    found: list[Conflict] = []
    for manager in managers:
        if manager.key == by.key:
            continue
        for path in paths(intersection(by.fields, manager.fields)):
            if path[-1] == SELF:
                continue
            there, standing = lookup(live, path, schema)
            _, wanted = lookup(applied, path, schema)
            empty = wanted == {} and isinstance(standing, dict)  # merged, it changes nothing
            if there and standing != wanted and not empty:
                found.append(Conflict(manager, path))
    return found


def applied(
    managers: Sequence[Manager], by: Manager, live: Any, configuration: Any, schema: Json
) -> tuple[Any, list[Manager]]:
    """The object and its managers once `by` has applied the configuration; conflicts are overridden.

    Fields that `by` applied before, no longer does, and nobody else owns, are removed.
    """
    before: FieldSet = {}
    for manager in managers:
        if manager.key == by.key:
            before = manager.fields
    merged = merge(live, configuration, schema)
    dropped = difference(before, by.fields)
    for manager in managers:
        if manager.key != by.key:
            dropped = difference(dropped, manager.fields)
    merged = without(merged, dropped, schema)
    altered, _ = changes(live, merged, schema)
    others: list[Manager] = []
    for manager in managers:
        if manager.key == by.key:
            continue
        if remaining := difference(manager.fields, intersection(altered, by.fields)):
            others.append(_with_fields(manager, remaining))
    return merged, [*others, by]


def _with_fields(manager: Manager, fields: FieldSet) -> Manager:
    return Manager(
        manager.name, manager.operation, manager.subresource, manager.api_version, manager.time, fields
    )


def shown_path(path: Path) -> str:
    """A path as conflict messages write it: `.spec.conditions[type="Ready"].status`."""
    text = ""
    for element in path:
        kind, _, rest = element.partition(":")
        if kind == "f":
            text += f".{rest}"
        elif kind == "k":
            keys = ",".join(f"{k}={orjson.dumps(v).decode()}" for k, v in sorted(orjson.loads(rest).items()))
            text += f"[{keys}]"
        elif kind == "v":
            text += f"[={rest}]"
    return text
