"""Questions that a client asks about itself: who am I, may I, what may I. Answered, never stored.

Protocol: authorization.k8s.io/v1 and authentication.k8s.io/v1, bodies in JSON or in Kubernetes' protobuf (kubectl from
1.32 sends nothing else). Answers follow what the resource endpoints (api) would say; both ask the same authorizer.
"""

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, cast
from uuid import UUID

import orjson

from milo_billing.controlplane.discovery import REVIEWS, Review
from milo_billing.controlplane.doors import Credentials, Door
from milo_billing.controlplane.engine import Namespaces
from milo_billing.controlplane.identity import Identity, reaches
from milo_billing.controlplane.impersonation import PERMISSION as IMPERSONATE
from milo_billing.controlplane.kinds import AnyKind, Json, Registry
from milo_billing.controlplane.protobuf import KUBERNETES_MAGIC, Message, nested, read_message, text
from milo_billing.controlplane.statuses import Failure, Status, invalid
from milo_billing.infra.database import Tx
from milo_billing.kernel.bodies import check_value
from milo_billing.kernel.errors import BadRequest, FieldError

JSON = "application/json"
PROTOBUF = "application/vnd.kubernetes.protobuf"
READING = ("get", "list", "watch")

PUBLIC_PATHS = ("/api", "/api/*", "/apis", "/apis/*", "/openapi", "/openapi/*", "/version", "/version/")
"""What everybody with a token may get."""

_AUTHENTICATED = "system:authenticated"
_SUBRESOURCE_VERB = re.compile(r"(get|create|update|patch|delete)([A-Z][A-Za-z]*)", re.ASCII)


