"""The fields of a BillingAccount: names agree with Milo's own service, so that its manifests work here."""

from typing import Annotated, TypeAlias

from pydantic import Field, StringConstraints
from pydantic.config import JsonDict

from milo_billing.accounts.types import (
    AccountPhase,
    BillingMode,
    InvoiceFrequency,
    PaymentProfileType,
    SuspensionReason,
)
from milo_billing.controlplane.kinds import Condition, Conditions, Fields
from milo_billing.kernel.periods import INVOICE_DAY_MAX

GROUP = "billing.miloapis.com"
PERCENT_PATTERN = r"^(100(\.0{1,4})?|[0-9]{1,2}(\.[0-9]{1,4})?)$"
Day: TypeAlias = Annotated[
    str,
    StringConstraints(pattern="^[0-9]{4}-[0-9]{2}-[0-9]{2}$"),
    Field(json_schema_extra={"format": "date"}),
]
TIMESTAMP: JsonDict = {"format": "date-time"}
EMPTY_DEFAULT: JsonDict = {"default": {}}
"""The object is there, and its own fields have their defaults."""
SUSPENSION_MESSAGE_LENGTH_MAX = 1024


class PaymentTerms(Fields):
    """When invoices come, and when they are due."""

    net_days: int = Field(
        default=30,
        ge=1,
        le=365,
        description="Days from issue to due, 1 to 365; 30 where it is not said. Above 30 the provider must grant.",
    )
    invoice_frequency: InvoiceFrequency = Field(default="Monthly", description="How often invoices come.")
    invoice_day_of_month: int = Field(
        default=1,
        ge=1,
        le=INVOICE_DAY_MAX,
        description="The day of the month, 1 to 28, on which invoice periods begin.",
    )
    early_payment_discount_percent: str | None = Field(
        default=None,
        pattern=PERCENT_PATTERN,
        description="Percent off for paying early, as a decimal string. The provider must grant it.",
    )
    early_payment_discount_days: int | None = Field(
        default=None,
        ge=1,
        le=365,
        description="Days from issue within which the discount is given; 10 where it is not said.",
    )
    late_payment_interest_percent: str | None = Field(
        default=None,
        pattern=PERCENT_PATTERN,
        description="Yearly interest on late payment, as a decimal string. Only the provider lowers it.",
    )


class PaymentMethodRef(Fields):
    """A PaymentMethod in the same namespace."""

    name: str = Field(min_length=1, max_length=253)


class PaymentProfile(Fields):
    """How the account pays."""

    type: PaymentProfileType = Field(description="Invoice is credit: the provider must grant it.")
    payment_method_ref: PaymentMethodRef | None = Field(
        default=None,
        description="Required for Card and DirectDebit, and Active, before the account becomes ready.",
    )
    external_id: str | None = Field(
        default=None,
        alias="externalID",
        max_length=253,
        description="The account's id at the provider of payments.",
    )


class PostalAddress(Fields):
    """Where invoices are addressed to."""

    country: str = Field(pattern="^[A-Z]{2}$", description="ISO 3166-1 alpha-2 code.")
    line1: str | None = Field(default=None, max_length=256)
    line2: str | None = Field(default=None, max_length=256)
    city: str | None = Field(default=None, max_length=128)
    region: str | None = Field(default=None, max_length=128)
    postal_code: str | None = Field(default=None, max_length=32)


class ContactInfo(Fields):
    """Who is told, and whose name stands on invoices. Stored encrypted."""

    email: str = Field(min_length=1, max_length=254)
    name: str | None = Field(default=None, max_length=256)
    business_name: str | None = Field(default=None, max_length=256)
    invoice_emails: list[str] | None = Field(
        default=None, max_length=10, description="Further addresses that invoices are sent to."
    )
    address: PostalAddress | None = None


class TaxIdentifier(Fields):
    """A tax number of the account's owner. Stored encrypted."""

    type: str = Field(
        pattern="^[a-z]{2}_[a-z][a-z_]*$",
        max_length=32,
        description="<jurisdiction>_<scheme>, such as eu_vat.",
    )
    value: str = Field(min_length=1, max_length=64)


class TaxExemption(Fields):
    """A certificate by which the account's owner owes no tax in a place. Stored encrypted; the provider declares it."""

    country: str = Field(pattern="^[A-Z]{2}$", description="ISO 3166-1 alpha-2 code.")
    region: str | None = Field(
        default=None, max_length=128, description="As in addresses; empty for the whole country."
    )
    certificate: str = Field(min_length=1, max_length=128, description="Its number, printed on invoices.")
    reason: str | None = Field(
        default=None, max_length=256, description="What invoices say before the number."
    )
    reason_code: str | None = Field(
        default=None, pattern="^VATEX-[A-Z0-9-]{2,40}$", description="The same by the VATEX code list."
    )
    since: Day = Field(description="The first day, in the issuer's time zone.")
    until: Day | None = Field(default=None, description="The first day on which it no longer holds.")


class AccountRef(Fields):
    """Another billing account, of the same organization."""

    namespace: str = Field(min_length=1, max_length=63)
    name: str = Field(min_length=1, max_length=253)


class BillingAccountName(Fields):
    """A billing account in the same namespace."""

    name: str = Field(min_length=1, max_length=253)


class BillingAccountSpec(Fields):
    """What is wanted of a billing account."""

    currency_code: str = Field(
        pattern="^[A-Z]{3}$", description="ISO 4217. Immutable once the account has been activated."
    )
    display_name: str | None = Field(default=None, max_length=253)
    time_zone: str = Field(
        default="Etc/UTC",
        max_length=64,
        description="IANA zone in which billing days begin. Immutable once the account has been activated.",
    )
    payment_terms: PaymentTerms = Field(default_factory=PaymentTerms, json_schema_extra=EMPTY_DEFAULT)
    payment_profile: PaymentProfile | None = None
    contact_info: ContactInfo | None = None
    tax_ids: list[TaxIdentifier] | None = Field(default=None, max_length=10)
    tax_exemptions: list[TaxExemption] | None = Field(
        default=None, max_length=50, description="Where the owner owes no tax. The provider declares them."
    )
    parent_ref: AccountRef | None = Field(
        default=None, description="The account above this one, of the same organization."
    )
    billing_mode: BillingMode = Field(
        default="Self",
        description="Who is invoiced. An account invoiced with its parent shares its currency, zone and invoice days.",
    )
    language: str = Field(
        default="en",
        pattern="^[a-z]{2,3}(-[A-Z]{2})?$",
        description="Language of invoices, such as en or de-AT.",
    )
    zero_invoices: bool = Field(default=False, description="Issue invoices also when nothing is owed.")


class Suspension(Fields):
    """Why an account is suspended, and since when."""

    reason: SuspensionReason
    message: str | None = Field(default=None, max_length=SUSPENSION_MESSAGE_LENGTH_MAX)
    since: str | None = Field(default=None, json_schema_extra=TIMESTAMP)


class BillingAccountStatus(Fields):
    """What is true of a billing account."""

    phase: AccountPhase = "Provisioning"
    conditions: Conditions = Field(default_factory=list[Condition])
    activated_at: str | None = Field(default=None, json_schema_extra=TIMESTAMP)
    suspension: Suspension | None = None
    linked_projects_count: int = 0
    observed_generation: int = 0
