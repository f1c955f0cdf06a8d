"""MonitoredResourceType: what usage may be measured on, and which labels it has."""

from collections.abc import Iterable
from datetime import datetime
from typing import Annotated, TypeAlias

from pydantic import Field, StringConstraints
from typing_extensions import override

from milo_billing.catalog import reads, store
from milo_billing.catalog.resources.fields import GROUP, CatalogStatus, Dimension, published_status
from milo_billing.catalog.rules import lifecycle, wording
from milo_billing.catalog.types import MeterPhase
from milo_billing.controlplane.kinds import Admission, Column, Fields, Kind, Object
from milo_billing.infra.database import Tx
from milo_billing.kernel.errors import Conflict, FieldError

LABELS_MAX = 64


class GroupKind(Fields):
    """What events call it, in `data.resource.group` and `data.resource.kind`."""

    group: Annotated[str, StringConstraints(max_length=253)] = Field(
        default="", description="API group; empty for the core group of Kubernetes."
    )
    kind: Annotated[str, StringConstraints(min_length=1, max_length=63)]


class ResourceLabel(Fields):
    """One label that usage may give the resource."""

    name: Dimension = Field(description="As in data.resource.labels of events.")
    description: str = Field(default="", max_length=512)


class MonitoredResourceTypeSpec(Fields):
    """What is wanted of a resource type."""

    resource_type_name: str = Field(
        max_length=253,
        pattern=r"^[A-Za-z0-9]([A-Za-z0-9._/-]*[A-Za-z0-9])?$",
        description="What meters call it, such as compute.example.com/Instance. Immutable.",
    )
    phase: MeterPhase = Field(default="Draft", description="Moves forward, one step at a time.")
    display_name: str = Field(default="", max_length=128)
    description: str = Field(default="", max_length=1024)
    gvk: GroupKind = Field(description="Group and kind of the resource. Immutable.")
    labels: list[ResourceLabel] = Field(
        default_factory=list[ResourceLabel],
        max_length=LABELS_MAX,
        description="What events may say of it in data.resource.labels. More may be added, none removed.",
    )


TypeAdmission: TypeAlias = Admission[MonitoredResourceTypeSpec, CatalogStatus]
TypeObject: TypeAlias = Object[MonitoredResourceTypeSpec, CatalogStatus]


class MonitoredResourceType(Kind[MonitoredResourceTypeSpec, CatalogStatus]):
    """A type of resource that usage is measured on."""

    group = GROUP
    kind = "MonitoredResourceType"
    plural = "monitoredresourcetypes"
    singular = "monitoredresourcetype"
    namespaced = False
    readable_by_all = True
    description = "A type of resource that usage is measured on, and the labels that usage may give it."
    spec_model = MonitoredResourceTypeSpec
    status_model = CatalogStatus
    columns = (
        Column("Type", ".spec.resourceTypeName"),
        Column("Kind", ".spec.gvk.kind"),
        Column("Phase", ".spec.phase"),
    )
    selectable = ("spec.resourceTypeName", "spec.phase")

    @override
    def validate(self, admission: TypeAdmission) -> Iterable[FieldError]:
        """A name and a group and kind of its own, and what must not change."""
        new, old = admission.object.spec, None if admission.old is None else admission.old.spec
        before = None if old is None else old.phase
        yield from lifecycle.phase_errors(lifecycle.METER_PHASES, before=before, after=new.phase)
        names = [label.name for label in new.labels]
        yield from lifecycle.repeated("labels", names)
        if old is not None:
            yield from lifecycle.unchanged(
                [
                    ("resourceTypeName", old.resource_type_name, new.resource_type_name),
                    ("gvk.group", old.gvk.group, new.gvk.group),
                    ("gvk.kind", old.gvk.kind, new.gvk.kind),
                ]
            )
            yield from lifecycle.only_added(
                "labels", before=[label.name for label in old.labels], after=names
            )
            return
        namesake = reads.find_resource_type_namesake(
            admission.tx,
            name=new.resource_type_name,
            group=new.gvk.group,
            kind=new.gvk.kind,
            uid=admission.object.uid,
        )
        if namesake is None:
            return
        if namesake.name == new.resource_type_name:
            yield wording.duplicate("spec.resourceTypeName", new.resource_type_name)
        else:
            message = f'resource type "{namesake.name}" has this group and kind already'
            yield wording.invalid("spec.gvk", f"{new.gvk.group}/{new.gvk.kind}", message)

    @override
    def validate_delete(self, admission: TypeAdmission) -> None:
        """Raise Conflict while a meter that was published names it."""
        store.lock_resource_type(admission.tx, uid=admission.object.uid)
        name = admission.object.spec.resource_type_name
        meter = reads.find_meter_with_resource_type(admission.tx, name=name)
        if meter is not None:
            raise Conflict(f'meter "{meter}" is measured on resource type "{name}"; delete the meter first')

    @override
    def reconcile(self, object: TypeObject, facts: None, *, now: datetime) -> CatalogStatus:
        """The phase as a condition."""
        return published_status(object, object.spec.phase, now=now)

    @override
    def project(self, tx: Tx, object: TypeObject, old: TypeObject | None, *, now: datetime) -> None:
        """catalog.resource_types, and the version by which caches of meters know that they are old."""
        spec = object.spec
        store.put_resource_type(
            tx,
            uid=object.uid,
            name=spec.resource_type_name,
            phase=spec.phase,
            group=spec.gvk.group,
            kind=spec.gvk.kind,
            labels=[label.name for label in spec.labels],
            deleted_at=now if object.deleted else None,
        )
        store.raise_meters_version(tx)
