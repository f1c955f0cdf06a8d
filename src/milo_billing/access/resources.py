"""Role, PolicyBinding and ServiceAccount, as Milo's IAM has them; each as far as billing needs it.

Nobody gives away what they do not hold: a role's permissions are checked when it is written (everywhere, since it
can be bound anywhere) and when it is bound (where it is bound).
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime
from typing import Any, Literal
from uuid import UUID

from pydantic import Field
from typing_extensions import override

from milo_billing.access import operations, reads, rules, store
from milo_billing.access.types import (
    BUILT_IN,
    EVERYWHERE_ORG,
    GROUP,
    SUPERUSERS,
    service_account_subject,
)
from milo_billing.controlplane.identity import Identity
from milo_billing.controlplane.kinds import (
    PROVIDER_ORG,
    Admission,
    AnyKind,
    Column,
    Fields,
    Kind,
    Object,
    ReadyStatus,
    ready_status,
)
from milo_billing.directory import operations as directory
from milo_billing.directory import reads as organizations
from milo_billing.directory.types import GROUP as DIRECTORY_GROUP
from milo_billing.infra.clock import Clock
from milo_billing.infra.database import Tx
from milo_billing.kernel.errors import Conflict, FieldError

NAMED_MAX = 5
"""How many of the things that stand against a deletion its answer names."""


class RoleSpec(Fields):
    """What is wanted of a role."""

    display_name: str | None = Field(default=None, max_length=256)
    description: str | None = Field(default=None, max_length=4096)
    launch_stage: Literal["Early Access", "Alpha", "Beta", "Stable", "Deprecated"] | None = None
    included_permissions: list[str] = Field(
        min_length=1,
        max_length=500,
        description="As `<group>/<resource>.<verb>`; `<group>/<resource>.*`, `*.<verb>` and `*` are wildcards.",
    )


class Role(Kind[RoleSpec, ReadyStatus]):
    """A named set of permissions; the provider's. It grants nothing until a policy binding binds it."""

    group = GROUP
    kind = "Role"
    plural = "roles"
    singular = "role"
    namespaced = False
    description = "A named set of permissions that policy bindings grant."
    spec_model = RoleSpec
    status_model = ReadyStatus
    readable_by_all = True
    columns = (
        Column("Display Name", ".spec.displayName"),
        Column("Ready", '.status.conditions[?(@.type=="Ready")].status'),
    )

    @override
    def validate(self, admission: Admission[RoleSpec, ReadyStatus]) -> Iterable[FieldError]:
        """The form of the permissions, and that whoever adds one holds it everywhere."""
        new, old = admission.object, admission.old
        if _is_protected(new.name, admission.identity):
            yield _protected("role", new.name)
        wanted = new.spec.included_permissions
        yield from _permission_errors(wanted)
        standing = frozenset[str]() if old is None else frozenset(old.spec.included_permissions)
        not_held = operations.list_not_held(
            admission.tx,
            authorizer=admission.authorizer,
            identity=admission.identity,
            permissions=set(wanted) - standing,
            owner_org=EVERYWHERE_ORG,
        )
        for permission in not_held:
            yield FieldError(
                f"spec.includedPermissions[{wanted.index(permission)}]",
                "FieldValueForbidden",
                f'Forbidden: you cannot give away "{permission}": you do not hold it everywhere',
            )

    @override
    def validate_delete(self, admission: Admission[RoleSpec, ReadyStatus]) -> None:
        """Raise Conflict while policy bindings grant it."""
        role = admission.object
        if _is_protected(role.name, admission.identity):
            raise Conflict(f'role "{role.name}" is built in')
        bound = reads.list_bindings_of_role(admission.tx, name=role.name, limit=NAMED_MAX + 1)
        if bound:
            more = ", …" if len(bound) > NAMED_MAX else ""
            named = ", ".join(bound[:NAMED_MAX])
            raise Conflict(
                f'role "{role.name}" is granted by policybindings {named}{more}; delete these first'
            )

    @override
    def reconcile(self, object: Object[RoleSpec, ReadyStatus], facts: None, *, now: datetime) -> ReadyStatus:
        """Ready from the start."""
        return ready_status(object, message="Role is ready to be bound.", now=now)

    @override
    def project(
        self,
        tx: Tx,
        object: Object[RoleSpec, ReadyStatus],
        old: Object[RoleSpec, ReadyStatus] | None,
        *,
        now: datetime,
    ) -> None:
        """access.roles."""
        if object.deleted:
            store.delete_role(tx, uid=object.uid, name=object.name)
        else:
            permissions = object.spec.included_permissions
            store.upsert_role(tx, uid=object.uid, name=object.name, permissions=permissions)
        store.bump_access_version(tx)


