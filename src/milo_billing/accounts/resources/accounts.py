"""BillingAccount: who pays. Its phase follows from its payment profile, and from what authorised people decide."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TypeAlias

from typing_extensions import override

from milo_billing.accounts import operations, store
from milo_billing.accounts.ports import OpenInterest
from milo_billing.accounts.reads import accounts as account_reads
from milo_billing.accounts.reads import payers as payer_reads
from milo_billing.accounts.reads import tree as tree_reads
from milo_billing.accounts.resources import account_actions
from milo_billing.accounts.resources.account_fields import (
    GROUP,
    BillingAccountSpec,
    BillingAccountStatus,
)
from milo_billing.accounts.rules import contact, profiles, standing, terms, tree, wording
from milo_billing.controlplane.kinds import (
    PROVIDER_ORG,
    Admission,
    Column,
    Json,
    Kind,
    Object,
    Ref,
    rfc3339,
    set_condition,
)
from milo_billing.infra.clock import Clock
from milo_billing.infra.database import Tx
from milo_billing.kernel.errors import Conflict, FieldError, Invalid
from milo_billing.kernel.money import is_currency
from milo_billing.kernel.periods import UnknownTimeZone, local_day, time_zone

GRANT_TERMS = f"{GROUP}/billingaccounts.grantTerms"
"""Permission of the provider's staff to grant credit: long terms, payment by invoice."""
LATE_DAYS_MAX = 30
"""Days during which usage may arrive late, where the server says nothing else."""

AccountObject: TypeAlias = Object[BillingAccountSpec, BillingAccountStatus]
AccountAdmission: TypeAlias = Admission[BillingAccountSpec, BillingAccountStatus]


