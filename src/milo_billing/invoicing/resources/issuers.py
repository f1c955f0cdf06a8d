"""IssuerProfile: who issues invoices, in which series, under which brand."""

from collections.abc import Iterable
from datetime import datetime

from pydantic import Field
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
from milo_billing.invoicing.resources.tax_rates import Day
from milo_billing.invoicing.rules import profiles, tax_rates
from milo_billing.invoicing.store import declared_rows
from milo_billing.invoicing.types.drafts import GROUP
from milo_billing.invoicing.types.invoices import EInvoicing
from milo_billing.kernel.errors import FieldError
from milo_billing.kernel.money import is_currency
from milo_billing.kernel.periods import UnknownTimeZone, time_zone


class IssuerAddress(Fields):
    """Where the issuer is registered."""

    country: str = Field(pattern="^[A-Z]{2}$", description="ISO 3166-1 alpha-2 code.")
    line1: str = Field(default="", max_length=200)
    line2: str = Field(default="", max_length=200)
    city: str = Field(default="", max_length=100)
    region: str = Field(default="", max_length=100)
    postal_code: str = Field(default="", max_length=20)


class IssuerTaxId(Fields):
    """A registration of the issuer, printed on every invoice."""

    type: str = Field(
        pattern="^[a-z]{2}_[a-z0-9]{1,20}$",
        description="Jurisdiction and scheme, for example eu_vat or gb_vat.",
    )
    value: str = Field(min_length=1, max_length=64)


class IssuerTaxRegistration(Fields):
    """A place in which the issuer collects tax: a country, or one region of it that has a tax of its own."""

    country: str = Field(pattern="^[A-Z]{2}$", description="ISO 3166-1 alpha-2 code.")
    region: str = Field(
        default="", max_length=100, description="As in addresses; empty for the whole country."
    )
    one_stop_shop: bool = Field(
        default=False,
        description="Whether consumers all over the European Union are taxed at their own rates through it.",
    )
    since: Day | None = Field(default=None, description="The first day.")
    until: Day | None = Field(default=None, description="The first day on which it no longer holds.")


class NumberSeries(Fields):
    """How invoices are numbered: without a gap within everything that stands before the digits."""

    prefix: str = Field(
        default="INV-",
        max_length=20,
        pattern="^([A-Z0-9-]*[A-Z-])?$",
        description="What every number begins with: capitals, digits and -, not ending in a digit.",
    )
    start: int = Field(
        default=1, ge=1, le=10**12, description="The first number of a series that has none yet."
    )
    digits: int = Field(
        default=6, ge=1, le=12, description="Numbers are filled up with zeros to this length."
    )
    per_year: bool = Field(
        default=True, description="Whether the year stands in the number and counting begins anew."
    )


class Brand(Fields):
    """How the issuer's documents look."""

    logo: str = Field(
        default="",
        max_length=profiles.LOGO_BYTES_MAX * 4 // 3 + 64,
        description="An SVG or PNG picture of at most 128 KiB, as a base64 data URI.",
    )
    color: str = Field(default=profiles.DEFAULT_COLOR, pattern="^#[0-9a-fA-F]{6}$", description="As #rrggbb.")


class IssuerBank(Fields):
    """Where customers pay."""

    account_holder: str = Field(min_length=1, max_length=200)
    iban: str = Field(default="", max_length=34, description="Without spaces.")
    bic: str = Field(default="", pattern="^([A-Z]{6}[A-Z0-9]{2}([A-Z0-9]{3})?)?$")
    bank_name: str = Field(default="", max_length=200)
    sepa_creditor_id: str = Field(
        default="",
        pattern="^([A-Z]{2}[0-9]{2}[A-Z0-9]{3}[A-Z0-9]{1,28})?$",
        description="SEPA creditor identifier; needed to collect by direct debit.",
    )


