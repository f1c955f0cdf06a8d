"""Frozen values of what is owed: drafts, issued invoices, the document of one; and the errors of issuing.

The contract with the writers of documents (adapters) and with payments and revenue above. Money is integers of minor
units and a currency; quantities are `Decimal` as people read them (what was charged was computed exactly, in pricing).
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from typing import Any, Final, Literal, TypeAlias
from uuid import UUID

from milo_billing.commitments.types import ComposedPeriod, Giver, Scope
from milo_billing.kernel.errors import Conflict, NotFound, Unavailable
from milo_billing.kernel.money import Money
from milo_billing.kernel.periods import Period
from milo_billing.kernel.taxes import AccountingTax, TaxGroup, TaxTreatment
from milo_billing.kernel.terms import EarlyPayment
from milo_billing.pricing.types import Dimensions
from milo_billing.pricing.types import PartKind as PricedKind

InvoiceKind: TypeAlias = Literal["Periodic", "OneTime", "Adjustment", "Consolidated", "Final"]
InvoicePhase: TypeAlias = Literal["Issued", "PartiallyPaid", "Paid", "PastDue", "Void", "Uncollectible"]
MoneyKind: TypeAlias = Literal["Payment", "PaymentReversal", "Credit", "EarlyPaymentDiscount", "CreditNote"]
"""What settles an invoice from outside: money that came or went back, credit that was used, a credit note."""
SettlementKind: TypeAlias = MoneyKind | Literal["Void", "WriteOff", "Recovery"]
"""And what becomes of it here: a Recovery takes back what was written off, because money or a credit note came."""
LineKind: TypeAlias = (
    Literal["Usage", "Recurring", "OneTime", "Shortfall", "Overage", "Prepayment", "DrawDown", "Interest"]
    | Literal["Adjustment"]
)
"""A Sku by its charge type, what a commitment adds, time that a payment was late, what came to more or less since."""
PartKind: TypeAlias = PricedKind | Literal["Committed", "Spent", "Rerated", "Charged"]
"""Pricing's; the two amounts whose difference is a shortfall, and the two whose difference is an adjustment."""

SKU_KINDS: Final[frozenset[LineKind]] = frozenset({"Usage", "Recurring", "OneTime"})

EInvoicing: TypeAlias = Literal["None", "FacturX", "UBL"]
"""What an issuer sends besides the page that people read: nothing, an invoice inside the PDF, or one beside it."""
Syntax: TypeAlias = Literal["ubl", "cii"]
"""How an electronic invoice is written: OASIS UBL 2.1, or UN/CEFACT CII D16B."""
DocumentKind: TypeAlias = Literal["pdf", "ubl", "cii"]

GROUP: Final = "billing.miloapis.com"

QUANTITY_PLACES_MAX: Final = 12
"""Decimals of a quantity that an invoice keeps; a longer one is rounded half-up, for display only."""


class UnableToIssue(Conflict):
    """The invoice must wait until something outside has been mended. The message says what, and what to do."""


class UnableToSettle(Conflict):
    """The invoice cannot take the amount, or not in its phase. The message says what it could take."""


class InvoiceNotFound(NotFound):
    """There is no such invoice, or not for the caller."""


class LineNotFound(NotFound):
    """The invoice has no such line, or the line is of no usage."""


class NoEInvoice(Conflict):
    """The invoice cannot be said after EN 16931. The message says why, and what to do; its PDF is not concerned."""


class UnableToCheck(Unavailable):
    """Nobody could say whether an electronic invoice is right."""


class UnableToRender(Exception):
    """The document of an invoice could not be written: a defect of the template, so none of the caller's."""


# ------------------------------------------------------------------------------------------------------- drafts


@dataclass(frozen=True, slots=True)
class Part:
    """One settled sub-line. `kind` is pricing's (`SubLine`): Usage, Package and Percentage have a quantity and a unit
    price, a FlatFee that belongs to a tier has its number, from 1. A shortfall is what was Committed less what was
    Spent; an overage is a Percentage, the factor less one, of what is over the minimum.
    """

    kind: PartKind
    tier: int | None
    quantity: Decimal | None
    unit_price: Decimal | None
    amount_minor: int


@dataclass(frozen=True, slots=True)
class LineDiscount:
    """What one Discount or commitment took off a line: `source` is the object's uid, `title` what the invoice calls it.

    Of scope Line it is inside the line's amount, one of its parts; of scope Invoice it is the line's share of what was
    taken off the whole invoice. `percent` is None for an amount, and where it changed within the period.
    `amount_minor` has the other sign than the line.
    """

    scope: Scope
    given_by: Giver
    source: UUID
    name: str
    title: str
    percent: Decimal | None
    amount_minor: int


