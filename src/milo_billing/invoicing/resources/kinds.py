"""Invoice, which users read and only the service writes; CreditNote, for staff."""

from collections.abc import Iterable, Sequence
from datetime import datetime
from decimal import Decimal
from typing import Any, TypeAlias
from uuid import UUID

from pydantic import Field
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
    Ref,
)
from milo_billing.controlplane.statuses import already_exists
from milo_billing.infra.clock import Clock
from milo_billing.infra.database import Tx
from milo_billing.invoicing.engine.crediting import Wanted
from milo_billing.invoicing.engine.publishing import invoice_body, note_body
from milo_billing.invoicing.operations import life
from milo_billing.invoicing.reads import grants as grant_reads
from milo_billing.invoicing.reads import invoices as invoice_reads
from milo_billing.invoicing.reads import notes as note_reads
from milo_billing.invoicing.resources.grants import GrantObject, GrantRules
from milo_billing.invoicing.resources.issuers import IssuerProfile
from milo_billing.invoicing.resources.tax_rates import TaxRate
from milo_billing.invoicing.rules import crediting, issuing, requests
from milo_billing.invoicing.rules.crediting import CreditNote as NoteRow
from milo_billing.invoicing.rules.crediting import LineCredit, UnableToCredit
from milo_billing.invoicing.types.drafts import GROUP, InvoiceKind
from milo_billing.invoicing.types.errors import InvoiceNotFound
from milo_billing.invoicing.types.invoices import Invoice as InvoiceRow
from milo_billing.invoicing.types.invoices import InvoicePhase
from milo_billing.kernel.errors import Conflict, FieldError
from milo_billing.kernel.taxes import TaxCode

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
    credits: str = Field(
        default="",
        description="What credit that was granted took off it or paid of it, less what came back: promotions are among "
        "the discounts, goodwill is credited, prepaid money is paid. Zero once it is void.",
    )
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
        Column("Credits", ".status.credits", priority=1),
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
        act = {"void": life.void_invoice, "writeOff": life.write_off_invoice}[action]
        act(admission.tx, invoice=admission.object.uid, reason=reason, now=admission.now)
        return admission.object.status

    @override
    def affects(self, tx: Tx, object: InvoiceObject, old: InvoiceObject | None) -> Sequence[Ref]:
        """The credit grants that it used, which may get it back."""
        return _grants_of(tx, object.uid)

    @override
    def gather(
        self, tx: Tx, object: InvoiceObject, old: InvoiceObject | None, *, now: datetime, clock: Clock
    ) -> InvoiceRow:
        """The invoice's row, which is the truth."""
        return invoice_reads.get_invoice_by_uid(tx, uid=object.uid)

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
        note = note_reads.find_voiding_note(tx, invoice=object.uid)
        assert note is not None, "an invoice becomes void by a credit note"
        yield _made(note, now=now)


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


class NoteCancellation(Fields):
    """The document that cancels a credit note, over exactly its amounts; every part empty where the note stands."""

    number: str = ""
    issued_on: str = Field(default="", description="A date in the issuer's time zone.")
    reason: str = Field(default="", description="Why, printed on it.")
    documents: InvoiceDocuments = Field(default_factory=InvoiceDocuments)


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
    cancelled_at: str = Field(
        default="",
        description="Since when what it took back is owed again, RFC 3339: it gave a discount for early payment, and "
        "the payment went back. Empty where it stands.",
    )
    cancellation: NoteCancellation = Field(default_factory=NoteCancellation)
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
        Column("Cancelled", ".status.cancelledAt"),
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
            life.choose_credit(admission.tx, _wanted(admission.tx, new))
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
        """The invoice, when the note is issued, and the credit grants that it used."""
        if old is not None:
            return ()
        name = object.spec.invoice_ref.name
        try:
            invoice = invoice_reads.get_invoice(tx, namespace=object.namespace, name=name)
        except InvoiceNotFound:
            return ()  # the note is refused
        return (Ref(Invoice, object.namespace, name), *_grants_of(tx, invoice.uid))

    @override
    def gather(
        self, tx: Tx, object: NoteObject, old: NoteObject | None, *, now: datetime, clock: Clock
    ) -> NoteRow:
        """The note as it was issued; issued here when it is created, since its status has the number."""
        found = note_reads.find_credit_note(tx, uid=object.uid)
        if found is None and note_reads.is_note_name_taken(tx, namespace=object.namespace, name=object.name):
            raise already_exists(self, object.name)
        return found or life.issue_credit_note(tx, _wanted(tx, object), now=now)

    @override
    def reconcile(self, object: NoteObject, facts: NoteRow, *, now: datetime) -> CreditNoteStatus:
        """What the row says."""
        return CreditNoteStatus.model_validate(note_body(facts, object.status.conditions, now=now))


class CreditGrant(GrantRules):
    """Credit of an account, with the invoice by which it was bought where it is taxed at purchase."""

    @override
    def affects(self, tx: Tx, object: GrantObject, old: GrantObject | None) -> Sequence[Ref]:
        """The invoice by which it was bought: what is taken back of the credit is credited of it."""
        grant = None if old is None else grant_reads.find_grant(tx, uid=object.uid)
        if grant is None or grant.bought_by is None:
            return ()
        found = grant_reads.get_purchase(tx, invoice=grant.bought_by)
        return () if found is None else (Ref(Invoice, *found),)

    @override
    def makes(self, tx: Tx, object: GrantObject, old: GrantObject | None, *, now: datetime) -> Iterable[Made]:
        """The invoice by which it was bought; the credit note by which what was left of it was taken back."""
        if not object.status.invoice_number:
            return
        if old is None or not old.status.invoice_number:
            grant = grant_reads.get_grant(tx, uid=object.uid)
            assert grant.bought_by is not None, "the number is of the invoice by which it was bought"
            invoice = invoice_reads.get_invoice_by_uid(tx, uid=grant.bought_by)
            yield Made(
                kind=Invoice,
                namespace=invoice.namespace,
                name=invoice.name,
                uid=invoice.uid,
                spec=issuing.invoice_spec(invoice),
                status=invoice_body(invoice, (), now=now),
                verb="issue",
            )
        elif object.status.revoked != old.status.revoked:
            uid = grant_reads.find_revoking_note(tx, grant=object.uid)
            note = None if uid is None else note_reads.find_credit_note(tx, uid=uid)
            if note is not None:  # else a credit note that was declared took it back, whose object stands
                yield _made(note, now=now)


def _made(note: NoteRow, *, now: datetime) -> Made:
    """The object of a credit note that nobody declared."""
    return Made(
        kind=CreditNote,
        namespace=note.namespace,
        name=note.name,
        uid=note.uid,
        spec=CreditNoteSpec.model_validate(crediting.made_spec(note)).model_dump(
            mode="json", by_alias=True, exclude_none=True
        ),
        status=note_body(note, (), now=now),
        verb="issue",
    )


def _grants_of(tx: Tx, invoice: UUID) -> tuple[Ref, ...]:
    return tuple(
        Ref(CreditGrant, namespace, name)
        for namespace, name in grant_reads.names_used_by(tx, invoice=invoice)
    )


def _wanted(tx: Tx, note: NoteObject) -> Wanted:
    """What the object asks for, in minor units of the invoice. Raises InvoiceNotFound, UnableToCredit."""
    spec = note.spec
    invoice = invoice_reads.get_invoice(tx, namespace=note.namespace, name=spec.invoice_ref.name)
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


KINDS: tuple[type[AnyKind], ...] = (IssuerProfile, TaxRate, Invoice, CreditNote, CreditGrant)