@dataclass(frozen=True, slots=True)
class AccountFacts:
    """What an account's status follows from, beside itself. `payer`: the other account invoiced for it, if any."""

    projects: int
    payment: standing.Finding
    payer: str | None


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
    personal = ("spec.contactInfo", "spec.taxIds", "spec.taxExemptions")
    actions = account_actions.ACTIONS
    # who could lift his own suspension, or settle with himself, would
    provider_only = frozenset({"suspend", "reactivate", "archive", "updateStatus"})

    def __init__(
        self,
        *,
        require_payment_profile: bool = True,
        late_days_max: int = LATE_DAYS_MAX,
        open_interest: OpenInterest | None = None,
    ) -> None:
        """What the server's settings say of accounts, and what is known above of what they owe.

        `require_payment_profile` False lets accounts become ready without one (accounts.requirePaymentProfile).
        `late_days_max`: for so many days after its last project an account may still receive usage.
        `open_interest`: what keeps an account from being archived that the books do not know yet.
        """
        self._require_payment_profile = require_payment_profile
        self._archiving = account_actions.Archiving(late_days_max, open_interest)

    @override
    def validate(self, admission: AccountAdmission) -> Iterable[FieldError]:
        """Currency, zone, terms, contact and place; and what must not change once activated, or archived."""
        yield from _archived_errors(admission)
        yield from _identity_errors(admission)
        yield from _terms_errors(admission)
        yield from _contact_errors(admission.object.spec)
        yield from _exemption_errors(admission)
        place = _place(admission.object)
        if admission.old is None or place != _place(admission.old):
            yield from operations.check_place(admission.tx, place=place)

    @override
    def validate_delete(self, admission: AccountAdmission) -> None:
        """Raise Conflict while the account pays for a project, or has accounts below it."""
        account = _account_of(admission.tx, admission.object)
        if account is None:
            return
        bound = payer_reads.find_active_interval(admission.tx, account=account)
        if bound is not None:
            raise Conflict(
                f'billing account has active binding "{bound.binding_name}" for project "{bound.project_name}"; '
                "remove all bindings before deleting"
            )
        below = tree_reads.list_sub_accounts(admission.tx, account=account, archived=True, limit=1)
        if below:
            raise Conflict(
                f'billing account has sub-account "{below[0]}"; delete or move all sub-accounts before deleting'
            )

    @override
    def accept_status(self, admission: AccountAdmission) -> BillingAccountStatus:
        """A phase that only an action sets is an action; conditions of other slices are taken as they are."""
        return account_actions.accept_status(admission, archiving=self._archiving)

    @override
    def act(self, admission: AccountAdmission, *, action: str, request: Json) -> BillingAccountStatus:
        """suspend, reactivate, archive."""
        return account_actions.act(admission, action=action, request=request, archiving=self._archiving)

    @override
    def affects(self, tx: Tx, object: AccountObject, old: AccountObject | None) -> Sequence[Ref]:
        """The accounts that are invoiced together with this one: what it can pay with, they can.

        Locks the organization's trees first: what is found here must still be so when the change is made.
        """
        if old is None:
            replants = object.spec.parent_ref is not None
        else:
            replants = object.deleted or _place(object) != _place(old)
        store.lock_tree(tx, owner_org=object.owner_org, exclusive=replants)
        account = _account_of(tx, object)
        if account is None:
            return ()
        below = tree_reads.list_consolidated(tx, account=account)
        return [Ref(BillingAccount, node.namespace, node.name) for node in below]

    @override
    def gather(
        self, tx: Tx, object: AccountObject, old: AccountObject | None, *, now: datetime, clock: Clock
    ) -> AccountFacts:
        """How many projects the account pays for, and what it pays with.

        Raises Invalid or Conflict where the ground of a new place or of archiving has gone since it was validated.
        """
        if not object.deleted and (old is None or _place(object) != _place(old)):
            errors = operations.check_place(tx, place=_place(object))
            if errors:
                raise Invalid(errors)
        if old is not None and object.status.phase == "Archived" != old.status.phase:
            account_actions.check_archive(tx, object, approved=True, archiving=self._archiving, now=now)
        account = _account_of(tx, object)
        profile = object.spec.payment_profile
        payment, payer = operations.assess_payment(
            tx,
            account=object.uid,
            namespace=object.namespace,
            type=None if profile is None else profile.type,
            method=_method_name(object.spec),
            invoiced_above=object.spec.parent_ref.name
            if object.spec.parent_ref is not None and object.spec.billing_mode == "Parent"
            else None,
        )
        projects = 0 if account is None else payer_reads.count_bound_projects(tx, account=account)
        return AccountFacts(projects, payment, payer)

    @override
    def reconcile(self, object: AccountObject, facts: AccountFacts, *, now: datetime) -> BillingAccountStatus:
        """The phase that follows from the payment profile, and how many projects are bound."""
        status = object.status
        found = standing.assess(
            phase=status.phase, payment=facts.payment, payment_required=self._require_payment_profile
        )
        invoicing = standing.assess_invoicing(
            has_contact=object.spec.contact_info is not None, payer=facts.payer
        )
        conditions = status.conditions
        for type, finding in (
            ("Ready", standing.Finding(found.ready, found.reason, found.message)),
            ("PaymentReady", facts.payment),
            ("InvoicingReady", invoicing),
        ):
            conditions = set_condition(
                conditions,
                type=type,
                status="True" if finding.holds else "False",
                reason=finding.reason,
                message=finding.message,
                observed_generation=object.generation,
                now=now,
            )
        return status.model_copy(
            update={
                "phase": found.phase,
                "activated_at": status.activated_at or (rfc3339(now) if found.ready else None),
                "linked_projects_count": facts.projects,
                "observed_generation": object.generation,
                "conditions": conditions,
            }
        )

    @override
    def project(self, tx: Tx, object: AccountObject, old: AccountObject | None, *, now: datetime) -> None:
        """accounts.accounts, the version by which caches know that they are old, and the history of invoice days."""
        spec = object.spec
        store.put_account(
            tx,
            uid=object.uid,
            namespace=object.namespace,
            name=object.name,
            owner_org=object.owner_org,
            currency=spec.currency_code,
            time_zone=spec.time_zone,
            phase=object.status.phase,
            created_at=object.created_at,
            deleted_at=now if object.deleted else None,
            parent=operations.get_parent(tx, place=_place(object)),
            billing_mode=spec.billing_mode,
            invoice_day=spec.payment_terms.invoice_day_of_month,
            invoice_frequency=spec.payment_terms.invoice_frequency,
            profile_type=None if spec.payment_profile is None else spec.payment_profile.type,
            payment_method=_method_name(spec),
        )
        operations.keep_invoice_day(tx, uid=object.uid, today=local_day(now, zone=spec.time_zone))


def _account_of(tx: Tx, object: AccountObject) -> int | None:
    """The surrogate number of the object's account; None before it was written."""
    account = account_reads.find_account(tx, namespace=object.namespace, name=object.name)
    return None if account is None else account.number


def _method_name(spec: BillingAccountSpec) -> str | None:
    profile = spec.payment_profile
    return None if profile is None or profile.payment_method_ref is None else profile.payment_method_ref.name


