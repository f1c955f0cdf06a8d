"""BillingAccountBinding: which account pays for a project, and since when."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Literal, TypeAlias

from pydantic import Field
from typing_extensions import override

from milo_billing.accounts import operations, store
from milo_billing.accounts.reads import accounts as account_reads
from milo_billing.accounts.reads import payers as payer_reads
from milo_billing.accounts.resources.account_fields import GROUP, TIMESTAMP, BillingAccountName
from milo_billing.accounts.resources.accounts import BillingAccount
from milo_billing.accounts.rules import timeline, wording
from milo_billing.accounts.types import PayerInterval, Rebinding
from milo_billing.controlplane.kinds import (
    Admission,
    Column,
    Condition,
    Conditions,
    Fields,
    Kind,
    Object,
    Ref,
    set_condition,
)
from milo_billing.directory import reads as directory
from milo_billing.infra.clock import Clock
from milo_billing.infra.database import Tx
from milo_billing.kernel.errors import FieldError

BACKDATE = f"{GROUP}/billingaccountbindings.backdate"
"""Permission to let a project's first binding begin in the past."""


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
    conditions: Conditions = Field(default_factory=list[Condition])
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
    settles_late = True  # an account counts its projects; whether it can pay does not hang on the count

    def __init__(self, *, rebinding: Rebinding = "supersede") -> None:
        """`rebinding` says what a second binding of a project does (server setting accounts.rebinding)."""
        self._rebinding: Rebinding = rebinding

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
            yield wording.invalid("spec.effectiveFrom", wanted, message)
        if claim.effective_from is not None and not admission.may(BACKDATE):
            yield wording.forbidden(
                "spec.effectiveFrom", f"backdating a binding needs the permission {BACKDATE}"
            )
        yield from operations.check_claim(
            admission.tx, claim=claim, rebinding=self._rebinding, now=admission.now
        )

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
            last = payer_reads.find_last_interval(tx, project=project.number)
            if last is not None and last.ends_at is None:
                refs += [
                    Ref(BillingAccountBinding, object.namespace, last.binding_name),
                    _payer_ref(tx, last),
                ]
            return refs
        leaves = object.deleted or (object.deletion_requested_at is not None and not object.finalizers)
        interval = payer_reads.find_interval(tx, binding=object.uid) if leaves else None
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
            starts_at = operations.decide_start(
                tx, claim=_claim(object), rebinding=self._rebinding, now=now, clock=clock
            )
            return BindingFacts(starts_at, ends_at=None, successor=None)
        interval = _interval_of(tx, object)
        if object.deleted and interval.ends_at is None:
            ends_at = operations.decide_end(tx, interval=interval, clock=clock)
            return BindingFacts(interval.starts_at, ends_at, successor=None)
        successor = payer_reads.find_successor(tx, interval=interval)
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
                established_at=timeline.format_instant(facts.starts_at),
                ended_at=None if facts.ends_at is None else timeline.format_instant(facts.ends_at),
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


def _claim(binding: BindingObject) -> timeline.Claim:
    wanted = binding.spec.effective_from
    return timeline.Claim(
        namespace=binding.namespace,
        account=binding.spec.billing_account_ref.name,
        project=binding.spec.project_ref.name,
        owner_org=binding.owner_org,
        effective_from=None if wanted is None else timeline.parse_instant(wanted),
    )


def _interval_of(tx: Tx, binding: BindingObject) -> PayerInterval:
    interval = payer_reads.find_interval(tx, binding=binding.uid)
    if interval is None:
        raise LookupError(f"binding {binding.namespace}/{binding.name} ({binding.uid}) has no payer interval")
    return interval


def _payer_ref(tx: Tx, interval: PayerInterval) -> Ref:
    account = account_reads.get_account(tx, number=interval.account)
    return Ref(BillingAccount, account.namespace, account.name)


def _instant(binding: BindingObject, edge: Literal["established_at", "ended_at"]) -> datetime:
    """An edge of the interval as reconcile has put it into the status."""
    responsibility = binding.status.billing_responsibility
    text: str | None = None if responsibility is None else getattr(responsibility, edge)
    instant = None if text is None else timeline.parse_instant(text)
    if instant is None:
        raise ValueError(f"binding {binding.namespace}/{binding.name} has no {edge} in its status")
    return instant
