"""Commitment: what an account has promised, once it was accepted."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from datetime import date, datetime
from typing import TypeAlias
from uuid import UUID

from pydantic import Field
from typing_extensions import override

from milo_billing.accounts import operations as billing
from milo_billing.accounts.reads import accounts as account_reads
from milo_billing.accounts.types import BILLING_SHARES, Account
from milo_billing.catalog import operations as catalog
from milo_billing.commitments import reads, store
from milo_billing.commitments.resources.fields import (
    AccountName,
    Amount,
    Currency,
    Day,
    Percentage,
    SkuSelectorFields,
    SkuSelectors,
    body_of,
)
from milo_billing.commitments.resources.reporting import ended_intervals, report_account
from milo_billing.commitments.rules import admission as rules
from milo_billing.commitments.rules import specificity, standing, wording
from milo_billing.commitments.rules.bodies import parse_promise
from milo_billing.commitments.types import (
    GROUP,
    CommitmentPhase,
    Interval,
    Promise,
    RenewalPolicy,
    Stacking,
    UnableToAccept,
    ViolationPolicy,
)
from milo_billing.controlplane.holds import hold, release
from milo_billing.controlplane.kinds import (
    Admission,
    Column,
    Condition,
    Conditions,
    Fields,
    Json,
    Kind,
    Object,
    Reported,
    rfc3339,
    set_condition,
)
from milo_billing.infra.clock import Clock
from milo_billing.infra.database import Tx
from milo_billing.kernel.errors import BadRequest, Conflict, FieldError, Invalid
from milo_billing.kernel.periods import local_day, local_midnight

SLICE = "commitments"


class MinimumSpendFields(Fields):
    """What is spent at least in each interval, after discounts, before tax and credits."""

    amount: Amount
    currency_code: Currency = Field(description="The account's.")
    interval: Interval = Field(description="One, three or twelve rating periods, or the whole term.")
    sku_selectors: SkuSelectors = Field(default_factory=list[SkuSelectorFields])


class SkuDiscountFields(Fields):
    """A percentage off; exactly one of a commitment applies to a Sku."""

    percentage: Percentage
    sku_selectors: SkuSelectors = Field(default_factory=list[SkuSelectorFields])
    priority: int | None = Field(
        default=None,
        ge=0,
        le=1000,
        description="Higher goes first, then the selector with more keys. Required with CEL.",
    )


class PrepaymentFields(Fields):
    """What is paid at the start of each term and goes down with what is charged; the rest is lost at its end."""

    amount: Amount


class ProtectedResource(Fields):
    """An object of the same organization that cannot be deleted before the term has ended."""

    type: str = Field(
        pattern=r"^[a-z0-9.-]{1,190}/[a-z]{1,63}$",
        description="API group and plural, for example resourcemanager.miloapis.com/projects.",
    )
    name: str = Field(min_length=1, max_length=253)


class ViolationPolicyFields(Fields):
    """What happens when an interval ends below its minimum."""

    type: ViolationPolicy = Field(
        default="TrueUp",
        description="TrueUp charges what is missing, GracePeriod so many days later, NotifyOnly never.",
    )
    days: int = Field(default=0, ge=0, le=90, description="Of grace; with GracePeriod only.")


class CommitmentSpec(Fields):
    """What is promised. Immutable once accepted, but for the renewal."""

    billing_account_ref: AccountName
    starts_on: Day = Field(description="From local midnight of this date of the account.")
    term_months: int = Field(ge=1, le=120)
    minimum_spends: list[MinimumSpendFields] = Field(default_factory=list[MinimumSpendFields], max_length=20)
    sku_discounts: list[SkuDiscountFields] = Field(default_factory=list[SkuDiscountFields], max_length=50)
    stacking: Stacking = Field(
        default="Refuse",
        description="Beside another commitment on the same Skus: not at all, or the higher percentage of both.",
    )
    prepayment: PrepaymentFields | None = None
    overage_factor: str | None = Field(
        default=None,
        pattern=r"^[0-9]{1,3}(\.[0-9]{1,6})?$",
        description="How often spend beyond the one minimum counts.",
    )
    resources: list[ProtectedResource] = Field(default_factory=list[ProtectedResource], max_length=50)
    violation_policy: ViolationPolicyFields = Field(default=ViolationPolicyFields())
    renewal_policy: RenewalPolicy = Field(
        default="None", description="Restart begins another term with the same promise, until it is None."
    )
    tax_category: str = Field(
        default="standard", min_length=1, max_length=64, description="Of what the commitment itself charges."
    )


class Acceptance(Fields):
    """Who accepted, and when."""

    accepted_by: str
    accepted_at: str = Field(json_schema_extra={"format": "date-time"})


class Termination(Fields):
    """Who ended the commitment before its time, when and why."""

    terminated_by: str
    terminated_at: str = Field(json_schema_extra={"format": "date-time"})
    reason: str = Field(max_length=1024)


class CommitmentStatus(Fields):
    """What is true of a commitment. Progress is live: at …/commitments/<name>/summary."""

    phase: CommitmentPhase = "Pending"
    acceptance: Acceptance | None = None
    termination: Termination | None = None
    ends_on: Day | None = Field(default=None, description="The first day after it; none while it renews.")
    conditions: Conditions = Field(default_factory=list[Condition])
    observed_generation: int = 0


CommitmentObject: TypeAlias = Object[CommitmentSpec, CommitmentStatus]
CommitmentAdmission: TypeAlias = Admission[CommitmentSpec, CommitmentStatus]


@dataclass(frozen=True, slots=True)
class CommitmentFacts:
    """What a commitment's status follows from, beside itself."""

    today: date
    ends_on: date | None
    shortfalls: tuple[standing.EndedInterval, ...]


