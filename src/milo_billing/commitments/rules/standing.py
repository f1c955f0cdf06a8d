"""What follows for a commitment from the calendar, and from how its ended intervals stood."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Final

from milo_billing.commitments.types import CommitmentPhase, Promise
from milo_billing.kernel.money import Currency, Money

OWN_CONDITIONS: Final = ("CommitmentActive", "CommitmentViolation")
ACCOUNT_CONDITION: Final = "CommitmentMet"
"""What this slice reports on billing accounts."""
LOOKED_AT_AGAIN: Final = timedelta(days=45)
"""For so long after its end an interval is looked at again: late usage comes within 30 days."""

_NONE_ENDED: Final = "No interval of a minimum spend has ended yet."
_ALL_MET: Final = "Every minimum spend was met in its last interval."


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
class Kept:
    """An accepted commitment of an account, and how its ended intervals stood when somebody last looked."""

    name: str
    promise: Promise
    ended: tuple[EndedInterval, ...]


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
    missed = _missed(ended)
    if not ended:
        return Finding(False, "NoIntervalEnded", _NONE_ENDED)
    if not missed:
        return Finding(False, "MinimumSpendMet", _ALL_MET)
    return Finding(True, "MinimumSpendNotMet", f"{_said(max(missed, key=_weight))}.")


def _missed(ended: Sequence[EndedInterval]) -> list[EndedInterval]:
    """The last interval of each minimum, where it fell short."""
    last = {one.minimum: one for one in sorted(ended, key=lambda one: one.ends_on)}
    return [one for one in last.values() if one.shortfall_minor]


def _weight(one: EndedInterval) -> tuple[date, int]:
    return one.ends_on, one.shortfall_minor


def _said(one: EndedInterval) -> str:
    spent, short = (Money(minor, one.currency) for minor in (one.spent_minor, one.shortfall_minor))
    return f"Spend of {spent} from {one.starts_on} to {one.ends_on} is {short} below the minimum"


# -------------------------------------------------------------------------------------------------- account


@dataclass(frozen=True, slots=True)
class AccountFinding:
    """Whether an account keeps what it promised; None is not known yet."""

    holds: bool | None
    reason: str
    message: str


def assess_account(kept: Sequence[Kept], *, today: date) -> AccountFinding | None:
    """Whether the account met its minimum spends, in the last interval of each; None where none was promised.

    A commitment counts until its intervals are no longer looked at (`LOOKED_AT_AGAIN` after its end); where no such one
    is left, those that ended last do. A minimum that is only notified, or still in its grace, is missed all the same.
    """
    ends = {one.name: one.promise.ends_on or date.max for one in kept if one.promise.minimums}
    if not ends:
        return None
    since = min(today - LOOKED_AT_AGAIN, max(ends.values()))
    counted = [one for one in kept if ends.get(one.name, date.min) >= since]
    missed = [(one, short) for one in counted for short in _missed(one.ended)]
    if missed:
        worst, short = max(missed, key=lambda found: (*_weight(found[1]), found[0].name))
        more = f" (and {len(missed) - 1} more)" if len(missed) > 1 else ""
        return AccountFinding(
            False, "MinimumSpendNotMet", f'Commitment "{worst.name}": {_said(short)}{more}.'
        )
    if not any(one.ended for one in counted):
        return AccountFinding(None, "NoIntervalEnded", _NONE_ENDED)
    return AccountFinding(True, "MinimumSpendMet", _ALL_MET)
