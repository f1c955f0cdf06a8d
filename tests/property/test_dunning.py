"""On whatever days somebody looks: each thing is done once, and nobody is suspended early."""

from datetime import timedelta

from hypothesis import given
from hypothesis import strategies as st

from milo_billing.payments.rules.dunning import DunningStep, Schedule, next_step
from tests.unit.payments.test_dunning import DUE


@given(
    days=st.lists(st.integers(0, 120), unique=True).map(sorted),
    announced_after=st.integers(1, 40),
    notice_days=st.integers(1, 30),
)
def test_nobody_is_suspended_before_the_notice_is_over(
    days: list[int], announced_after: int, notice_days: int
) -> None:
    schedule = Schedule(announced_after=announced_after, notice_days=notice_days)
    done: list[DunningStep] = []
    for day in days:
        step = next_step(due_on=DUE, today=DUE + timedelta(days=day), done=done, schedule=schedule)
        done += [] if step is None else [step]
    assert len({(step.kind, step.number) for step in done}) == len(done)
    told = {step.kind: step.on for step in done}
    if "Suspension" in told:
        assert told["Suspension"] >= told["Announcement"] + timedelta(days=notice_days)