@dataclass(frozen=True, slots=True)
class LineConversion:
    """How a line whose price book is in another currency came into the invoice's: `amount_minor` before it.

    `rate` is units of the invoice's currency for one of `currency`, as people read it; exact is the ratio of the two
    legs, which are units per euro as `source` published them on `day`. Unit prices of the line are in `currency`.
    """

    currency: str
    amount_minor: int
    rate: Decimal
    day: date
    source: str
    from_per_euro: Decimal
    to_per_euro: Decimal


@dataclass(frozen=True, slots=True)
class DraftShare:
    """What one project used of a line with one set of dimensions. `project` None is the account's own share.

    `metered` is in the meter's unit, `quantity` the same in the line's pricing unit; both as people read them, since
    averages and parts of a period may be fractions without an end.
    """

    project: int | None
    dimensions: Dimensions
    metered: Decimal
    quantity: Decimal
    amount_minor: int


@dataclass(frozen=True, slots=True)
class Adjusts:
    """The issued invoice, and the kind of its lines, that came to more or less; and how these were taxed."""

    invoice: UUID
    number: str
    kind: LineKind
    treatments: tuple[TaxTreatment, ...] = ()


@dataclass(frozen=True, slots=True)
class DraftLine:
    """The charge for one Sku at one price over `[first_day, end_day)`: the sum of its parts, and of its shares.

    `included` of the quantity was free. `book` is the version of the price book, by number. What a commitment charges
    has its uid, its name as description, the days that it is for, and neither Sku nor book. `in_advance` says that a
    recurring charge is earned after it falls due. `taxes` are the numbers, from 1, of the draft's tax groups that the
    line belongs to.
    """

    kind: LineKind
    sku: str | None
    sku_number: int | None
    description: str
    service: str
    invoice_group: str
    tax_category: str
    book: int | None
    commitment: UUID | None
    first_day: date
    end_day: date
    quantity: Decimal
    included: Decimal
    pricing_unit: str
    amount_minor: int
    parts: tuple[Part, ...]
    shares: tuple[DraftShare, ...]
    conversion: LineConversion | None = None
    discounts: tuple[LineDiscount, ...] = ()
    in_advance: bool = False
    taxes: tuple[int, ...] = ()
    adjusts: Adjusts | None = None

    @property
    def net_minor(self) -> int:
        """What is owed for the line after every discount, before tax."""
        return self.amount_minor + beside_minor(self.discounts)


def beside_minor(discounts: Iterable[LineDiscount]) -> int:
    """What discounts on the whole invoice take off; those of line scope are inside the line."""
    return sum(one.amount_minor for one in discounts if one.scope == "Invoice")


@dataclass(frozen=True, slots=True)
class Draft:
    """What an account would be invoiced for a period: computed, never stored.

    The subtotal is the sum of the lines; the total what discounts on the whole invoice leave of it, and the tax.
    """

    account: int
    kind: InvoiceKind
    period: Period
    currency: str
    lines: tuple[DraftLine, ...]
    subtotal_minor: int
    discounts_minor: int
    total_minor: int
    tax_minor: int = 0
    taxes: tuple[TaxGroup, ...] = ()

    @property
    def total(self) -> Money:
        return Money(self.total_minor, self.currency)


@dataclass(frozen=True, slots=True)
class Preview:
    """The draft of an invoice while nobody issues it, with what would keep it from being issued.

    `periods` are the composed rating periods, those that have begun; `closed` says that all of them are over. `books`
    and `projects` have the names for the numbers in the draft. `invoices` are those that stand for these days already:
    where they cover all of them, the draft is what they would be now. `untaxed` says why the tax cannot be told: then
    there is none in the draft, and it could not be issued. `goodwill_minor`, with tax, and `prepaid_minor` are what
    credit that was granted would settle of the total at once.
    """

    draft: Draft
    periods: tuple[ComposedPeriod, ...]
    closed: bool
    invoices: "tuple[Invoice, ...]"
    books: "Mapping[int, BookVersion]"
    projects: Mapping[int, str]
    untaxed: str | None = None
    goodwill_minor: int = 0
    prepaid_minor: int = 0


# ----------------------------------------------------------------------------------------------------- invoices


@dataclass(frozen=True, slots=True)
class IssuerVersion:
    """One version of an IssuerProfile: its name, the SHA-256 of its spec, and the spec."""

    name: str
    digest: bytes
    body: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class BookVersion:
    """What a price book's version was called when an invoice was issued under it."""

    name: str
    effective_from: date