@dataclass(frozen=True, slots=True)
class Reviewing:
    """The three self-subject reviews."""

    door: Door
    registry: Registry
    namespaces: Namespaces

    def review(
        self, asked: Review, credentials: Credentials, audit_id: UUID, body: bytes, content_type: str
    ) -> Json:
        """The review with its answer. Raises 400, 415 and 422 for a body that asks nothing, 403 for nobody."""
        spec = _read_spec(asked, body, content_type)
        with self.door.enter(credentials, audit_id) as (tx, identity, _, _):
            if _AUTHENTICATED not in identity.groups:
                raise _forbidden(asked, identity)
            answer = self._answer(asked, tx, identity, spec)
        api_version = f"{asked.group}/{asked.version}"
        return {
            "kind": asked.kind,
            "apiVersion": api_version,
            "metadata": {"creationTimestamp": None},
            **answer,
        }

    def _answer(self, asked: Review, tx: Tx, identity: Identity, spec: Json) -> Json:
        match asked.kind:
            case "SelfSubjectAccessReview":
                return {"spec": spec, "status": self._review_access(tx, identity, spec)}
            case "SelfSubjectRulesReview":
                return {"spec": spec, "status": self._review_rules(tx, identity, spec)}
            case _:
                return {"status": {"userInfo": _user_info(identity)}}

    # -- may I

    def _review_access(self, tx: Tx, identity: Identity, spec: Json) -> Json:
        resource, path = spec.get("resourceAttributes"), spec.get("nonResourceAttributes")
        if (resource is None) == (path is None):
            raise _one_of_two(both=resource is not None)
        if path is not None:
            allowed, lacking = self._may_path(tx, identity, path)
        else:
            allowed, lacking = self._may(tx, identity, _Attributes.read(cast("Json", resource)))
        return {"allowed": True} if allowed else {"allowed": False, "reason": lacking}

    def _may_path(self, tx: Tx, identity: Identity, attributes: Json) -> tuple[bool, str]:
        path, verb = str(attributes.get("path", "")), str(attributes.get("verb", ""))
        public = verb == "get" and any(
            path == known or (known.endswith("*") and path.startswith(known[:-1])) for known in PUBLIC_PATHS
        )
        allowed = public or self.door.authorizer.reach(tx, identity, "*") == "*"
        return allowed, f'User "{identity.user}" lacks the permission *'

    def _may(self, tx: Tx, identity: Identity, asked: "_Attributes") -> tuple[bool, str]:
        """As `ResourceApi` would decide; why not, where it would not."""
        if asked.verb == "impersonate":
            allowed = self.door.authorizer.reach(tx, identity, IMPERSONATE) == "*"
            return allowed, f'User "{identity.user}" lacks the permission {IMPERSONATE} everywhere'
        review = next((r for r in REVIEWS if (r.group, r.plural) == (asked.group, asked.resource)), None)
        if review is not None:
            return asked.verb == "create", f"{review.plural} can only be created"
        kind = self._find_kind(asked)
        if kind is not None and not asked.subresource and asked.verb in READING and kind.readable_by_all:
            return True, ""
        permission = asked.permission(kind)
        reach = self.door.authorizer.reach(tx, identity, permission)
        lacking = f'User "{identity.user}" lacks the permission {permission}'
        # a namespace says nothing about a kind that has none, and kubectl sends one with every question
        if reach == "*" or not asked.namespace or (kind is not None and not kind.namespaced):
            return bool(reach), lacking
        owner = self.namespaces.find_owner(tx, asked.namespace)
        return owner is not None and reaches(reach, owner), f'{lacking} in the namespace "{asked.namespace}"'

    def _find_kind(self, asked: "_Attributes") -> AnyKind | None:
        return next(
            (k for k in self.registry.kinds if (k.group, k.plural) == (asked.group, asked.resource)), None
        )

    # -- what may I

    def _review_rules(self, tx: Tx, identity: Identity, spec: Json) -> Json:
        namespace = spec.get("namespace")
        if not namespace:
            raise BadRequest("no namespace on request")
        org = self.namespaces.find_owner(tx, str(namespace))
        held = self.door.authorizer.list_permissions(tx, identity, org)
        return {
            "resourceRules": [*self._everybodys_rules(), *self._held_rules(held)],
            "nonResourceRules": [{"verbs": ["get"], "nonResourceURLs": list(PUBLIC_PATHS)}],
            "incomplete": False,
        }

    def _everybodys_rules(self) -> Iterable[Json]:
        for review in REVIEWS:
            yield _rule(("create",), review.group, review.plural)
        for kind in self.registry.kinds:
            if kind.readable_by_all:
                yield _rule(READING, kind.group, kind.plural)

    def _held_rules(self, held: frozenset[str]) -> Iterable[Json]:
        """One rule a resource, whatever the number of its permissions."""
        verbs: dict[tuple[str, str], list[str]] = {}
        actions = {
            f"{kind.group}/{kind.plural}.{action}": (kind.group, f"{kind.plural}/{action}")
            for kind in self.registry.kinds
            for action in kind.actions
        }
        for permission in sorted(held):
            group_resource, _, verb = permission.rpartition(".")
            group, _, resource = group_resource.partition("/")
            if permission == "*" or group_resource == "*":
                verbs.setdefault(("*", "*"), []).append(verb)
            elif permission in actions:
                verbs.setdefault(actions[permission], []).append("create")
            elif (below := _SUBRESOURCE_VERB.fullmatch(verb)) is not None:
                subresource = f"{resource}/{below[2][0].lower()}{below[2][1:]}"
                both = verb == "updateStatus"  # PUT and PATCH of it are one permission
                verbs.setdefault((group, subresource), []).extend(
                    ("patch", "update") if both else (below[1],)
                )
            else:
                verbs.setdefault((group, resource), []).append(verb)
        return (_rule(found, group, resource) for (group, resource), found in verbs.items())


@dataclass(frozen=True, slots=True)
class _Attributes:
    """The resource that an access review asks about."""

    namespace: str
    verb: str
    group: str
    resource: str
    subresource: str

    @classmethod
    def read(cls, attributes: Json) -> "_Attributes":
        wrong = [name for name, value in attributes.items() if name in _TEXTS and not isinstance(value, str)]
        if wrong:
            raise BadRequest(f"spec.resourceAttributes.{wrong[0]} must be a string")
        namespace, verb, group, resource, subresource = (attributes.get(name, "") for name in _ASKED)
        return cls(namespace, verb, group, resource, subresource)

    def permission(self, kind: AnyKind | None) -> str:
        """What one must hold. Actions are subresources that are created; others have verbs of their own."""
        if self.resource == "*":
            return "*" if self.verb == "*" else f"*.{self.verb}"
        verb, below = self.verb, self.subresource
        if kind is not None and below in kind.actions and verb == "create":
            verb = below
        elif below and (below != "status" or verb not in READING):
            verb = (
                f"{'update' if below == 'status' and verb == 'patch' else verb}{below[0].upper()}{below[1:]}"
            )
        return f"{self.group}/{self.resource}.{verb}"


_TEXTS = frozenset({"namespace", "verb", "group", "version", "resource", "subresource", "name"})
_ASKED = ("namespace", "verb", "group", "resource", "subresource")


def _user_info(identity: Identity) -> Json:
    about: Json = {"username": identity.user, "groups": list(identity.groups)}
    if identity.uid:
        about["uid"] = identity.uid
    return about


