"""MeterDefinition: what is measured, in which unit, and how it adds up."""

from collections.abc import Iterable, Iterator
from datetime import datetime
from typing import Annotated, Literal, TypeAlias

from pydantic import Field, StringConstraints
from typing_extensions import override

from milo_billing.catalog import reads, store
from milo_billing.catalog.resources.fields import (
    GROUP,
    CatalogStatus,
    Dimension,
    Name,
    UnitCode,
    body_of,
    published_status,
)
from milo_billing.catalog.rules import lifecycle, measurement, skus, wording
from milo_billing.catalog.types import MeterPhase
from milo_billing.controlplane.kinds import (
    Admission,
    Column,
    Fields,
    Kind,
    Object,
)
from milo_billing.infra.database import Tx
from milo_billing.kernel.aggregation import Aggregation, Window
from milo_billing.kernel.errors import Conflict, FieldError

ClockTime: TypeAlias = Annotated[str, StringConstraints(pattern=r"^(([01][0-9]|2[0-3]):[0-5][0-9]|24:00)$")]


class BandRange(Fields):
    """One band: a stretch of the clock (`from`, `to`), or values up to a bound (`upTo`)."""

    name: Annotated[str, StringConstraints(min_length=1, max_length=63)] = Field(
        description="The dimension's value. By TimeOfDay several ranges may bear the same name."
    )
    from_: ClockTime | None = Field(
        default=None, alias="from", description="First minute, HH:MM by the wall clock; belongs to the band."
    )
    to: ClockTime | None = Field(
        default=None,
        description="Minute after the last, up to 24:00; at or before `from`, the band goes past midnight.",
    )
    up_to: Annotated[str, StringConstraints(pattern=r"^-?[0-9]{1,19}$")] | None = Field(
        default=None,
        description="Greatest value, which belongs to the band, as a string; left out in the last one.",
    )


class BandSet(Fields):
    """A dimension that is decided when an event comes in, by its time of day or its value."""

    dimension: Dimension = Field(
        description="What the dimension is called; events may not send it themselves."
    )
    by: Literal["TimeOfDay", "Value"]
    time_zone: str | None = Field(
        default=None, max_length=64, description="IANA zone of the clock for TimeOfDay; Etc/UTC by default."
    )
    ranges: list[BandRange] = Field(
        min_length=1, max_length=48, description="Every time of the day, or every value, is in exactly one."
    )


class Measurement(Fields):
    """How the signal is captured. Immutable, but for further dimensions."""

    aggregation: Aggregation = Field(
        description="How the events of a series become one quantity in a window. docs/meters.md has an example of each."
    )
    unit: UnitCode = Field(
        description="UCUM code, such as By, GiBy.h or {request}; of Count and UniqueCount, of what is counted."
    )
    series_by: list[Dimension] = Field(
        default_factory=list[str],
        max_length=8,
        description="Dimensions that split a project's usage into series, each with a value of its own; the values "
        "are added up. Immutable.",
    )
    window: Window = Field(
        default="Period",
        description="Whether a series has one value a rating period, or one each billing day, which are added up. "
        "Immutable.",
    )
    bands: list[BandSet] = Field(
        default_factory=list[BandSet],
        max_length=4,
        description="Dimensions that are decided by the time of day or the value of an event. Immutable.",
    )
    unique_key: Dimension | None = Field(
        default=None,
        description="What UniqueCount counts: a label that events carry among data.dimensions and that is no dimension "
        "of the meter, or `resource`, what they were measured on. Immutable.",
    )
    dimensions: list[Dimension] = Field(
        default_factory=list[str],
        max_length=32,
        description="What events may say beside the value. More may be added, none removed.",
    )


class MeterBilling(Fields):
    """How the meter is shown commercially; prices are in Skus and price books. Immutable."""

    consumed_unit: UnitCode
    pricing_unit: UnitCode


class MeterDefinitionSpec(Fields):
    """What is wanted of a meter."""

    meter_name: str = Field(
        max_length=253,
        pattern=r"^[A-Za-z0-9]([A-Za-z0-9._/-]*[A-Za-z0-9])?$",
        description="The `type` of usage events. Immutable.",
    )
    phase: MeterPhase = Field(default="Draft", description="Moves forward, one step at a time.")
    display_name: str = Field(default="", max_length=128)
    description: str = Field(default="", max_length=1024)
    measurement: Measurement
    billing: MeterBilling | None = None
    monitored_resource_types: list[Name] = Field(
        default_factory=list[str],
        max_length=64,
        description="Resource types by their resourceTypeName: usage of other types, or with labels that they do not "
        "have, is quarantined. Empty takes any resource. Once published, more may be added to a list.",
    )


MeterAdmission: TypeAlias = Admission[MeterDefinitionSpec, CatalogStatus]
MeterObject: TypeAlias = Object[MeterDefinitionSpec, CatalogStatus]


