"""Service, MeterDefinition, Sku and PriceBook: the declared side of what is sold.

Provider-wide and readable by everybody, but for the books of one organization. Fields that nothing honours yet
(other price models, bands, windows) are not declared: a server that does not know a field says so.
"""

from collections.abc import Iterable, Iterator
from datetime import date, datetime
from fractions import Fraction
from typing import Annotated, Any, Literal, TypeAlias

from pydantic import Field, StringConstraints
from typing_extensions import override

from milo_billing.catalog import reads, store
from milo_billing.catalog.rules import books, lifecycle, skus, units, wording
from milo_billing.catalog.types import (
    Aggregation,
    BookHead,
    BookPhase,
    BookRole,
    MeterPhase,
    PriceModel,
)
from milo_billing.controlplane.kinds import (
    PROVIDER_ORG,
    Admission,
    AnyKind,
    Column,
    Condition,
    Fields,
    Json,
    Kind,
    Object,
    rfc3339,
    set_condition,
)
from milo_billing.directory import reads as directory
from milo_billing.infra.clock import Clock
from milo_billing.infra.database import Tx
from milo_billing.kernel.errors import Conflict, FieldError
from milo_billing.kernel.money import is_currency

GROUP = "billing.miloapis.com"
PRICES_MAX = 5_000
"""Prices of one book; an object is read and written whole."""

Name: TypeAlias = Annotated[str, StringConstraints(min_length=1, max_length=253)]
UnitCode: TypeAlias = Annotated[str, StringConstraints(min_length=1, max_length=units.CODE_LENGTH_MAX)]
Dimension: TypeAlias = Annotated[
    str, StringConstraints(pattern=r"^[A-Za-z]([A-Za-z0-9_./-]{0,61}[A-Za-z0-9])?$")
]
Amount: TypeAlias = Annotated[str, StringConstraints(pattern=r"^[0-9]{1,15}(\.[0-9]{1,30})?$")]
"""A decimal number as a string, not negative: floats are never money."""


class NameRef(Fields):
    """An object by its name."""

    name: Name


class CatalogStatus(Fields):
    """What is true of an entry of the catalog."""

    published_at: str | None = None
    conditions: list[Condition] = Field(default_factory=list[Condition])
    observed_generation: int = 0


def _published_status(object: Object[Any, CatalogStatus], phase: str, *, now: datetime) -> CatalogStatus:
    """The status that mirrors `spec.phase`: the condition Published, and when it first was."""
    sold = phase in ("Published", "Deprecated")
    published_at = object.status.published_at or (rfc3339(now) if sold else None)
    condition = set_condition(
        object.status.conditions,
        type="Published",
        status="True" if sold else "False",
        reason=phase,
        message=f"{object.kind.kind} is in {phase} phase.",
        observed_generation=object.generation,
        now=now,
    )
    return CatalogStatus(
        published_at=published_at, conditions=condition, observed_generation=object.generation
    )


# ---------------------------------------------------------------------------------------------- Service


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
        return _published_status(object, object.spec.phase, now=now)


# -------------------------------------------------------------------------------------- MeterDefinition


class Measurement(Fields):
    """How the signal is captured. Immutable, but for further dimensions."""

    aggregation: Aggregation = Field(description="How the events of a period become one quantity.")
    unit: UnitCode = Field(description="UCUM code, such as By, GiBy.h or {request}.")
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
    monitored_resource_types: list[Name] = Field(default_factory=list[str], max_length=64)


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
        """Units that exist, a name of its own, and what must not change."""
        new, old = admission.object.spec, None if admission.old is None else admission.old.spec
        before = None if old is None else old.phase
        yield from lifecycle.phase_errors(lifecycle.METER_PHASES, before=before, after=new.phase)
        yield from lifecycle.repeated("measurement.dimensions", new.measurement.dimensions)
        yield from skus.unit_errors(_units_of(new))
        if old is not None:
            was, wanted = old.measurement, new.measurement
            yield from lifecycle.unchanged(
                [
                    ("meterName", old.meter_name, new.meter_name),
                    ("measurement.aggregation", was.aggregation, wanted.aggregation),
                    ("measurement.unit", was.unit, wanted.unit),
                    ("billing", old.billing, new.billing),
                ]
            )
            yield from lifecycle.only_added(
                "measurement.dimensions", before=was.dimensions, after=wanted.dimensions
            )
        elif reads.has_meter_namesake(admission.tx, meter_name=new.meter_name, uid=admission.object.uid):
            yield wording.duplicate("spec.meterName", new.meter_name)

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
        return _published_status(object, object.spec.phase, now=now)

    @override
    def project(self, tx: Tx, object: MeterObject, old: MeterObject | None, *, now: datetime) -> None:
        """catalog.meters, and the version by which caches know that they are old."""
        measurement = object.spec.measurement
        store.put_meter(
            tx,
            uid=object.uid,
            meter_name=object.spec.meter_name,
            phase=object.spec.phase,
            aggregation=measurement.aggregation,
            unit=measurement.unit,
            dimensions=measurement.dimensions,
            deleted_at=now if object.deleted else None,
        )
        store.raise_meters_version(tx)


