"""BillingAccount and BillingAccountBinding: the declared side of who pays.

Names, fields and messages agree with Milo's own service, so that its manifests and clients work here.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Literal, TypeAlias

from pydantic import Field
from pydantic.config import JsonDict
from typing_extensions import override

from milo_billing.accounts import operations, reads, rules, store
from milo_billing.accounts.types import AccountPhase, InvoiceFrequency, PayerInterval, PaymentProfileType
from milo_billing.controlplane.kinds import (
    PROVIDER_ORG,
    Admission,
    AnyKind,
    Column,
    Condition,
    Fields,
    Kind,
    Object,
    Ref,
    rfc3339,
    set_condition,
)
from milo_billing.directory import reads as directory
from milo_billing.infra.clock import Clock
from milo_billing.infra.database import Tx
from milo_billing.kernel.errors import Conflict, FieldError
from milo_billing.kernel.money import is_currency
from milo_billing.kernel.periods import INVOICE_DAY_MAX, UnknownTimeZone, time_zone

GROUP = "billing.miloapis.com"
GRANT_TERMS = f"{GROUP}/billingaccounts.grantTerms"
"""Permission of the provider's staff to grant credit: long terms, payment by invoice."""
BACKDATE = f"{GROUP}/billingaccountbindings.backdate"
"""Permission to let a project's first binding begin in the past."""

PERCENT_PATTERN = r"^(100(\.0{1,4})?|[0-9]{1,2}(\.[0-9]{1,4})?)$"
TIMESTAMP: JsonDict = {"format": "date-time"}
EMPTY_DEFAULT: JsonDict = {"default": {}}
"""The object is there, and its own fields have their defaults."""


# ---------------------------------------------------------------------------------------- BillingAccount


class PaymentTerms(Fields):
    """When invoices come, and when they are due."""

    net_days: int = Field(
        default=30, ge=1, le=365, description="Days from issue to due. Above 30 the provider must grant."
    )
    invoice_frequency: InvoiceFrequency = Field(default="Monthly", description="How often invoices come.")
    invoice_day_of_month: int = Field(
        default=1, ge=1, le=INVOICE_DAY_MAX, description="The day on which invoice periods begin."
    )
    early_payment_discount_percent: str | None = Field(
        default=None,
        pattern=PERCENT_PATTERN,
        description="Percent off for paying early, as a decimal string.",
    )
    late_payment_interest_percent: str | None = Field(
        default=None,
        pattern=PERCENT_PATTERN,
        description="Yearly interest on late payment, as a decimal string.",
    )


class PaymentMethodRef(Fields):
    """A PaymentMethod in the same namespace."""

    name: str = Field(min_length=1, max_length=253)


