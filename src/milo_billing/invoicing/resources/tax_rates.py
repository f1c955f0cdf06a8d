"""TaxRate: what a tax takes in a place, from a date on."""

from collections.abc import Iterable
from datetime import date, datetime
from typing import Annotated, TypeAlias

from pydantic import Field, StringConstraints
from typing_extensions import override

from milo_billing.controlplane.kinds import (
    Admission,
    Column,
    Fields,
    Kind,
    Object,
    ReadyStatus,
    ready_status,
)
from milo_billing.infra.database import Tx
from milo_billing.invoicing.reads import issuers as issuer_reads
from milo_billing.invoicing.rules import tax_rates
from milo_billing.invoicing.store import declared_rows
from milo_billing.invoicing.types.drafts import GROUP
from milo_billing.kernel.errors import FieldError
from milo_billing.kernel.taxes import TaxRateEntry

Day: TypeAlias = Annotated[
    str,
    StringConstraints(pattern="^[0-9]{4}-[0-9]{2}-[0-9]{2}$"),
    Field(json_schema_extra={"format": "date"}),
]


class TaxRateSpec(Fields):
    """What a tax takes in a place, from a date on. Immutable but for endsOn."""

    country: str = Field(
        pattern="^[A-Z]{2}$", description="ISO 3166-1 alpha-2 code of the country whose tax it is."
    )
    region: str = Field(
        default="", max_length=100, description="As in addresses, where the tax is a region's; else empty."
    )
    tax: str = Field(default="VAT", min_length=1, max_length=32, description="What invoices call the tax.")
    tax_category: str = Field(
        default="standard", min_length=1, max_length=64, description="The taxCategory of the Skus it is for."
    )
    percent: str = Field(pattern=r"^[0-9]{1,3}(\.[0-9]{1,4})?$", description="0 to 100, a decimal string.")
    starts_on: Day = Field(description="The first issue date, in the issuer's time zone.")
    ends_on: Day | None = Field(default=None, description="The first issue date on which it no longer holds.")
    reason: str = Field(
        default="",
        max_length=256,
        description="With percent 0: why it is exempt, as invoices say it. Without a reason it is zero rated.",
    )
    reason_code: str = Field(
        default="", pattern="^(VATEX-[A-Z0-9-]{2,40})?$", description="The same by the VATEX code list."
    )


class TaxRateStatus(ReadyStatus):
    """What is true of a tax rate."""


class TaxRate(Kind[TaxRateSpec, TaxRateStatus]):
    """What a tax takes in a place of what has a tax category; taken where the issuer is registered there."""

    group = GROUP
    kind = "TaxRate"
    plural = "taxrates"
    singular = "taxrate"
    namespaced = False
    description = "What a tax takes in a country or region, for a tax category, from a date on."
    spec_model = TaxRateSpec
    status_model = TaxRateStatus
    columns = (
        Column("Country", ".spec.country"),
        Column("Region", ".spec.region"),
        Column("Tax", ".spec.tax"),
        Column("Category", ".spec.taxCategory"),
        Column("Percent", ".spec.percent"),
        Column("Starts", ".spec.startsOn"),
        Column("Ends", ".spec.endsOn"),
    )
    selectable = ("spec.country", "spec.taxCategory")

    @override
    def validate(self, admission: Admission[TaxRateSpec, TaxRateStatus]) -> Iterable[FieldError]:
        """A rate that can be taken, beside which no other stands for the same; nothing changed but its end."""
        new, old = admission.object, admission.old
        if old is not None and new.spec.model_copy(update={"ends_on": old.spec.ends_on}) != old.spec:
            yield FieldError(
                "spec",
                "FieldValueForbidden",
                "Forbidden: a tax rate is immutable but for endsOn: end it and declare the next",
            )
            return
        faults = [*tax_rates.rate_errors(new.spec.model_dump())]
        yield from faults
        if faults:
            return
        rate, starts_on, ends_on = _rate_of(new.spec)
        other = issuer_reads.find_overlapping_rate(
            admission.tx, uid=new.uid, rate=rate, starts_on=starts_on, ends_on=ends_on
        )
        if other is not None:
            yield FieldError(
                "spec.startsOn",
                "FieldValueInvalid",
                f'Invalid value: "{new.spec.starts_on}": "{other}" is {rate.name} of {rate.place} for '
                f'"{rate.category}" on some of these days: set its endsOn to the day on which this one starts',
            )

    @override
    def reconcile(
        self, object: Object[TaxRateSpec, TaxRateStatus], facts: None, *, now: datetime
    ) -> TaxRateStatus:
        """Ready from the start."""
        return ready_status(object, message="Tax rate is taken on its days.", now=now)

    @override
    def project(
        self,
        tx: Tx,
        object: Object[TaxRateSpec, TaxRateStatus],
        old: Object[TaxRateSpec, TaxRateStatus] | None,
        *,
        now: datetime,
    ) -> None:
        """invoicing.tax_rates."""
        if object.deleted:
            declared_rows.delete_tax_rate(tx, uid=object.uid)
            return
        rate, starts_on, ends_on = _rate_of(object.spec)
        declared_rows.put_tax_rate(
            tx, uid=object.uid, object_name=object.name, rate=rate, starts_on=starts_on, ends_on=ends_on
        )


def _rate_of(spec: TaxRateSpec) -> tuple[TaxRateEntry, date, date | None]:
    return tax_rates.read_rate(spec.model_dump())
