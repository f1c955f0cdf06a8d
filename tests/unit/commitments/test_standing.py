"""The phase and the conditions of a commitment, from its days and from how its intervals ended."""

from collections.abc import Sequence
from datetime import date

import pytest

from milo_billing.commitments.rules.standing import EndedInterval, Finding, assess
from milo_billing.commitments.types import Promise
from tests.unit.commitments.builders import minimum, promise

TEN = minimum("10", "Monthly")


def ended(minimum: int, month: int, *, spent: int = 1000, short: int = 0) -> EndedInterval:
    return EndedInterval(minimum, date(2026, month, 1), date(2026, month + 1, 1), spent, short, "USD")


MISSED, MET = ended(0, 1, spent=400, short=600), ended(0, 1)


@pytest.mark.parametrize(
    ("wanted", "facts", "today", "intervals", "phase", "reason", "message"),
    [
        (promise(TEN), "", date(2026, 6, 1), (), "Pending", "AwaitingAcceptance",
         "Commitment has not been accepted yet."),
        (promise(TEN), "", date(2026, 12, 31), (), "Pending", "AwaitingAcceptance",
         "Commitment has not been accepted yet."),
        (promise(TEN), "", date(2027, 1, 1), (), "Expired", "NotAccepted",
         "Nobody accepted the commitment before it ended."),
        (promise(TEN), "accepted", date(2025, 12, 31), (), "Pending", "NotStarted",
         "Commitment starts on 2026-01-01."),
        (promise(TEN), "accepted", date(2026, 1, 1), (), "Active", "CommitmentActive",
         "Commitment is active until 2027-01-01."),
        (promise(TEN, ends_on=None), "accepted", date(2030, 1, 1), (), "Active", "CommitmentActive",
         "Commitment is active until it is no longer renewed."),
        (promise(TEN), "accepted", date(2027, 1, 1), (MISSED,), "Fulfilled", "TermOver",
         "The last term ended on 2027-01-01."),
        (promise(TEN, policy="NotifyOnly"), "accepted", date(2027, 1, 1), (MET,), "Fulfilled", "TermOver",
         "The last term ended on 2027-01-01."),
        (promise(TEN, policy="NotifyOnly"), "accepted", date(2027, 1, 1), (MISSED, ended(0, 2)), "Expired",
         "TermOver", "The last term ended on 2027-01-01."),
        (promise(TEN, ends_on=date(2026, 5, 1)), "accepted terminated", date(2026, 4, 1), (), "Terminated",
         "Terminated", "Commitment was terminated as of 2026-05-01."),
    ],
)  # fmt: skip
def test_the_phase_follows_from_acceptance_and_the_calendar(
    wanted: Promise,
    facts: str,
    today: date,
    intervals: Sequence[EndedInterval],
    phase: str,
    reason: str,
    message: str,
) -> None:
    standing = assess(
        wanted, accepted="accepted" in facts, terminated="terminated" in facts, today=today, ended=intervals
    )
    assert standing.phase == phase
    assert standing.active == Finding(phase == "Active", reason, message)


@pytest.mark.parametrize(
    ("intervals", "expected"),
    [
        ((), Finding(False, "NoIntervalEnded", "No interval of a minimum spend has ended yet.")),
        # what was missed before, and met since, is no violation any more
        (
            (ended(0, 2), MISSED),
            Finding(False, "MinimumSpendMet", "Every minimum spend was met in its last interval."),
        ),
        (
            (MET, ended(0, 2, spent=250, short=750)),
            Finding(
                True,
                "MinimumSpendNotMet",
                "Spend of 2.50 USD from 2026-02-01 to 2026-03-01 is 7.50 USD below the minimum.",
            ),
        ),
        # of two that ended on one day, the one that misses more; one that ended earlier waits
        (
            (ended(0, 3, short=100), ended(1, 3, short=200), ended(2, 1, short=900)),
            Finding(
                True,
                "MinimumSpendNotMet",
                "Spend of 10.00 USD from 2026-03-01 to 2026-04-01 is 2.00 USD below the minimum.",
            ),
        ),
    ],
)
def test_the_last_interval_of_each_minimum_says_whether_it_is_violated(
    intervals: Sequence[EndedInterval], expected: Finding
) -> None:
    standing = assess(promise(TEN), accepted=True, terminated=False, today=date(2026, 6, 1), ended=intervals)
    assert standing.violation == expected
