"""Where an account stands: which phase follows from what, and which action its state allows."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from milo_billing.accounts.rules.timeline import format_instant
from milo_billing.accounts.types import (
    AccountPhase,
    MethodPhase,
    MethodType,
    PaymentMethodEntry,
    PaymentProfileType,
    SuspensionReason,
)
from milo_billing.kernel.money import Money
from milo_billing.ledger.types import MONEY_ON_ACCOUNT, PREPAID_CREDIT, UNAPPLIED_CASH, UNDER_WAY, AccountName

REFERRING_TYPES: dict[PaymentProfileType, MethodType] = {"Card": "Card", "DirectDebit": "BankAccount"}
"""Payment profiles that collect by themselves, and so must say from which payment method of which type."""

NAMED_MAX = 3
"""How many of the things that stand against an action its answer names."""


@dataclass(frozen=True, slots=True)
class Finding:
    """What a condition says: whether it holds, and its reason and message."""

    holds: bool
    reason: str
    message: str


# -------------------------------------------------------------------------------------------------- payment


def assess_payment(
    *,
    account: UUID,
    type: PaymentProfileType | None,
    method_name: str | None,
    method: PaymentMethodEntry | None,
) -> Finding:
    """Whether a payment profile lets money be collected.

    Card and DirectDebit need an active method of the account, of their type; another type needs none, but one it
    names must be good. `method` is the payment method of that name in the account's namespace, if there is one.
    """
    if type is None or (type in REFERRING_TYPES and method_name is None):
        message = "Billing account requires a payment profile to become ready."
        return Finding(False, "PaymentProfileMissing", message)
    if method_name is not None:
        wrong = _method_trouble(account=account, type=type, name=method_name, method=method)
        if wrong is not None:
            return wrong
    return Finding(True, "PaymentProfileValid", "Billing account has a valid payment profile.")


def collected_from(profile: Mapping[str, Any] | None) -> MethodType | None:
    """What invoices are collected from under `spec.paymentProfile`; None where the customer pays by itself."""
    return None if profile is None else REFERRING_TYPES.get(profile["type"])


def _method_trouble(
    *, account: UUID, type: PaymentProfileType, name: str, method: PaymentMethodEntry | None
) -> Finding | None:
    if method is None or method.account != account:
        message = f'Payment method "{name}" of the payment profile does not exist for this billing account.'
        return Finding(False, "PaymentMethodMissing", message)
    if method.phase == "Failed":
        because = f": {method.failure_reason}" if method.failure_reason else ""
        return Finding(False, "PaymentMethodFailed", f'Payment method "{name}" has failed{because}.')
    if method.phase != "Active":
        message = f'Payment method "{name}" is not active yet (current phase: {method.phase}).'
        return Finding(False, "PaymentMethodPending", message)
    wanted = REFERRING_TYPES.get(type)
    if wanted is not None and method.type is not None and method.type != wanted:
        message = f'Payment method "{name}" is of type {method.type}; the profile {type} needs one of type {wanted}.'
        return Finding(False, "PaymentMethodUnsuitable", message)
    return None


def assess_payment_by_parent(*, payer: str, payer_phase: AccountPhase, payment: Finding) -> Finding:
    """The same for an account that another one, `payer`, is invoiced for: it collects from that one's profile."""
    if payer_phase in ("Suspended", "Archived"):
        message = f'Billing account "{payer}", which is invoiced for this one, is in {payer_phase} phase.'
        return Finding(False, "ParentNotReady", message)
    if not payment.holds:
        message = f'Billing account "{payer}", which is invoiced for this one, cannot pay: {payment.message}'
        return Finding(False, payment.reason, message)
    message = f'Billing account "{payer}" is invoiced for this one and has a valid payment profile.'
    return Finding(True, "PaidByParent", message)


def assess_invoicing(*, has_contact: bool, payer: str | None) -> Finding:
    """Whether invoices have somebody to go to. `payer`: the other account that is invoiced for this one."""
    if payer is not None:
        return Finding(True, "InvoicedByParent", f'Billing account "{payer}" is invoiced for this one.')
    if not has_contact:
        message = "Billing account has no contact that invoices could be sent to."
        return Finding(False, "ContactInfoMissing", message)
    return Finding(True, "ContactInfoPresent", "Billing account has a contact that invoices are sent to.")


# ---------------------------------------------------------------------------------------------------- phase


@dataclass(frozen=True, slots=True)
class Readiness:
    """The phase of an account and the reason and message of its Ready condition."""

    phase: AccountPhase
    reason: str
    message: str

    @property
    def ready(self) -> bool:
        return self.phase == "Ready"


def assess(*, phase: AccountPhase, payment: Finding, payment_required: bool) -> Readiness:
    """Where an account stands. Suspended and Archived are left by an action only, never by a profile.

    An account that loses its profile goes back to Provisioning; its bindings stay (domain.md §3).
    """
    if phase in ("Suspended", "Archived"):
        return Readiness(phase, "BillingAccountNotReady", f"Billing account is in {phase} phase.")
    if payment_required and not payment.holds:
        return Readiness("Provisioning", payment.reason, payment.message)
    message = "Billing account is active and ready for project binding."
    return Readiness("Ready", "BillingAccountReady", message)