def _rule(verbs: Iterable[str], group: str, resource: str) -> Json:
    return {"verbs": list(verbs), "apiGroups": [group], "resources": [resource]}


def _forbidden(asked: Review, identity: Identity) -> Failure:
    message = (
        f'{asked.plural}.{asked.group} is forbidden: User "{identity.user}" cannot create resource '
        f'"{asked.plural}" in API group "{asked.group}" at the cluster scope'
    )
    return Failure(Status(403, "Forbidden", message, {"group": asked.group, "kind": asked.plural}))


def _one_of_two(*, both: bool) -> Failure:
    if both:
        field = "spec.nonResourceAttributes"
        why = "cannot be specified in combination with resourceAttributes"
    else:
        field = "spec.resourceAttributes"
        why = "exactly one of nonResourceAttributes or resourceAttributes must be specified"
    wrong = FieldError(field, "FieldValueInvalid", f'Invalid value: "null": {why}')
    return Failure(invalid("SelfSubjectAccessReview", "authorization.k8s.io", "", [wrong]))


# -- bodies


def _read_spec(asked: Review, body: bytes, content_type: str) -> Json:
    """What the body asks. Raises 400 for another kind or no object at all, 415 for another form."""
    media = content_type.partition(";")[0].strip().lower() or JSON
    if media == PROTOBUF:
        return _read_protobuf(asked, body)
    if media != JSON:
        accepted = f"{JSON}, {PROTOBUF}"
        message = (
            f"the body of the request was in an unknown format - accepted media types include: {accepted}"
        )
        raise Failure(Status(415, "UnsupportedMediaType", message))
    try:
        value: Any = orjson.loads(body)
    except ValueError as error:
        raise BadRequest(
            f"the object provided is unrecognized (must be of type {asked.kind}): {error}"
        ) from error
    if not isinstance(value, dict):
        raise BadRequest(f"the object provided is unrecognized (must be of type {asked.kind})")
    check_value(cast("object", value))
    wire = cast("Json", value)
    _check_type(asked, str(wire.get("apiVersion", "")), str(wire.get("kind", "")))
    spec: Any = wire.get("spec") or {}
    if not isinstance(spec, dict):
        raise BadRequest(f"{asked.kind} cannot be handled: spec must be an object")
    for name in _ATTRIBUTES:
        if not isinstance(cast("Json", spec).get(name, {}), dict):
            raise BadRequest(f"{asked.kind} cannot be handled: spec.{name} must be an object")
    return cast("Json", spec)


def _check_type(asked: Review, api_version: str, kind: str) -> None:
    wanted = f"{asked.group}/{asked.version}"
    if (api_version, kind) != (wanted, asked.kind):
        raise BadRequest(f"the body must be a {asked.kind} of {wanted}, not {kind!r} of {api_version!r}")


_RESOURCE_FIELDS = {
    1: "namespace",
    2: "verb",
    3: "group",
    4: "version",
    5: "resource",
    6: "subresource",
    7: "name",
}
_PATH_FIELDS = {1: "path", 2: "verb"}


def _texts(message: Message, names: Mapping[int, str]) -> Json:
    return {name: value for number, name in names.items() if (value := text(message, number))}


def _read_protobuf(asked: Review, body: bytes) -> Json:
    """The spec in a runtime.Unknown: type in field 1, the object in field 2, of which the spec is field 2 again."""
    if not body.startswith(KUBERNETES_MAGIC):
        raise BadRequest("the body does not begin as Kubernetes' protobuf does")
    envelope = read_message(body.removeprefix(KUBERNETES_MAGIC))
    type_meta = nested(envelope, 1) or {}
    _check_type(asked, text(type_meta, 1), text(type_meta, 2))
    spec = nested(nested(envelope, 2) or {}, 2) or {}
    return _DECODERS[asked.kind](spec)


def _decode_access(spec: Message) -> Json:
    decoded: Json = {}
    for number, name, fields in (
        (1, "resourceAttributes", _RESOURCE_FIELDS),
        (2, "nonResourceAttributes", _PATH_FIELDS),
    ):
        if (attributes := nested(spec, number)) is not None:
            decoded[name] = _texts(attributes, fields)
    return decoded


_ATTRIBUTES = ("resourceAttributes", "nonResourceAttributes")
_DECODERS: dict[str, Callable[[Message], Json]] = {
    "SelfSubjectAccessReview": _decode_access,
    "SelfSubjectRulesReview": lambda spec: _texts(spec, {1: "namespace"}),
    "SelfSubjectReview": lambda _: {},
}
