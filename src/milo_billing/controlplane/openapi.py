"""The OpenAPI v3 documents of the served kinds, as kubectl explain, apply and client generators read them."""

import copy
import hashlib
from functools import partial

import orjson

from milo_billing.controlplane.kinds import AnyKind, Json, Registry
from milo_billing.controlplane.patches import APPLY_PATCH, JSON_PATCH, MERGE_PATCH
from milo_billing.controlplane.schemas import structural_schema

_META = "io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta"
_LIST_META = "io.k8s.apimachinery.pkg.apis.meta.v1.ListMeta"

_STRING: Json = {"type": "string"}
_STRING_MAP: Json = {"type": "object", "additionalProperties": {"type": "string"}}


def documents(registry: Registry) -> dict[str, bytes]:
    """Path below /openapi/v3 → encoded document. Costs milliseconds: made once, when the server starts."""
    return {
        f"apis/{group}/{version}": orjson.dumps(document(registry, group, version))
        for group, versions in registry.groups.items()
        for version in versions
    }


def root(encoded_documents: dict[str, bytes]) -> Json:
    """GET /openapi/v3: where each document is; the hash changes with the content."""
    paths: Json = {}
    for path, encoded in encoded_documents.items():
        digest = hashlib.sha256(encoded).hexdigest().upper()
        paths[path] = {"serverRelativeURL": f"/openapi/v3/{path}?hash={digest}"}
    return {"paths": paths}


def document(registry: Registry, group: str, version: str) -> Json:
    """The document of one group and version."""
    schemas: Json = {_META: _object_meta(), _LIST_META: _list_meta()}
    paths: Json = {}
    for kind in registry.of_group(group, version):
        schemas[_schema_name(kind)] = _object_schema(kind)
        schemas[f"{_schema_name(kind)}List"] = _list_schema(kind)
        paths.update(_paths(kind))
    for review in registry.reviews:
        if (review.group, review.version) == (group, version):
            schemas[_schema_name(review)] = _object_schema(review)
            paths.update(_review_path(review))
    return {
        "openapi": "3.0.0",
        "info": {"title": "Milo Billing", "version": version},
        "paths": paths,
        "components": {"schemas": schemas},
    }


def _schema_name(kind: AnyKind) -> str:
    return f"{'.'.join(reversed(kind.group.split('.')))}.{kind.version}.{kind.kind}"


def _ref(name: str) -> Json:
    return {"$ref": f"#/components/schemas/{name}"}


def _gvk(kind: AnyKind, suffix: str = "") -> Json:
    return {"group": kind.group, "version": kind.version, "kind": kind.kind + suffix}


def _object_schema(kind: AnyKind) -> Json:
    schema = copy.deepcopy(structural_schema(kind))
    schema["properties"]["metadata"] = {
        "allOf": [_ref(_META)],
        "default": {},
        "description": "Standard object's metadata.",
    }
    if not schema["required"]:
        del schema["required"]
    schema["x-kubernetes-group-version-kind"] = [_gvk(kind)]
    return schema


def _list_schema(kind: AnyKind) -> Json:
    return {
        "type": "object",
        "description": f"{kind.kind}List is a list of {kind.kind}",
        "required": ["items"],
        "properties": {
            "apiVersion": _STRING,
            "kind": _STRING,
            "metadata": {"allOf": [_ref(_LIST_META)], "default": {}},
            "items": {"type": "array", "items": {"allOf": [_ref(_schema_name(kind))], "default": {}}},
        },
        "x-kubernetes-group-version-kind": [_gvk(kind, "List")],
    }