# -------------------------------------------------------------------------------------------------- actions


def suspension_refused(
    *,
    account: str,
    phase: AccountPhase,
    standing: SuspensionReason | None,
    reason: SuspensionReason,
) -> str | None:
    """Why the account cannot be suspended for `reason`; None where it can, also if it is suspended already.

    A failed payment never takes the place of a reason that somebody decided on: else paying would lift that.
    """
    if phase == "Archived":
        return f'billing account "{account}" is archived and read-only'
    if phase == "Suspended" and reason == "PaymentFailure" and standing not in (None, "PaymentFailure"):
        return f'billing account "{account}" is suspended already, for another reason ({standing})'
    return None


def reactivation_refused(*, account: str, phase: AccountPhase) -> str | None:
    """Why the account cannot be reactivated; None where it can."""
    if phase == "Suspended":
        return None
    return f'billing account "{account}" is not suspended (current phase: {phase})'


@dataclass(frozen=True, slots=True)
class ArchiveGround:
    """What stands around an account that is to be archived.

    `usage_until`: the instant after which no usage of it can arrive any more (the end of its last interval plus the
    late window); None where it never paid. `sub_accounts`: names of those that are not archived themselves, and
    `holds` is (slice, reason). `unbilled` says that its final invoice has not been issued. `due` is what it owes for
    issued invoices, `held` what is held for it, by the ledger's account, `interest` what it owes for paying late that
    is on no invoice yet; each an amount a currency, never zero.
    """

    binding: str | None
    project: str | None
    usage_until: datetime | None
    sub_accounts: Sequence[str]
    holds: Sequence[tuple[str, str]]
    approved: bool
    unbilled: bool = False
    due: Sequence[Money] = ()
    held: Sequence[tuple[AccountName, Money]] = ()
    interest: Sequence[Money] = ()


_GIVEN_BACK_BY: dict[AccountName, str] = {
    UNAPPLIED_CASH: "{amount} that came in pays nothing yet; assign it to what it pays or refund it "
    "(milo-billing payments worklist, milo-billing payments transfers request)",
    MONEY_ON_ACCOUNT: "{amount} of its money is held on account; refund it (milo-billing payments refund, or "
    "milo-billing payments transfers request where it came by bank transfer)",
    PREPAID_CREDIT: "{amount} of prepaid credit is left; revoke the grants and refund it "
    "(milo-billing credits revoke, milo-billing payments refund)",
    UNDER_WAY: "{amount} is on its way back by bank transfer; bring in the statement that books it, or cancel it "
    "(milo-billing payments statements import, milo-billing payments transfers cancel)",
}
"""What is held for an account, and how it gets it back."""


_UNCHARGED = (
    "{amount} of interest on what it paid late is on no invoice yet; it is invoiced once its month is over "
    "(by night, or milo-billing invoices interest charge)"
)


def archive_refused(*, account: str, ground: ArchiveGround, permission: str, now: datetime) -> str | None:
    """Why the account cannot be archived, everything at once; None where it can (domain.md §3)."""
    found: list[str] = []
    if ground.binding is not None:
        found.append(
            f'it has active binding "{ground.binding}" for project "{ground.project}"; remove all bindings before '
            "archiving"
        )
    elif ground.usage_until is not None and ground.usage_until > now:
        found.append(f"usage of it may still arrive until {format_instant(ground.usage_until)}")
    if ground.unbilled and ground.binding is None:
        found.append("its final invoice has not been issued (milo-billing invoices final)")
    found += [_owed(money) for money in ground.due]
    found += [_UNCHARGED.format(amount=money) for money in ground.interest]
    found += [_GIVEN_BACK_BY[name].format(amount=money) for name, money in ground.held]
    if ground.sub_accounts:
        named = ", ".join(f'"{name}"' for name in ground.sub_accounts[:NAMED_MAX])
        more = ", …" if len(ground.sub_accounts) > NAMED_MAX else ""
        found.append(f"it has sub-accounts {named}{more}; archive or move these first")
    found += [f"{slice_} holds it: {reason}" for slice_, reason in ground.holds]
    if not ground.approved:
        found.append(f"it needs an approver who holds the permission {permission}")
    if not found:
        return None
    return f'billing account "{account}" cannot be archived yet: ' + "; ".join(found)


def _owed(due: Money) -> str:
    if due.minor < 0:
        return f"its invoices are overpaid by {-due}; refund it (milo-billing payments refund)"
    return (
        f"it owes {due} for issued invoices; collect, credit or write it off (milo-billing payments collect, "
        "milo-billing invoices credit, milo-billing invoices write-off)"
    )


# ------------------------------------------------------------------------------------------ payment methods

_NEXT_PHASES: dict[MethodPhase, tuple[MethodPhase, ...]] = {
    "Pending": ("AwaitingConfirmation", "Active", "Failed"),
    "AwaitingConfirmation": ("Active", "Failed"),
    "Active": ("Failed",),
    "Failed": ("Pending", "AwaitingConfirmation", "Active"),
}


def method_phases_after(phase: MethodPhase) -> tuple[MethodPhase, ...]:
    """The phases that a payment method may go to. What was active fails before it begins anew."""
    return _NEXT_PHASES[phase]
