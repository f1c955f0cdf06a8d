"""IssuerProfile, who issues; TaxRate; Invoice, which users read and only the service writes; CreditNote, for staff."""

from collections.abc import Iterable, Sequence
from datetime import date, datetime
from decimal import Decimal
from typing import Annotated, Any, TypeAlias

from pydantic import Field, StringConstraints
from typing_extensions import override

from milo_billing.controlplane.kinds import (
    Admission,
    AnyKind,
    Column,
    Condition,
    Fields,
    Kind,
    Made,
    Object,
    ReadyStatus,
    Ref,
    ready_status,
)
from milo_billing.controlplane.statuses import already_exists
from milo_billing.infra.clock import Clock
from milo_billing.infra.database import Tx
from milo_billing.invoicing import operations, reads, store
from milo_billing.invoicing.engine.crediting import Wanted
from milo_billing.invoicing.engine.publishing import invoice_body, note_body
from milo_billing.invoicing.rules import crediting, profiles, requests, tax_rates
from milo_billing.invoicing.rules.crediting import CreditNote as NoteRow
from milo_billing.invoicing.rules.crediting import LineCredit, UnableToCredit
from milo_billing.invoicing.types import GROUP, EInvoicing, InvoiceKind, InvoiceNotFound, InvoicePhase
from milo_billing.invoicing.types import Invoice as InvoiceRow
from milo_billing.kernel.errors import Conflict, FieldError
from milo_billing.kernel.money import is_currency
from milo_billing.kernel.periods import UnknownTimeZone, time_zone
from milo_billing.kernel.taxes import TaxCode, TaxRateEntry

Day: TypeAlias = Annotated[
    str,
    StringConstraints(pattern="^[0-9]{4}-[0-9]{2}-[0-9]{2}$"),
    Field(json_schema_extra={"format": "date"}),
]

# -------------------------------------------------------------------------------------------- IssuerProfile


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
        if profiles.same_series(spec.number_series.prefix, spec.credit_note_series.prefix):
            yield FieldError(
                "spec.creditNoteSeries.prefix",
                "FieldValueInvalid",
                f'Invalid value: "{spec.credit_note_series.prefix}": invoices are numbered with it; choose another',
            )
        for index, one in enumerate(spec.tax_registrations):
            yield from tax_rates.registration_errors(
                f"spec.taxRegistrations[{index}]", one.model_dump(by_alias=True)
            )
        bank = spec.bank_details
        yield from profiles.profile_errors(logo=spec.brand.logo, iban="" if bank is None else bank.iban)
        if spec.is_default:
            other = reads.find_other_default(admission.tx, uid=admission.object.uid)
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
            store.delete_issuer(tx, name=object.name)
            return
        body = object.spec.model_dump(mode="json", by_alias=True, exclude_none=True)
        store.put_issuer(tx, name=object.name, uid=object.uid, is_default=object.spec.is_default, body=body)


