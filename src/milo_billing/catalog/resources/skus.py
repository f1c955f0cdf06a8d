"""Sku: what is sold from a meter, in a unit that prices are quoted in."""

from collections.abc import Iterable
from datetime import datetime
from fractions import Fraction
from typing import Annotated, Literal, TypeAlias

from pydantic import Field, StringConstraints
from typing_extensions import override

from milo_billing.catalog import reads, store
from milo_billing.catalog.resources.fields import GROUP, Name, NameRef, UnitCode, body_of
from milo_billing.catalog.rules import skus, units, wording
from milo_billing.controlplane.kinds import (
    Admission,
    Column,
    Condition,
    Fields,
    Kind,
    Object,
    set_condition,
)
from milo_billing.infra.clock import Clock
from milo_billing.infra.database import Tx
from milo_billing.kernel.errors import Conflict, FieldError


class SkuMeter(Fields):
    """The usage that a Sku sells: of one meter, and with one of the listed values in every dimension named."""

    meter_name: Name
    match: dict[str, list[Annotated[str, StringConstraints(max_length=256)]]] = Field(
        default_factory=dict[str, list[str]],
        description="Dimension to values. Empty is all usage of the meter.",
    )


class QuantityRounding(Fields):
    """How the quantity is rounded before it is priced."""

    mode: Literal["Up", "Down", "HalfUp"]
    decimals: int = Field(default=0, ge=0, le=12)


class SkuSpec(Fields):
    """What is wanted of a Sku. Immutable once it stands in a published price book."""

    service_ref: NameRef | None = None
    display_name: str | None = Field(default=None, max_length=128, description="What invoices call it.")
    charge_type: Literal["Usage"] = "Usage"
    meter: SkuMeter
    pricing_unit: UnitCode = Field(
        description="UCUM code that the meter's unit converts to, such as 10*6.{token}."
    )
    quantity_rounding: QuantityRounding | None = None
    tax_category: str = Field(default="standard", min_length=1, max_length=64)
    invoice_group: str | None = Field(
        default=None, max_length=128, description="Heading of its lines on invoices."
    )
    focus_category: str | None = Field(default=None, max_length=64, description="Service category of FOCUS.")
    labels: dict[str, Annotated[str, StringConstraints(max_length=63)]] = Field(
        default_factory=dict[str, str], description="What selectors of prices, commitments and budgets see."
    )


class SkuStatus(Fields):
    """What is true of a Sku."""

    unit_factor: str | None = Field(
        default=None, description="Quantity in pricingUnit = metered value × unitFactor, an exact fraction."
    )
    conditions: list[Condition] = Field(default_factory=list[Condition])
    observed_generation: int = 0


SkuAdmission: TypeAlias = Admission[SkuSpec, SkuStatus]
SkuObject: TypeAlias = Object[SkuSpec, SkuStatus]


class Sku(Kind[SkuSpec, SkuStatus]):
    """What is sold: the usage of a meter, in a unit that prices are quoted in."""

    group = GROUP
    kind = "Sku"
    plural = "skus"
    singular = "sku"
    namespaced = False
    readable_by_all = True
    description = "What is sold: the usage of a meter, in a unit that prices are quoted in."
    spec_model = SkuSpec
    status_model = SkuStatus
    columns = (Column("Meter", ".spec.meter.meterName"), Column("Unit", ".spec.pricingUnit"))
    selectable = ("spec.meter.meterName",)

    @override
    def validate(self, admission: SkuAdmission) -> Iterable[FieldError]:
        """A meter that can be charged for in this unit, dimensions that it has, and no change once published."""
        tx, spec = admission.tx, admission.object.spec
        if admission.old is not None and admission.old.spec != spec:
            store.lock_sku(tx, uid=admission.object.uid)
            book = reads.find_book_with_sku(tx, sku=admission.object.name)
            if book is not None:
                message = f'the spec is immutable once the Sku stands in a published price book ("{book}")'
                yield wording.forbidden("spec", message)
                return
        if spec.service_ref is not None and not reads.has_service(tx, name=spec.service_ref.name):
            yield wording.missing("spec.serviceRef.name", spec.service_ref.name)
        store.hold_meter(tx, meter_name=spec.meter.meter_name)
        meter = reads.find_meter(tx, meter_name=spec.meter.meter_name)
        if meter is None:
            yield wording.missing("spec.meter.meterName", spec.meter.meter_name)
        else:
            yield from skus.sku_errors(meter, match=spec.meter.match, pricing_unit=spec.pricing_unit)

    @override
    def validate_delete(self, admission: SkuAdmission) -> None:
        """Raise Conflict once it stands in a published book: what was charged must stay explicable."""
        store.lock_sku(admission.tx, uid=admission.object.uid)
        book = reads.find_book_with_sku(admission.tx, sku=admission.object.name)
        if book is not None:
            raise Conflict(f'Sku "{admission.object.name}" stands in published price book "{book}"')

    @override
    def gather(
        self, tx: Tx, object: SkuObject, old: SkuObject | None, *, now: datetime, clock: Clock
    ) -> str | None:
        """The unit of the meter."""
        meter = reads.find_meter(tx, meter_name=object.spec.meter.meter_name)
        return None if meter is None else meter.unit

    @override
    def reconcile(self, object: SkuObject, facts: str | None, *, now: datetime) -> SkuStatus:
        """The exact factor from the meter's unit to the pricing unit."""
        if facts is None:
            return object.status
        factor = units.conversion_factor(from_unit=facts, to_unit=object.spec.pricing_unit)
        ready = set_condition(
            object.status.conditions,
            type="Ready",
            status="True",
            reason="SkuReady",
            message="Sku can be priced.",
            observed_generation=object.generation,
            now=now,
        )
        return SkuStatus(unit_factor=str(factor), conditions=ready, observed_generation=object.generation)

    @override
    def project(self, tx: Tx, object: SkuObject, old: SkuObject | None, *, now: datetime) -> None:
        """catalog.skus."""
        spec = object.spec
        if object.status.unit_factor is None:
            raise LookupError(f"the meter of Sku {object.name} has gone: {spec.meter.meter_name}")
        store.put_sku(
            tx,
            uid=object.uid,
            name=object.name,
            charge_type=spec.charge_type,
            meter_name=spec.meter.meter_name,
            match=spec.meter.match,
            pricing_unit=spec.pricing_unit,
            unit_factor=Fraction(object.status.unit_factor),
            body=body_of(spec),
            deleted_at=now if object.deleted else None,
        )