class RoleRef(Fields):
    """Which role."""

    name: str = Field(min_length=1)


class ResourceRef(Fields):
    """Where a binding grants: one organization, with everything that it owns."""

    api_group: Literal["resourcemanager.miloapis.com"] = DIRECTORY_GROUP
    kind: Literal["Organization"]
    name: str = Field(min_length=1)


class ResourceSelector(Fields):
    """Where a binding grants: exactly one of the two."""

    resource_ref: ResourceRef | None = None
    everything: Literal[True] | None = Field(
        default=None, description="In every organization, and in what belongs to none."
    )


class Subject(Fields):
    """To whom a binding grants."""

    kind: Literal["User", "ServiceAccount"]
    name: str = Field(min_length=1, max_length=253)
    namespace: str | None = Field(default=None, description="Of a service account; users have none.")


class PolicyBindingSpec(Fields):
    """What is wanted of a policy binding."""

    role_ref: RoleRef = Field(description="Immutable.")
    resource_selector: ResourceSelector = Field(description="Immutable.")
    subjects: list[Subject] = Field(min_length=1, max_length=100)


class PolicyBinding(Kind[PolicyBindingSpec, ReadyStatus]):
    """Grants a role to users and service accounts, in one organization or everywhere.

    Owned by the organization that it selects, so that its administrators see and write it. A service account is
    meant as it stands when the binding is written: another one that gets its name later is granted nothing.
    """

    group = GROUP
    kind = "PolicyBinding"
    plural = "policybindings"
    singular = "policybinding"
    namespaced = False
    description = "Grants a role to users and service accounts, in one organization or everywhere."
    spec_model = PolicyBindingSpec
    status_model = ReadyStatus
    columns = (
        Column("Role", ".spec.roleRef.name"),
        Column("Organization", ".spec.resourceSelector.resourceRef.name"),
        Column("Ready", '.status.conditions[?(@.type=="Ready")].status'),
    )
    selectable = ("spec.roleRef.name",)

    @override
    def validate(self, admission: Admission[PolicyBindingSpec, ReadyStatus]) -> Iterable[FieldError]:
        """What it refers to must exist, and whoever binds a role must hold its permissions there."""
        new, old = admission.object, admission.old
        if _is_protected(new.name, admission.identity):
            yield _protected("policybinding", new.name)
        if old is not None:
            yield from _changed_references(new.spec, old.spec)
        selector = new.spec.resource_selector
        if (selector.resource_ref is None) == (selector.everything is None):
            yield FieldError(
                "spec.resourceSelector",
                "FieldValueInvalid",
                "Invalid value: exactly one of resourceRef and everything is needed",
            )
        elif old is None and selector.resource_ref is not None and new.owner_org == PROVIDER_ORG:
            message = f'Not found: "{selector.resource_ref.name}": create the organization first'
            yield FieldError("spec.resourceSelector.resourceRef.name", "FieldValueNotFound", message)
        yield from self._role_errors(admission)
        yield from _subject_errors(admission.tx, new.spec.subjects, admission.identity)

    def _role_errors(self, admission: Admission[PolicyBindingSpec, ReadyStatus]) -> Iterator[FieldError]:
        name = admission.object.spec.role_ref.name
        role = reads.find_role(admission.tx, name=name)
        if role is None:
            yield FieldError("spec.roleRef.name", "FieldValueNotFound", f'Not found: "{name}"')
            return
        not_held = operations.list_not_held(
            admission.tx,
            authorizer=admission.authorizer,
            identity=admission.identity,
            permissions=role[1],
            owner_org=admission.object.owner_org,
        )
        if not_held:
            where = "everywhere" if admission.object.owner_org == EVERYWHERE_ORG else "in this organization"
            yield FieldError(
                "spec.roleRef.name",
                "FieldValueForbidden",
                f"Forbidden: you cannot give away {', '.join(not_held)}: you do not hold that {where}",
            )

    @override
    def validate_delete(self, admission: Admission[PolicyBindingSpec, ReadyStatus]) -> None:
        """Raise Conflict for the built-in one, without which nobody could administer anything."""
        if _is_protected(admission.object.name, admission.identity):
            raise Conflict(f'policybinding "{admission.object.name}" is built in')

    @override
    def owner_org(self, tx: Tx, object: Object[PolicyBindingSpec, ReadyStatus]) -> int:
        """The organization that it selects; the provider where it selects everything, or one that is not there."""
        selected = object.spec.resource_selector.resource_ref
        found = None if selected is None else organizations.find_organization(tx, name=selected.name)
        return PROVIDER_ORG if found is None else found.number

    @override
    def gather(
        self,
        tx: Tx,
        object: Object[PolicyBindingSpec, ReadyStatus],
        old: Object[PolicyBindingSpec, ReadyStatus] | None,
        *,
        now: datetime,
        clock: Clock,
    ) -> Any:
        """Hold the organization while something is granted in it. Raises OrganizationGone."""
        selected = object.spec.resource_selector.resource_ref
        if old is None and selected is not None:
            directory.hold_organization(tx, name=selected.name)

    @override
    def reconcile(
        self, object: Object[PolicyBindingSpec, ReadyStatus], facts: None, *, now: datetime
    ) -> ReadyStatus:
        """Ready from the start: it grants from the commit on."""
        return ready_status(object, message="Policy binding is in force.", now=now)

    @override
    def project(
        self,
        tx: Tx,
        object: Object[PolicyBindingSpec, ReadyStatus],
        old: Object[PolicyBindingSpec, ReadyStatus] | None,
        *,
        now: datetime,
    ) -> None:
        """access.bindings."""
        store.delete_bindings(tx, uid=object.uid)
        if not object.deleted:
            role = reads.find_role(tx, name=object.spec.role_ref.name)
            if role is None:
                raise Conflict(f'role "{object.spec.role_ref.name}" was deleted meanwhile')
            store.insert_bindings(
                tx,
                uid=object.uid,
                role=role[0],
                owner_org=object.owner_org,
                subjects=[s for s in (_resolved(tx, s) for s in object.spec.subjects) if s is not None],
            )
        store.bump_access_version(tx)