class PaymentProfile(Fields):
    """How the account pays."""

    type: PaymentProfileType = Field(description="Invoice is credit: the provider must grant it.")
    payment_method_ref: PaymentMethodRef | None = Field(
        default=None, description="Required for Card and DirectDebit before the account becomes ready."
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


class AccountRef(Fields):
    """Another billing account."""

    namespace: str = Field(min_length=1, max_length=63)
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
    parent_ref: AccountRef | None = Field(default=None, description="The account above this one.")
    billing_mode: Literal["Self", "Parent"] = Field(default="Self", description="Who is invoiced.")
    language: str = Field(
        default="en",
        pattern="^[a-z]{2,3}(-[A-Z]{2})?$",
        description="Language of invoices, such as en or de-AT.",
    )
    zero_invoices: bool = Field(default=False, description="Issue invoices also when nothing is owed.")


class Suspension(Fields):
    """Why an account is suspended, and since when."""

    reason: str
    message: str | None = None
    since: str


class BillingAccountStatus(Fields):
    """What is true of a billing account."""

    phase: AccountPhase = "Provisioning"
    conditions: list[Condition] = Field(default_factory=list[Condition])
    activated_at: str | None = Field(default=None, json_schema_extra=TIMESTAMP)
    suspension: Suspension | None = None
    linked_projects_count: int = 0
    observed_generation: int = 0


AccountObject: TypeAlias = Object[BillingAccountSpec, BillingAccountStatus]
AccountAdmission: TypeAlias = Admission[BillingAccountSpec, BillingAccountStatus]


class BillingAccount(Kind[BillingAccountSpec, BillingAccountStatus]):
    """An account of one organization, in one currency, that pays for the projects bound to it."""

    group = GROUP
    kind = "BillingAccount"
    plural = "billingaccounts"
    singular = "billingaccount"
    short_names = ("ba",)
    namespaced = True
    description = "Who pays: an account of one organization, in one currency."
    spec_model = BillingAccountSpec
    status_model = BillingAccountStatus
    columns = (
        Column("Phase", ".status.phase"),
        Column("Currency", ".spec.currencyCode"),
        Column("Projects", ".status.linkedProjectsCount", type="integer"),
    )
    selectable = ("spec.currencyCode", "status.phase")
    personal = ("spec.contactInfo", "spec.taxIds")

    def __init__(self, *, require_payment_profile: bool = True) -> None:
        """`require_payment_profile` False lets accounts become ready without one (accounts.requirePaymentProfile)."""
        self._require_payment_profile = require_payment_profile

    @override
    def validate(self, admission: AccountAdmission) -> Iterable[FieldError]:
        """Currency, zone, terms and contact; and what must not change once the account has been activated."""
        spec = admission.object.spec
        yield from _identity_errors(admission)
        yield from _terms_errors(admission)
        yield from _contact_errors(spec)
        if spec.parent_ref is not None:
            yield rules.forbidden("spec.parentRef", "accounts have no parents in this version; leave it out")
        if spec.billing_mode == "Parent":
            message = 'Unsupported value: "Parent": supported values: "Self"'
            yield FieldError("spec.billingMode", "FieldValueNotSupported", message)

    @override
    def validate_delete(self, admission: AccountAdmission) -> None:
        """Raise Conflict while the account pays for a project."""
        account = _account_of(admission.tx, admission.object)
        bound = None if account is None else reads.find_active_interval(admission.tx, account=account)
        if bound is not None:
            raise Conflict(
                f'billing account has active binding "{bound.binding_name}" for project "{bound.project_name}"; '
                "remove all bindings before deleting"
            )

    @override
    def gather(
        self, tx: Tx, object: AccountObject, old: AccountObject | None, *, now: datetime, clock: Clock
    ) -> int:
        """How many projects the account pays for."""
        account = _account_of(tx, object)
        return 0 if account is None else reads.count_bound_projects(tx, account=account)

    @override
    def reconcile(self, object: AccountObject, facts: int, *, now: datetime) -> BillingAccountStatus:
        """The phase that follows from the payment profile, and how many projects are bound."""
        spec, status = object.spec, object.status
        profile = spec.payment_profile
        standing = rules.assess(
            phase=status.phase,
            profile_required=self._require_payment_profile,
            profile_valid=rules.profile_is_valid(
                type=None if profile is None else profile.type,
                has_method=profile is not None and profile.payment_method_ref is not None,
            ),
        )
        return status.model_copy(
            update={
                "phase": standing.phase,
                "activated_at": status.activated_at or (rfc3339(now) if standing.ready else None),
                "linked_projects_count": facts,
                "observed_generation": object.generation,
                "conditions": set_condition(
                    status.conditions,
                    type="Ready",
                    status="True" if standing.ready else "False",
                    reason=standing.reason,
                    message=standing.message,
                    observed_generation=object.generation,
                    now=now,
                ),
            }
        )

    @override
    def project(self, tx: Tx, object: AccountObject, old: AccountObject | None, *, now: datetime) -> None:
        """accounts.accounts, and the version by which caches know that they are old."""
        store.put_account(
            tx,
            uid=object.uid,
            namespace=object.namespace,
            name=object.name,
            owner_org=object.owner_org,
            currency=object.spec.currency_code,
            time_zone=object.spec.time_zone,
            phase=object.status.phase,
            created_at=object.created_at,
            deleted_at=now if object.deleted else None,
        )


def _account_of(tx: Tx, object: AccountObject) -> int | None:
    """The surrogate number of the object's account; None before it was written."""
    account = reads.find_account(tx, namespace=object.namespace, name=object.name)
    return None if account is None else account.number


def _identity_errors(admission: AccountAdmission) -> Iterator[FieldError]:
    spec, old = admission.object.spec, admission.old
    if not is_currency(spec.currency_code):
        message = "must be a current ISO 4217 code of a currency with a minor unit"
        yield rules.invalid("spec.currencyCode", spec.currency_code, message)
    try:
        time_zone(spec.time_zone)
    except UnknownTimeZone:
        message = "must be a zone of the IANA time zone database, such as Europe/Berlin"
        yield rules.invalid("spec.timeZone", spec.time_zone, message)
    if old is None or old.status.activated_at is None:
        return
    for field, before, after in (
        ("currencyCode", old.spec.currency_code, spec.currency_code),
        ("timeZone", old.spec.time_zone, spec.time_zone),
    ):
        if before != after:
            yield rules.forbidden(
                f"spec.{field}", f"{field} is immutable once the account has been activated"
            )


def _terms_errors(admission: AccountAdmission) -> Iterator[FieldError]:
    before = None if admission.old is None else _terms_of(admission.old.spec)
    asked = rules.credit_asked(_terms_of(admission.object.spec), before=before, permission=GRANT_TERMS)
    if asked and not _is_granted_by_provider(admission):
        yield from asked


def _terms_of(spec: BillingAccountSpec) -> rules.Terms:
    on_invoice = spec.payment_profile is not None and spec.payment_profile.type == "Invoice"
    return rules.Terms(net_days=spec.payment_terms.net_days, on_invoice=on_invoice)


def _is_granted_by_provider(admission: AccountAdmission) -> bool:
    """Whether the caller is staff: an administrator of the organization itself holds everything, but only there."""
    reach = admission.authorizer.reach(admission.tx, admission.identity, GRANT_TERMS)
    return reach == "*" or PROVIDER_ORG in reach


def _contact_errors(spec: BillingAccountSpec) -> Iterator[FieldError]:
    contact = spec.contact_info
    if contact is not None:
        path = "spec.contactInfo"
        invoice_emails = [
            (f"{path}.invoiceEmails[{index}]", email)
            for index, email in enumerate(contact.invoice_emails or ())
        ]
        yield from rules.email_errors([(f"{path}.email", contact.email), *invoice_emails])
        yield from rules.duplicates(invoice_emails)
    yield from rules.duplicates(
        [(f"spec.taxIds[{index}].type", tax_id.type) for index, tax_id in enumerate(spec.tax_ids or ())]
    )


# --------------------------------------------------------------------------------- BillingAccountBinding


class BillingAccountName(Fields):
    """A billing account in the same namespace."""

    name: str = Field(min_length=1, max_length=253)


class ProjectName(Fields):
    """A project of the same organization."""

    name: str = Field(min_length=1, max_length=63)


class BillingAccountBindingSpec(Fields):
    """What is wanted of a binding. Immutable."""

    billing_account_ref: BillingAccountName
    project_ref: ProjectName
    effective_from: str | None = Field(
        default=None,
        json_schema_extra=TIMESTAMP,
        description="Since when the account pays (RFC 3339), in the past; for the first binding of a project only.",
    )


class BillingResponsibility(Fields):
    """The interval in which the account of this binding pays for the project: half-open."""

    established_at: str = Field(json_schema_extra=TIMESTAMP)
    ended_at: str | None = Field(default=None, json_schema_extra=TIMESTAMP)
    current_account: str | None = Field(
        default=None, description="The account that pays now, while it is this one."
    )


class BillingAccountBindingStatus(Fields):
    """What is true of a binding."""

    phase: Literal["Active", "Superseded"] = "Active"
    conditions: list[Condition] = Field(default_factory=list[Condition])
    billing_responsibility: BillingResponsibility | None = None
    observed_generation: int = 0


BindingObject: TypeAlias = Object[BillingAccountBindingSpec, BillingAccountBindingStatus]
BindingAdmission: TypeAlias = Admission[BillingAccountBindingSpec, BillingAccountBindingStatus]


@dataclass(frozen=True, slots=True)
class BindingFacts:
    """The interval of a binding, and the name of the binding that took its place."""

    starts_at: datetime
    ends_at: datetime | None
    successor: str | None


class BillingAccountBinding(Kind[BillingAccountBindingSpec, BillingAccountBindingStatus]):
    """Ties a project to the account that pays for it, from an instant on.

    A second binding of a project supersedes the first in the same transaction; their intervals touch.
    """

    group = GROUP
    kind = "BillingAccountBinding"
    plural = "billingaccountbindings"
    singular = "billingaccountbinding"
    short_names = ("bab",)
    namespaced = True
    description = "Which account pays for a project, and since when."
    spec_model = BillingAccountBindingSpec
    status_model = BillingAccountBindingStatus
    columns = (
        Column("Phase", ".status.phase"),
        Column("Account", ".spec.billingAccountRef.name"),
        Column("Project", ".spec.projectRef.name"),
    )
    selectable = ("spec.billingAccountRef.name", "spec.projectRef.name", "status.phase")

    @override
    def validate(self, admission: BindingAdmission) -> Iterable[FieldError]:
        """An account that can pay and a project it can pay for; nothing may change afterwards."""
        binding, old = admission.object, admission.old
        if old is not None:
            if binding.spec != old.spec:
                yield FieldError("spec", "FieldValueInvalid", 'Invalid value: "object": spec is immutable')
            return
        wanted = binding.spec.effective_from
        claim = _claim(binding)
        if wanted is not None and claim.effective_from is None:
            message = "must be an RFC 3339 timestamp such as 2026-10-01T00:00:00Z"
            yield rules.invalid("spec.effectiveFrom", wanted, message)
        if claim.effective_from is not None and not admission.may(BACKDATE):
            yield rules.forbidden(
                "spec.effectiveFrom", f"backdating a binding needs the permission {BACKDATE}"
            )
        yield from operations.check_claim(admission.tx, claim=claim, now=admission.now)

    @override
    def affects(self, tx: Tx, object: BindingObject, old: BindingObject | None) -> Sequence[Ref]:
        """The accounts that gain and lose the project, and the binding that is superseded.

        Locks the project's payer first: what is found here must still be so when the change is made.
        """
        if old is None:
            project = directory.find_project(tx, name=object.spec.project_ref.name, at=object.created_at)
            if project is None:
                return ()
            store.lock_project(tx, project=project.number)
            refs = [Ref(BillingAccount, object.namespace, object.spec.billing_account_ref.name)]
            last = reads.find_last_interval(tx, project=project.number)
            if last is not None and last.ends_at is None:
                refs += [
                    Ref(BillingAccountBinding, object.namespace, last.binding_name),
                    _payer_ref(tx, last),
                ]
            return refs
        leaves = object.deleted or (object.deletion_requested_at is not None and not object.finalizers)
        interval = reads.find_interval(tx, binding=object.uid) if leaves else None
        if interval is None:
            return ()
        store.lock_project(tx, project=interval.project)
        return [_payer_ref(tx, interval)]

    @override
    def gather(
        self, tx: Tx, object: BindingObject, old: BindingObject | None, *, now: datetime, clock: Clock
    ) -> BindingFacts:
        """The interval: of a new or leaving binding its start or end, read from the clock behind the fence.

        Raises Invalid where the ground of a new binding has gone since it was validated.
        """
        if old is None:
            starts_at = operations.decide_start(tx, claim=_claim(object), now=now, clock=clock)
            return BindingFacts(starts_at, ends_at=None, successor=None)
        interval = _interval_of(tx, object)
        if object.deleted and interval.ends_at is None:
            ends_at = operations.decide_end(tx, interval=interval, clock=clock)
            return BindingFacts(interval.starts_at, ends_at, successor=None)
        successor = reads.find_successor(tx, interval=interval)
        name = None if successor is None else successor.binding_name
        return BindingFacts(interval.starts_at, interval.ends_at, successor=name)

    @override
    def reconcile(
        self, object: BindingObject, facts: BindingFacts, *, now: datetime
    ) -> BillingAccountBindingStatus:
        """Active until another binding takes its place."""
        active = facts.successor is None
        message = (
            "Project successfully bound to billing account."
            if active
            else f"Superseded by binding {facts.successor}."
        )
        return BillingAccountBindingStatus(
            phase="Active" if active else "Superseded",
            billing_responsibility=BillingResponsibility(
                established_at=rules.format_instant(facts.starts_at),
                ended_at=None if facts.ends_at is None else rules.format_instant(facts.ends_at),
                current_account=object.spec.billing_account_ref.name if facts.ends_at is None else None,
            ),
            observed_generation=object.generation,
            conditions=set_condition(
                object.status.conditions,
                type="Bound",
                status="True" if active else "False",
                reason="SuccessfulBinding" if active else "Superseded",
                message=message,
                observed_generation=object.generation,
                now=now,
            ),
        )

    @override
    def project(self, tx: Tx, object: BindingObject, old: BindingObject | None, *, now: datetime) -> None:
        """accounts.payer_intervals, and the hold that keeps the project while it is paid for."""
        if old is None:
            operations.begin_paying(
                tx,
                claim=_claim(object),
                binding=object.uid,
                binding_name=object.name,
                starts_at=_instant(object, "established_at"),
                now=now,
            )
            return
        interval = _interval_of(tx, object)
        if object.deleted and interval.ends_at is None:
            operations.stop_paying(tx, interval=interval, ends_at=_instant(object, "ended_at"))
        elif object.deleted or object.status.phase == "Superseded":
            operations.release_project(tx, interval=interval)


def _claim(binding: BindingObject) -> rules.Claim:
    wanted = binding.spec.effective_from
    return rules.Claim(
        namespace=binding.namespace,
        account=binding.spec.billing_account_ref.name,
        project=binding.spec.project_ref.name,
        owner_org=binding.owner_org,
        effective_from=None if wanted is None else rules.parse_instant(wanted),
    )


def _interval_of(tx: Tx, binding: BindingObject) -> PayerInterval:
    interval = reads.find_interval(tx, binding=binding.uid)
    if interval is None:
        raise LookupError(f"binding {binding.namespace}/{binding.name} ({binding.uid}) has no payer interval")
    return interval


def _payer_ref(tx: Tx, interval: PayerInterval) -> Ref:
    account = reads.get_account(tx, number=interval.account)
    return Ref(BillingAccount, account.namespace, account.name)


def _instant(binding: BindingObject, edge: Literal["established_at", "ended_at"]) -> datetime:
    """An edge of the interval as reconcile has put it into the status."""
    responsibility = binding.status.billing_responsibility
    text: str | None = None if responsibility is None else getattr(responsibility, edge)
    instant = None if text is None else rules.parse_instant(text)
    if instant is None:
        raise ValueError(f"binding {binding.namespace}/{binding.name} has no {edge} in its status")
    return instant


KINDS: tuple[type[AnyKind], ...] = (BillingAccount, BillingAccountBinding)
