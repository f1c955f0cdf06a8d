"""What comes late, in whatever steps it is looked at: late usage, and days that a payment was late."""

from datetime import date, timedelta

from hypothesis import given
from hypothesis import strategies as st

from milo_billing.invoicing.rules import adjusting
from milo_billing.invoicing.rules.adjusting import change_of, signed
from milo_billing.invoicing.rules.late_interest import Charged, Owed, Settling, decide
from tests.unit.invoicing.test_adjusting import lines
from tests.unit.invoicing.test_late_interest import DUE, invoice

AMOUNTS = st.dictionaries(st.sampled_from(["requests", "storage", "tokens"]), st.integers(0, 10**6))


@given(issued=AMOUNTS, steps=st.lists(AMOUNTS, min_size=1, max_size=4))
def test_whatever_comes_late_in_whatever_steps_the_sum_is_what_the_period_comes_to(
    issued: dict[str, int], steps: list[dict[str, int]]
) -> None:
    earlier: list[dict[adjusting.Charged, int]] = []
    total = sum(issued.values())
    for now in steps:
        change = change_of(issued=lines(**issued), earlier=earlier, now=lines(**now))
        earlier.append(dict(signed(change)))
        total += sum(signed(change).values())
        assert total == sum(now.values())
        assert change_of(issued=lines(**issued), earlier=earlier, now=lines(**now)) is None


@given(
    payments=st.lists(st.tuples(st.integers(-5, 90), st.integers(1, 25_000)), max_size=4),
    runs=st.sets(st.integers(1, 120), max_size=6),
)
def test_any_sequence_of_runs_charges_the_same_and_each_day_once(
    payments: list[tuple[int, int]], runs: set[int]
) -> None:
    became = [Settling("Payment", minor, DUE + timedelta(day)) for day, minor in payments]
    last = 130

    def charge(days: list[int]) -> tuple[int, date | None]:
        charged = Charged(None, 0)
        for day in days:
            owed = decide(invoice(), became, charged=charged, until=DUE + timedelta(day))
            if owed is None:
                continue
            assert isinstance(owed, Owed)
            assert owed.first == (charged.until or DUE + timedelta(1)), "no gap, and no day twice"
            charged = Charged(owed.end, charged.amount_minor + owed.amount_minor)
        return charged.amount_minor, charged.until

    assert charge([*sorted(runs), last]) == charge([last])
