"""Verbs about who pays: the fence, and how a payer begins and stops paying."""

from datetime import datetime
from uuid import UUID

from milo_billing.accounts import reads, rules, store
from milo_billing.accounts.types import PayerInterval
from milo_billing.directory import reads as directory
from milo_billing.infra.clock import Clock
from milo_billing.infra.database import Tx
from milo_billing.kernel.errors import FieldError, Invalid


def hold_fence(tx: Tx, *, exclusive: bool) -> None:
    """Hold the fence between attribution and changes of payer until the transaction ends.

    Shared: what this transaction reads of payers stays true until it commits. Exclusive: nobody attributes
    meanwhile, and an instant read from the clock after this call is later than everything attributed before.
    Take it after the locks on objects.
    """
    store.lock_fence(tx, exclusive=exclusive)


def mark_billed(tx: Tx, *, account: int, until: datetime) -> None:
    """Tell that the account has been invoiced up to `until`, so that no binding is backdated before it.

    Takes the fence shared, so that a binding being backdated meanwhile is either seen by the invoice or sees this.
    Saying it again, or an earlier instant, changes nothing.
    """
    store.lock_fence(tx, exclusive=False)
    store.raise_billed(tx, account=account, until=until)


def check_claim(tx: Tx, *, claim: rules.Claim, now: datetime) -> tuple[FieldError, ...]:
    """What stands against a new payer, as this transaction sees the world now."""
    account = reads.find_account(tx, namespace=claim.namespace, name=claim.account)
    project = directory.find_project(tx, name=claim.project, at=now)
    bindable = project is not None and project.owner_org == claim.owner_org
    last = reads.find_last_interval(tx, project=project.number) if project is not None and bindable else None
    bearer = directory.find_project(tx, name=claim.project, at=claim.effective_from or now)
    ground = rules.Ground(
        account_phase=None if account is None else account.phase,
        account_being_deleted=account is not None and reads.is_being_deleted(tx, account=account.number),
        billed_until=None if account is None else reads.find_billed_until(tx, account=account.number),
        project_bindable=bindable,
        bound_before=last is not None,
        name_was_anothers=bearer is not None and bearer != project,
    )
    return tuple(rules.claim_errors(claim, ground, now=now))


def decide_start(tx: Tx, *, claim: rules.Claim, now: datetime, clock: Clock) -> datetime:
    """Take the locks under which a payer changes, look at the ground again, and read the instant of the change.

    The fence stays held exclusively until the transaction ends. Raises Invalid where the ground has gone since
    it was checked.
    """
    project = directory.find_project(tx, name=claim.project, at=now)
    if project is None or not store.lock_object(tx, uid=project.uid):
        raise Invalid([rules.missing("spec.projectRef.name", claim.project)])
    hold_fence(tx, exclusive=True)
    if errors := check_claim(tx, claim=claim, now=now):
        raise Invalid(errors)
    last = reads.find_last_interval(tx, project=project.number)
    return rules.change_instant(clock=clock.now(), last=last, wanted=claim.effective_from)


def decide_end(tx: Tx, *, interval: PayerInterval, clock: Clock) -> datetime:
    """Take the fence exclusively, and read the instant at which the payer stops with no other in its place."""
    hold_fence(tx, exclusive=True)
    return rules.end_instant(clock=clock.now(), interval=interval)


def begin_paying(
    tx: Tx, *, claim: rules.Claim, binding: UUID, binding_name: str, starts_at: datetime, now: datetime
) -> None:
    """Open the interval that `decide_start` decided on, end the one before at the same instant, hold the project."""
    project = directory.find_project(tx, name=claim.project, at=now)
    account = reads.find_account(tx, namespace=claim.namespace, name=claim.account)
    assert project is not None and account is not None, "decide_start has looked at both, under lock"
    store.open_interval(
        tx,
        project=project.number,
        project_name=project.name,
        account=account.number,
        owner_org=claim.owner_org,
        binding=binding,
        binding_name=binding_name,
        starts_at=starts_at,
    )
    store.hold_object(tx, uid=project.uid, reason=_hold_reason(binding_name), at=now)


def stop_paying(tx: Tx, *, interval: PayerInterval, ends_at: datetime) -> None:
    """End the interval at the instant that `decide_end` decided on, and let go of the project."""
    store.end_interval(tx, binding=interval.binding, ends_at=ends_at)
    release_project(tx, interval=interval)


def release_project(tx: Tx, *, interval: PayerInterval) -> None:
    """Let go of the project on behalf of a binding that does not make anybody pay for it any more."""
    for project in directory.list_projects(tx, numbers=[interval.project]):
        store.release_object(tx, uid=project.uid, reason=_hold_reason(interval.binding_name))


def _hold_reason(binding_name: str) -> str:
    return f'billing account binding "{binding_name}" makes an account pay for it'
