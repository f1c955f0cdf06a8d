"""Sku: what is sold, in a unit that prices are quoted in: usage of a meter, or a quantity that is declared."""

from collections.abc import Iterable
from datetime import datetime
from fractions import Fraction
from typing import Annotated, Literal, TypeAlias

from pydantic import Field, StringConstraints
from typing_extensions import override

from milo_billing.catalog import reads, store
from milo_billing.catalog.resources.fields import GROUP, Name, NameRef, UnitCode, body_of
from milo_billing.catalog.rules import charge_types, skus, units, wording
from milo_billing.catalog.types import ChargeType
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
    charge_type: ChargeType = Field(
        default="Usage",
        description="By usage of a meter; Recurring: again each interval, such as seats; OneTime: once, by a Charge.",
    )
    meter: SkuMeter | None = Field(default=None, description="Of chargeType Usage, which needs it.")
    pricing_unit: UnitCode = Field(
        description="UCUM code that prices are quoted in, such as {seat}; a meter's unit converts to it."
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
    """What is sold, in a unit that prices are quoted in: usage of a meter, or what recurs, or what is sold once."""

    group = GROUP
    kind = "Sku"
    plural = "skus"
    singular = "sku"
    namespaced = False
    readable_by_all = True
    description = (
        "What is sold, in a unit that prices are quoted in: usage, what recurs, or what is sold once."
    )
    spec_model = SkuSpec
    status_model = SkuStatus
    columns = (
        Column("Charged", ".spec.chargeType"),
        Column("Meter", ".spec.meter.meterName"),
        Column("Unit", ".spec.pricingUnit"),
    )
    selectable = ("spec.meter.meterName",)

    @override
    def validate(self, admission: SkuAdmission) -> Iterable[FieldError]:
        """What its charge type asks for; a meter that can be charged for so; and no change once published."""
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
        yield from charge_types.sku_charge_errors(spec.charge_type, body_of(spec))
        if spec.meter is None or spec.charge_type != "Usage":
            return
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
        """The unit that is counted: the meter's, or where there is none the pricing unit itself."""
        if object.spec.meter is None:
            return object.spec.pricing_unit
        meter = reads.find_meter(tx, meter_name=object.spec.meter.meter_name)
        return None if meter is None else meter.unit

    @override
    def reconcile(self, object: SkuObject, facts: str | None, *, now: datetime) -> SkuStatus:
        """The exact factor from what is counted to the pricing unit."""
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
            raise LookupError(f"the meter of Sku {object.name} has gone")
        store.put_sku(
            tx,
            uid=object.uid,
            name=object.name,
            charge_type=spec.charge_type,
            meter_name=None if spec.meter is None else spec.meter.meter_name,
            match={} if spec.meter is None else spec.meter.match,
            pricing_unit=spec.pricing_unit,
            unit_factor=Fraction(object.status.unit_factor),
            body=body_of(spec),
            deleted_at=now if object.deleted else None,
        )
