"""Structural schemas: made from a kind's models; pruning, defaulting and validation against them.

The messages are those of the Kubernetes API server (k8s.io/apiextensions), so that clients and people read what they
know; only a pattern is told in words (`patterns`). Owns nothing of the kinds' own rules: those run after this has
passed.
"""

import copy
import re
from collections.abc import Iterator
from functools import lru_cache
from typing import Any, cast

import orjson

from milo_billing.controlplane.kinds import AnyKind, Json
from milo_billing.controlplane.patterns import what_matches
from milo_billing.kernel.errors import FieldError

_JSON_TYPES: dict[Any, str] = {
    dict: "object",
    list: "array",
    str: "string",
    bool: "boolean",
    int: "integer",
    float: "number",
    type(None): "null",
}
_ROOT_FIELDS = frozenset({"apiVersion", "kind", "metadata"})


def structural_schema(kind: AnyKind) -> Json:
    """The OpenAPI v3 structural schema of a kind: spec and status, without metadata.

    Do not change the result: it is shared by all instances of the kind's class.
    """
    return _schema_of(type(kind))


@lru_cache(maxsize=256)
def _schema_of(kind: type[AnyKind]) -> Json:
    spec = _structural(kind.spec_model.model_json_schema(by_alias=True))
    status = _structural(kind.status_model.model_json_schema(by_alias=True, mode="serialization"))
    return {
        "type": "object",
        "description": kind.description or f"{kind.kind} of {kind.group}.",
        "properties": {
            "apiVersion": {"type": "string", "description": _API_VERSION},
            "kind": {"type": "string", "description": _KIND},
            "metadata": {"type": "object"},
            "spec": spec,
            "status": status,
        },
        "required": ["spec"] if spec.get("required") else [],
    }


_API_VERSION = (
    "APIVersion defines the versioned schema of this representation of an object. Servers should convert recognized "
    "schemas to the latest internal value, and may reject unrecognized values. More info: "
    "https://git.k8s.io/community/contributors/devel/sig-architecture/api-conventions.md#resources"
)
_KIND = (
    "Kind is a string value representing the REST resource this object represents. Servers may infer this from the "
    "endpoint the client submits requests to. Cannot be updated. In CamelCase. More info: "
    "https://git.k8s.io/community/contributors/devel/sig-architecture/api-conventions.md#types-kinds"
)


def _structural(document: Json) -> Json:
    """Pydantic's JSON schema without what a structural schema must not have (refs, titles, null alternatives)."""
    definitions = document.pop("$defs", {})

    def walk(schema: Json) -> Json:
        if "$ref" in schema:
            target = definitions[schema["$ref"].rsplit("/", 1)[1]]
            schema = {**target, **{k: v for k, v in schema.items() if k != "$ref"}}
        schema = {k: v for k, v in schema.items() if k not in ("title", "discriminator")}
        if "anyOf" in schema:
            alternatives: list[Json] = [a for a in schema.pop("anyOf") if a.get("type") != "null"]
            if len(alternatives) != 1:
                raise ValueError("a field of a kind has one type: a structural schema has no alternatives")
            schema = {**walk(alternatives[0]), **schema}
        if schema.get("default", 0) is None:
            del schema["default"]
        if "const" in schema:
            schema["enum"] = [schema.pop("const")]
        for exclusive, bound in (("exclusiveMinimum", "minimum"), ("exclusiveMaximum", "maximum")):
            if exclusive in schema and not isinstance(schema[exclusive], bool):
                schema[bound] = schema[exclusive]
                schema[exclusive] = True
        if schema.get("additionalProperties") is False:
            del schema["additionalProperties"]
        if "properties" in schema:
            schema["properties"] = {k: walk(v) for k, v in schema["properties"].items()}
        for nested in ("items", "additionalProperties"):
            if isinstance(schema.get(nested), dict):
                schema[nested] = walk(schema[nested])
        return schema

    return walk(document)


def prune(value: Any, schema: Json, path: str = "") -> list[str]:
    """Remove the fields that the schema does not name, in place; their paths, in document order."""
    unknown: list[str] = []
    if isinstance(value, dict):
        fields = cast("Json", value)
        properties: Json = schema.get("properties", {})
        others = schema.get("additionalProperties")
        for name in list(fields):
            below = f"{path}.{name}" if path else name
            if not path and name in _ROOT_FIELDS:
                continue
            if name in properties:
                unknown += prune(fields[name], properties[name], below)
            elif isinstance(others, dict):
                unknown += prune(fields[name], cast("Json", others), below)
            elif not others and not schema.get("x-kubernetes-preserve-unknown-fields"):
                unknown.append(below)
                del fields[name]
    elif isinstance(value, list) and "items" in schema:
        for index, item in enumerate(cast("list[Any]", value)):
            unknown += prune(item, schema["items"], f"{path}[{index}]")
    return unknown


def apply_defaults(value: Any, schema: Json) -> None:
    """Fill in the schema's defaults, in place; nested objects get theirs only where the object itself is there."""
    if isinstance(value, dict):
        fields = cast("Json", value)
        for name, below in schema.get("properties", {}).items():
            if "default" in below and fields.get(name) is None:
                fields[name] = copy.deepcopy(below["default"])
            if name in fields:
                apply_defaults(fields[name], below)
        if isinstance(schema.get("additionalProperties"), dict):
            for name, nested in fields.items():
                if name not in schema.get("properties", {}):
                    apply_defaults(nested, schema["additionalProperties"])
    elif isinstance(value, list) and "items" in schema:
        for item in cast("list[Any]", value):
            apply_defaults(item, schema["items"])


