"""The invoice or credit note as its reader gets it: the contract with the writers of documents (adapters)."""

from dataclasses import dataclass
from datetime import date, datetime
from typing import Literal, TypeAlias

from milo_billing.accounts.types import MethodType
from milo_billing.invoicing.types.invoices import EInvoicing, InvoiceDiscount, InvoiceLine
from milo_billing.kernel.taxes import AccountingTax, TaxGroup
from milo_billing.kernel.terms import EarlyPayment

Syntax: TypeAlias = Literal["ubl", "cii"]
"""How an electronic invoice is written: OASIS UBL 2.1, or UN/CEFACT CII D16B."""
DocumentKind: TypeAlias = Literal["pdf", "ubl", "cii"]


@dataclass(frozen=True, slots=True)
class PostalAddress:
    """Where somebody is. `country` is ISO 3166 alpha-2; every other part may be empty."""

    country: str
    line1: str = ""
    line2: str = ""
    city: str = ""
    region: str = ""
    postal_code: str = ""


@dataclass(frozen=True, slots=True)
class TaxId:
    """A registration, such as type `eu_vat`, value `DE123456789`."""

    type: str
    value: str


@dataclass(frozen=True, slots=True)
class Party:
    """One side of an invoice as it is printed."""

    name: str
    contact: str
    address: PostalAddress | None
    tax_ids: tuple[TaxId, ...]


@dataclass(frozen=True, slots=True)
class BankDetails:
    """Where to pay. Parts that a country does not use are empty."""

    account_holder: str
    iban: str
    bic: str
    bank_name: str


@dataclass(frozen=True, slots=True)
class Logo:
    """The picture at the head of a document."""

    media_type: Literal["image/svg+xml", "image/png"]
    content: bytes


@dataclass(frozen=True, slots=True)
class CreditedInvoice:
    """What a credit note is about. Of its total, `settled_minor` is not owed any more; the rest had been paid."""

    number: str
    issued_on: date
    reason: str
    settled_minor: int


@dataclass(frozen=True, slots=True)
class CancelledNote:
    """Which credit note a document cancels, over which invoice, and why."""

    number: str
    issued_on: date
    invoice_number: str
    invoice_issued_on: date
    reason: str


@dataclass(frozen=True, slots=True)
class AdjustedInvoice:
    """An earlier invoice that lines of a document charge or give back anew."""

    number: str
    issued_on: date


@dataclass(frozen=True, slots=True)
class ReplacedInvoice:
    """The void invoice in whose place a document is: a credit note took it back as a whole."""

    number: str
    issued_on: date


@dataclass(frozen=True, slots=True)
class InvoiceDocument:
    """Everything that is printed on an invoice, and nothing that is not: the same value gives the same bytes.

    The period is `[first_day, end_day)`, days in the account's zone. `buyer` is None once the
    customer's personal data have been erased. `color` is `#rrggbb`. `e_invoicing` is what the issuer sends.
    Every line belongs to a group of `taxes`. With `collected_from` the money is taken from there on the due date, and
    nobody is asked to transfer it. With `credits` it is a credit note over that invoice, whose due date says
    nothing. With `cancels` it takes such a note back, by which the invoice is owed again, and is paid with it.
    `adjusted` are the earlier invoices that its lines adjust, `replaces` is the void one of its days. Of the total
    `prepaid_minor` was settled before it was issued. `early_minor` is what the discount for early payment takes off
    the rest.
    """

    number: str
    issued_at: datetime
    issued_on: date
    due_on: date
    first_day: date
    end_day: date
    time_zone: str
    language: str
    account: str
    currency: str
    subtotal_minor: int
    discounts: tuple[InvoiceDiscount, ...]
    total_minor: int
    seller: Party
    buyer: Party | None
    logo: Logo | None
    color: str
    bank: BankDetails | None
    legal_text: str
    lines: tuple[InvoiceLine, ...]
    e_invoicing: EInvoicing = "None"
    credits: CreditedInvoice | None = None
    cancels: CancelledNote | None = None
    adjusted: tuple[AdjustedInvoice, ...] = ()
    replaces: ReplacedInvoice | None = None
    prepaid_minor: int = 0
    tax_minor: int = 0
    taxes: tuple[TaxGroup, ...] = ()
    accounting_tax: AccountingTax | None = None
    early: EarlyPayment | None = None
    early_minor: int = 0
    collected_from: MethodType | None = None


@dataclass(frozen=True, slots=True)
class WrittenDocument:
    """A document as it was written: its bytes, and which template wrote them."""

    media_type: str
    template: str
    content: bytes


@dataclass(frozen=True, slots=True)
class Finding:
    """What a rule says against an electronic invoice: the rule, such as `BR-CO-10`, what it wants, and where.

    Rule XSD is the schema, XML that it is no such document at all. A warning does not make the invoice wrong.
    """

    severity: Literal["error", "warning"]
    rule: str
    message: str
    location: str


@dataclass(frozen=True, slots=True)
class PrintedDocument:
    """A document as it was written once and is kept: `sha256` of `content`."""

    media_type: str
    sha256: bytes
    content: bytes