class CommitmentKind(Kind[CommitmentSpec, CommitmentStatus]):
    """A promise of an account for a term: minimum spends, discounts for it, prepaid money, resources that stay."""

    group = GROUP
    kind = "Commitment"
    plural = "commitments"
    singular = "commitment"
    namespaced = True
    description = "What an account has promised: minimum spends, the discounts for it, prepaid money."
    spec_model = CommitmentSpec
    status_model = CommitmentStatus
    columns = (
        Column("Phase", ".status.phase"),
        Column("Account", ".spec.billingAccountRef.name"),
        Column("Starts", ".spec.startsOn"),
        Column("Ends", ".status.endsOn"),
    )
    selectable = ("spec.billingAccountRef.name", "status.phase")
    actions = ("accept", "terminate")
    # the provider offers and ends, the customer accepts: nobody grants a discount to himself
    provider_only = frozenset(
        {"create", "update", "patch", "delete", "deletecollection", "updateStatus", "terminate"}
    )

    @override
    def validate(self, admission: CommitmentAdmission) -> Iterable[FieldError]:
        """A promise that can be kept, of an account that there is; and no change once it was accepted."""
        new, old = admission.object, admission.old
        if old is not None and old.status.acceptance is not None:
            if new.spec.model_copy(update={"renewal_policy": old.spec.renewal_policy}) != old.spec:
                message = "an accepted commitment is immutable but for renewalPolicy; offer another one"
                yield wording.forbidden("spec", message)
            return
        faults = list(promise_faults(new.spec))
        yield from faults
        if any(fault.field == "spec.startsOn" for fault in faults):
            return
        yield from _reference_errors(admission.tx, new)

    @override
    def validate_delete(self, admission: CommitmentAdmission) -> None:
        """Raise Conflict once it was accepted: what was charged must stay explained."""
        if admission.object.status.acceptance is not None:
            raise Conflict(
                f'commitment "{admission.object.name}" was accepted and stays; terminate it to end it before its time'
            )

    @override
    def accept_status(self, admission: CommitmentAdmission) -> CommitmentStatus:
        """The phase follows from the promise, and acceptance is an action; conditions of others are taken."""
        before = (admission.old or admission.object).status
        own = [one for one in before.conditions if one.type in standing.OWN_CONDITIONS]
        others = [
            one for one in admission.object.status.conditions if one.type not in standing.OWN_CONDITIONS
        ]
        return before.model_copy(update={"conditions": [*own, *others]})

    @override
    def act(self, admission: CommitmentAdmission, *, action: str, request: Json) -> CommitmentStatus:
        """accept, terminate."""
        status = admission.object.status
        if action == "accept":
            _check_fields(request, but=())
            if status.acceptance is not None:
                return status
            _check_acceptable(admission)
            accepted = Acceptance(accepted_by=admission.identity.user, accepted_at=rfc3339(admission.now))
            return status.model_copy(update={"acceptance": accepted})
        if action == "terminate":
            _check_fields(request, but=("reason",))
            return _terminated(admission, reason=request.get("reason"))
        raise LookupError(f"commitments have no action {action!r}")

    @override
    def gather(
        self, tx: Tx, object: CommitmentObject, old: CommitmentObject | None, *, now: datetime, clock: Clock
    ) -> CommitmentFacts:
        """The day in the account's zone, where the commitment ends, and how its ended intervals stood."""
        account = _account(tx, object)
        if account is None and old is None:
            raise Invalid(
                [wording.missing("spec.billingAccountRef.name", object.spec.billing_account_ref.name)]
            )
        if account is None:  # an offer that nobody accepted outlives its account, and can still be taken back
            return CommitmentFacts(now.date(), _ends_on(object, old, today=now.date()), ())
        today = local_day(now, zone=account.time_zone)
        ended = ended_intervals(tx, object.uid, account)
        return CommitmentFacts(today, _ends_on(object, old, today=today), ended)

    @override
    def reconcile(
        self, object: CommitmentObject, facts: CommitmentFacts, *, now: datetime
    ) -> CommitmentStatus:
        """Phase, end and conditions, from the calendar and from how ended intervals stood."""
        status = object.status
        promise = _promise(object.spec, ends_on=facts.ends_on)
        found = standing.assess(
            promise,
            accepted=status.acceptance is not None,
            terminated=status.termination is not None,
            today=facts.today,
            ended=facts.shortfalls,
        )
        conditions = status.conditions
        for type, finding in (
            ("CommitmentActive", found.active),
            ("CommitmentViolation", found.violation),
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
                "ends_on": None if facts.ends_on is None else facts.ends_on.isoformat(),
                "conditions": conditions,
                "observed_generation": object.generation,
            }
        )

    @override
    def project(
        self, tx: Tx, object: CommitmentObject, old: CommitmentObject | None, *, now: datetime
    ) -> None:
        """commitments.commitments, and the holds on protected resources from acceptance to the end."""
        if object.deleted:
            store.delete_commitment(tx, uid=object.uid)
            return
        account = _account(tx, object)
        if account is None:
            return
        spec, status = object.spec, object.status
        ends_on = None if status.ends_on is None else date.fromisoformat(status.ends_on)
        promise = _promise(spec, ends_on=ends_on)
        store.put_commitment(
            tx,
            uid=object.uid,
            owner_org=object.owner_org,
            namespace=object.namespace,
            name=object.name,
            account=account.number,
            currency=account.currency,
            starts_on=promise.starts_on,
            ends_on=ends_on,
            accepted_at=None
            if status.acceptance is None
            else datetime.fromisoformat(status.acceptance.accepted_at),
            covers_all=specificity.covers_everything(promise),
            stacks=promise.stacking != "Refuse",
            body=body_of(spec),
        )
        if status.acceptance is not None:
            _protect(tx, object, account, now=now)

    @override
    def reports(self, tx: Tx, object: CommitmentObject, *, now: datetime) -> Iterable[Reported]:
        """CommitmentMet of the account, from acceptance on."""
        account = _account(tx, object)
        if account is None or object.status.acceptance is None:
            return ()
        return report_account(tx, number=account.number, now=now)


