"""When an entitlement holds, and what may still be changed about that."""

import re
from collections.abc import Iterator
from datetime import date, timedelta

from milo_billing.entitlements.rules import wording
from milo_billing.entitlements.types import EntitlementPhase, Term
from milo_billing.kernel.errors import FieldError

_DAY = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")


def parse_day(text: str) -> date | None:
    """A date of the calendar, YYYY-MM-DD; None for anything else."""
    if not _DAY.fullmatch(text):
        return None
    try:
        return date.fromisoformat(text)
    except ValueError:
        return None


def phase_on(term: Term, *, today: date) -> EntitlementPhase:
    """Where the entitlement is on a day of the account's zone. The day it ends on is not one of its days."""
    if term.ends_on is not None and today >= term.ends_on:
        return "Ended"
    return "Active" if today >= term.starts_on else "Scheduled"


def trial_ends_on(term: Term, *, trial_days: int) -> date | None:
    """The day after the last one of the trial; None where there is no trial."""
    return term.starts_on + timedelta(days=trial_days) if trial_days else None


def term_errors(term: Term) -> Iterator[FieldError]:
    """What is wrong with a term by itself."""
    if term.ends_on is not None and term.ends_on <= term.starts_on:
        message = f"must be after startsAt, {term.starts_on}"
        yield wording.invalid("spec.endsAt", term.ends_on.isoformat(), message)


def start_errors(
    term: Term, *, today: date, billed_until: date | None, may_backdate: bool, permission: str
) -> Iterator[FieldError]:
    """What stands against a new entitlement that starts on this day. Prices of invoiced days do not change."""
    if term.starts_on >= today:
        return
    if billed_until is not None and term.starts_on < billed_until:
        message = f"the account has been invoiced up to {billed_until}: start on that day or later"
        yield wording.forbidden("spec.startsAt", message)
    elif not may_backdate:
        yield wording.forbidden(
            "spec.startsAt", f"it is {today} for the account: a start in the past needs {permission}"
        )


def end_errors(before: Term, after: Term, *, today: date) -> Iterator[FieldError]:
    """What stands against another end: what has ended stays ended, and nothing ends in the past."""
    if before.ends_on == after.ends_on:
        return
    if before.ends_on is not None and before.ends_on <= today:
        yield wording.forbidden(
            "spec.endsAt", f"it ended on {before.ends_on} and stays so; declare another entitlement"
        )
    elif after.ends_on is not None and after.ends_on < today:
        yield wording.forbidden("spec.endsAt", f"it is {today} for the account: the past does not change")


def ended_now(term: Term, *, today: date) -> Term:
    """The term of an entitlement that is deleted today: its days before today stay as they were."""
    end = max(term.starts_on, today)
    return Term(term.starts_on, end if term.ends_on is None else min(term.ends_on, end))