class ServiceAccountSpec(Fields):
    """What is wanted of a service account."""

    display_name: str | None = Field(default=None, max_length=256)
    description: str | None = Field(default=None, max_length=4096)


class ServiceAccount(Kind[ServiceAccountSpec, ReadyStatus]):
    """Who a program is. Its tokens are made at `…/serviceaccounts/<name>/token` and end with it."""

    group = GROUP
    kind = "ServiceAccount"
    plural = "serviceaccounts"
    singular = "serviceaccount"
    namespaced = True
    description = "Who a program is: it has tokens, and policy bindings grant it roles."
    spec_model = ServiceAccountSpec
    status_model = ReadyStatus
    columns = (Column("Display Name", ".spec.displayName"),)

    @override
    def reconcile(
        self, object: Object[ServiceAccountSpec, ReadyStatus], facts: None, *, now: datetime
    ) -> ReadyStatus:
        """Ready from the start."""
        return ready_status(object, message="Service account is ready.", now=now)

    @override
    def project(
        self,
        tx: Tx,
        object: Object[ServiceAccountSpec, ReadyStatus],
        old: Object[ServiceAccountSpec, ReadyStatus] | None,
        *,
        now: datetime,
    ) -> None:
        """Its tokens end with it."""
        if object.deleted:
            operations.revoke_tokens(tx, service_account=object.uid, now=now)