def _object_meta() -> Json:
    references: Json = {
        "type": "array",
        "items": {
            "type": "object",
            "required": ["apiVersion", "kind", "name", "uid"],
            "properties": {
                "apiVersion": _STRING,
                "kind": _STRING,
                "name": _STRING,
                "uid": _STRING,
                "controller": {"type": "boolean"},
                "blockOwnerDeletion": {"type": "boolean"},
            },
        },
        "x-kubernetes-list-type": "map",
        "x-kubernetes-list-map-keys": ["uid"],
        "x-kubernetes-patch-merge-key": "uid",
        "x-kubernetes-patch-strategy": "merge",
    }
    return {
        "type": "object",
        "description": "ObjectMeta is metadata that all persisted resources must have.",
        "properties": {
            "name": _STRING,
            "generateName": _STRING,
            "namespace": _STRING,
            "labels": _STRING_MAP,
            "annotations": _STRING_MAP,
            "uid": _STRING,
            "resourceVersion": _STRING,
            "generation": {"type": "integer", "format": "int64"},
            "creationTimestamp": {"type": "string", "format": "date-time"},
            "deletionTimestamp": {"type": "string", "format": "date-time"},
            "deletionGracePeriodSeconds": {"type": "integer", "format": "int64"},
            "selfLink": _STRING,
            "finalizers": {
                "type": "array",
                "items": _STRING,
                "x-kubernetes-list-type": "set",
                "x-kubernetes-patch-strategy": "merge",
            },
            "ownerReferences": references,
            "managedFields": {
                "type": "array",
                "items": {"type": "object"},
                "x-kubernetes-list-type": "atomic",
            },
        },
    }


def _list_meta() -> Json:
    return {
        "type": "object",
        "description": "ListMeta describes metadata that synthetic resources must have.",
        "properties": {
            "continue": _STRING,
            "remainingItemCount": {"type": "integer", "format": "int64"},
            "resourceVersion": _STRING,
            "selfLink": _STRING,
        },
    }


_PATCH_TYPES = (JSON_PATCH, MERGE_PATCH, APPLY_PATCH)
_SELECT_PARAMETERS = (("labelSelector", "string"), ("fieldSelector", "string"))
_LIST_PARAMETERS = (
    *_SELECT_PARAMETERS,
    *(("limit", "integer"), ("continue", "string"), ("resourceVersion", "string")),
    *(("resourceVersionMatch", "string"), ("watch", "boolean"), ("timeoutSeconds", "integer")),
    *(("allowWatchBookmarks", "boolean"), ("sendInitialEvents", "boolean")),
)
_DRY_RUN = (("dryRun", "string"),)
_ACTION_BODY: Json = {"required": False, "content": {"application/json": {"schema": {"type": "object"}}}}
_DELETE_PARAMETERS = (("dryRun", "string"), ("propagationPolicy", "string"))
_WRITE_PARAMETERS = (("dryRun", "string"), ("fieldManager", "string"), ("fieldValidation", "string"))


def _query(parameters: tuple[tuple[str, str], ...]) -> list[Json]:
    return [
        {"name": name, "in": "query", "schema": {"type": type_, "uniqueItems": True}}
        for name, type_ in parameters
    ]


def _path_parameter(name: str) -> Json:
    return {"name": name, "in": "path", "required": True, "schema": {"type": "string", "uniqueItems": True}}


def _answer(schema: str, code: str = "200") -> Json:
    return {code: {"description": "OK", "content": {"application/json": {"schema": _ref(schema)}}}}


