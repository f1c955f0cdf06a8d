"""Patches of one object: JSON merge patch (RFC 7396) and JSON patch (RFC 6902). Pure."""

import copy
from typing import Any, cast

import jsonpatch  # pyright: ignore[reportMissingTypeStubs]
import orjson
from jsonpointer import JsonPointerException, resolve_pointer  # pyright: ignore[reportMissingTypeStubs]

from milo_billing.controlplane.kinds import Json
from milo_billing.controlplane.statuses import Failure, Status
from milo_billing.kernel.bodies import check_value
from milo_billing.kernel.errors import BadRequest, TooLarge

JSON_PATCH = "application/json-patch+json"
MERGE_PATCH = "application/merge-patch+json"
APPLY_PATCH = "application/apply-patch+yaml"

COPIED_BYTES_MAX = 3 * 1024 * 1024
"""Kubernetes' bound on what the copy operations of one JSON patch copy together."""

OPERATIONS_MAX = 10_000
"""Kubernetes' bound on the operations of one JSON patch."""


def merge_patch(target: Any, patch: Any) -> Any:
    """RFC 7396: null removes, objects merge, anything else replaces. Changes neither argument."""
    if not isinstance(patch, dict):
        return copy.deepcopy(patch)
    merged: Json = dict(cast("Json", target)) if isinstance(target, dict) else {}
    for key, value in cast("Json", patch).items():
        if value is None:
            merged.pop(key, None)
        else:
            merged[key] = merge_patch(merged.get(key), value)
    return merged


def json_patch(target: Json, operations: Any) -> Json:
    """RFC 6902. Raises 400 for a malformed patch, 422 where a test fails or a path leads nowhere."""
    if not isinstance(operations, list):
        raise BadRequest("a JSON patch is an array of operations")
    listed = cast("list[Any]", operations)
    if len(listed) > OPERATIONS_MAX:
        raise BadRequest(
            f"the allowed maximum operations in a JSON patch is {OPERATIONS_MAX}, got {len(listed)}"
        )
    try:
        patched = _patched(target, listed)
    except jsonpatch.InvalidJsonPatch as error:
        raise BadRequest(f"the JSON patch cannot be read: {error}") from error
    except (jsonpatch.JsonPatchException, JsonPointerException) as error:
        message = "the server rejected our request due to an error in our request"
        raise Failure(Status(422, "Invalid", message)) from error
    if not isinstance(patched, dict):
        raise BadRequest("the JSON patch leaves something that is not an object")
    check_value(cast("object", patched))  # copies of copies nest
    return cast("Json", patched)


def _patched(target: Json, operations: list[Any]) -> Any:
    """One operation after the other, so that what copies add up to is known: each could double the object."""
    jsonpatch.JsonPatch(operations)  # pyright: ignore  # a malformed one anywhere is found before any is applied
    patched: Any = copy.deepcopy(target)
    copied = 0
    for operation in operations:
        if isinstance(operation, dict) and cast("Json", operation).get("op") == "copy":
            source: Any = resolve_pointer(patched, str(cast("Json", operation).get("from")))
            copied += len(orjson.dumps(source))
            if copied > COPIED_BYTES_MAX:
                raise TooLarge(f"the copies of a JSON patch may add up to {COPIED_BYTES_MAX} bytes")
        patched = jsonpatch.JsonPatch([operation]).apply(patched, in_place=True)  # pyright: ignore
    return patched