@dataclass(frozen=True, slots=True)
class Invoice:
    """One issued invoice. Everything but `phase` and what became of the total stays as it is for ever.

    `amount_paid_minor` came as money and stayed, or was money on account; `credited_minor` was taken back by credit
    notes; `written_off_minor` is nobody's to pay any more, until it is. `replaces` is the void invoice for whose days
    this one stands.

    `issued_on` and `due_on` are dates in the issuer's zone; `sequence` counts without a gap within (issuer, series).
    `total_minor` is with tax. `interest_percent` is a year on what is overdue.
    """

    uid: UUID
    name: str
    namespace: str
    owner_org: int
    account: int
    account_name: str
    kind: InvoiceKind
    period: Period
    phase: InvoicePhase
    issuer: str
    series: str
    sequence: int
    number: str
    currency: str
    subtotal_minor: int
    discounts_minor: int
    tax_minor: int
    total_minor: int
    amount_paid_minor: int
    issued_at: datetime
    issued_on: date
    due_on: date
    credited_minor: int = 0
    written_off_minor: int = 0
    replaces: UUID | None = None
    replaces_name: str = ""
    e_invoicing: EInvoicing = "None"
    early: EarlyPayment | None = None
    interest_percent: Decimal | None = None
    taxes: tuple[TaxGroup, ...] = ()

    @property
    def total(self) -> Money:
        return Money(self.total_minor, self.currency)

    @property
    def amount_due_minor(self) -> int:
        """What is asked for now."""
        return self.open_minor - self.written_off_minor

    @property
    def open_minor(self) -> int:
        """What money may still settle: what is due, and what was written off."""
        return self.total_minor - self.amount_paid_minor - self.credited_minor


@dataclass(frozen=True, slots=True)
class Settlement:
    """One thing that became of an invoice: `amount_minor` is how much less is due by it, below zero how much more.

    `reference` is what settled (the uid of a payment, of a credit note); `posted` the key of the transaction in the
    books, None where nothing moved. `at` is when it counts from. `phase` is the invoice's since. `reason` is given
    for a void and a write-off.
    """

    step: int
    kind: SettlementKind
    reference: str
    amount_minor: int
    phase: InvoicePhase
    posted: str | None
    at: datetime
    reason: str | None = None


@dataclass(frozen=True, slots=True)
class Settled:
    """The invoice after a settlement. `recovered_minor` had been written off before; `repeated` says that the same
    settlement stood already, and nothing was done.
    """

    invoice: Invoice
    recovered_minor: int
    repeated: bool


@dataclass(frozen=True, slots=True)
class Issued:
    """The invoice stands since this call."""

    invoice: Invoice


@dataclass(frozen=True, slots=True)
class Unchanged:
    """The invoice had been issued before; it is as it was."""

    invoice: Invoice


@dataclass(frozen=True, slots=True)
class Skipped:
    """There is nothing to issue. `reason` is for people."""

    reason: str


IssueOutcome: TypeAlias = Issued | Unchanged | Skipped


@dataclass(frozen=True, slots=True)
class LineShare:
    """What one project has of a line, over all its dimension sets. `project` is empty for the account's own share."""

    project: str
    quantity: Decimal
    amount_minor: int


@dataclass(frozen=True, slots=True)
class InvoiceLine:
    """One line as it was issued. `line` counts from 1; the rest as in DraftLine, with names for numbers.

    `taxes` are the numbers, from 1, of the invoice's tax groups that the line belongs to.
    """

    line: int
    kind: LineKind
    sku: str | None
    description: str
    service: str
    invoice_group: str
    tax_category: str
    book_name: str | None
    book_effective_from: date | None
    commitment: UUID | None
    first_day: date
    end_day: date
    quantity: Decimal
    included: Decimal
    pricing_unit: str
    amount_minor: int
    parts: tuple[Part, ...]
    projects: tuple[LineShare, ...]
    conversion: LineConversion | None = None
    discounts: tuple[LineDiscount, ...] = ()
    in_advance: bool = False
    taxes: tuple[int, ...] = ()
    adjusts: Adjusts | None = None

    @property
    def net_minor(self) -> int:
        """What is owed for the line after every discount, before tax."""
        return self.amount_minor + beside_minor(self.discounts)


@dataclass(frozen=True, slots=True)
class InvoiceDiscount:
    """What one Discount takes off the whole invoice, over all its lines and rating periods; zero or negative."""

    title: str
    percent: Decimal | None
    amount_minor: int


# ---------------------------------------------------------------------------------------------------- documents


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
class InvoiceDocument:
    """Everything that is printed on an invoice, and nothing that is not: the same value gives the same bytes.

    The period is `[first_day, end_day)`, days in the account's zone. `buyer` is None once the
    customer's personal data have been erased. `color` is `#rrggbb`. `e_invoicing` is what the issuer sends.
    Every line belongs to a group of `taxes`. With `credits` it is a credit note over that invoice, whose due date says
    nothing. `prepaid_minor` of the total was settled before it was issued. `early_minor` is what the discount for early
    payment takes off the rest.
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
    prepaid_minor: int = 0
    tax_minor: int = 0
    taxes: tuple[TaxGroup, ...] = ()
    accounting_tax: AccountingTax | None = None
    early: EarlyPayment | None = None
    early_minor: int = 0


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
