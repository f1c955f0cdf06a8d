"""What clients say in query parameters, continue tokens and delete options: read, checked, typed."""

import base64
import binascii
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, cast

import orjson

from milo_billing.controlplane.decoding import FieldValidation, parse_body
from milo_billing.controlplane.kinds import AnyKind, Json
from milo_billing.controlplane.patches import MERGE_PATCH
from milo_billing.controlplane.rows import Row
from milo_billing.controlplane.statuses import Failure, invalid
from milo_billing.controlplane.work import Preconditions
from milo_billing.kernel.bodies import check_text
from milo_billing.kernel.errors import BadRequest, FieldError

_UINT64_DIGITS = 20


def field_validation(query: Mapping[str, str], *, default: FieldValidation = "Warn") -> FieldValidation:
    wanted = query.get("fieldValidation") or default
    if wanted not in ("Strict", "Warn", "Ignore"):
        message = f'Unsupported value: "{wanted}": supported values: "Ignore", "Strict", "Warn"'
        wrong = FieldError("fieldValidation", "FieldValueNotSupported", message)
        raise Failure(invalid("CreateOptions", "meta.k8s.io", "", [wrong]))
    return wanted


def integer(query: Mapping[str, str], name: str) -> int:
    text = query.get(name, "")
    if not text:
        return 0
    try:
        value = int(text)
    except ValueError as error:
        raise BadRequest(f'strconv.ParseInt: parsing "{text}": invalid syntax') from error
    return max(value, 0)


def resource_version(query: Mapping[str, str]) -> int | None:
    text = query.get("resourceVersion", "")
    if not text:
        return None
    if not text.isdecimal() or not text.isascii() or len(text) > _UINT64_DIGITS:
        why = "value out of range" if text.isdecimal() and text.isascii() else "invalid syntax"
        complaint = f'strconv.ParseUint: parsing "{text}": {why}'
        raise BadRequest(f'invalid resource version: resourceVersion: Invalid value: "{text}": {complaint}')
    return int(text)


def continued_after(query: Mapping[str, str]) -> tuple[str, str] | None:
    """The key after which the next page begins."""
    token = query.get("continue", "")
    if not token:
        return None
    if query.get("resourceVersion") not in (None, "", "0"):
        raise BadRequest("specifying resource version is not allowed when using continue")
    try:
        start = orjson.loads(base64.urlsafe_b64decode(token + "=" * (-len(token) % 4)))["start"]
        namespace, _, name = str(start).removesuffix("\0").rpartition("/")
        check_text(namespace + name)
    except (binascii.Error, ValueError, KeyError, TypeError, BadRequest) as error:
        raise BadRequest(
            f"invalid continue token: continue key is not valid: {_go_complaint(token)}"
        ) from error
    return namespace, name


def _go_complaint(token: str) -> str:
    """What the API server's decoder says of a token that is not one of ours."""
    try:
        text = base64.urlsafe_b64decode(token + "=" * (-len(token) % 4)).decode(errors="replace")
    except ValueError:  # not base64, or not even ASCII
        return "illegal base64 data"
    return f"invalid character '{text[:1]}' looking for beginning of value"


def continue_token(resource_version: int, last: Row) -> str:
    start = f"{last.namespace}/{last.name}\0"
    token = {"v": "meta.k8s.io/v1", "rv": resource_version, "start": start}
    return base64.urlsafe_b64encode(orjson.dumps(token)).rstrip(b"=").decode()


def version_in_patch(patch: Any, media: str) -> str:
    """The resourceVersion that the patch itself states, if any: an optimistic lock."""
    if media != MERGE_PATCH or not isinstance(patch, dict):
        return ""
    metadata = cast("Json", patch).get("metadata")
    found = cast("Json", metadata).get("resourceVersion") if isinstance(metadata, dict) else None
    return found if isinstance(found, str) else ""


@dataclass(frozen=True, slots=True)
class DeleteOptions:
    """What comes with a delete, as parameters or in its body."""

    preconditions: Preconditions
    dry_run: bool


def _checked_dry_run(wanted: Any) -> bool:
    """Whether the delete is only tried: `All`, or a list of it as the body has. Anything else is refused (422)."""
    listed: list[Any] = cast("list[Any]", wanted) if isinstance(wanted, list) else [wanted] if wanted else []
    if all(item == "All" for item in listed):
        return bool(listed)
    shown = ", ".join(f'"{item}"' for item in listed)
    wrong = FieldError(
        "dryRun", "FieldValueNotSupported", f'Unsupported value: []string{{{shown}}}: supported values: "All"'
    )
    raise Failure(invalid("DeleteOptions", "meta.k8s.io", "", [wrong]))


def delete_options(kind: AnyKind, query: Mapping[str, str], body: bytes, content_type: str) -> DeleteOptions:
    """The options of a delete; kubectl sends dryRun in the body, others as a parameter: either counts."""
    dry_run = _checked_dry_run(query.get("dryRun"))
    if not body.strip():
        return DeleteOptions(Preconditions(), dry_run)
    value, _ = parse_body(kind, body, content_type)
    if not isinstance(value, dict):
        raise BadRequest("DeleteOptions must be an object")
    options = cast("Json", value)
    preconditions: Any = options.get("preconditions") or {}
    if not isinstance(preconditions, dict):
        raise BadRequest("preconditions must be an object")
    wanted_of = cast("Json", preconditions)
    return DeleteOptions(
        Preconditions(
            uid=str(wanted_of.get("uid") or ""),
            resource_version=str(wanted_of.get("resourceVersion") or ""),
        ),
        dry_run=dry_run or _checked_dry_run(options.get("dryRun")),
    )


def propagation_policy(query: Mapping[str, str], body: bytes) -> str:
    """What the client wants of dependants: Background, Foreground, Orphan, or nothing said. `body` was read before."""
    if wanted := query.get("propagationPolicy"):
        return wanted
    try:
        options: Any = orjson.loads(body) if body.strip() else {}
    except ValueError:
        return ""  # YAML: no client sends a policy in it
    found: Any = cast("Json", options).get("propagationPolicy") if isinstance(options, dict) else None
    return found if isinstance(found, str) else ""


def read_action_request(kind: AnyKind, body: bytes, content_type: str) -> Json:
    """The JSON object that comes with an action; an empty body is an empty one."""
    if not body.strip():
        return {}
    value, _ = parse_body(kind, body, content_type)
    if not isinstance(value, dict):
        raise BadRequest("the body of an action is a JSON object")
    return cast("Json", value)
