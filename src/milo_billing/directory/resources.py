"""Organization and Project, as Milo's resource manager has them.

Milo is the source of both when the service runs beside it; alone, they are declared here.
"""

from collections.abc import Iterable
from datetime import datetime
from typing import Any, Literal

from pydantic import Field
from typing_extensions import override

from milo_billing.controlplane.kinds import (
    PROVIDER_ORG,
    Admission,
    AnyKind,
    Column,
    Fields,
    Json,
    Kind,
    Object,
    ReadyStatus,
    ready_status,
)
from milo_billing.directory import operations, reads, rules, store
from milo_billing.directory.types import GROUP, MIRROR_USER, ORGANIZATION_LABEL, SOURCE_UID
from milo_billing.infra.database import Tx
from milo_billing.kernel.errors import Conflict, FieldError, Forbidden

NAMED_MAX = 5
"""How many of the things that stand against a deletion its answer names."""


class OrganizationSpec(Fields):
    """What is wanted of an organization."""

    display_name: str | None = Field(
        default=None, max_length=256, description="What people read instead of the name."
    )
    type: Literal["Standard", "Personal"] = Field(
        default="Standard", description="Personal organizations belong to one user. Immutable."
    )


class OrganizationStatus(ReadyStatus):
    """What is true of an organization."""


class Organization(Kind[OrganizationSpec, OrganizationStatus]):
    """A customer of the provider. The namespace `organization-<name>` exists as long as it does."""

    group = GROUP
    kind = "Organization"
    plural = "organizations"
    singular = "organization"
    short_names = ("org",)
    namespaced = False
    description = "A customer of the provider: it owns projects and billing accounts."
    spec_model = OrganizationSpec
    status_model = OrganizationStatus
    columns = (
        Column("Display Name", ".spec.displayName"),
        Column("Type", ".spec.type"),
        Column("Ready", '.status.conditions[?(@.type=="Ready")].status'),
    )

    def __init__(self, *, mirrored_from: str | None = None) -> None:
        """`mirrored_from`: the URL of the resource manager that organizations live in, if they are mirrored here."""
        self._mirrored_from = mirrored_from

    @override
    def validate(self, admission: Admission[OrganizationSpec, OrganizationStatus]) -> Iterable[FieldError]:
        """The name, and what must not change."""
        _refuse_others(admission, mirrored_from=self._mirrored_from)
        new, old = admission.object, admission.old
        if old is None:
            yield from rules.name_errors(new.name, length_max=rules.ORGANIZATION_NAME_LENGTH_MAX)
        elif new.spec.type != old.spec.type:
            yield _immutable("spec.type", new.spec.type)

    @override
    def validate_delete(self, admission: Admission[OrganizationSpec, OrganizationStatus]) -> None:
        """Raise Conflict while it owns anything: projects, what its namespace holds, policy bindings."""
        _refuse_others(admission, mirrored_from=self._mirrored_from, deletes=True)
        organization = admission.object
        # first the lock, then the look: what is being created now is seen once it has been committed
        store.lock_organization(admission.tx, uid=organization.uid)
        owned = reads.list_owned_objects(
            admission.tx, owner_org=organization.owner_org, but=organization.uid, limit=NAMED_MAX + 1
        )
        if owned:
            more = ", …" if len(owned) > NAMED_MAX else ""
            raise Conflict(
                f'organization "{organization.name}" still owns {", ".join(owned[:NAMED_MAX])}{more}; '
                "delete these first"
            )

    @override
    def owner_org(self, tx: Tx, object: Object[OrganizationSpec, OrganizationStatus]) -> int:
        """The organization owns itself: a new number."""
        return store.draw_organization_number(tx)

    @override
    def reconcile(
        self, object: Object[OrganizationSpec, OrganizationStatus], facts: None, *, now: datetime
    ) -> OrganizationStatus:
        """Ready from the start: its number and its namespace come with it."""
        return ready_status(object, message="Organization is ready.", now=now)

    @override
    def project(
        self,
        tx: Tx,
        object: Object[OrganizationSpec, OrganizationStatus],
        old: Object[OrganizationSpec, OrganizationStatus] | None,
        *,
        now: datetime,
    ) -> None:
        """directory.organizations."""
        if object.deleted:
            store.end_organization(tx, uid=object.uid, at=now)
        elif old is None:
            store.insert_organization(
                tx, number=object.owner_org, uid=object.uid, name=object.name, at=object.created_at
            )