def _units_of(spec: MeterDefinitionSpec) -> list[tuple[str, str]]:
    coded = [("measurement.unit", spec.measurement.unit)]
    if spec.billing is not None:
        coded.append(("billing.consumedUnit", spec.billing.consumed_unit))
        coded.append(("billing.pricingUnit", spec.billing.pricing_unit))
    return coded


# -------------------------------------------------------------------------------------------------- Sku


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
            body=_body(spec),
            deleted_at=now if object.deleted else None,
        )


# -------------------------------------------------------------------------------------------- PriceBook


class PriceTier(Fields):
    """One band of a graduated price; its bound belongs to it."""

    up_to: Amount | None = Field(
        default=None, description="Inclusive upper bound; left out in the last tier."
    )
    unit_price: Amount = Field(description="For each pricing unit within the tier.")
    flat_fee: Amount = Field(default="0", description="Once, when the tier is entered.")
    charge_at_zero: bool = Field(
        default=False, description="The first tier's flat fee is due without usage too."
    )


class PriceSpec(Fields):
    """What one Sku costs. Amounts are decimal strings in the book's currency."""

    sku_ref: NameRef
    model: PriceModel
    unit_price: Amount | None = None
    tiers: list[PriceTier] = Field(default_factory=list[PriceTier], max_length=64)
    included_quantity: Amount = Field(default="0", description="Free pricing units, each rating period.")
    minimum: Amount | None = Field(default=None, description="Least charge of a rating period.")
    maximum: Amount | None = Field(default=None, description="Most charge of a rating period.")


class PriceBookSpec(Fields):
    """What is wanted of one version of a price book. Immutable once published, but for retiring it."""

    book_name: Name = Field(description="What the versions of one book share.")
    effective_from: str = Field(
        pattern="^[0-9]{4}-[0-9]{2}-[0-9]{2}$",
        json_schema_extra={"format": "date"},
        description="From local midnight of this date of the account.",
    )
    organization_ref: NameRef | None = Field(
        default=None, description="Whose book it is; without it, the provider's. Immutable."
    )
    role: BookRole = "List"
    is_default: bool = Field(default=False, description="Prices accounts of currencies without a list book.")
    currency_code: str = Field(pattern="^[A-Z]{3}$")
    phase: BookPhase = Field(default="Draft", description="Moves forward, one step at a time.")
    prices: list[PriceSpec] = Field(default_factory=list[PriceSpec], max_length=PRICES_MAX)


BookAdmission: TypeAlias = Admission[PriceBookSpec, CatalogStatus]
BookObject: TypeAlias = Object[PriceBookSpec, CatalogStatus]


