"""The OpenAPI v2 document, made from the v3 ones: for kubectl before 1.30 and for the aggregation layer.

Owns: the conversion, and gnostic's protobuf form of it, which kubectl 1.27 and 1.28 insist on. Field numbers:
https://github.com/google/gnostic-models/blob/main/openapiv2/OpenAPIv2.proto
"""

from collections.abc import Iterable, Mapping
from typing import Any, cast

import orjson

from milo_billing.controlplane.kinds import Json
from milo_billing.controlplane.protobuf import (
    bool_field,
    bytes_field,
    double_field,
    integer_field,
    text_field,
)

_V3_REFERENCE, _V2_REFERENCE = "#/components/schemas/", "#/definitions/"
_METHODS = {"get": 2, "put": 3, "post": 4, "delete": 5, "options": 6, "head": 7, "patch": 8}

_NOT_IN_V2 = frozenset({"nullable", "default", "oneOf", "anyOf", "not", "example"})
"""What Kubernetes leaves out of v2 as well: its readers know none of it, or misread it."""


def convert(documents: Iterable[Json]) -> Json:
    """One v2 document of everything that the v3 documents describe."""
    paths: Json = {}
    definitions: Json = {}
    title = version = ""
    for document in documents:
        title, version = document["info"]["title"], document["info"]["version"]
        paths.update({path: _path_item(item) for path, item in document["paths"].items()})
        schemas: Json = document["components"]["schemas"]
        definitions.update({name: _schema(schema) for name, schema in schemas.items()})
    return {
        "swagger": "2.0",
        "info": {"title": title, "version": version},
        "paths": paths,
        "definitions": dict(sorted(definitions.items())),
    }


def _path_item(item: Json) -> Json:
    converted: Json = {
        method: _operation(operation) for method, operation in item.items() if method in _METHODS
    }
    if item.get("parameters"):
        converted["parameters"] = [_parameter(parameter) for parameter in item["parameters"]]
    return converted


def _operation(operation: Json) -> Json:
    body = operation.get("requestBody")
    converted: Json = {
        key: value
        for key, value in operation.items()
        if key not in ("requestBody", "parameters", "responses")
    }
    parameters = [_parameter(parameter) for parameter in operation.get("parameters", ())]
    if body is not None:
        content: Json = body["content"]
        converted["consumes"] = list(content)
        schema = _schema(next(iter(content.values()))["schema"])
        parameters.insert(0, {"in": "body", "name": "body", "required": body["required"], "schema": schema})
    converted["produces"] = ["application/json", "application/yaml"]
    if parameters:
        converted["parameters"] = parameters
    converted["responses"] = {
        code: {
            "description": response["description"],
            "schema": _schema(response["content"]["application/json"]["schema"]),
        }
        for code, response in operation["responses"].items()
    }
    return converted


def _parameter(parameter: Json) -> Json:
    about = {key: value for key, value in parameter.items() if key != "schema"}
    return {**about, **parameter["schema"]}


def _schema(schema: Json) -> Json:
    """A schema as v2 has it: references elsewhere, nothing that v2 does not know."""
    converted: Json = {}
    for key, value in schema.items():
        if key in _NOT_IN_V2:
            continue
        if key == "$ref":
            converted[key] = value.replace(_V3_REFERENCE, _V2_REFERENCE)
        elif key == "allOf" and len(value) == 1:
            converted.update(_schema(value[0]))  # v3 wraps a reference to give it a description
        elif key == "properties":
            converted[key] = {name: _schema(below) for name, below in value.items()}
        elif key in ("items", "additionalProperties") and isinstance(value, dict):
            converted[key] = _schema(cast("Json", value))
        else:
            converted[key] = value
    return converted


# -- gnostic's protobuf form


def encode(document: Json) -> bytes:
    """The document as a gnostic openapi.v2.Document."""
    info = text_field(1, document["info"]["title"]) + text_field(2, document["info"]["version"])
    paths = (_named(path, _encode_path_item(item)) for path, item in document["paths"].items())
    definitions = (_named(name, _encode_schema(schema)) for name, schema in document["definitions"].items())
    return b"".join(
        (
            text_field(1, document["swagger"]),
            bytes_field(2, info),
            bytes_field(8, _repeated(2, paths)),
            bytes_field(9, _repeated(1, definitions)),
        )
    )


def _repeated(number: int, messages: Iterable[bytes]) -> bytes:
    return b"".join(bytes_field(number, message) for message in messages)


def _named(name: str, message: bytes) -> bytes:
    return text_field(1, name) + bytes_field(2, message)


