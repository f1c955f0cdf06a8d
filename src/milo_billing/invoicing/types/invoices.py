"""Issued invoices, their lines, what settled them, and what became of an attempt to issue one."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date, datetime
from decimal import Decimal
from typing import Any, Literal, TypeAlias
from uuid import UUID

from milo_billing.commitments.types import ComposedPeriod, Giver
from milo_billing.invoicing.types.drafts import (
    Adjusts,
    Draft,
    InvoiceKind,
    LineConversion,
    LineDiscount,
    LineKind,
    Part,
    beside_minor,
)
from milo_billing.kernel.money import Money
from milo_billing.kernel.periods import Period
from milo_billing.kernel.taxes import TaxGroup
from milo_billing.kernel.terms import EarlyPayment

InvoicePhase: TypeAlias = Literal["Issued", "PartiallyPaid", "Paid", "PastDue", "Void", "Uncollectible"]
MoneyKind: TypeAlias = Literal["Payment", "PaymentReversal", "Credit", "EarlyPaymentDiscount", "CreditNote"]
"""What settles an invoice from outside: money that came or went back, credit that was used, a credit note."""
SettlementKind: TypeAlias = MoneyKind | Literal["Void", "WriteOff", "Recovery", "DiscountReversal"]
"""And what becomes of it here: a Recovery takes back what was written off, because money or a credit note came; a
DiscountReversal a discount for early payment, because the payment went back.
"""
EInvoicing: TypeAlias = Literal["None", "FacturX", "UBL"]
"""What an issuer sends besides the page that people read: nothing, an invoice inside the PDF, or one beside it."""


@dataclass(frozen=True, slots=True)
class Preview:
    """The draft of an invoice while nobody issues it, with what would keep it from being issued.

    `periods` are the composed rating periods, those that have begun; `closed` says that all of them are over. `books`
    and `projects` have the names for the numbers in the draft. `invoices` are those that stand for these days already:
    where they cover all of them, the draft is what they would be now. `untaxed` says why the tax cannot be told: then
    there is none in the draft, and it could not be issued. `goodwill_minor`, with tax, and `prepaid_minor` are what
    credit that was granted would settle of the total at once. `given_back` is what credit notes would give back with it
    of earlier invoices, net. `accounts` are the sub-accounts that have sections, by number; `invoiced_with` names the
    account whose invoice the draft is a section of, if there is one.
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
    given_back: "tuple[tuple[Invoice, int], ...]" = ()
    accounts: Mapping[int, str] = field(default_factory=dict[int, str])
    invoiced_with: str | None = None


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
    `total_minor` is with tax. `interest_percent` is a year on what is overdue. `credits_minor` is what credit that was
    granted took off it or paid of it and did not get back: promotions and goodwill before tax, money as it paid.
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
    credits_minor: int = 0
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
class Covering:
    """An invoice that has days of an account, and these days: of a consolidated one those of the account's section."""

    invoice: Invoice
    period: Period


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
class SettledBy:
    """What a settlement came from, for people: `document` is the number of the credit note, the name of the payment or
    of the grant, empty where there is none; `kind` what that is; `reason` why, or what the books say of it.
    """

    kind: str
    document: str
    reason: str


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
    """There is nothing to issue. `reason` is for people; `invoiced_with` the number of the account that is invoiced for
    this one, where that is why.
    """

    reason: str
    invoiced_with: int | None = None


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

    `taxes` are the numbers, from 1, of the invoice's tax groups that the line belongs to. `used_by` is the account that
    used, by number, `account` its name; empty where that is the one that pays.
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
    used_by: int = 0
    account: str = ""

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
    given_by: Giver = "Discount"