def drop_nulls(value: Any, schema: Json) -> None:
    """Remove null fields that are not nullable, in place, as the API server does before it validates."""
    if isinstance(value, dict):
        fields = cast("Json", value)
        properties: Json = schema.get("properties", {})
        for name in list(fields):
            below: Json = properties.get(name) or {}
            if fields[name] is None and name in properties and not below.get("nullable"):
                del fields[name]
            elif name in properties:
                drop_nulls(fields[name], below)
    elif isinstance(value, list) and "items" in schema:
        for item in cast("list[Any]", value):
            drop_nulls(item, schema["items"])


def validate(value: Any, schema: Json, path: str = "") -> list[FieldError]:
    """Every way in which the value breaks the schema, with Kubernetes' messages."""
    if (wrong := _wrong_type(value, schema, path)) is not None:
        return [wrong]
    errors = [*_scalar_errors(value, schema, path)]
    if isinstance(value, dict):
        fields = cast("Json", value)
        errors += (
            FieldError(f"{path}.{name}" if path else name, "FieldValueRequired", "Required value")
            for name in schema.get("required", ())
            if name not in fields
        )
        properties: Json = schema.get("properties", {})
        others = schema.get("additionalProperties")
        for name, nested in sorted(fields.items()):
            below = f"{path}.{name}" if path else name
            if not path and name in _ROOT_FIELDS:
                continue
            if name in properties:
                errors += validate(nested, properties[name], below)
            elif isinstance(others, dict):
                errors += validate(nested, cast("Json", others), below)
    elif isinstance(value, list):
        items = cast("list[Any]", value)
        if "maxItems" in schema and len(items) > schema["maxItems"]:
            message = f"Too many: {len(items)}: must have at most {schema['maxItems']} items"
            errors.append(FieldError(path, "FieldValueInvalid", message))
        if "minItems" in schema and len(items) < schema["minItems"]:
            message = (
                f"Invalid value: {len(items)}: {path} in body should have at least {schema['minItems']} items"
            )
            errors.append(FieldError(path, "FieldValueInvalid", message))
        for index, item in enumerate(items):
            errors += validate(item, schema.get("items", {}), f"{path}[{index}]")
    return errors


def _wrong_type(value: Any, schema: Json, path: str) -> FieldError | None:
    wanted = schema.get("type")
    got = _JSON_TYPES.get(type(value), "unknown")
    if wanted is None or got == wanted or (wanted == "number" and got == "integer"):
        return None
    if wanted == "integer" and isinstance(value, float) and value.is_integer():
        return None
    message = f'Invalid value: "{got}": {path} in body must be of type {wanted}: "{got}"'
    return FieldError(path or "<nil>", "FieldValueTypeInvalid", message)


def _scalar_errors(value: Any, schema: Json, path: str) -> Iterator[FieldError]:
    shown = orjson.dumps(value).decode() if not isinstance(value, dict | list) else ""
    if "enum" in schema and value not in schema["enum"]:
        allowed = ", ".join(orjson.dumps(v).decode() for v in schema["enum"])
        yield FieldError(
            path, "FieldValueNotSupported", f"Unsupported value: {shown}: supported values: {allowed}"
        )
    if isinstance(value, str):
        yield from _string_errors(value, schema, path, shown)
    elif isinstance(value, int | float) and not isinstance(value, bool):
        low, high = schema.get("minimum"), schema.get("maximum")
        if low is not None and (value < low or (schema.get("exclusiveMinimum") is True and value == low)):
            than = "greater than" if schema.get("exclusiveMinimum") is True else "greater than or equal to"
            yield FieldError(
                path, "FieldValueInvalid", f"Invalid value: {shown}: {path} in body should be {than} {low}"
            )
        if high is not None and (value > high or (schema.get("exclusiveMaximum") is True and value == high)):
            than = "less than" if schema.get("exclusiveMaximum") is True else "less than or equal to"
            yield FieldError(
                path, "FieldValueInvalid", f"Invalid value: {shown}: {path} in body should be {than} {high}"
            )


def _string_errors(value: str, schema: Json, path: str, shown: str) -> Iterator[FieldError]:
    longest, shortest = schema.get("maxLength"), schema.get("minLength")
    if longest is not None and len(value) > longest:
        yield FieldError(path, "FieldValueInvalid", f"Too long: may not be more than {longest} bytes")
    if shortest is not None and len(value) < shortest:
        message = f"Invalid value: {shown}: {path} in body should be at least {shortest} chars long"
        yield FieldError(path, "FieldValueInvalid", message)
    if "pattern" in schema and not _pattern(schema["pattern"]).search(value):
        message = f"Invalid value: {shown}: {what_matches(schema['pattern'], path=path)}"
        yield FieldError(path, "FieldValueInvalid", message)


@lru_cache(maxsize=1024)
def _pattern(pattern: str) -> re.Pattern[str]:
    # a JSON schema's $ means the very end; Python's also matches before a last newline
    return re.compile(re.sub(r"(?<!\\)\$$", r"\\Z", pattern), re.ASCII)