KINDS: tuple[type[AnyKind], ...] = (Role, PolicyBinding, ServiceAccount)


def _is_protected(name: str, identity: Identity) -> bool:
    return name in BUILT_IN and SUPERUSERS not in identity.groups


def _protected(resource: str, name: str) -> FieldError:
    message = f'Forbidden: {resource} "{name}" is built in; give yours another name'
    return FieldError("metadata.name", "FieldValueForbidden", message)


def _permission_errors(permissions: Sequence[str]) -> Iterator[FieldError]:
    count = Counter[str]()
    for index, permission in enumerate(permissions):
        field = f"spec.includedPermissions[{index}]"
        if rules.PERMISSION.fullmatch(permission) is None:
            yield FieldError(
                field,
                "FieldValueInvalid",
                f'Invalid value: "{permission}": must be <group>/<resource>.<verb>, <group>/<resource>.*, *.<verb> '
                "or * (e.g. billing.miloapis.com/invoices.get)",
            )
        elif count[permission]:
            yield FieldError(field, "FieldValueDuplicate", f'Duplicate value: "{permission}"')
        count[permission] += 1


def _changed_references(new: PolicyBindingSpec, old: PolicyBindingSpec) -> Iterator[FieldError]:
    for field, changed in (
        ("spec.roleRef", new.role_ref != old.role_ref),
        ("spec.resourceSelector", new.resource_selector != old.resource_selector),
    ):
        if changed:
            message = "Invalid value: field is immutable: make another policy binding and delete this one"
            yield FieldError(field, "FieldValueInvalid", message)


def _subject_errors(tx: Tx, subjects: Sequence[Subject], identity: Identity) -> Iterator[FieldError]:
    count = Counter[Subject]()
    for index, subject in enumerate(subjects):
        field = f"spec.subjects[{index}]"
        if count[subject]:
            yield FieldError(field, "FieldValueDuplicate", f'Duplicate value: "{subject.name}"')
        count[subject] += 1
        if subject.kind == "User":
            if subject.namespace:
                message = "Forbidden: users have no namespace"
                yield FieldError(f"{field}.namespace", "FieldValueForbidden", message)
            if subject.name.startswith("system:") and SUPERUSERS not in identity.groups:
                message = (
                    f'Invalid value: "{subject.name}": names that begin with system: are the server\'s own'
                )
                yield FieldError(f"{field}.name", "FieldValueInvalid", message)
        elif not subject.namespace:
            message = "Required value: the namespace of the service account"
            yield FieldError(f"{field}.namespace", "FieldValueRequired", message)
        elif reads.find_service_account(tx, namespace=subject.namespace, name=subject.name) is None:
            message = f'Not found: "{subject.namespace}/{subject.name}": create the service account first'
            yield FieldError(f"{field}.name", "FieldValueNotFound", message)


def _resolved(tx: Tx, subject: Subject) -> tuple[str, UUID | None] | None:
    """The user name, and the uid of a service account; None if that has gone since it was admitted."""
    if subject.kind == "User" or subject.namespace is None:
        return subject.name, None
    found = reads.find_service_account(tx, namespace=subject.namespace, name=subject.name)
    if found is None:
        return None
    return service_account_subject(namespace=subject.namespace, name=subject.name), found.uid