class OwnerRef(Fields):
    """Who owns a project."""

    kind: Literal["Organization"]
    name: str = Field(min_length=1, max_length=rules.ORGANIZATION_NAME_LENGTH_MAX)


class ProjectSpec(Fields):
    """What is wanted of a project."""

    owner_ref: OwnerRef = Field(description="The organization that owns the project. Immutable.")
    display_name: str | None = Field(
        default=None, max_length=256, description="What people read instead of the name."
    )


class ProjectStatus(ReadyStatus):
    """What is true of a project."""


class Project(Kind[ProjectSpec, ProjectStatus]):
    """What usage is counted for. A billing account pays for it once it is bound to one."""

    group = GROUP
    kind = "Project"
    plural = "projects"
    singular = "project"
    namespaced = False
    description = "What usage is counted for; owned by one organization."
    spec_model = ProjectSpec
    status_model = ProjectStatus
    columns = (
        Column("Organization", ".spec.ownerRef.name"),
        Column("Ready", '.status.conditions[?(@.type=="Ready")].status'),
    )
    selectable = ("spec.ownerRef.name",)

    def __init__(self, *, mirrored_from: str | None = None) -> None:
        """`mirrored_from`: the URL of the resource manager that projects live in, if they are mirrored here."""
        self._mirrored_from = mirrored_from

    @override
    def default(self, spec: Json, *, name: str, labels: dict[str, str], now: datetime) -> None:
        """The label says what the spec says, whatever the client wrote there."""
        labels[ORGANIZATION_LABEL] = spec["ownerRef"]["name"]

    @override
    def validate(self, admission: Admission[ProjectSpec, ProjectStatus]) -> Iterable[FieldError]:
        """The name, the owner, and what must not change."""
        _refuse_others(admission, mirrored_from=self._mirrored_from)
        new, old = admission.object, admission.old
        if old is not None:
            if new.spec.owner_ref != old.spec.owner_ref:
                yield _immutable("spec.ownerRef", new.spec.owner_ref.name)
            return
        yield from rules.name_errors(new.name, length_max=rules.PROJECT_NAME_LENGTH_MAX)
        owner = new.spec.owner_ref.name
        if new.owner_org == PROVIDER_ORG:
            yield FieldError(
                "spec.ownerRef.name",
                "FieldValueNotFound",
                f'Not found: "{owner}": create the organization first',
            )

    @override
    def validate_delete(self, admission: Admission[ProjectSpec, ProjectStatus]) -> None:
        """Raise Forbidden for anybody but the mirror, where the project is mirrored."""
        _refuse_others(admission, mirrored_from=self._mirrored_from, deletes=True)

    @override
    def owner_org(self, tx: Tx, object: Object[ProjectSpec, ProjectStatus]) -> int:
        """The organization's number; the provider's where there is none, which `validate` refuses.

        The organization cannot be deleted before the transaction ends.
        """
        owner = operations.find_and_hold_organization(tx, name=object.spec.owner_ref.name)
        return PROVIDER_ORG if owner is None else owner

    @override
    def reconcile(
        self, object: Object[ProjectSpec, ProjectStatus], facts: None, *, now: datetime
    ) -> ProjectStatus:
        """Ready from the start; who pays for it is the matter of billing account bindings."""
        return ready_status(object, message="Project is ready.", now=now)

    @override
    def project(
        self,
        tx: Tx,
        object: Object[ProjectSpec, ProjectStatus],
        old: Object[ProjectSpec, ProjectStatus] | None,
        *,
        now: datetime,
    ) -> None:
        """directory.projects, and the version by which caches know that they are old."""
        if object.deleted:
            store.end_project(tx, uid=object.uid, at=now)
        elif old is None:
            store.insert_project(
                tx, uid=object.uid, name=object.name, owner_org=object.owner_org, at=object.created_at
            )


def _refuse_others(
    admission: Admission[Any, Any], *, mirrored_from: str | None, deletes: bool = False
) -> None:
    """What was declared here before it was mirrored may still be deleted, to make room for the one at the source."""
    if mirrored_from is None or admission.identity.user == MIRROR_USER:
        return
    if deletes and SOURCE_UID not in admission.object.annotations:
        return
    raise Forbidden(f"organizations and projects are mirrored from {mirrored_from}; change them there")


def _immutable(field: str, value: str) -> FieldError:
    return FieldError(field, "FieldValueInvalid", f'Invalid value: "{value}": field is immutable')


KINDS: tuple[type[AnyKind], ...] = (Organization, Project)
