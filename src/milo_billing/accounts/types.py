"""Frozen values of who pays: accounts, payers, intervals of responsibility, the profile an invoice is addressed to.

The contract with usage, invoicing and everything above.
"""

from dataclasses import dataclass
from datetime import date, datetime
from typing import Final, Literal, TypeAlias
from uuid import UUID

from milo_billing.kernel.errors import NotFound
from milo_billing.kernel.taxes import TaxExemption
from milo_billing.kernel.terms import NO_TERMS, TimeTerms

AccountPhase: TypeAlias = Literal["Provisioning", "Ready", "Suspended", "Archived"]
InvoiceFrequency: TypeAlias = Literal["Monthly", "Quarterly", "Annual"]
PaymentProfileType: TypeAlias = Literal["Card", "BankTransfer", "DirectDebit", "Invoice"]
BillingMode: TypeAlias = Literal["Self", "Parent"]
SET_UP_METHOD: Final = "payments.set_up_method"
"""The job that asks the provider about a new payment method; payments has it."""

SuspensionReason: TypeAlias = Literal["PaymentFailure", "Compliance", "Administrative"]
MethodPhase: TypeAlias = Literal["Pending", "AwaitingConfirmation", "Active", "Failed"]
MethodType: TypeAlias = Literal["Card", "BankAccount"]
Rebinding: TypeAlias = Literal["supersede", "reject"]
"""What a second binding of a project does: it takes the place of the first, or is refused."""


BILLING_SHARES: Final = 64
"""Account number modulo this is the share whose billing lock orders usage against invoices.
The database knows it too."""


class AccountNotFound(NotFound):
    """No billing account has this number or name."""


@dataclass(frozen=True, slots=True)
class Account:
    """A billing account below the control plane. `number` is never reused; the name can be, after deletion."""

    number: int
    uid: UUID
    namespace: str
    name: str
    owner_org: int
    currency: str
    time_zone: str
    phase: AccountPhase
    deleted_at: datetime | None
    invoice_day: int
    """1..28: rating periods begin on it."""
    billing_mode: BillingMode = "Self"
    """Parent: an account above it is invoiced for it."""
    consolidates: bool = False
    """Whether sub-accounts that are invoiced together with it hang right below it, some of them perhaps gone."""


@dataclass(frozen=True, slots=True)
class InvoiceDays:
    """The days of the month, 1..28, on which what an account pays for by the interval began anew.

    `changes` are (day, invoice day), by the billing day on which each was written, after the `first`.
    """

    first: int
    changes: tuple[tuple[date, int], ...] = ()

    def on(self, day: date) -> int:
        """The invoice day of an interval that begins on this day: what was written before it."""
        known = [invoice_day for written, invoice_day in self.changes if written < day]
        return known[-1] if known else self.first

    def holds_since(self, day: date) -> date | None:
        """The day after which nothing else was known than on this one; None where it never was."""
        written = [on for on, _ in self.changes if on < day]
        return written[-1] if written else None


@dataclass(frozen=True, slots=True)
class Billed:
    """Up to where an account has been invoiced. `version` is of controlplane.versions `billed/<share>`."""

    account: int
    until: datetime
    time_zone: str
    version: int


@dataclass(frozen=True, slots=True)
class AccountNode:
    """A living account in its tree, with what the tree needs to know of it. `parent` is None for a root.

    `profile_type` and `payment_method` are of its own payment profile, which may be absent.
    """

    number: int
    uid: UUID
    namespace: str
    name: str
    parent: int | None
    mode: BillingMode
    phase: AccountPhase
    currency: str
    time_zone: str
    invoice_day: int
    invoice_frequency: InvoiceFrequency
    profile_type: PaymentProfileType | None
    payment_method: str | None


@dataclass(frozen=True, slots=True)
class TreeNode:
    """An account below another one. `path` is the names from below that one down to it; `projects` it pays for now."""

    account: AccountNode
    path: tuple[str, ...]
    projects: int
    projects_below: int