class IssuerProfileSpec(Fields):
    """What is wanted of an issuer."""

    legal_name: str = Field(
        min_length=1, max_length=200, description="The name of the legal entity that issues."
    )
    address: IssuerAddress
    tax_ids: list[IssuerTaxId] = Field(default_factory=list[IssuerTaxId], max_length=10)
    tax_registrations: list[IssuerTaxRegistration] = Field(
        default_factory=list[IssuerTaxRegistration],
        max_length=200,
        description="Where it collects tax. Without any, its invoices are out of scope of tax.",
    )
    accounting_currency: str = Field(
        default="USD", pattern="^[A-Z]{3}$", description="The currency of the issuer's books, ISO 4217."
    )
    number_series: NumberSeries = Field(default=NumberSeries())
    credit_note_series: NumberSeries = Field(
        default=NumberSeries(prefix="CN-"),
        description="How credit notes are numbered; another prefix than invoices.",
    )
    cancellation_series: NumberSeries = Field(
        default=NumberSeries(prefix="CC-"),
        description="How cancellations of credit notes are numbered; another prefix than invoices and credit notes.",
    )
    brand: Brand = Field(default=Brand())
    bank_details: IssuerBank | None = None
    e_invoice: EInvoicing = Field(
        default="None",
        description="What is sent for machines after EN 16931: None, FacturX (inside the PDF), UBL (beside it).",
    )
    legal_text: str = Field(default="", max_length=2000, description="Printed at the end of every document.")
    time_zone: str = Field(
        default="Etc/UTC", max_length=64, description="IANA zone of issue dates, for example Europe/Berlin."
    )
    is_default: bool = Field(
        default=False, description="Whether it issues where nothing else is said. At most one."
    )


class IssuerProfileStatus(ReadyStatus):
    """What is true of an issuer."""


class IssuerProfile(Kind[IssuerProfileSpec, IssuerProfileStatus]):
    """Who issues: an invoice is printed with the profile as it was when the invoice was issued."""

    group = GROUP
    kind = "IssuerProfile"
    plural = "issuerprofiles"
    singular = "issuerprofile"
    namespaced = False
    description = "Who issues invoices: legal name, address, number series, brand and bank details."
    spec_model = IssuerProfileSpec
    status_model = IssuerProfileStatus
    columns = (
        Column("Legal Name", ".spec.legalName"),
        Column("Default", ".spec.isDefault", type="boolean"),
        Column("Prefix", ".spec.numberSeries.prefix", priority=1),
    )

    @override
    def validate(self, admission: Admission[IssuerProfileSpec, IssuerProfileStatus]) -> Iterable[FieldError]:
        """Zone, currency, picture and check digits; one default at most."""
        spec = admission.object.spec
        try:
            time_zone(spec.time_zone)
        except UnknownTimeZone as error:
            yield FieldError("spec.timeZone", "FieldValueInvalid", f"Invalid value: {error}")
        if not is_currency(spec.accounting_currency):
            yield FieldError(
                "spec.accountingCurrency",
                "FieldValueInvalid",
                f'Invalid value: "{spec.accounting_currency}": must be a current ISO 4217 code',
            )
        yield from _series_errors(spec)
        for index, one in enumerate(spec.tax_registrations):
            yield from tax_rates.registration_errors(
                f"spec.taxRegistrations[{index}]", one.model_dump(by_alias=True)
            )
        bank = spec.bank_details
        yield from profiles.profile_errors(logo=spec.brand.logo, iban="" if bank is None else bank.iban)
        if spec.is_default:
            other = issuer_reads.find_other_default(admission.tx, uid=admission.object.uid)
            if other is not None:
                yield FieldError(
                    "spec.isDefault",
                    "FieldValueDuplicate",
                    f'Duplicate value: "{other}" is the default: set its isDefault to false first',
                )

    @override
    def reconcile(
        self, object: Object[IssuerProfileSpec, IssuerProfileStatus], facts: None, *, now: datetime
    ) -> IssuerProfileStatus:
        """Ready from the start."""
        return ready_status(object, message="Issuer profile can issue invoices.", now=now)

    @override
    def project(
        self,
        tx: Tx,
        object: Object[IssuerProfileSpec, IssuerProfileStatus],
        old: Object[IssuerProfileSpec, IssuerProfileStatus] | None,
        *,
        now: datetime,
    ) -> None:
        """invoicing.issuers, and the version for the invoices to come."""
        if object.deleted:
            declared_rows.delete_issuer(tx, name=object.name)
            return
        body = object.spec.model_dump(mode="json", by_alias=True, exclude_none=True)
        declared_rows.put_issuer(
            tx, name=object.name, uid=object.uid, is_default=object.spec.is_default, body=body
        )


def _series_errors(spec: IssuerProfileSpec) -> Iterable[FieldError]:
    """Invoices, credit notes and cancellations share no series: whose number it is shows in the number."""
    taken = [("invoices", spec.number_series.prefix)]
    for what, field, series in (
        ("credit notes", "creditNoteSeries", spec.credit_note_series),
        ("cancellations", "cancellationSeries", spec.cancellation_series),
    ):
        for others, prefix in taken:
            if profiles.same_series(prefix, series.prefix):
                yield FieldError(
                    f"spec.{field}.prefix",
                    "FieldValueInvalid",
                    f'Invalid value: "{series.prefix}": {others} are numbered with it; choose another',
                )
        taken.append((what, series.prefix))