def _place(object: AccountObject) -> tree.Place:
    spec = object.spec
    return tree.Place(
        namespace=object.namespace,
        name=object.name,
        parent=None if spec.parent_ref is None else (spec.parent_ref.namespace, spec.parent_ref.name),
        mode=spec.billing_mode,
        currency=spec.currency_code,
        time_zone=spec.time_zone,
        invoice_day=spec.payment_terms.invoice_day_of_month,
        invoice_frequency=spec.payment_terms.invoice_frequency,
    )


def _archived_errors(admission: AccountAdmission) -> Iterator[FieldError]:
    new, old = admission.object, admission.old
    if old is None or old.status.phase != "Archived":
        return
    for field, changed in (("spec", new.spec != old.spec), ("metadata.labels", new.labels != old.labels)):
        if changed:
            yield wording.forbidden(field, f'billing account "{new.name}" is archived and read-only')


def _identity_errors(admission: AccountAdmission) -> Iterator[FieldError]:
    spec, old = admission.object.spec, admission.old
    if not is_currency(spec.currency_code):
        message = "must be a current ISO 4217 code of a currency with a minor unit"
        yield wording.invalid("spec.currencyCode", spec.currency_code, message)
    try:
        time_zone(spec.time_zone)
    except UnknownTimeZone:
        message = "must be a zone of the IANA time zone database, such as Europe/Berlin"
        yield wording.invalid("spec.timeZone", spec.time_zone, message)
    if old is None or old.status.activated_at is None:
        return
    for field, before, after in (
        ("currencyCode", old.spec.currency_code, spec.currency_code),
        ("timeZone", old.spec.time_zone, spec.time_zone),
    ):
        if before != after:
            yield wording.forbidden(
                f"spec.{field}", f"{field} is immutable once the account has been activated"
            )


def _terms_errors(admission: AccountAdmission) -> Iterator[FieldError]:
    before = None if admission.old is None else _terms_of(admission.old.spec)
    asked = terms.credit_asked(_terms_of(admission.object.spec), before=before, permission=GRANT_TERMS)
    if asked and not _is_granted_by_provider(admission):
        yield from asked


def _terms_of(spec: BillingAccountSpec) -> terms.Terms:
    on_invoice = spec.payment_profile is not None and spec.payment_profile.type == "Invoice"
    said = spec.payment_terms.model_dump(by_alias=True)
    return terms.Terms(
        net_days=spec.payment_terms.net_days, on_invoice=on_invoice, time=profiles.read_time_terms(said)
    )


def _is_granted_by_provider(admission: AccountAdmission) -> bool:
    """Whether the caller is staff: an administrator of the organization itself holds everything, but only there."""
    reach = admission.authorizer.reach(admission.tx, admission.identity, GRANT_TERMS)
    return reach == "*" or PROVIDER_ORG in reach


def _contact_errors(spec: BillingAccountSpec) -> Iterator[FieldError]:
    info = spec.contact_info
    if info is not None:
        path = "spec.contactInfo"
        invoice_emails = [
            (f"{path}.invoiceEmails[{index}]", email) for index, email in enumerate(info.invoice_emails or ())
        ]
        yield from contact.email_errors([(f"{path}.email", info.email), *invoice_emails])
        yield from wording.duplicates(invoice_emails)
        if info.address is not None:
            yield from contact.country_errors(f"{path}.address.country", info.address.country)
    tax_ids = [(tax_id.type, tax_id.value) for tax_id in spec.tax_ids or ()]
    yield from contact.tax_id_errors(tax_ids, field="spec.taxIds")


def _exemption_errors(admission: AccountAdmission) -> Iterator[FieldError]:
    """Who declared himself exempt would pay no tax: only the provider does, who has seen the certificate."""
    exemptions = admission.object.spec.tax_exemptions or []
    for index, one in enumerate(exemptions):
        field = f"spec.taxExemptions[{index}]"
        yield from contact.country_errors(f"{field}.country", one.country)
        yield from contact.day_errors(f"{field}.since", one.since, f"{field}.until", one.until)
    before = (admission.old and admission.old.spec.tax_exemptions) or []
    added = [index for index, one in enumerate(exemptions) if one not in before]
    if added and not _is_granted_by_provider(admission):
        message = f"an exemption is for the provider to declare: needs {GRANT_TERMS} of the provider"
        yield wording.forbidden(f"spec.taxExemptions[{added[0]}]", message)