class PriceBook(Kind[PriceBookSpec, CatalogStatus]):
    """Prices of Skus in one currency from a date on. A change of prices is a new version."""

    group = GROUP
    kind = "PriceBook"
    plural = "pricebooks"
    singular = "pricebook"
    namespaced = False
    readable_by_all = True
    description = "Prices of Skus in one currency from a date on."
    spec_model = PriceBookSpec
    status_model = CatalogStatus
    columns = (
        Column("Book", ".spec.bookName"),
        Column("Effective", ".spec.effectiveFrom"),
        Column("Currency", ".spec.currencyCode"),
        Column("Phase", ".spec.phase"),
    )
    selectable = ("spec.bookName", "spec.currencyCode", "spec.phase")

    @override
    def visible_to_all(self, object: BookObject) -> bool:
        """The book of an organization is seen by that organization and the provider only."""
        return object.spec.organization_ref is None

    @override
    def owner_org(self, tx: Tx, object: BookObject) -> int:
        """The organization it belongs to; the provider's where there is none, which `validate` refuses."""
        return _organization_number(tx, object.spec) or PROVIDER_ORG

    @override
    def validate(self, admission: BookAdmission) -> Iterable[FieldError]:
        """Prices that can be computed; on publishing, Skus that exist and share no usage; then no change."""
        tx, book, old = admission.tx, admission.object, admission.old
        before = None if old is None else old.spec.phase
        yield from lifecycle.phase_errors(lifecycle.BOOK_PHASES, before=before, after=book.spec.phase)
        if old is not None and old.spec.phase != "Draft":
            if old.spec.model_copy(update={"phase": book.spec.phase}) != book.spec:
                message = "a published price book is immutable; publish a new version of it from a later date"
                yield wording.forbidden("spec", message)
            return
        if old is not None:
            yield from lifecycle.unchanged(
                [("organizationRef", old.spec.organization_ref, book.spec.organization_ref)]
            )
        elif book.spec.organization_ref is not None and _organization_number(tx, book.spec) is None:
            yield wording.missing("spec.organizationRef.name", book.spec.organization_ref.name)
        if not is_currency(book.spec.currency_code):
            message = "must be a current ISO 4217 code of a currency with a minor unit"
            yield wording.invalid("spec.currencyCode", book.spec.currency_code, message)
        for index, price in enumerate(_body(book.spec)["prices"]):
            yield from books.price_errors(books.parse_price(price), path=f"spec.prices[{index}]")
        yield from _placing_errors(tx, book)

    @override
    def validate_delete(self, admission: BookAdmission) -> None:
        """Raise Conflict while it is published: what was charged must stay explicable."""
        book = admission.object
        if book.spec.phase == "Published":
            raise Conflict(f'price book "{book.name}" is published; retire it first')

    @override
    def reconcile(self, object: BookObject, facts: None, *, now: datetime) -> CatalogStatus:
        """The phase as a condition."""
        return _published_status(object, object.spec.phase, now=now)

    @override
    def project(self, tx: Tx, object: BookObject, old: BookObject | None, *, now: datetime) -> None:
        """catalog.price_books."""
        spec = object.spec
        store.put_book(
            tx,
            uid=object.uid,
            owner_org=object.owner_org,
            name=object.name,
            book_name=spec.book_name,
            effective_from=date.fromisoformat(spec.effective_from),
            phase=spec.phase,
            role=spec.role,
            is_default=spec.is_default,
            currency=spec.currency_code,
            body=_body(spec),
            deleted_at=now if object.deleted else None,
        )


def _placing_errors(tx: Tx, book: BookObject) -> Iterator[FieldError]:
    """What stands against the book among other books, and, once it is to be published, among Skus."""
    try:
        effective_from = date.fromisoformat(book.spec.effective_from)
    except ValueError:
        yield wording.invalid("spec.effectiveFrom", book.spec.effective_from, "is not a date of the calendar")
        return
    spec = book.spec
    head = BookHead(
        name=book.name,
        book_name=spec.book_name,
        effective_from=effective_from,
        phase=spec.phase,
        role=spec.role,
        owner_org=book.owner_org,
        currency=spec.currency_code,
    )
    others = reads.list_book_heads(tx, book_name=head.book_name, currency=head.currency, but=book.uid)
    yield from books.version_errors(head, others=others)
    if head.phase != "Published":
        return
    yield from books.list_book_errors(head, others=others)
    names = [price.sku_ref.name for price in spec.prices]
    store.hold_skus(tx, names=names)
    known = {sku.name: sku for sku in reads.list_skus(tx, names=names)}
    yield from books.reference_errors(names, skus=known)


def _organization_number(tx: Tx, spec: PriceBookSpec) -> int | None:
    if spec.organization_ref is None:
        return None
    organization = directory.find_organization(tx, name=spec.organization_ref.name)
    return None if organization is None else organization.number


def _body(spec: Fields) -> dict[str, Any]:
    """The whole spec as it is stored beside the columns of a projection."""
    return spec.model_dump(mode="json", by_alias=True, exclude_none=True)


KINDS: tuple[type[AnyKind], ...] = (Service, MeterDefinition, Sku, PriceBook)
