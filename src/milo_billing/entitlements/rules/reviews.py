"""May a project use a service: one decision, from facts that were read before.

Deny by default: what no entitlement of the paying account covers may not be used.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date

from milo_billing.accounts.types import Account
from milo_billing.entitlements.types import HeldEntitlement, Verdict


@dataclass(frozen=True, slots=True)
class Ground:
    """What is known of the question. `today` is the account's day; `held` are all its entitlements, also past ones."""

    project: str
    service: str
    project_exists: bool
    service_phase: str | None
    account: Account | None = None
    today: date | None = None
    held: Sequence[HeldEntitlement] = ()


def decide(ground: Ground) -> Verdict:
    """Whether, and the first reason that stands against it."""
    service, account = ground.service, ground.account
    if not ground.project_exists:
        return Verdict(False, "ProjectNotFound", f'project "{ground.project}" not found')
    if ground.service_phase is None:
        return Verdict(False, "ServiceNotFound", f'service "{service}" not found')
    if ground.service_phase not in ("Published", "Deprecated"):
        message = f'service "{service}" is in {ground.service_phase} phase'
        return Verdict(False, "ServiceNotOffered", message)
    if account is None or ground.today is None:
        message = f'no billing account pays for project "{ground.project}": bind it to one'
        return Verdict(False, "NoBillingAccount", message)
    named = f'billing account "{account.namespace}/{account.name}"'
    if account.phase == "Suspended":
        return Verdict(False, "AccountSuspended", f"{named} is suspended")
    if account.phase == "Archived":
        return Verdict(False, "AccountArchived", f"{named} is archived")
    return _entitled(ground, named, ground.today)


def _entitled(ground: Ground, named: str, today: date) -> Verdict:
    covering = [one for one in ground.held if ground.service in one.services]
    active = sorted((one for one in covering if today in one.term), key=_longest_first)
    if active:
        one = active[0]
        through = f' through offer "{one.offer}"' if one.offer else ""
        message = f'entitlement "{one.name}" of {named} covers service "{ground.service}"{through}'
        return Verdict(True, "Entitled", message, one)
    coming = sorted(
        (one for one in covering if today < one.term.starts_on),
        key=lambda one: (one.term.starts_on, one.name),
    )
    if coming:
        one = coming[0]
        message = f'entitlement "{one.name}" of {named} starts on {one.term.starts_on}'
        return Verdict(False, "NotStarted", message, one)
    if covering:
        one = max(covering, key=lambda one: (one.term.ends_on or date.max, one.name))
        message = f'entitlement "{one.name}" of {named} ended on {one.term.ends_on}'
        return Verdict(False, "Ended", message, one)
    message = f'no entitlement of {named} covers service "{ground.service}"'
    return Verdict(False, "NotEntitled", message)


def _longest_first(one: HeldEntitlement) -> tuple[int, str]:
    """Of several, the one that holds longest: what is said of it stays true longest."""
    return -(one.term.ends_on or date.max).toordinal(), one.name