def _any(value: Any) -> bytes:
    """gnostic's Any holds YAML; JSON is YAML."""
    return text_field(2, orjson.dumps(value).decode() + "\n")


def _extensions(number: int, described: Mapping[str, Any]) -> bytes:
    found = (_named(name, _any(value)) for name, value in described.items() if name.startswith("x-"))
    return _repeated(number, found)


def _encode_path_item(item: Json) -> bytes:
    operations = (
        bytes_field(number, _encode_operation(item[method]))
        for method, number in _METHODS.items()
        if method in item
    )
    parameters = (_encode_parameter(parameter) for parameter in item.get("parameters", ()))
    return b"".join(operations) + _repeated(9, parameters)


def _encode_operation(operation: Json) -> bytes:
    return b"".join(
        (
            text_field(5, operation["operationId"]),
            *(text_field(6, media) for media in operation["produces"]),
            *(text_field(7, media) for media in operation.get("consumes", ())),
            _repeated(8, (_encode_parameter(parameter) for parameter in operation.get("parameters", ()))),
            bytes_field(9, _repeated(1, map(_encode_response, operation["responses"].items()))),
            _extensions(13, operation),
        )
    )


def _encode_response(entry: tuple[str, Json]) -> bytes:
    code, response = entry
    schema = bytes_field(1, _encode_schema(response["schema"]))
    return _named(code, bytes_field(1, text_field(1, response["description"]) + bytes_field(2, schema)))


def _encode_parameter(parameter: Json) -> bytes:
    """A ParametersItem: its parameter is of the body, of the query or of the path."""
    match parameter["in"]:
        case "body":
            body = (
                text_field(2, parameter["name"]),
                text_field(3, "body"),
                bool_field(4, parameter["required"]),
                bytes_field(5, _encode_schema(parameter["schema"])),
            )
            return bytes_field(1, bytes_field(1, b"".join(body)))
        case "query":
            query = (
                text_field(2, "query"),
                text_field(4, parameter["name"]),
                text_field(6, parameter["type"]),
                bool_field(20, parameter.get("uniqueItems", False)),
            )
            return bytes_field(1, bytes_field(2, bytes_field(3, b"".join(query))))
        case "path":
            path = (
                bool_field(1, True),
                text_field(2, "path"),
                text_field(4, parameter["name"]),
                text_field(5, parameter["type"]),
                bool_field(19, parameter.get("uniqueItems", False)),
            )
            return bytes_field(1, bytes_field(2, bytes_field(4, b"".join(path))))
        case where:
            raise ValueError(f"no parameter of this API is in {where}")


_SCHEMA_TEXTS = {"$ref": 1, "format": 2, "title": 3, "description": 4, "pattern": 13}
_SCHEMA_DOUBLES = {"multipleOf": 6, "maximum": 7, "minimum": 9}
_SCHEMA_BOOLS = {"exclusiveMaximum": 8, "exclusiveMinimum": 10, "uniqueItems": 16}
_SCHEMA_INTEGERS = {
    "maxLength": 11,
    "minLength": 12,
    "maxItems": 14,
    "minItems": 15,
    "maxProperties": 17,
    "minProperties": 18,
}


def _encode_schema(schema: Json) -> bytes:
    parts = [text_field(number, schema.get(key, "")) for key, number in _SCHEMA_TEXTS.items()]
    parts += (double_field(number, schema.get(key, 0)) for key, number in _SCHEMA_DOUBLES.items())
    parts += (bool_field(number, schema.get(key, False)) for key, number in _SCHEMA_BOOLS.items())
    parts += (integer_field(number, schema.get(key, 0)) for key, number in _SCHEMA_INTEGERS.items())
    parts += (text_field(19, name) for name in schema.get("required", ()))
    parts += (bytes_field(20, _any(value)) for value in schema.get("enum", ()))
    others = schema.get("additionalProperties")
    if isinstance(others, dict):
        parts.append(bytes_field(21, bytes_field(1, _encode_schema(cast("Json", others)))))
    elif others:
        parts.append(bytes_field(21, bool_field(2, True)))
    if "type" in schema:
        parts.append(bytes_field(22, text_field(1, schema["type"])))
    if "items" in schema:
        parts.append(bytes_field(23, bytes_field(1, _encode_schema(schema["items"]))))
    parts.append(_repeated(24, map(_encode_schema, schema.get("allOf", ()))))
    if "properties" in schema:
        named = (_named(name, _encode_schema(below)) for name, below in sorted(schema["properties"].items()))
        parts.append(bytes_field(25, _repeated(1, named)))
    parts.append(_extensions(31, schema))
    return b"".join(parts)
