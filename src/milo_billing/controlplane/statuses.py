"""The one table from our errors to Kubernetes Status answers.

Shapes: kubernetes-api.md §3; `details.kind` is the plural for 404 and 409, the Kind for 422.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from milo_billing.controlplane.kinds import AnyKind, Json
from milo_billing.kernel import errors


@dataclass(frozen=True, slots=True)
class Status:
    """A failure as it goes over the wire."""

    code: int
    reason: str
    message: str
    details: Json = field(default_factory=dict[str, Any])
    retry_after_s: int | None = None

    def body(self) -> Json:
        answer: Json = {
            "kind": "Status",
            "apiVersion": "v1",
            "metadata": {},
            "status": "Failure",
            "message": self.message,
        }
        if self.reason:
            answer["reason"] = self.reason
        details = dict(self.details)
        if self.retry_after_s is not None:
            details["retryAfterSeconds"] = self.retry_after_s
        if details:
            answer["details"] = details
        answer["code"] = self.code
        return answer


class Failure(errors.MiloError):
    """A failure that already knows its Status: those of the protocol itself."""

    def __init__(self, status: Status) -> None:
        self.status = status
        super().__init__(status.message)


def resource_name(kind: AnyKind) -> str:
    return f"{kind.plural}.{kind.group}"


def not_found(kind: AnyKind, name: str) -> Failure:
    details = {"name": name, "group": kind.group, "kind": kind.plural}
    return Failure(Status(404, "NotFound", f'{resource_name(kind)} "{name}" not found', details))


def already_exists(kind: AnyKind, name: str) -> Failure:
    details = {"name": name, "group": kind.group, "kind": kind.plural}
    return Failure(Status(409, "AlreadyExists", f'{resource_name(kind)} "{name}" already exists', details))


def conflict(kind: AnyKind, name: str, why: str) -> Failure:
    details = {"name": name, "group": kind.group, "kind": kind.plural}
    message = f'Operation cannot be fulfilled on {resource_name(kind)} "{name}": {why}'
    return Failure(Status(409, "Conflict", message, details))


MODIFIED = "the object has been modified; please apply your changes to the latest version and try again"


def forbidden(kind: AnyKind, *, name: str, namespace: str, user: str, verb: str) -> Failure:
    resource = resource_name(kind)
    scope = f' in the namespace "{namespace}"' if namespace else " at the cluster scope"
    named = f' "{name}"' if name else ""
    message = (
        f'{resource}{named} is forbidden: User "{user}" cannot {verb} resource "{kind.plural}" '
        f'in API group "{kind.group}"{scope}'
    )
    details = (
        {"name": name, "group": kind.group, "kind": kind.plural}
        if name
        else {"group": kind.group, "kind": kind.plural}
    )
    return Failure(Status(403, "Forbidden", message, details))


def invalid(kind_name: str, group: str, name: str, found: Sequence[errors.FieldError]) -> Status:
    """422 with every cause. The causes are ordered as they were found."""
    texts = list(dict.fromkeys(f"{error.field}: {error.message}" for error in found))
    listed = texts[0] if len(texts) == 1 else f"[{', '.join(texts)}]"
    qualified = f"{kind_name}.{group}" if group else kind_name
    details: Json = {"name": name} if name else {}
    if group:
        details["group"] = group
    details["kind"] = kind_name
    details["causes"] = [{"reason": e.reason, "message": e.message, "field": e.field} for e in found]
    return Status(422, "Invalid", f'{qualified} "{name}" is invalid: {listed}', details)


_PLAIN: tuple[tuple[type[errors.MiloError], int, str], ...] = (
    (errors.BadRequest, 400, "BadRequest"),
    (errors.Forbidden, 403, "Forbidden"),
    (errors.NotFound, 404, "NotFound"),
    (errors.AlreadyExists, 409, "AlreadyExists"),
    (errors.Conflict, 409, "Conflict"),
    (errors.TooLarge, 413, "RequestEntityTooLarge"),
    (errors.Unavailable, 503, "ServiceUnavailable"),
)


def status_of(error: errors.MiloError, *, kind: AnyKind | None = None, name: str = "") -> Status:
    """The Status of any expected error; `kind` and `name` say which object the request was about."""
    if isinstance(error, Failure):
        return error.status
    if isinstance(error, errors.Invalid):
        named = (kind.kind, kind.group) if kind is not None else ("Request", "")
        return invalid(*named, name, error.errors)
    if isinstance(error, errors.TooMany):
        return Status(429, "TooManyRequests", str(error), retry_after_s=error.retry_after_s)
    if isinstance(error, errors.Unauthenticated):
        return Status(401, "Unauthorized", "Unauthorized")  # why is nobody's business; the log says it
    if isinstance(error, errors.Conflict) and kind is not None and name:
        return conflict(kind, name, str(error)).status
    for base, code, reason in _PLAIN:
        if isinstance(error, base):
            retry = 1 if code == 503 else None
            return Status(code, reason, str(error), retry_after_s=retry)
    return Status(500, "InternalError", str(error))
