"""What follows for a commitment from the calendar, and from how its ended intervals stood."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from typing import Final

from milo_billing.commitments.types import CommitmentPhase, Promise
from milo_billing.kernel.money import Currency, Money

OWN_CONDITIONS: Final = ("CommitmentActive", "CommitmentViolation")


@dataclass(frozen=True, slots=True)
class EndedInterval:
    """How an interval of a minimum stood when somebody last looked at it."""

    minimum: int
    starts_on: date
    ends_on: date
    spent_minor: int
    shortfall_minor: int
    currency: Currency


@dataclass(frozen=True, slots=True)
class Finding:
    """Whether a condition holds, why, and how a person would say it."""

    holds: bool
    reason: str
    message: str


@dataclass(frozen=True, slots=True)
class Standing:
    """The phase and both conditions of a commitment."""

    phase: CommitmentPhase
    active: Finding
    violation: Finding


def assess(
    promise: Promise, *, accepted: bool, terminated: bool, today: date, ended: Sequence[EndedInterval]
) -> Standing:
    """How a commitment stands on `today`, a day of its account.

    Once over it is Fulfilled, also where shortfalls had to be charged for that; Expired if nobody accepted it in time,
    or a minimum was missed that is only notified.
    """
    phase, active = _phase(promise, accepted=accepted, terminated=terminated, today=today, ended=ended)
    return Standing(phase, active, _violation(ended))


def _phase(
    promise: Promise, *, accepted: bool, terminated: bool, today: date, ended: Sequence[EndedInterval]
) -> tuple[CommitmentPhase, Finding]:
    over = promise.ends_on is not None and today >= promise.ends_on
    if terminated:
        return "Terminated", Finding(
            False, "Terminated", f"Commitment was terminated as of {promise.ends_on}."
        )
    if not accepted:
        if over:
            return "Expired", Finding(False, "NotAccepted", "Nobody accepted the commitment before it ended.")
        return "Pending", Finding(False, "AwaitingAcceptance", "Commitment has not been accepted yet.")
    if over:
        missed = promise.policy == "NotifyOnly" and any(one.shortfall_minor for one in ended)
        return "Expired" if missed else "Fulfilled", Finding(
            False, "TermOver", f"The last term ended on {promise.ends_on}."
        )
    if today < promise.starts_on:
        return "Pending", Finding(False, "NotStarted", f"Commitment starts on {promise.starts_on}.")
    until = "until it is no longer renewed" if promise.ends_on is None else f"until {promise.ends_on}"
    return "Active", Finding(True, "CommitmentActive", f"Commitment is active {until}.")


def _violation(ended: Sequence[EndedInterval]) -> Finding:
    """The last interval of each minimum counts; the one that ended last is named."""
    last: dict[int, EndedInterval] = {}
    for one in sorted(ended, key=lambda one: one.ends_on):
        last[one.minimum] = one
    missed = [one for one in last.values() if one.shortfall_minor]
    if not last:
        return Finding(False, "NoIntervalEnded", "No interval of a minimum spend has ended yet.")
    if not missed:
        return Finding(False, "MinimumSpendMet", "Every minimum spend was met in its last interval.")
    worst = max(missed, key=lambda one: (one.ends_on, one.shortfall_minor))
    spent, short = (Money(minor, worst.currency) for minor in (worst.spent_minor, worst.shortfall_minor))
    return Finding(
        True,
        "MinimumSpendNotMet",
        f"Spend of {spent} from {worst.starts_on} to {worst.ends_on} is {short} below the minimum.",
    )