def _paths(kind: AnyKind) -> Json:
    name = _schema_name(kind)
    prefix = f"/apis/{kind.group}/{kind.version}"
    collection = (
        f"{prefix}/namespaces/{{namespace}}/{kind.plural}" if kind.namespaced else f"{prefix}/{kind.plural}"
    )
    scope = [_path_parameter("namespace")] if kind.namespaced else []
    operation = partial(_operation, kind)
    listing = _query(_LIST_PARAMETERS)
    listed = _answer(f"{name}List")
    many: Json = {
        "get": operation("list", "list", parameters=listing, responses=listed),
        "parameters": scope,
    }
    one: Json = {"get": operation("read", "get"), "parameters": [_path_parameter("name"), *scope]}
    if not kind.system:
        many |= _writes_of_many(kind)
        one |= _writes_of_one(kind)
    paths: Json = {collection: many, f"{collection}/{{name}}": one}
    if kind.namespaced:
        everywhere = operation(
            "list",
            "list",
            parameters=listing,
            responses=listed,
            operationId=f"list{kind.kind}ForAllNamespaces",
        )
        paths[f"{prefix}/{kind.plural}"] = {"get": everywhere}
    if not kind.system:
        below = {
            verb: operation_
            for verb, operation_ in one.items()
            if verb in ("get", "put", "patch", "parameters")
        }
        paths[f"{collection}/{{name}}/status"] = _renamed(below, "Status")
    for action in kind.actions:
        act = operation(action, "post", parameters=_query(_DRY_RUN), requestBody=_ACTION_BODY)
        paths[f"{collection}/{{name}}/{action}"] = {"post": act, "parameters": one["parameters"]}
    return paths


def _operation(kind: AnyKind, verb: str, action: str, **more: object) -> Json:
    return {
        "operationId": f"{verb}{kind.kind}",
        "responses": _answer(_schema_name(kind)),
        "x-kubernetes-action": action,
        "x-kubernetes-group-version-kind": _gvk(kind),
        **more,
    }


def _writes_of_many(kind: AnyKind) -> Json:
    name = _schema_name(kind)
    write = _query(_WRITE_PARAMETERS)
    select = _query((*_SELECT_PARAMETERS, *_DELETE_PARAMETERS))
    operation = partial(_operation, kind)
    return {
        "post": operation(
            "create", "post", parameters=write, requestBody=_body(name), responses=_created(kind, name)
        ),
        "delete": operation("deletecollection", "deletecollection", parameters=select),
    }


def _writes_of_one(kind: AnyKind) -> Json:
    write = _query(_WRITE_PARAMETERS)
    patched = {"required": True, "content": {p: {"schema": {"type": "object"}} for p in _PATCH_TYPES}}
    operation = partial(_operation, kind)
    return {
        "put": operation("replace", "put", parameters=write, requestBody=_body(_schema_name(kind))),
        "delete": operation("delete", "delete", parameters=_query(_DELETE_PARAMETERS)),
        "patch": operation(
            "patch", "patch", parameters=[*write, *_query((("force", "boolean"),))], requestBody=patched
        ),
    }


def _body(name: str) -> Json:
    return {"required": True, "content": {"application/json": {"schema": _ref(name)}}}


def _review_path(kind: AnyKind) -> Json:
    """A question: created, and answered at once."""
    name = _schema_name(kind)
    return {
        f"/apis/{kind.group}/{kind.version}/{kind.plural}": {
            "post": {
                "operationId": f"create{kind.kind}",
                "responses": _answer(name, "201"),
                "parameters": _query(_WRITE_PARAMETERS),
                "requestBody": {"required": True, "content": {"application/json": {"schema": _ref(name)}}},
                "x-kubernetes-action": "post",
                "x-kubernetes-group-version-kind": _gvk(kind),
            }
        }
    }


def _created(kind: AnyKind, schema: str) -> Json:
    """The answer to a create, and what can be done with the object that is there now."""
    answer = _answer(schema, "201")
    named = {"path.name": "$response.body#/metadata/name"}
    if kind.namespaced:
        named["path.namespace"] = "$response.body#/metadata/namespace"
    verbs = ("read", "replace", "patch", "delete", *kind.actions)
    answer["201"]["links"] = {
        f"{verb}{kind.kind}": {"operationId": f"{verb}{kind.kind}", "parameters": named} for verb in verbs
    }
    return answer


def _renamed(operations: Json, suffix: str) -> Json:
    """The operations with ids of their own: an operationId names one operation only."""
    return {
        verb: {**found, "operationId": found["operationId"] + suffix} if isinstance(found, dict) else found
        for verb, found in operations.items()
    }
