"""When a change of payer takes effect, and what stands against one (domain.md §3)."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from milo_billing.accounts.rules import wording
from milo_billing.accounts.types import AccountPhase, PayerInterval
from milo_billing.kernel.errors import FieldError

_INSTANT = timedelta(microseconds=1)
_TIMESTAMP = re.compile(r"\d{4}-\d{2}-\d{2}[Tt]\d{2}:\d{2}:\d{2}(\.\d{1,6})?([Zz]|[+-]\d{2}:\d{2})", re.ASCII)


def parse_instant(text: str) -> datetime | None:
    """An RFC 3339 timestamp with at most microseconds, as an instant in UTC; None where it is not one."""
    if not _TIMESTAMP.fullmatch(text):
        return None
    try:
        return datetime.fromisoformat(text.upper()).astimezone(UTC)
    except (ValueError, OverflowError):
        return None


def format_instant(instant: datetime) -> str:
    """An instant as RFC 3339 with microseconds (Kubernetes' MicroTime), so that intervals touch in what is shown."""
    return instant.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def change_instant(*, clock: datetime, last: PayerInterval | None, wanted: datetime | None) -> datetime:
    """When a new payer begins to pay: `wanted` for a first binding, else now, but always after what stands.

    `clock` was read after the fence was held, so no event up to it is attributed any more. One microsecond after
    the last start at the earliest (an interval is never empty), and never before the end of one that was ended.
    """
    if last is None:
        return wanted or clock
    return max(clock, last.starts_at + _INSTANT, last.ends_at or clock)


def end_instant(*, clock: datetime, interval: PayerInterval) -> datetime:
    """When a payer stops paying, because the binding goes and no other takes its place."""
    return max(clock, interval.starts_at + _INSTANT)


@dataclass(frozen=True, slots=True)
class Claim:
    """That an account is to pay for a project of its organization, since `effective_from` or from now on.

    The account is named in `namespace`; `owner_org` is the organization that owns it.
    """

    namespace: str
    account: str
    project: str
    owner_org: int
    effective_from: datetime | None


@dataclass(frozen=True, slots=True)
class Ground:
    """What a claim stands on. `account_phase` None: there is no such account.

    `project_bindable`: it exists and belongs to the organization. `rival`: the binding by which an account pays for
    it already, where that may not be superseded. `name_was_anothers`: at the instant from which the claim is to hold,
    or after it, an earlier project had the name; usage names its project, so the name's time line must not have two.
    """

    account_phase: AccountPhase | None
    account_being_deleted: bool
    billed_until: datetime | None
    project_bindable: bool
    project_being_deleted: bool
    rival: str | None
    bound_before: bool
    name_was_anothers: bool


def claim_errors(claim: Claim, ground: Ground, *, now: datetime) -> Iterator[FieldError]:
    """Everything in the state of the world that stands against a new binding (domain.md §3)."""
    field = "spec.billingAccountRef.name"
    if ground.account_phase is None:
        yield wording.missing(field, claim.account)
    elif ground.account_being_deleted:
        yield wording.forbidden(field, f'billing account "{claim.account}" is being deleted')
    elif ground.account_phase != "Ready":
        phase = ground.account_phase
        yield wording.forbidden(
            field, f'billing account "{claim.account}" is not ready (current phase: {phase})'
        )
    field = "spec.projectRef.name"
    if not ground.project_bindable:
        yield wording.missing(field, claim.project)
    elif ground.project_being_deleted:
        yield wording.forbidden(field, f'project "{claim.project}" is being deleted')
    elif ground.rival is not None:
        message = f'project "{claim.project}" already has an active billing account binding "{ground.rival}"'
        yield wording.forbidden(field, message)
    if claim.effective_from is not None:
        yield from _backdating_errors(claim, ground, effective_from=claim.effective_from, now=now)


def _backdating_errors(
    claim: Claim, ground: Ground, *, effective_from: datetime, now: datetime
) -> Iterator[FieldError]:
    field = "spec.effectiveFrom"
    if effective_from > now:
        yield wording.invalid(field, format_instant(effective_from), "must not be in the future")
    if ground.bound_before:
        message = (
            f'only the first binding of a project can be backdated, and project "{claim.project}" has had one'
        )
        yield wording.forbidden(field, message)
    if ground.name_was_anothers:
        message = f'another project was called "{claim.project}" then; choose an instant after it was deleted'
        yield wording.forbidden(field, message)
    if ground.billed_until is not None and effective_from < ground.billed_until:
        until = format_instant(ground.billed_until)
        message = (
            f'billing account "{claim.account}" has been invoiced up to {until}; choose that instant or later'
        )
        yield wording.forbidden(field, message)