class MeterDefinition(Kind[MeterDefinitionSpec, CatalogStatus]):
    """What is measured, in which unit, and how it adds up. Carries no price."""

    group = GROUP
    kind = "MeterDefinition"
    plural = "meterdefinitions"
    singular = "meterdefinition"
    short_names = ("meter",)
    namespaced = False
    readable_by_all = True
    description = "What is measured, in which unit, and how it adds up."
    spec_model = MeterDefinitionSpec
    status_model = CatalogStatus
    columns = (Column("Meter", ".spec.meterName"), Column("Phase", ".spec.phase"))
    selectable = ("spec.meterName", "spec.phase")

    @override
    def validate(self, admission: MeterAdmission) -> Iterable[FieldError]:
        """Units that exist, names with one meaning, bands without gaps, and what must not change."""
        new, old = admission.object.spec, None if admission.old is None else admission.old.spec
        before = None if old is None else old.phase
        yield from lifecycle.phase_errors(lifecycle.METER_PHASES, before=before, after=new.phase)
        yield from _measurement_errors(new.measurement)
        yield from skus.unit_errors(_units_of(new))
        if old is not None:
            yield from _change_errors(old, new)
        elif reads.has_meter_namesake(admission.tx, meter_name=new.meter_name, uid=admission.object.uid):
            yield wording.duplicate("spec.meterName", new.meter_name)
        yield from lifecycle.repeated("monitoredResourceTypes", new.monitored_resource_types)
        if new.phase != "Draft":
            published = old is not None and old.phase != "Draft"
            named = old.monitored_resource_types if published and old is not None else None
            store.hold_resource_types(admission.tx, names=new.monitored_resource_types)
            known = reads.list_resource_types(admission.tx, names=new.monitored_resource_types)
            yield from measurement.resource_type_errors(
                new.monitored_resource_types, before=named, known={each.name: each for each in known}
            )

    @override
    def validate_delete(self, admission: MeterAdmission) -> None:
        """Raise Conflict while a Sku sells its usage."""
        store.lock_meter(admission.tx, uid=admission.object.uid)
        meter_name = admission.object.spec.meter_name
        sku = reads.find_sku_on_meter(admission.tx, meter_name=meter_name)
        if sku is not None:
            raise Conflict(f'Sku "{sku}" sells usage of meter {meter_name}; delete the Sku first')

    @override
    def reconcile(self, object: MeterObject, facts: None, *, now: datetime) -> CatalogStatus:
        """The phase as a condition."""
        return published_status(object, object.spec.phase, now=now)

    @override
    def project(self, tx: Tx, object: MeterObject, old: MeterObject | None, *, now: datetime) -> None:
        """catalog.meters, and the version by which caches know that they are old."""
        measured = object.spec.measurement
        store.put_meter(
            tx,
            uid=object.uid,
            meter_name=object.spec.meter_name,
            phase=object.spec.phase,
            aggregation=measured.aggregation,
            unit=measured.unit,
            dimensions=measured.dimensions,
            series_by=measured.series_by,
            window=measured.window,
            bands=[body_of(bands) for bands in measured.bands],
            unique_key=measured.unique_key,
            resource_types=object.spec.monitored_resource_types,
            deleted_at=now if object.deleted else None,
        )
        store.raise_meters_version(tx)


def _measurement_errors(measured: Measurement) -> Iterator[FieldError]:
    yield from measurement.label_errors(
        aggregation=measured.aggregation,
        dimensions=measured.dimensions,
        series_by=measured.series_by,
        band_dimensions=[bands.dimension for bands in measured.bands],
        unique_key=measured.unique_key,
    )
    for index, bands in enumerate(measured.bands):
        yield from measurement.band_errors(body_of(bands), path=f"spec.measurement.bands[{index}]")


def _change_errors(old: MeterDefinitionSpec, new: MeterDefinitionSpec) -> Iterator[FieldError]:
    was, wanted = old.measurement, new.measurement
    yield from lifecycle.unchanged(
        [
            ("meterName", old.meter_name, new.meter_name),
            ("measurement.aggregation", was.aggregation, wanted.aggregation),
            ("measurement.unit", was.unit, wanted.unit),
            ("measurement.seriesBy", was.series_by, wanted.series_by),
            ("measurement.window", was.window, wanted.window),
            ("measurement.bands", was.bands, wanted.bands),
            ("measurement.uniqueKey", was.unique_key, wanted.unique_key),
            ("billing", old.billing, new.billing),
        ]
    )
    yield from lifecycle.only_added("measurement.dimensions", before=was.dimensions, after=wanted.dimensions)


def _units_of(spec: MeterDefinitionSpec) -> list[tuple[str, str]]:
    coded = [("measurement.unit", spec.measurement.unit)]
    if spec.billing is not None:
        coded.append(("billing.consumedUnit", spec.billing.consumed_unit))
        coded.append(("billing.pricingUnit", spec.billing.pricing_unit))
    return coded
