"""Payment: what users read of the money that an account pays; only the service writes it."""

from pydantic import Field

from milo_billing.controlplane.kinds import AnyKind, Column, Condition, Fields, Kind
from milo_billing.payments.types import GROUP, AttemptState, PaymentPhase, RefundSource, RefundState


class PayingAccount(Fields):
    """A billing account of the same namespace."""

    name: str


class PaidInvoice(Fields):
    """An invoice of the same namespace."""

    name: str


class UsedMethod(Fields):
    """A payment method of the same namespace."""

    name: str


class PaymentSpec(Fields):
    """What is paid."""

    billing_account_ref: PayingAccount
    currency_code: str = Field(pattern="^[A-Z]{3}$")
    invoices: list[PaidInvoice] = Field(
        default_factory=list[PaidInvoice], description="What it pays; empty while nobody has said so."
    )
    payment_method_ref: UsedMethod | None = Field(
        default=None, description="The method that was asked last. Without it the money came by itself."
    )


class PaymentAttempt(Fields):
    """One request for the money, counted within the invoice."""

    number: int
    at: str
    amount: str
    state: AttemptState = "Open"
    code: str = Field(default="", description="Why it was declined, in the provider's word.")
    message: str = ""
    hard: bool = Field(
        default=False, description="Declined for good: the method is not asked again by itself."
    )


class PaymentRefund(Fields):
    """One part given back."""

    number: int
    at: str
    amount: str
    state: RefundState = "Open"
    source: RefundSource = Field(
        default="Invoice", description="What it came out of: with Invoice, the invoice is owed again."
    )
    reason: str = ""


class PaymentStatus(Fields):
    """What became of it. Amounts are decimal strings with exactly the currency's digits."""

    phase: PaymentPhase = "Pending"
    amount: str = Field(default="", description="What was asked for last; once it has succeeded, what came.")
    amount_refunded: str = Field(default="", description="With refunds under way.")
    amount_disputed: str = Field(
        default="", description="Taken back by whoever paid: by a dispute, or by returning a debit."
    )
    provider: str = ""
    provider_reference: str = ""
    failure_reason: str = ""
    next_attempt_on: str = Field(
        default="", description="The day of the next attempt, where there will be one."
    )
    decided_at: str = ""
    attempts: list[PaymentAttempt] = Field(default_factory=list[PaymentAttempt])
    refunds: list[PaymentRefund] = Field(default_factory=list[PaymentRefund])
    conditions: list[Condition] = Field(default_factory=list[Condition])


class Payment(Kind[PaymentSpec, PaymentStatus]):
    """Money that an account pays, collected by attempts. Given back at `…/refund`."""

    group = GROUP
    kind = "Payment"
    plural = "payments"
    singular = "payment"
    short_names = ("pay",)
    namespaced = True
    system = True
    description = "Money that a billing account pays. Written by the service only."
    spec_model = PaymentSpec
    status_model = PaymentStatus
    columns = (
        Column("Account", ".spec.billingAccountRef.name"),
        Column("Invoice", ".spec.invoices[0].name"),
        Column("Amount", ".status.amount"),
        Column("Currency", ".spec.currencyCode"),
        Column("Phase", ".status.phase"),
        Column("Next", ".status.nextAttemptOn", priority=1),
    )
    selectable = ("status.phase", "spec.billingAccountRef.name")


KINDS: tuple[type[AnyKind], ...] = (Payment,)
