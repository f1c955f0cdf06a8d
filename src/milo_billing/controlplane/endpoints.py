"""The OpenAPI v3 document of endpoints that serve data, not declarations: one table row an endpoint.

Owns: the form of the document. Not: which endpoints there are (the composition root lists them, and a test compares the
list with the routes that are served), and the documents of the kinds (openapi).
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Literal

from milo_billing.controlplane.kinds import Json

TEXT: Json = {"type": "string"}
TIME: Json = {"type": "string", "format": "date-time"}
DAY: Json = {"type": "string", "format": "date"}
ANY: Json = {"type": "object"}
STATUS = "Status"


def number(*, minimum: int = 0, maximum: int = 2**63 - 1) -> Json:
    """The schema of a whole number within bounds."""
    return {"type": "integer", "format": "int64", "minimum": minimum, "maximum": maximum}


def fields(required: Mapping[str, Json], optional: Mapping[str, Json] | None = None) -> Json:
    """The schema of an object with these fields."""
    schema: Json = {"type": "object", "properties": {**required, **(optional or {})}}
    return {**schema, "required": list(required)} if required else schema


def closed(schema: Json) -> Json:
    """The schema of an object that has no other fields: where an unknown one is refused."""
    return {**schema, "additionalProperties": False}


def many(schema: Json) -> Json:
    """The schema of a list."""
    return {"type": "array", "items": schema}


@dataclass(frozen=True, slots=True)
class Parameter:
    """One parameter of the query; none is required."""

    name: str
    about: str
    schema: Json = field(default_factory=lambda: TEXT)


@dataclass(frozen=True, slots=True)
class Body:
    """What is sent: its schema, and under which content types."""

    schema: Json
    media_types: tuple[str, ...] = ("application/json",)
    required: bool = True


@dataclass(frozen=True, slots=True)
class Follow:
    """Where an answer leads: another operation, and how its path parameters are found in the answer or the request."""

    operation: str
    parameters: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Endpoint:
    """One method on one path. `id` is unique in the document; `permission` is what the caller must hold."""

    id: str
    method: Literal["get", "post", "delete"]
    path: str
    about: str
    permission: str
    answer: Json
    parameters: tuple[Parameter, ...] = ()
    body: Body | None = None
    code: int = 200
    media_type: str = "application/json"
    follows: tuple[Follow, ...] = ()


def document(endpoints: Iterable[Endpoint], *, title: str, version: str) -> Json:
    """The document of these endpoints. Every failure is a Status, as everywhere."""
    paths: Json = {}
    for endpoint in endpoints:
        item = paths.setdefault(endpoint.path, {"parameters": _path_parameters(endpoint.path)})
        item[endpoint.method] = _operation(endpoint)
    return {
        "openapi": "3.0.0",
        "info": {"title": title, "version": version},
        "paths": paths,
        "components": {"schemas": {STATUS: _STATUS_SCHEMA}},
    }


def _path_parameters(path: str) -> list[Json]:
    return [
        {"name": name, "in": "path", "required": True, "schema": TEXT}
        for name in re.findall(r"\{([A-Za-z]+)\}", path)
    ]


def _operation(endpoint: Endpoint) -> Json:
    status = {"$ref": f"#/components/schemas/{STATUS}"}
    answer: Json = {"description": "OK", "content": {endpoint.media_type: {"schema": endpoint.answer}}}
    if endpoint.follows:
        answer["links"] = {
            follow.operation: {"operationId": follow.operation, "parameters": dict(follow.parameters)}
            for follow in endpoint.follows
        }
    operation: Json = {
        "operationId": endpoint.id,
        "summary": endpoint.about,
        "description": f"Needs the permission `{endpoint.permission}`.",
        "parameters": [
            {"name": p.name, "in": "query", "description": p.about, "schema": p.schema}
            for p in endpoint.parameters
        ],
        "responses": {
            str(endpoint.code): answer,
            "default": {"description": "Refused", "content": {"application/json": {"schema": status}}},
        },
    }
    if endpoint.body is not None:
        content = {media: {"schema": endpoint.body.schema} for media in endpoint.body.media_types}
        operation["requestBody"] = {"required": endpoint.body.required, "content": content}
    return operation


_STATUS_SCHEMA: Json = {
    "type": "object",
    "description": "Why a request was refused, as Kubernetes says it; the ingest of one event says code and message.",
    "required": ["message", "code"],
    "properties": {
        "kind": TEXT,
        "apiVersion": TEXT,
        "status": TEXT,
        "message": TEXT,
        "reason": TEXT,
        "details": {"type": "object"},
        "code": {},
    },
}
