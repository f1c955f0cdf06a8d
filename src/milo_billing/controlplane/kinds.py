"""What a declared kind is: one class, with everything the engine needs to serve it.

Owns: the base class, its value types, the registry. Not: storage (store), the write pipeline (engine), HTTP (api).
A kind states its models, columns and rules; it never opens a transaction and never speaks HTTP.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from functools import cached_property
from typing import Annotated, Any, ClassVar, Generic, Literal, TypeAlias, TypedDict, TypeVar, cast
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field
from pydantic.alias_generators import to_camel

from milo_billing.controlplane.identity import Authorizer, Identity, reaches
from milo_billing.infra.clock import Clock
from milo_billing.infra.database import Tx
from milo_billing.kernel.errors import FieldError

Json: TypeAlias = dict[str, Any]

PROVIDER_ORG = 0
"""The surrogate number of the provider itself: owner of everything that belongs to no customer organization."""


class Fields(BaseModel):
    """Base of spec and status models: camelCase on the wire, frozen, unknown fields refused."""

    model_config = ConfigDict(
        alias_generator=to_camel, populate_by_name=True, extra="forbid", frozen=True, validate_default=False
    )


class Condition(Fields):
    """A Kubernetes condition. `last_transition_time` moves only when `status` does."""

    type: str
    status: Literal["True", "False", "Unknown"]
    reason: str
    message: str
    observed_generation: int = 0
    last_transition_time: str


Conditions: TypeAlias = Annotated[
    list[Condition],
    Field(
        json_schema_extra={"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["type"]},
    ),
]
"""A list of conditions whose items have owners of their own: one of each type."""


def set_condition(
    conditions: Sequence[Condition],
    *,
    type: str,
    status: Literal["True", "False", "Unknown"],
    reason: str,
    message: str,
    observed_generation: int,
    now: datetime,
) -> list[Condition]:
    """The conditions with this one added or replaced, sorted as they stood."""
    standing = next((c for c in conditions if c.type == type), None)
    since = (
        standing.last_transition_time if standing is not None and standing.status == status else rfc3339(now)
    )
    wanted = Condition(
        type=type,
        status=status,
        reason=reason,
        message=message,
        observed_generation=observed_generation,
        last_transition_time=since,
    )
    if standing is None:
        return [*conditions, wanted]
    return [wanted if c.type == type else c for c in conditions]


def rfc3339(instant: datetime) -> str:
    """An aware UTC instant as Kubernetes writes it: whole seconds, trailing Z."""
    return instant.strftime("%Y-%m-%dT%H:%M:%SZ")


@dataclass(frozen=True, slots=True)
class Column:
    """A printer column: `path` is a JSONPath such as `.status.phase`. NAME and AGE are added by the engine."""

    name: str
    path: str
    type: Literal["string", "integer", "number", "boolean", "date"] = "string"
    priority: int = 0


S = TypeVar("S", bound=Fields)
T = TypeVar("T", bound=Fields)


@dataclass(frozen=True, slots=True)
class Object(Generic[S, T]):
    """One object of a kind as its rules see it: typed, frozen, personal fields in clear."""

    kind: "type[Kind[S, T]]"
    uid: UUID
    namespace: str
    name: str
    owner_org: int
    resource_version: int
    generation: int
    created_at: datetime
    deletion_requested_at: datetime | None
    labels: Mapping[str, str]
    annotations: Mapping[str, str]
    finalizers: tuple[str, ...]
    owner_references: tuple[Mapping[str, Any], ...]
    spec: S
    status: T
    deleted: bool = False
    """True only in the write that removes the object for good."""

    @property
    def ref(self) -> "Ref":
        return Ref(cast("type[AnyKind]", self.kind), self.namespace, self.name)

    def gone(self) -> "Object[S, T]":
        return replace(self, deleted=True)


@dataclass(frozen=True, slots=True)
class Ref:
    """The name of an object that may or may not exist."""

    kind: "type[AnyKind]"
    namespace: str
    name: str


@dataclass(frozen=True, slots=True)
class Reported:
    """A condition that one slice sets on an object of another, which is named as on the wire.

    Each condition type has one owning slice; the object's own kind leaves those of others as they stand.
    """

    group: str
    plural: str
    namespace: str
    name: str
    type: str
    status: Literal["True", "False", "Unknown"]
    reason: str
    message: str


class Made(TypedDict):
    """An object that another object's write brought about; its truth is in tables, which stand already."""

    kind: "type[AnyKind]"
    namespace: str
    name: str
    uid: UUID
    spec: Json
    status: Json
    verb: str


