"""Acting as somebody else: the Impersonate-* headers, and the identity that they lead to.

Protocol: https://kubernetes.io/docs/reference/access-authn-authz/authentication/#user-impersonation. Who may, the
authorizer decides. One difference: headers that make no sense together are a 400, where Kubernetes answers 500.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from milo_billing.controlplane.identity import ANONYMOUS, Identity
from milo_billing.controlplane.statuses import Failure, Status
from milo_billing.kernel.errors import BadRequest

PERMISSION = "iam.miloapis.com/users.impersonate"
"""Held everywhere, it lets somebody act as any user or service account."""

_PREFIX = "impersonate-"
_SERVICE_ACCOUNT = "system:serviceaccount:"
_AUTHENTICATED = "system:authenticated"


@dataclass(frozen=True, slots=True)
class Impersonation:
    """Whom the caller wants to act as."""

    user: str
    groups: tuple[str, ...] = ()
    uid: str = ""


def read_impersonation(headers: Mapping[str, str]) -> Impersonation | None:
    """What the headers ask for; None where they do not. Raises BadRequest for what cannot be meant."""
    asked = [(name.lower(), value) for name, value in headers.items() if name.lower().startswith(_PREFIX)]
    if not asked:
        return None
    user = uid = ""
    groups: list[str] = []
    for name, value in asked:
        match name.removeprefix(_PREFIX):
            case "user":
                user = value
            case "group":
                groups.append(value)
            case "uid":
                uid = value
            case _:
                raise BadRequest(f"{name}: users have no extra attributes here; send the request without it")
    if not user:
        raise BadRequest(f"requested {', '.join(name for name, _ in asked)} without impersonating a user")
    return Impersonation(user, tuple(groups), uid)


def impersonated(by: Identity, wanted: Impersonation) -> Identity:
    """The identity that acts from now on, in the groups that Kubernetes puts it in."""
    groups = wanted.groups
    if not groups and wanted.user.startswith(_SERVICE_ACCOUNT):
        namespace = wanted.user.removeprefix(_SERVICE_ACCOUNT).partition(":")[0]
        groups = ("system:serviceaccounts", f"system:serviceaccounts:{namespace}")
    everybody = ANONYMOUS.groups[0] if wanted.user == ANONYMOUS.user else _AUTHENTICATED
    if everybody not in groups:
        groups = (*groups, everybody)
    return Identity(user=wanted.user, groups=groups, uid=wanted.uid, impersonated_by=by.user)


def not_allowed(
    by: Identity, *, resource: str, name: str, group: str = "", namespace: str = "", why: str = ""
) -> Failure:
    """403 in the words of Kubernetes, and why, where there is more to say than that the permission is missing."""
    qualified = f"{resource}.{group}" if group else resource
    scope = f'in the namespace "{namespace}"' if namespace else "at the cluster scope"
    message = (
        f'{qualified} "{name}" is forbidden: User "{by.user}" cannot impersonate resource "{resource}" '
        f'in API group "{group}" {scope}'
    )
    details = {"name": name, "kind": resource} | ({"group": group} if group else {})
    return Failure(Status(403, "Forbidden", f"{message}: {why}" if why else message, details))