def _protect(tx: Tx, object: CommitmentObject, account: Account, *, now: datetime) -> None:
    """Hold the account and the resources while the commitment has not ended; afterwards let them go."""
    reason = f"commitment {object.uid} protects it during its term"
    found = (_find_resource(tx, object, resource) for resource in object.spec.resources)
    for uid in (account.uid, *(uid for uid in found if uid is not None)):
        if object.status.phase in ("Pending", "Active"):
            hold(tx, uid=uid, slice=SLICE, reason=reason, at=now)
        else:
            release(tx, uid=uid, slice=SLICE, reason=reason)


def _find_resource(tx: Tx, object: CommitmentObject, resource: ProtectedResource) -> UUID | None:
    group, _, plural = resource.type.partition("/")
    return reads.find_object(
        tx,
        group=group,
        plural=plural,
        namespace=object.namespace,
        name=resource.name,
        owner_org=object.owner_org,
    )


def promise_faults(spec: CommitmentSpec) -> Iterator[FieldError]:
    """What is wrong with a promise by itself; where its date is, nothing else is looked at."""
    undated = list(rules.date_errors("spec.startsOn", spec.starts_on))
    if undated:
        yield from undated
        return
    promise = _promise(spec, ends_on=None)
    yield from rules.promise_errors(promise, resources=len(spec.resources))
    yield from rules.tie_errors(promise)
    for part, parts in (("minimumSpends", promise.minimums), ("skuDiscounts", promise.discounts)):
        for index, one in enumerate(parts):
            path = f"spec.{part}[{index}].skuSelectors"
            yield from catalog.check_selectors(one.selectors, path=path)


def currency_faults(spec: CommitmentSpec, account: Account) -> Iterator[FieldError]:
    """Minimum spends in another currency than the account's."""
    for index, minimum in enumerate(spec.minimum_spends):
        if minimum.currency_code != account.currency:
            field = f"spec.minimumSpends[{index}].currencyCode"
            message = f'billing account "{account.name}" is in {account.currency}'
            yield wording.invalid(field, minimum.currency_code, message)


def promised(spec: CommitmentSpec) -> Promise:
    """The promise as it would stand once it was accepted on its first day."""
    promise = _promise(spec, ends_on=None)
    if spec.renewal_policy == "Restart":
        return promise
    return replace(promise, ends_on=rules.end_of_term(promise, today=promise.starts_on))


