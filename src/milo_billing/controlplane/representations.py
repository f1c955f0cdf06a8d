"""How an object or a list is shown: JSON or YAML, whole, as metadata only, or as the Table that kubectl prints."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache
from typing import Any, Literal

import jsonpath
import orjson
import yaml

from milo_billing.controlplane.kinds import AnyKind, Column, Json
from milo_billing.controlplane.rows import Row, dig, to_wire
from milo_billing.controlplane.statuses import Failure, Status

Shape = Literal["object", "table", "metadata"]
IncludeObject = Literal["None", "Metadata", "Object"]

_NAME_DESCRIPTION = (
    "Name must be unique within a namespace. Is required when creating resources, although some resources may allow a "
    "client to request the generation of an appropriate name automatically. Name is primarily intended for creation "
    "idempotence and configuration definition. Cannot be updated. More info: "
    "https://kubernetes.io/docs/concepts/overview/working-with-objects/names#names"
)


@dataclass(frozen=True, slots=True)
class Representation:
    """What the client's Accept header asks for."""

    shape: Shape = "object"
    yaml: bool = False
    include: IncludeObject = "Metadata"

    @property
    def content_type(self) -> str:
        return "application/yaml" if self.yaml else "application/json"

    def encode(self, value: Any) -> bytes:
        if self.yaml:
            return yaml.dump(value, Dumper=yaml.CSafeDumper, sort_keys=True, allow_unicode=True).encode()
        return orjson.dumps(value)


def negotiate(accept: str, include: str = "") -> Representation:
    """The first alternative of Accept that we can serve. Raises 406 where there is none."""
    for alternative in (accept or "*/*").split(","):
        media, *parameters = (part.strip() for part in alternative.split(";"))
        options = dict(p.split("=", 1) for p in parameters if "=" in p)
        shape = _shape(options.get("as", ""))
        if shape is None:
            continue
        wanted: IncludeObject = include if include == "None" or include == "Object" else "Metadata"
        if media in ("application/json", "*/*", "application/*"):
            return Representation(shape, include=wanted)
        if media == "application/yaml":
            return Representation(shape, yaml=True, include=wanted)
    message = (
        "only the following media types are accepted: application/json, application/yaml, "
        "application/vnd.kubernetes.protobuf"
    )
    raise Failure(Status(406, "NotAcceptable", message))


def _shape(wanted: str) -> Shape | None:
    match wanted:
        case "":
            return "object"
        case "Table":
            return "table"
        case "PartialObjectMetadata" | "PartialObjectMetadataList":
            return "metadata"
        case _:
            return None


def render_one(kind: AnyKind, row: Row, representation: Representation, *, now: datetime) -> Json:
    """One object in the shape that was asked for."""
    match representation.shape:
        case "object":
            return to_wire(kind, row)
        case "metadata":
            return _partial(kind, row)
        case "table":
            meta = {"resourceVersion": str(row.resource_version)}
            return render_table(kind, [row], meta, include=representation.include, now=now)


def render_list(
    kind: AnyKind, rows: Sequence[Row], meta: Json, representation: Representation, *, now: datetime
) -> Json:
    """A collection in the shape that was asked for; `meta` is the list's own metadata."""
    match representation.shape:
        case "object":
            return {
                "apiVersion": f"{kind.group}/{kind.version}",
                "items": [to_wire(kind, row) for row in rows],
                "kind": f"{kind.kind}List",
                "metadata": meta,
            }
        case "metadata":
            return {
                "kind": "PartialObjectMetadataList",
                "apiVersion": "meta.k8s.io/v1",
                "metadata": meta,
                "items": [_partial(kind, row) for row in rows],
            }
        case "table":
            return render_table(kind, rows, meta, include=representation.include, now=now)


def _partial(kind: AnyKind, row: Row) -> Json:
    return {
        "kind": "PartialObjectMetadata",
        "apiVersion": "meta.k8s.io/v1",
        "metadata": to_wire(kind, row)["metadata"],
    }