@dataclass(frozen=True, slots=True)
class PaymentMethodEntry:
    """A payment method as accounts see it. `account` is the uid of the account that it belongs to."""

    namespace: str
    name: str
    account: UUID
    phase: MethodPhase
    type: MethodType | None
    failure_reason: str | None


@dataclass(frozen=True, slots=True)
class PaymentMethodClassEntry:
    """A kind of payment methods, and whether it is the one of methods that name none."""

    uid: UUID
    name: str
    provider: str
    is_default: bool


@dataclass(frozen=True, slots=True)
class PayingMethod:
    """What an account is collected from: a method that its provider knows, and the class with the way to it."""

    uid: UUID
    namespace: str
    name: str
    type: MethodType | None
    class_uid: UUID
    class_name: str
    provider: str


@dataclass(frozen=True, slots=True)
class MethodOwner:
    """A payment method, the account that it belongs to by uid and number, and its class."""

    uid: UUID
    owner_org: int
    namespace: str
    name: str
    phase: MethodPhase
    account: UUID
    account_number: int
    class_uid: UUID
    class_name: str
    provider: str


@dataclass(frozen=True, slots=True)
class PayerInterval:
    """`account` pays for `project` from `starts_at`, up to and without `ends_at`; None is still paying.

    `binding` is the uid of the BillingAccountBinding that says so, which may have been deleted since.
    """

    project: int
    account: int
    owner_org: int
    binding: UUID
    binding_name: str
    project_name: str
    starts_at: datetime
    ends_at: datetime | None
    version: int


@dataclass(frozen=True, slots=True)
class Payer:
    """Who pays for a project at an instant, and the half-open interval [since, until) in which that holds."""

    account: int
    namespace: str
    name: str
    since: datetime
    until: datetime | None


@dataclass(frozen=True, slots=True)
class ProjectPayer:
    """One stretch of a project's time line: who pays in [since, until), and the binding that says so.

    `project` is the surrogate number: a name can have had several bearers, one after the other.
    """

    project: int
    payer: Payer
    binding: UUID
    binding_name: str


@dataclass(frozen=True, slots=True)
class PaidProject:
    """A project that an account pays for at an instant, in [since, until), and the binding that says so."""

    number: int
    name: str
    binding: UUID
    binding_name: str
    since: datetime
    until: datetime | None


@dataclass(frozen=True, slots=True)
class Address:
    """A postal address. `country` is an ISO 3166-1 alpha-2 code; lines that are not known are empty."""

    country: str
    line1: str
    line2: str
    city: str
    region: str
    postal_code: str


@dataclass(frozen=True, slots=True)
class Contact:
    """Whom invoices are addressed and sent to. What is not known is empty."""

    email: str
    name: str
    business_name: str
    invoice_emails: tuple[str, ...]
    address: Address | None

    @property
    def invoice_recipients(self) -> tuple[str, ...]:
        """Who gets invoices and what is said of them: the contact, and the further addresses, each once."""
        first: dict[str, str] = {}
        for address in filter(None, (self.email, *self.invoice_emails)):
            first.setdefault(address.lower(), address)
        return tuple(first.values())


@dataclass(frozen=True, slots=True)
class TaxId:
    """A tax number and its kind, `<jurisdiction>_<scheme>` such as `eu_vat`."""

    type: str
    value: str


@dataclass(frozen=True, slots=True)
class BillingProfile:
    """What an invoice needs to know of an account, personal fields in clear.

    `contact` is None where the account has none, or where its personal data was erased. `collected_from` is the type of
    the payment method that invoices are collected from, None where the customer pays by itself.
    """

    account: int
    net_days: int
    invoice_day: int
    invoice_frequency: InvoiceFrequency
    language: str
    display_name: str
    zero_invoices: bool
    contact: Contact | None
    tax_ids: tuple[TaxId, ...]
    tax_exemptions: tuple[TaxExemption, ...] = ()
    time_terms: TimeTerms = NO_TERMS
    collected_from: MethodType | None = None
