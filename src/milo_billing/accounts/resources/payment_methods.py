"""PaymentMethodClass and PaymentMethod: where the money of an account comes from.

Phases of the manual class are set by whoever holds `updateStatus`, those of other classes by payments, which asks their
providers; nothing here does.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Literal, TypeAlias

from pydantic import Field
from typing_extensions import override

from milo_billing.accounts import store
from milo_billing.accounts.reads import accounts as account_reads
from milo_billing.accounts.reads import methods as method_reads
from milo_billing.accounts.reads import tree as tree_reads
from milo_billing.accounts.resources.account_fields import GROUP, BillingAccountName
from milo_billing.accounts.resources.accounts import BillingAccount
from milo_billing.accounts.rules import standing, wording
from milo_billing.accounts.types import SET_UP_METHOD, MethodPhase, MethodType, PaymentMethodClassEntry
from milo_billing.controlplane.kinds import (
    Admission,
    AnyObject,
    Column,
    Condition,
    Conditions,
    Fields,
    Kind,
    Object,
    ReadyStatus,
    Ref,
    ready_status,
    set_condition,
)
from milo_billing.infra import jobs
from milo_billing.infra.clock import Clock
from milo_billing.infra.database import Tx
from milo_billing.kernel.card_numbers import card_number_paths
from milo_billing.kernel.errors import Conflict, FieldError, Invalid

# ------------------------------------------------------------------------------------ PaymentMethodClass


class PaymentMethodClassSpec(Fields):
    """What is wanted of a payment method class."""

    provider: Literal["manual", "stripe", "sandbox"] = Field(
        description="Who collects. With manual, people do and say so in the status. The sandbox moves no money: it is "
        "for trials on a server with a simulated clock, and refuses everywhere else. Immutable."
    )
    parameters: dict[str, str] | None = Field(
        default=None, description="What the provider is told. Everybody can read it: no secrets."
    )
    is_default: bool = Field(
        default=False, description="Payment methods that name no class are of this one; there is at most one."
    )


class PaymentMethodClassStatus(ReadyStatus):
    """What is true of a payment method class."""

    conditions: Conditions = Field(default_factory=list[Condition])


ClassObject: TypeAlias = Object[PaymentMethodClassSpec, PaymentMethodClassStatus]
ClassAdmission: TypeAlias = Admission[PaymentMethodClassSpec, PaymentMethodClassStatus]


class PaymentMethodClass(Kind[PaymentMethodClassSpec, PaymentMethodClassStatus]):
    """How payment methods come about and are collected from, as the provider has set it up."""

    group = GROUP
    kind = "PaymentMethodClass"
    plural = "paymentmethodclasses"
    singular = "paymentmethodclass"
    short_names = ("pmc",)
    namespaced = False
    readable_by_all = True
    description = "How payment methods come about and are collected from."
    spec_model = PaymentMethodClassSpec
    status_model = PaymentMethodClassStatus
    columns = (
        Column("Provider", ".spec.provider"),
        Column("Default", ".spec.isDefault", type="boolean"),
    )

    @override
    def validate(self, admission: ClassAdmission) -> Iterable[FieldError]:
        """At most one default."""
        new, old = admission.object, admission.old
        yield from _card_errors(new)
        if old is not None and new.spec.provider != old.spec.provider:
            # methods and payments of the class are the provider's that they were made with
            yield wording.forbidden("spec.provider", "provider is immutable; make another class")
        if not new.spec.is_default:
            return
        # the lock stays until the end: nobody else becomes the default meanwhile
        store.lock_method_classes(admission.tx)
        default = method_reads.find_method_class(admission.tx, name=None)
        if default is not None and default.uid != new.uid:
            message = f'payment method class "{default.name}" is the default; there can be one only'
            yield wording.forbidden("spec.isDefault", message)

    @override
    def validate_delete(self, admission: ClassAdmission) -> None:
        """Raise Conflict while payment methods are of this class."""
        uid = admission.object.uid
        # first the lock, then the look: what is being created now is seen once it has been committed
        store.lock_method_class(admission.tx, uid=uid)
        used = method_reads.list_methods_of_class(admission.tx, uid=uid, limit=1)
        if used:
            raise Conflict(
                f'payment method class "{admission.object.name}" is used by payment method "{used[0]}"; delete all '
                "payment methods of the class first"
            )

    @override
    def reconcile(self, object: ClassObject, facts: None, *, now: datetime) -> PaymentMethodClassStatus:
        """Ready from the start; whether the provider can be reached shows with its methods."""
        return ready_status(object, message="Payment method class is ready.", now=now)

    @override
    def project(self, tx: Tx, object: ClassObject, old: ClassObject | None, *, now: datetime) -> None:
        """accounts.payment_method_classes."""
        if object.deleted:
            store.delete_method_class(tx, uid=object.uid)
            return
        store.put_method_class(
            tx,
            uid=object.uid,
            name=object.name,
            provider=object.spec.provider,
            is_default=object.spec.is_default,
        )


# ----------------------------------------------------------------------------------------- PaymentMethod


class PaymentMethodClassName(Fields):
    """A payment method class."""

    name: str = Field(min_length=1, max_length=253)


class PaymentMethodSpec(Fields):
    """What is wanted of a payment method."""

    billing_account_ref: BillingAccountName = Field(description="Whose payment method it is. Immutable.")
    display_name: str | None = Field(default=None, max_length=253)
    payment_method_class_ref: PaymentMethodClassName | None = Field(
        default=None, description="Without it the default class, for good. Immutable."
    )
    provider_token: str | None = Field(
        default=None,
        min_length=1,
        max_length=1024,
        description="How the provider calls it. Stored encrypted. Set once.",
    )


class Card(Fields):
    """What may be known of a card."""

    brand: str = Field(min_length=1, max_length=32)
    last4: str = Field(pattern="^[0-9]{4}$")
    expiry: str = Field(
        pattern="^[0-9]{4}-(0[1-9]|1[0-2])$", description="The last month in which it is good."
    )


class BankAccount(Fields):
    """What may be known of a bank account."""

    bank_name: str | None = Field(default=None, max_length=128)
    country: str | None = Field(default=None, pattern="^[A-Z]{2}$")
    last4: str = Field(pattern="^[0-9A-Z]{4}$")


class PaymentMethodDetails(Fields):
    """What the payment method is, as its provider says."""

    type: MethodType
    card: Card | None = None
    bank: BankAccount | None = None


class PaymentMethodStatus(Fields):
    """What is true of a payment method."""

    phase: MethodPhase = "Pending"
    conditions: Conditions = Field(default_factory=list[Condition])
    class_name: str | None = Field(
        default=None, description="The class that it is of, chosen when it was created."
    )
    details: PaymentMethodDetails | None = None
    failure_reason: str | None = Field(default=None, max_length=1024)
    observed_generation: int = 0


MethodObject: TypeAlias = Object[PaymentMethodSpec, PaymentMethodStatus]
MethodAdmission: TypeAlias = Admission[PaymentMethodSpec, PaymentMethodStatus]


@dataclass(frozen=True, slots=True)
class MethodFacts:
    """The name of the class of a payment method."""

    class_name: str


class PaymentMethod(Kind[PaymentMethodSpec, PaymentMethodStatus]):
    """A card or a bank account that an account can pay with, kept at a provider of payments."""

    group = GROUP
    kind = "PaymentMethod"
    plural = "paymentmethods"
    singular = "paymentmethod"
    short_names = ("pm",)
    namespaced = True
    provider_only = frozenset({"updateStatus"})  # who could say so himself would have paid
    description = "What a billing account can pay with: a card, a bank account."
    spec_model = PaymentMethodSpec
    status_model = PaymentMethodStatus
    columns = (
        Column("Phase", ".status.phase"),
        Column("Account", ".spec.billingAccountRef.name"),
        Column("Type", ".status.details.type"),
        Column("Class", ".status.className"),
    )
    selectable = ("spec.billingAccountRef.name", "status.phase")
    personal = ("spec.providerToken",)

    @override
    def validate(self, admission: MethodAdmission) -> Iterable[FieldError]:
        """An account that can have one, a class; and what must not change."""
        new, old = admission.object, admission.old
        yield from _card_errors(new)
        if old is not None:
            yield from _immutable_errors(new.spec, old.spec)
            return
        name = new.spec.billing_account_ref.name
        account = account_reads.find_account(admission.tx, namespace=new.namespace, name=name)
        if account is None:
            yield wording.missing("spec.billingAccountRef.name", name)
        elif account.phase == "Archived":
            message = f'billing account "{name}" is archived and read-only'
            yield wording.forbidden("spec.billingAccountRef.name", message)
        yield from _class_errors(admission.tx, new.spec)

    @override
    def validate_delete(self, admission: MethodAdmission) -> None:
        """Raise Conflict while its account pays with it."""
        method = admission.object
        name = method.spec.billing_account_ref.name
        node = tree_reads.find_node(admission.tx, namespace=method.namespace, name=name)
        if node is None or node.payment_method != method.name or node.phase == "Archived":
            return
        entry = method_reads.find_method(admission.tx, namespace=method.namespace, name=method.name)
        if entry is not None and entry.account == node.uid:
            raise Conflict(
                f'payment method "{method.name}" is the one that billing account "{name}" pays with; choose another '
                "one in its payment profile before deleting"
            )

    @override
    def accept_status(self, admission: MethodAdmission) -> PaymentMethodStatus:
        """Phase, details and reason of failure, as whoever looks after the manual class says."""
        before, wanted = (admission.old or admission.object).status, admission.object.status
        errors: list[FieldError] = []
        if wanted.phase != before.phase:
            after = standing.method_phases_after(before.phase)
            if wanted.phase not in after:
                errors.append(wording.not_supported("status.phase", wanted.phase, after))
        failed = wanted.phase == "Failed"
        if failed and not wanted.failure_reason:
            errors.append(wording.required("status.failureReason", "what made the payment method fail"))
        if errors:
            raise Invalid(errors)
        return before.model_copy(
            update={
                "phase": wanted.phase,
                "details": wanted.details,
                "failure_reason": wanted.failure_reason if failed else None,
            }
        )

    @override
    def affects(self, tx: Tx, object: MethodObject, old: MethodObject | None) -> Sequence[Ref]:
        """The account that pays with it, and those that it is invoiced for."""
        store.lock_tree(tx, owner_org=object.owner_org, exclusive=False)
        name = object.spec.billing_account_ref.name
        node = tree_reads.find_node(tx, namespace=object.namespace, name=name)
        if node is None:
            return ()
        below = tree_reads.list_consolidated(tx, account=node.number)
        return [Ref(BillingAccount, one.namespace, one.name) for one in (node, *below)]

    @override
    def gather(
        self, tx: Tx, object: MethodObject, old: MethodObject | None, *, now: datetime, clock: Clock
    ) -> MethodFacts:
        """Its class; of a new one it stays from here on. Raises Invalid where account or class have gone."""
        if object.status.class_name is not None:
            return MethodFacts(object.status.class_name)
        account = object.spec.billing_account_ref.name
        if tree_reads.find_node(tx, namespace=object.namespace, name=account) is None:
            raise Invalid([wording.missing("spec.billingAccountRef.name", account)])
        found = _class_of(tx, object.spec)
        if found is None:
            raise Invalid(_class_errors(tx, object.spec))
        return MethodFacts(found.name)

    @override
    def reconcile(self, object: MethodObject, facts: MethodFacts, *, now: datetime) -> PaymentMethodStatus:
        """Ready while it is Active."""
        phase = object.status.phase
        active = phase == "Active"
        return object.status.model_copy(
            update={
                "class_name": facts.class_name,
                "observed_generation": object.generation,
                "conditions": set_condition(
                    object.status.conditions,
                    type="Ready",
                    status="True" if active else "False",
                    reason=f"PaymentMethod{phase}",
                    message="Payment method can be paid with."
                    if active
                    else f"Payment method is in {phase} phase.",
                    observed_generation=object.generation,
                    now=now,
                ),
            }
        )

    @override
    def project(self, tx: Tx, object: MethodObject, old: MethodObject | None, *, now: datetime) -> None:
        """accounts.payment_methods."""
        if object.deleted:
            store.delete_method(tx, uid=object.uid)
            return
        type = None if object.status.details is None else object.status.details.type
        if old is not None:
            store.update_method(
                tx,
                uid=object.uid,
                phase=object.status.phase,
                type=type,
                failure_reason=object.status.failure_reason,
            )
            return
        node = tree_reads.find_node(tx, namespace=object.namespace, name=object.spec.billing_account_ref.name)
        found = _class_of(tx, object.spec)
        assert node is not None and found is not None, "gather has looked at both, under lock"
        store.insert_method(
            tx,
            uid=object.uid,
            owner_org=object.owner_org,
            namespace=object.namespace,
            name=object.name,
            account=node.uid,
            method_class=found.uid,
            phase=object.status.phase,
            type=type,
        )
        if found.provider != "manual":
            jobs.defer(tx, SET_UP_METHOD, once=f"{SET_UP_METHOD}/{object.uid}", method=str(object.uid))


def _class_of(tx: Tx, spec: PaymentMethodSpec) -> PaymentMethodClassEntry | None:
    """The class that the spec names, or else the default one."""
    ref = spec.payment_method_class_ref
    return method_reads.find_method_class(tx, name=None if ref is None else ref.name)


def _card_errors(object: AnyObject) -> Iterator[FieldError]:
    """Card data never comes in: what holds a card's number is refused, and not repeated in the answer."""
    body = {
        "spec": object.spec.model_dump(mode="json", by_alias=True),
        "metadata": {"labels": dict(object.labels), "annotations": dict(object.annotations)},
    }
    for path in card_number_paths(body):
        message = (
            "must not hold the number of a card: enter cards at the provider, name the reference it gives"
        )
        yield wording.forbidden(path, message)


def _class_errors(tx: Tx, spec: PaymentMethodSpec) -> Iterator[FieldError]:
    if _class_of(tx, spec) is not None:
        return
    ref = spec.payment_method_class_ref
    if ref is None:
        message = "there is no default payment method class; name one"
        yield wording.required("spec.paymentMethodClassRef", message)
    else:
        yield wording.missing("spec.paymentMethodClassRef.name", ref.name)


def _immutable_errors(new: PaymentMethodSpec, old: PaymentMethodSpec) -> Iterator[FieldError]:
    if new.billing_account_ref != old.billing_account_ref:
        yield wording.forbidden("spec.billingAccountRef", "billingAccountRef is immutable")
    if new.payment_method_class_ref != old.payment_method_class_ref:
        yield wording.forbidden("spec.paymentMethodClassRef", "paymentMethodClassRef is immutable")
    if old.provider_token is not None and new.provider_token != old.provider_token:
        message = (
            "providerToken is immutable once set; make another payment method for another card or account"
        )
        yield wording.forbidden("spec.providerToken", message)
