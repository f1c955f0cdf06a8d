"""Golden cases of area 10: retries and what other systems do about an invoice that is not paid."""

from datetime import date

import pytest

from milo_billing.payments.rules.retries import attempt_days
from tests.golden import GoldenCase, RuledOut, Way, account_for, golden_cases, require_golden_cases

CASES = golden_cases("PY-")


def run_gaps(case: GoldenCase) -> None:
    """Each gap counts from the attempt before it."""
    gaps = [int(days) for days in case.input["retry_days"]]
    failed_on = str(case.input["failed_on"])
    if "attempts" in case.expected:
        found = attempt_days(date.fromisoformat(failed_on), gaps)
        assert [str(day) for day in found] == case.expected["attempts"]
    else:
        start = date(2026, 1, 1)
        days = [(day - start).days for day in (start, *attempt_days(start, gaps))]
        assert days == case.expected["attempt_days"]


def way_of(case: GoldenCase) -> Way | RuledOut | None:
    if "retry_days" in case.input:
        return run_gaps
    if "max_attempts" in case.input:
        return RuledOut(
            0, "domain.md §8: a schedule of days for each invoice, not a campaign over a threshold"
        )
    return None


def test_every_case_is_accounted_for() -> None:
    require_golden_cases()
    accounted = account_for("10-payments", CASES, way_of)
    print(accounted)
    assert accounted.forgotten == []


@pytest.mark.parametrize("case", [one for one in CASES if way_of(one) is run_gaps], ids=str)
def test_the_days_are_the_sources(case: GoldenCase) -> None:
    run_gaps(case)
