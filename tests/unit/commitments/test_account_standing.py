"""What an account's CommitmentMet says: which commitments count, and which of them is named."""

from datetime import date

import pytest

from milo_billing.commitments.rules.standing import EndedInterval, Kept, assess_account
from tests.unit.commitments.builders import minimum, promise

TODAY = date(2026, 6, 10)


def ended(ends_on: date, short: int, *, number: int = 0) -> EndedInterval:
    return EndedInterval(number, ends_on.replace(day=1), ends_on, 500, short, "USD")


def kept(name: str, ends_on: date | None, *intervals: EndedInterval) -> Kept:
    return Kept(name, promise(minimum("10", "Monthly"), ends_on=ends_on), intervals)


MAY, APRIL = date(2026, 5, 31), date(2026, 4, 30)
MISSED, MET = "MinimumSpendNotMet", "MinimumSpendMet"
SHORT = "Spend of 5.00 USD from 2026-05-01 to 2026-05-31 is 0.03 USD below the minimum"


@pytest.mark.parametrize(
    ("commitments", "holds", "reason"),
    [
        ([kept("runs", None)], None, "NoIntervalEnded"),
        ([kept("runs", None, ended(MAY, 0))], True, MET),
        ([kept("runs", None, ended(APRIL, 1), ended(MAY, 0))], True, MET),  # the last interval counts
        ([kept("runs", None, ended(MAY, 0), ended(APRIL, 1, number=1))], False, MISSED),  # of each minimum
        ([kept("runs", None, ended(MAY, 0)), kept("too", None)], True, MET),
        ([kept("over", date(2026, 4, 26), ended(APRIL, 1)), kept("runs", None)], False, MISSED),  # 45 days ago
        ([kept("over", date(2026, 4, 25), ended(APRIL, 1)), kept("runs", None)], None, "NoIntervalEnded"),
        ([kept("over", date(2026, 4, 25), ended(APRIL, 1))], False, MISSED),  # no other has taken its place
        ([kept("old", date(2025, 1, 1), ended(APRIL, 1)), kept("over", date(2026, 1, 1), ended(MAY, 0))], True, MET),
    ],
)  # fmt: skip
def test_the_last_interval_of_each_minimum_of_what_counts_decides(
    commitments: list[Kept], holds: bool | None, reason: str
) -> None:
    found = assess_account(commitments, today=TODAY)
    assert found is not None
    assert (found.holds, found.reason) == (holds, reason)


def test_the_one_that_ended_last_is_named_and_the_others_are_counted() -> None:
    found = assess_account(
        [kept("a", None, ended(APRIL, 9)), kept("b", None, ended(MAY, 3)), kept("c", None, ended(MAY, 2))],
        today=TODAY,
    )
    assert found is not None
    assert found.message == (
        'Commitment "b": Spend of 5.00 USD from 2026-05-01 to 2026-05-31 is 0.03 USD below the minimum (and 2 more).'
    )


def test_without_a_minimum_spend_there_is_nothing_to_say() -> None:
    assert assess_account([], today=TODAY) is None
    assert assess_account([Kept("discounts", promise(), ())], today=TODAY) is None


@pytest.mark.parametrize(
    ("commitments", "said"),
    [
        ([kept("a", None)], "No interval of a minimum spend has ended yet."),
        ([kept("a", None, ended(MAY, 0))], "Every minimum spend was met in its last interval."),
        ([kept("a", None, ended(MAY, 3))], f'Commitment "a": {SHORT}.'),
        (
            [kept("a", None, ended(MAY, 3)), kept("b", None, ended(MAY, 2))],
            f'Commitment "a": {SHORT} (and 1 more).',
        ),
    ],
)
def test_the_message_is_for_people(commitments: list[Kept], said: str) -> None:
    found = assess_account(commitments, today=TODAY)
    assert found is not None
    assert found.message == said


def test_a_commitment_without_a_minimum_spend_does_not_count() -> None:
    found = assess_account([Kept("discounts", promise(), ()), kept("a", None, ended(MAY, 0))], today=TODAY)
    assert found is not None
    assert found.holds