def render_table(
    kind: AnyKind,
    rows: Sequence[Row],
    meta: Json,
    *,
    include: IncludeObject,
    now: datetime,
    columns: bool = True,
) -> Json:
    """A meta.k8s.io/v1 Table. On a watch only the first event carries the columns."""
    return {
        "kind": "Table",
        "apiVersion": "meta.k8s.io/v1",
        "metadata": meta,
        "columnDefinitions": column_definitions(kind) if columns else None,
        "rows": [_table_row(kind, row, include, now) for row in rows],
    }


def column_definitions(kind: AnyKind) -> list[Json]:
    name: Json = {
        "name": "Name",
        "type": "string",
        "format": "name",
        "description": _NAME_DESCRIPTION,
        "priority": 0,
    }
    age = Column("Age", ".metadata.creationTimestamp", "date")
    return [name, *(_definition(column) for column in (*kind.columns, age))]


def _definition(column: Column) -> Json:
    return {
        "name": column.name,
        "type": column.type,
        "format": "",
        "description": f"Custom resource definition column (in JSONPath format): {column.path}",
        "priority": column.priority,
    }


def _table_row(kind: AnyKind, row: Row, include: IncludeObject, now: datetime) -> Json:
    wire = to_wire(kind, row)
    cells: list[Any] = [row.name]
    cells += (_cell(wire, column, now) for column in kind.columns)
    cells.append(human_duration(now, row.created_at))
    answer: Json = {"cells": cells}
    if include == "Object":
        answer["object"] = wire
    elif include == "Metadata":
        answer["object"] = _partial(kind, row)
    return answer


def _cell(wire: Json, column: Column, now: datetime) -> Any:
    value = _first(column.path, wire) if "[" in column.path else dig(wire, column.path)
    if value is None or isinstance(value, dict | list):
        return None
    if column.type == "date":
        return human_duration(now, datetime.fromisoformat(str(value)))
    if column.type == "string":
        return value if isinstance(value, str) else orjson.dumps(value).decode()
    return value


@lru_cache(maxsize=256)
def _compiled(path: str) -> jsonpath.CompoundJSONPath | jsonpath.JSONPath:
    return jsonpath.compile(f"${path}")


def _first(path: str, wire: Json) -> Any:
    """The first value that a JSONPath such as `.status.conditions[?(@.type=="Ready")].status` finds."""
    return next((found.value for found in _compiled(path).finditer(wire)), None)


def human_duration(now: datetime, then: datetime) -> str:
    """An age as kubectl prints it (k8s.io/apimachinery/pkg/util/duration.HumanDuration)."""
    seconds = int((now - then).total_seconds())
    if seconds < -1:
        return "<invalid>"
    seconds = max(seconds, 0)
    minutes, hours, days = seconds // 60, seconds // 3600, seconds // 86400
    if seconds < 120:
        return f"{seconds}s"
    if minutes < 10:
        return f"{minutes}m{seconds % 60}s" if seconds % 60 else f"{minutes}m"
    if minutes < 180:
        return f"{minutes}m"
    if hours < 8:
        return f"{hours}h{minutes % 60}m" if minutes % 60 else f"{hours}h"
    if hours < 48:
        return f"{hours}h"
    if hours < 192:
        return f"{days}d{hours % 24}h" if hours % 24 else f"{days}d"
    if days < 730:
        return f"{days}d"
    if days < 2920:
        return f"{days // 365}y{days % 365}d" if days % 365 else f"{days // 365}y"
    return f"{days // 365}y"


_ACCEPT_DISCOVERY = re.compile(r"g=apidiscovery\.k8s\.io")


def wants_aggregated_discovery(accept: str) -> Literal["v2", "v2beta1"] | None:
    """The version of the aggregated discovery document that the client prefers, if any."""
    for alternative in accept.split(","):
        if "as=APIGroupDiscoveryList" in alternative and _ACCEPT_DISCOVERY.search(alternative):
            return "v2beta1" if "v=v2beta1" in alternative else "v2"
    return None