# --------------------------------------------------------------------------------------------------- TaxRate


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
        other = reads.find_overlapping_rate(
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
            store.delete_tax_rate(tx, uid=object.uid)
            return
        rate, starts_on, ends_on = _rate_of(object.spec)
        store.put_tax_rate(
            tx, uid=object.uid, object_name=object.name, rate=rate, starts_on=starts_on, ends_on=ends_on
        )


def _rate_of(spec: TaxRateSpec) -> tuple[TaxRateEntry, date, date | None]:
    return tax_rates.read_rate(spec.model_dump())


# --------------------------------------------------------------------------------------------------- Invoice


class AccountRef(Fields):
    """A billing account of the same namespace."""

    name: str


class InvoicePeriod(Fields):
    """Half-open, in UTC."""

    start: str = Field(description="RFC 3339.")
    end: str = Field(description="RFC 3339; belongs to the next period.")


class InvoiceSpec(Fields):
    """What was invoiced."""

    billing_account_ref: AccountRef
    period: InvoicePeriod
    kind: InvoiceKind = "Periodic"


class InvoiceDocuments(Fields):
    """Where the documents of the invoice are read, relative to the server."""

    pdf: str = ""
    ubl: str = Field(default="", description="The electronic invoice, where the issuer sends it as UBL.")


class InvoiceTax(Fields):
    """All lines with one treatment. A line belongs to several where several taxes are taken of it."""

    tax: int = Field(description="Counts from 1; what lines refer to.")
    category: TaxCode = Field(
        description="S standard or reduced, Z zero rated, E exempt, AE reverse charge, G export, O out of scope."
    )
    name: str = ""
    place: str = Field(default="", description="Whose tax it is, such as DE or US-CA.")
    percent: str = "0"
    basis: str = Field(description="What the lines come to after every discount.")
    amount: str = Field(description="The tax, rounded once.")
    reason: str = Field(default="", description="Why nothing is taken.")
    reason_code: str = Field(default="", description="The same by the VATEX code list.")


class InvoiceStatus(Fields):
    """What is owed. Amounts are decimal strings with exactly the currency's digits."""

    phase: InvoicePhase = "Issued"
    number: str = ""
    issuer: str = Field(default="", description="The name of the IssuerProfile.")
    currency_code: str = ""
    subtotal: str = Field(default="", description="The sum of the lines, with the discounts inside them.")
    discounts: str = Field(default="", description="What is taken off the whole invoice, zero or below.")
    tax: list[InvoiceTax] = Field(default_factory=list[InvoiceTax])
    tax_total: str = Field(default="", description="The sum of the taxes.")
    total: str = Field(default="", description="Subtotal, discounts and tax.")
    amount_paid: str = Field(default="", description="By payments that stand, and by money on account.")
    amount_credited: str = Field(default="", description="Taken back by credit notes.")
    amount_written_off: str = Field(default="", description="Given up, and not recovered.")
    amount_due: str = Field(default="", description="What is left of the total.")
    replaces: str = Field(
        default="", description="The name of the void invoice for whose days this one stands."
    )
    issued_on: str = Field(default="", description="A date in the issuer's time zone.")
    due_date: str = Field(default="", description="The last day on which payment is in time.")
    documents: InvoiceDocuments = Field(default_factory=InvoiceDocuments)
    conditions: list[Condition] = Field(default_factory=list[Condition])


InvoiceObject: TypeAlias = Object[InvoiceSpec, InvoiceStatus]


class Invoice(Kind[InvoiceSpec, InvoiceStatus]):
    """What an account owes for a period. Its lines are at `…/lines`, the document at `…/pdf`."""

    group = GROUP
    kind = "Invoice"
    plural = "invoices"
    singular = "invoice"
    short_names = ("inv",)
    namespaced = True
    system = True
    description = "What a billing account owes for a period. Written by the service only, and never changed."
    spec_model = InvoiceSpec
    status_model = InvoiceStatus
    columns = (
        Column("Number", ".status.number"),
        Column("Account", ".spec.billingAccountRef.name"),
        Column("Period", ".spec.period.start", priority=1),
        Column("Total", ".status.total"),
        Column("Currency", ".status.currencyCode"),
        Column("Phase", ".status.phase"),
        Column("Due", ".status.dueDate", priority=1),
    )
    selectable = ("status.phase", "status.number", "spec.billingAccountRef.name")
    actions = ("void", "writeOff")
    # nobody forgives himself a debt
    provider_only = frozenset({"void", "writeOff"})

    @override
    def act(
        self, admission: Admission[InvoiceSpec, InvoiceStatus], *, action: str, request: dict[str, Any]
    ) -> InvoiceStatus:
        """void, writeOff: each with a reason. The status follows from the row (`reconcile`)."""
        reason = requests.parse_reason(request)
        act = {"void": operations.void_invoice, "writeOff": operations.write_off_invoice}[action]
        act(admission.tx, invoice=admission.object.uid, reason=reason, now=admission.now)
        return admission.object.status

    @override
    def gather(
        self, tx: Tx, object: InvoiceObject, old: InvoiceObject | None, *, now: datetime, clock: Clock
    ) -> InvoiceRow:
        """The invoice's row, which is the truth."""
        return reads.get_invoice_by_uid(tx, uid=object.uid)

    @override
    def reconcile(self, object: InvoiceObject, facts: InvoiceRow, *, now: datetime) -> InvoiceStatus:
        """What the row says."""
        return InvoiceStatus.model_validate(invoice_body(facts, object.status.conditions, now=now))

    @override
    def makes(
        self, tx: Tx, object: InvoiceObject, old: InvoiceObject | None, *, now: datetime
    ) -> Iterable[Made]:
        """The credit note by which the invoice became void."""
        if object.status.phase != "Void" or old is None or old.status.phase == "Void":
            return
        note = reads.find_voiding_note(tx, invoice=object.uid)
        assert note is not None, "an invoice becomes void by a credit note"
        yield Made(
            kind=CreditNote,
            namespace=note.namespace,
            name=note.name,
            uid=note.uid,
            spec=CreditNoteSpec.model_validate(crediting.void_spec(note)).model_dump(
                mode="json", by_alias=True, exclude_none=True
            ),
            status=note_body(note, (), now=now),
            verb="issue",
        )


# ------------------------------------------------------------------------------------------------ CreditNote


class InvoiceRef(Fields):
    """An invoice of the same namespace."""

    name: str = Field(min_length=1, max_length=253)


class CreditedLine(Fields):
    """What is taken back of one line: an amount or a quantity; all that is left of it without either."""

    line: int = Field(ge=1, le=2**31 - 1, description="The number of the line on the invoice.")
    amount: str | None = Field(
        default=None,
        pattern=r"^-?[0-9]{1,19}(\.[0-9]{1,4})?$",
        description="Net of discounts and before tax, in the invoice's currency; with the line's sign.",
    )
    quantity: str | None = Field(
        default=None,
        pattern=r"^[0-9]{1,19}(\.[0-9]{1,12})?$",
        description="In the line's pricing unit; the money follows in proportion, with its share of the discounts.",
    )


class CreditNoteSpec(Fields):
    """What is taken back of an invoice: some of its lines, or an amount over all of them, or all that is left.

    Immutable.
    """

    invoice_ref: InvoiceRef
    lines: list[CreditedLine] = Field(default_factory=list[CreditedLine], max_length=10_000)
    amount: str | None = Field(
        default=None,
        pattern=r"^[0-9]{1,19}(\.[0-9]{1,4})?$",
        description="Net of discounts and before tax, over all lines in proportion to what is left of them.",
    )
    reason: str = Field(min_length=1, max_length=1024, description="Why, printed on the credit note.")


class CreditNoteStatus(Fields):
    """What was taken back. Amounts are decimal strings with exactly the currency's digits."""

    number: str = ""
    issuer: str = Field(default="", description="The name of the IssuerProfile.")
    account: str = Field(default="", description="The billing account.")
    invoice_number: str = ""
    voids: bool = Field(
        default=False, description="Whether the invoice was taken back as a whole and is void."
    )
    currency_code: str = ""
    net: str = Field(default="", description="Before tax.")
    tax: str = ""
    total: str = ""
    settled: str = Field(
        default="", description="What was still open of the invoice, and is not owed any more."
    )
    on_account: str = Field(default="", description="What had been paid, and is kept as the account's money.")
    issued_on: str = Field(default="", description="A date in the issuer's time zone.")
    documents: InvoiceDocuments = Field(default_factory=InvoiceDocuments)
    conditions: list[Condition] = Field(default_factory=list[Condition])


NoteObject: TypeAlias = Object[CreditNoteSpec, CreditNoteStatus]


class CreditNote(Kind[CreditNoteSpec, CreditNoteStatus]):
    """What was taken back of an issued invoice. It is issued in the transaction that creates it, and stays for ever."""

    group = GROUP
    kind = "CreditNote"
    plural = "creditnotes"
    singular = "creditnote"
    short_names = ("cn",)
    namespaced = True
    description = "What was taken back of an issued invoice: numbered, frozen and posted when it is created."
    spec_model = CreditNoteSpec
    status_model = CreditNoteStatus
    columns = (
        Column("Number", ".status.number"),
        Column("Invoice", ".spec.invoiceRef.name"),
        Column("Account", ".status.account"),
        Column("Total", ".status.total"),
        Column("Currency", ".status.currencyCode"),
        Column("Reason", ".spec.reason", priority=1),
    )
    selectable = ("status.number", "spec.invoiceRef.name", "status.account")
    # nobody forgives himself a debt
    provider_only = frozenset({"create", "update", "patch", "delete", "deletecollection", "updateStatus"})

    @override
    def validate(self, admission: Admission[CreditNoteSpec, CreditNoteStatus]) -> Iterable[FieldError]:
        """An invoice that there is, and not more of it than is left; no change afterwards."""
        new, old = admission.object, admission.old
        if old is not None:
            if new.spec != old.spec:
                yield FieldError("spec", "FieldValueInvalid", 'Invalid value: "object": spec is immutable')
            return
        if new.spec.lines and new.spec.amount is not None:
            yield FieldError(
                "spec.amount", "FieldValueForbidden", "Forbidden: say lines, or an amount over all of them"
            )
            return
        for index, line in enumerate(new.spec.lines):
            if line.amount is not None and line.quantity is not None:
                yield FieldError(
                    f"spec.lines[{index}].quantity",
                    "FieldValueForbidden",
                    "Forbidden: say an amount or a quantity",
                )
                return
        try:
            operations.choose_credit(admission.tx, _wanted(admission.tx, new))
        except InvoiceNotFound:
            name = new.spec.invoice_ref.name
            yield FieldError("spec.invoiceRef.name", "FieldValueNotFound", f'Not found: "{name}"')
        except UnableToCredit as error:
            yield FieldError(error.field, "FieldValueInvalid", f"Invalid value: {error}")

    @override
    def validate_delete(self, admission: Admission[CreditNoteSpec, CreditNoteStatus]) -> None:
        """Raise Conflict: what was issued stays."""
        raise Conflict(
            f'CreditNote "{admission.object.name}" was issued and stays: what is owed again is charged again'
        )

    @override
    def affects(self, tx: Tx, object: NoteObject, old: NoteObject | None) -> Sequence[Ref]:
        """The invoice, when the note is issued."""
        return () if old is not None else (Ref(Invoice, object.namespace, object.spec.invoice_ref.name),)

    @override
    def gather(
        self, tx: Tx, object: NoteObject, old: NoteObject | None, *, now: datetime, clock: Clock
    ) -> NoteRow:
        """The note as it was issued; issued here when it is created, since its status has the number."""
        found = reads.find_credit_note(tx, uid=object.uid)
        if found is None and reads.is_note_name_taken(tx, namespace=object.namespace, name=object.name):
            raise already_exists(self, object.name)
        return found or operations.issue_credit_note(tx, _wanted(tx, object), now=now)

    @override
    def reconcile(self, object: NoteObject, facts: NoteRow, *, now: datetime) -> CreditNoteStatus:
        """What the row says."""
        return CreditNoteStatus.model_validate(note_body(facts, object.status.conditions, now=now))


def _wanted(tx: Tx, note: NoteObject) -> Wanted:
    """What the object asks for, in minor units of the invoice. Raises InvoiceNotFound, UnableToCredit."""
    spec = note.spec
    invoice = reads.get_invoice(tx, namespace=note.namespace, name=spec.invoice_ref.name)
    return Wanted(
        uid=note.uid,
        namespace=note.namespace,
        name=note.name,
        invoice=invoice.uid,
        lines=tuple(
            LineCredit(
                line.line,
                crediting.read_amount(
                    line.amount, currency=invoice.currency, field=f"spec.lines[{index}].amount"
                ),
                None if line.quantity is None else Decimal(line.quantity),
            )
            for index, line in enumerate(spec.lines)
        ),
        amount_minor=crediting.read_amount(spec.amount, currency=invoice.currency, field="spec.amount"),
        reason=spec.reason,
    )


KINDS: tuple[type[AnyKind], ...] = (IssuerProfile, TaxRate, Invoice, CreditNote)