def _promise(spec: CommitmentSpec, *, ends_on: date | None) -> Promise:
    return parse_promise(body_of(spec), ends_on=ends_on)


def _account(tx: Tx, object: CommitmentObject) -> Account | None:
    return account_reads.find_account(
        tx, namespace=object.namespace, name=object.spec.billing_account_ref.name
    )


def _reference_errors(tx: Tx, object: CommitmentObject) -> Iterator[FieldError]:
    spec, account = object.spec, _account(tx, object)
    name = spec.billing_account_ref.name
    if account is None:
        yield wording.missing("spec.billingAccountRef.name", name)
    elif account.phase == "Archived":
        message = f'billing account "{name}" is archived and read-only'
        yield wording.forbidden("spec.billingAccountRef.name", message)
    if account is not None:
        yield from currency_faults(spec, account)
    for index, resource in enumerate(spec.resources):
        if _find_resource(tx, object, resource) is None:
            yield wording.missing(f"spec.resources[{index}].name", resource.name)


def _ends_on(object: CommitmentObject, old: CommitmentObject | None, *, today: date) -> date | None:
    """The first day after the commitment; None while it renews.

    A renewal that was taken back lets the running term be the last one; that end then stays.
    """
    status, spec = object.status, object.spec
    if status.termination is not None and status.ends_on is not None:
        return date.fromisoformat(status.ends_on)
    if spec.renewal_policy == "Restart":
        return None
    promise = _promise(spec, ends_on=None)
    renewed = old is not None and old.spec.renewal_policy == "Restart"
    if status.acceptance is not None and renewed:
        return rules.end_of_term(promise, today=today)
    if status.acceptance is not None and status.ends_on is not None:
        return date.fromisoformat(status.ends_on)
    return rules.end_of_term(promise, today=promise.starts_on)


# -------------------------------------------------------------------------------------------------- actions


def _check_acceptable(admission: CommitmentAdmission) -> None:
    """Raise UnableToAccept with what stands against it, under the lock of what the account promises."""
    tx, object = admission.tx, admission.object
    account = _account(tx, object)
    if account is None or account.phase == "Archived":
        raise UnableToAccept(
            f'billing account "{object.spec.billing_account_ref.name}" is archived or gone: a commitment needs one '
            "that can be charged"
        )
    store.lock_promises(tx, account=account.number)
    ends_on = _ends_on(object, object, today=local_day(admission.now, zone=account.time_zone))
    promise = _promise(object.spec, ends_on=ends_on)
    if ends_on is not None and local_midnight(ends_on, zone=account.time_zone) <= admission.now:
        raise UnableToAccept(
            f'commitment "{object.name}" ended on {ends_on}; offer one with a later startsOn'
        )
    # until the transaction ends nobody invoices days of the promise without it
    billing.hold_billing_shared(tx, shares={account.number % BILLING_SHARES})
    billed = account_reads.find_billed_until(tx, account=account.number)
    if billed is not None and local_midnight(promise.starts_on, zone=account.time_zone) < billed:
        raise UnableToAccept(
            f'commitment "{object.name}" starts on {promise.starts_on}, within an invoiced period (until '
            f"{local_day(billed, zone=account.time_zone)}); offer one with a later startsOn"
        )
    others = rules.rivals(promise, reads.list_commitments(tx, account=account.number))
    if others:
        raise UnableToAccept(
            f'commitment "{object.name}" may be about the same Skus at the same time as "{others[0].name}": make their '
            "selectors or terms differ, or offer both with stacking Best"
        )


def _terminated(admission: CommitmentAdmission, *, reason: object) -> CommitmentStatus:
    object, status = admission.object, admission.object.status
    if not isinstance(reason, str) or not 0 < len(reason) <= 1024:
        raise Invalid([wording.required("reason", "why the commitment ends, in at most 1024 characters")])
    if status.acceptance is None:
        raise Conflict(f'commitment "{object.name}" was not accepted; delete it')
    if status.phase not in ("Pending", "Active"):
        raise Conflict(f'commitment "{object.name}" is over: it is {status.phase}')
    account = _account(admission.tx, object)
    assert account is not None, "an accepted commitment keeps its account"
    today = local_day(admission.now, zone=account.time_zone)
    starts_on = date.fromisoformat(object.spec.starts_on)
    termination = Termination(
        terminated_by=admission.identity.user, terminated_at=rfc3339(admission.now), reason=reason
    )
    # the day of a change belongs to what comes after it
    return status.model_copy(
        update={"termination": termination, "ends_on": max(today, starts_on).isoformat()}
    )


def _check_fields(request: Json, *, but: tuple[str, ...]) -> None:
    unknown = [f'unknown field "{name}"' for name in request if name not in but]
    if unknown:
        raise BadRequest("strict decoding error: " + ", ".join(unknown))