@dataclass(frozen=True, slots=True)
class Admission(Generic[S, T]):
    """What a kind's rules may look at when they admit a write. `old` is None on create."""

    tx: Tx
    now: datetime
    identity: Identity
    object: Object[S, T]
    old: Object[S, T] | None
    authorizer: Authorizer

    def may(self, permission: str) -> bool:
        """Whether the caller holds this permission for the organization that owns the object."""
        reach = self.authorizer.reach(self.tx, self.identity, permission)
        return reaches(reach, self.object.owner_org)


class Kind(Generic[S, T]):
    """Base of every kind. Subclass, set the class variables, override the rules that the kind has.

    The engine calls, inside one transaction: default, validate (every error at once, never mutates), affects (what to
    lock and settle again), gather (reads; may take locks), reconcile (pure), project (side tables), reports (conditions
    of its slice on objects of others).
    """

    group: ClassVar[str]
    version: ClassVar[str] = "v1alpha1"
    kind: ClassVar[str]
    plural: ClassVar[str]
    singular: ClassVar[str]
    short_names: ClassVar[tuple[str, ...]] = ()
    namespaced: ClassVar[bool]
    description: ClassVar[str] = ""
    spec_model: ClassVar[type[Fields]]
    status_model: ClassVar[type[Fields]]
    columns: ClassVar[tuple[Column, ...]] = ()
    selectable: ClassVar[tuple[str, ...]] = ()
    personal: ClassVar[tuple[str, ...]] = ()
    actions: ClassVar[tuple[str, ...]] = ()
    """Subresources that are verbs: `POST …/{name}/{action}`, each with the permission of its name."""
    provider_only: ClassVar[frozenset[str]] = frozenset()
    """Verbs and actions for which a permission in the object's own organization is not enough: only the provider's
    staff, who hold it everywhere or for the provider itself, decide on them."""
    readable_by_all: ClassVar[bool] = False
    system: ClassVar[bool] = False
    settles_late: ClassVar[bool] = False
    """Whether objects of other kinds that a write affects may be settled once, after many objects of this kind were
    written in one transaction: where no rule of this kind reads what that changes."""

    def default(self, spec: Json, *, name: str, labels: dict[str, str], now: datetime) -> None:
        """Fill in what the models' own defaults cannot: may change `spec` and `labels` in place."""

    def validate(self, admission: Admission[S, T]) -> Iterable[FieldError]:
        """Every rule that this write breaks; empty when it may stand."""
        return ()

    def validate_delete(self, admission: Admission[S, T]) -> None:
        """Raise `Conflict` where the object must not go yet."""

    def accept_status(self, admission: Admission[S, T]) -> T:
        """What a client's write of /status becomes, before `reconcile` has the last word.

        `admission.object` has the client's status, `admission.old` the object as it stands. Raises Invalid, Conflict
        or Forbidden to refuse it.
        """
        return admission.object.status

    def act(self, admission: Admission[S, T], *, action: str, request: Json) -> T:
        """The status that an action leads to, before `reconcile`. `request` is the body that came with it.

        Raises Invalid for a field of the request, Conflict where the state of things stands against it.
        """
        raise LookupError(f"{self.kind} has no action {action!r}")

    def owner_org(self, tx: Tx, object: Object[S, T]) -> int:
        """Who owns a cluster-scoped object of this kind. Called once, on create."""
        return PROVIDER_ORG

    def visible_to_all(self, object: Object[S, T]) -> bool:
        """Whether everybody with a token may read this object; by default the kind decides for all its objects."""
        return self.readable_by_all

    def affects(self, tx: Tx, object: Object[S, T], old: Object[S, T] | None) -> Sequence[Ref]:
        """Other objects whose status this write changes: locked with it, settled after it."""
        return ()

    def gather(
        self, tx: Tx, object: Object[S, T], old: Object[S, T] | None, *, now: datetime, clock: Clock
    ) -> Any:
        """Read what `reconcile` needs. May take a lock; an instant that must be later than it comes from `clock`."""
        return None

    def reconcile(self, object: Object[S, T], facts: Any, *, now: datetime) -> T:
        """The status that follows from the whole of the object and the facts. Pure, safe twice."""
        return object.status

    def project(self, tx: Tx, object: Object[S, T], old: Object[S, T] | None, *, now: datetime) -> None:
        """Write the side tables that other slices read. `object.deleted` says that the object goes."""

    def reports(self, tx: Tx, object: Object[S, T], *, now: datetime) -> Iterable[Reported]:
        """Conditions of this kind's slice on objects of others, as they follow from the object once it is projected."""
        return ()

    def makes(
        self, tx: Tx, object: Object[S, T], old: Object[S, T] | None, *, now: datetime
    ) -> Iterable[Made]:
        """Objects that this write brought about, written with it once it is projected."""
        return ()


