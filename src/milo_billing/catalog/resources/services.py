"""Service: a capability of the provider, under which Skus are sold."""

from collections.abc import Iterable
from datetime import datetime
from typing import TypeAlias

from pydantic import Field
from typing_extensions import override

from milo_billing.catalog import reads
from milo_billing.catalog.resources.fields import CatalogStatus, NameRef, published_status
from milo_billing.catalog.rules import lifecycle
from milo_billing.catalog.types import (
    MeterPhase,
)
from milo_billing.controlplane.kinds import (
    Admission,
    Column,
    Fields,
    Json,
    Kind,
    Object,
)
from milo_billing.kernel.errors import Conflict, FieldError


class ServiceOwner(Fields):
    """Who is responsible for a service."""

    producer_project_ref: NameRef


class ServiceSpec(Fields):
    """What is wanted of a service."""

    service_name: str = Field(
        default="",
        max_length=253,
        description="Reverse-DNS identifier; by default the object's name. Immutable.",
    )
    phase: MeterPhase = Field(default="Draft", description="Moves forward, one step at a time.")
    display_name: str = Field(default="", max_length=128)
    description: str = Field(default="", max_length=1024)
    owner: ServiceOwner | None = None


ServiceAdmission: TypeAlias = Admission[ServiceSpec, CatalogStatus]


class Service(Kind[ServiceSpec, CatalogStatus]):
    """A capability of the provider, under which Skus are sold."""

    group = "services.miloapis.com"
    kind = "Service"
    plural = "services"
    singular = "service"
    namespaced = False
    readable_by_all = True
    description = "A capability of the provider, under which Skus are sold."
    spec_model = ServiceSpec
    status_model = CatalogStatus
    columns = (Column("Service", ".spec.serviceName"), Column("Phase", ".spec.phase"))

    @override
    def default(self, spec: Json, *, name: str, labels: dict[str, str], now: datetime) -> None:
        """The service name is the object's, unless said otherwise."""
        spec["serviceName"] = spec.get("serviceName") or name

    @override
    def validate(self, admission: ServiceAdmission) -> Iterable[FieldError]:
        """The order of phases; the service name stays."""
        new, old = admission.object.spec, None if admission.old is None else admission.old.spec
        before = None if old is None else old.phase
        yield from lifecycle.phase_errors(lifecycle.SERVICE_PHASES, before=before, after=new.phase)
        if old is not None:
            yield from lifecycle.unchanged([("serviceName", old.service_name, new.service_name)])

    @override
    def validate_delete(self, admission: ServiceAdmission) -> None:
        """Raise Conflict while a Sku belongs to it."""
        name = admission.object.name
        sku = reads.find_sku_of_service(admission.tx, service=name)
        if sku is not None:
            raise Conflict(f'Sku "{sku}" belongs to service "{name}"; delete the Sku first')

    @override
    def reconcile(
        self, object: Object[ServiceSpec, CatalogStatus], facts: None, *, now: datetime
    ) -> CatalogStatus:
        """The phase as a condition."""
        return published_status(object, object.spec.phase, now=now)
