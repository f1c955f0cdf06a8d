"""Frozen values of what is owed: drafts, issued invoices, the document of one; and the errors of issuing.

The contract with the writers of documents (adapters) and with payments and revenue above. Money is integers of minor
units and a currency; quantities are `Decimal` as people read them (what was charged was computed exactly, in pricing).
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from typing import Any, Final, Literal, TypeAlias
from uuid import UUID

from milo_billing.kernel.errors import Conflict, NotFound
from milo_billing.kernel.money import Money
from milo_billing.kernel.periods import Period
from milo_billing.pricing.types import Dimensions, PartKind

InvoiceKind: TypeAlias = Literal["Periodic", "OneTime", "Adjustment", "Consolidated", "Final"]
InvoicePhase: TypeAlias = Literal["Issued", "PartiallyPaid", "Paid", "PastDue", "Void", "Uncollectible"]

GROUP: Final = "billing.miloapis.com"

QUANTITY_PLACES_MAX: Final = 12
"""Decimals of a quantity that an invoice keeps; a longer one is rounded half-up, for display only."""


class UnableToIssue(Conflict):
    """The invoice must wait until something outside has been mended. The message says what, and what to do."""


class InvoiceNotFound(NotFound):
    """There is no such invoice, or not for the caller."""


class LineNotFound(NotFound):
    """The invoice has no such line, or the line is of no usage."""


class UnableToRender(Exception):
    """The document of an invoice could not be written: a defect of the template, so none of the caller's."""


# ------------------------------------------------------------------------------------------------------- drafts


@dataclass(frozen=True, slots=True)
class Part:
    """One settled sub-line. `kind` is pricing's (`SubLine`): Usage, Package and Percentage have a quantity and a unit
    price, a FlatFee that belongs to a tier has its number, from 1.
    """

    kind: PartKind
    tier: int | None
    quantity: Decimal | None
    unit_price: Decimal | None
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
class DraftLine:
    """The charge for one Sku at one price over `[first_day, end_day)`: the sum of its parts, and of its shares.

    `included` of the quantity was free. `book` is the version of the price book, by number.
    """

    sku: str
    sku_number: int
    description: str
    service: str
    invoice_group: str
    book: int
    first_day: date
    end_day: date
    quantity: Decimal
    included: Decimal
    pricing_unit: str
    amount_minor: int
    parts: tuple[Part, ...]
    shares: tuple[DraftShare, ...]
    conversion: LineConversion | None = None


@dataclass(frozen=True, slots=True)
class Draft:
    """What an account would be invoiced for a period: computed, never stored."""

    account: int
    kind: InvoiceKind
    period: Period
    currency: str
    lines: tuple[DraftLine, ...]
    subtotal_minor: int
    total_minor: int

    @property
    def total(self) -> Money:
        return Money(self.total_minor, self.currency)


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
    """One issued invoice. Everything but `phase` and `amount_paid_minor` stays as it is for ever.

    `issued_on` and `due_on` are dates in the issuer's zone; `sequence` counts without a gap within (issuer, series).
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
    total_minor: int
    amount_paid_minor: int
    issued_at: datetime
    issued_on: date
    due_on: date

    @property
    def total(self) -> Money:
        return Money(self.total_minor, self.currency)

    @property
    def amount_due_minor(self) -> int:
        return self.total_minor - self.amount_paid_minor


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
    """One line as it was issued. `line` counts from 1; the rest as in DraftLine, with names for numbers."""

    line: int
    sku: str
    description: str
    service: str
    invoice_group: str
    book_name: str
    book_effective_from: date
    first_day: date
    end_day: date
    quantity: Decimal
    included: Decimal
    pricing_unit: str
    amount_minor: int
    parts: tuple[Part, ...]
    projects: tuple[LineShare, ...]
    conversion: LineConversion | None = None


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
class InvoiceDocument:
    """Everything that is printed on an invoice, and nothing that is not: the same value gives the same bytes.

    The period is `[first_day, end_day)`, days in the account's zone. `buyer` is None once the
    customer's personal data have been erased. `color` is `#rrggbb`.
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
    total_minor: int
    seller: Party
    buyer: Party | None
    logo: Logo | None
    color: str
    bank: BankDetails | None
    legal_text: str
    lines: tuple[InvoiceLine, ...]


@dataclass(frozen=True, slots=True)
class WrittenDocument:
    """A document as it was written: its bytes, and which template wrote them."""

    media_type: str
    template: str
    content: bytes


@dataclass(frozen=True, slots=True)
class PrintedDocument:
    """A document as it was written once and is kept: `sha256` of `content`."""

    media_type: str
    sha256: bytes
    content: bytes