class ReadyStatus(Fields):
    """A status that says nothing but Ready."""

    observed_generation: int = 0
    conditions: list[Condition] = Field(default_factory=list[Condition])


R = TypeVar("R", bound=ReadyStatus)


def ready_status(object: Object[Any, R], *, message: str, now: datetime) -> R:
    """The object's status with Ready True, for the reason `<Kind>Ready`."""
    ready = set_condition(
        object.status.conditions,
        type="Ready",
        status="True",
        reason=f"{object.kind.kind}Ready",
        message=message,
        observed_generation=object.generation,
        now=now,
    )
    return object.status.model_copy(update={"observed_generation": object.generation, "conditions": ready})


AnyKind: TypeAlias = Kind[Any, Any]
AnyObject: TypeAlias = Object[Any, Any]


@dataclass(frozen=True)
class Registry:
    """Every kind this server serves, in the order in which documents name them."""

    kinds: tuple[AnyKind, ...]
    reviews: tuple[AnyKind, ...] = ()
    """Kinds that are questions: they can only be created, are answered by their slice's route, and never stored."""
    _by_plural: dict[tuple[str, str, str], AnyKind] = field(
        init=False, default_factory=dict["tuple[str, str, str]", "AnyKind"]
    )

    def __post_init__(self) -> None:
        for kind in self.kinds:
            key = (kind.group, kind.version, kind.plural)
            if key in self._by_plural:
                raise ValueError(f"two kinds are called {'/'.join(key)}")
            self._by_plural[key] = kind

    def find(self, group: str, version: str, plural: str) -> AnyKind | None:
        return self._by_plural.get((group, version, plural))

    def get(self, group: str, plural: str, version: str = Kind.version) -> AnyKind:
        """The kind of that name. Raises LookupError where none is served."""
        return self._by_plural[(group, version, plural)]

    def instance(self, kind: type[AnyKind]) -> AnyKind:
        """The one instance of a kind's class."""
        found = self._by_plural[(kind.group, kind.version, kind.plural)]
        if type(found) is not kind:
            raise LookupError(f"{kind.__name__} is not the registered class of {kind.plural}")
        return found

    @cached_property
    def groups(self) -> dict[str, tuple[str, ...]]:
        """Group → its versions."""
        versions: dict[str, list[str]] = {}
        for kind in self.kinds:
            listed = versions.setdefault(kind.group, [])
            if kind.version not in listed:
                listed.append(kind.version)
        return {group: tuple(listed) for group, listed in versions.items()}

    def of_group(self, group: str, version: str) -> tuple[AnyKind, ...]:
        return tuple(k for k in self.kinds if k.group == group and k.version == version)
