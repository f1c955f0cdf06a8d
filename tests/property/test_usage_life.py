"""Whatever happens to usage, in whatever order: roll-ups are what an auditor counts from events, wherever they lie."""

from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from milo_billing.infra.database import Databases
from milo_billing.usage import store
from tests.usage_life import RETENTION, Figures, Key, Life
from tests.usage_world import JSON, make_usage_world

STEPS = st.lists(
    st.one_of(
        st.tuples(
            st.just("ingest"), st.lists(st.integers(-3, 3) | st.just(2**63 - 1), min_size=1, max_size=5)
        ),
        st.tuples(st.just("void"), st.integers(0, 50)),
        st.tuples(st.just("correct"), st.integers(-5, 5)),
        st.tuples(st.just("compact"), st.none()),
        st.tuples(st.just("pass"), st.integers(1, 3)),
        st.tuples(st.just("archive"), st.none()),
        st.tuples(st.just("bill"), st.none()),
    ),
    min_size=3,
    max_size=14,
)


@pytest.fixture
def life(databases: Databases, tmp_path: Path) -> Life:
    return Life(make_usage_world(databases, tmp_path), tmp_path / "archive")


@given(steps=STEPS)
@settings(max_examples=10, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_roll_ups_are_what_is_recounted_after_any_history(life: Life, steps: list[tuple[str, Any]]):
    sent: list[JSON] = []
    corrected: dict[Key, int] = {}
    for step, given_ in steps:
        match step, given_:
            case "ingest", _:
                values: list[int] = given_
                sent += life.ingest(*values, dimensions={"region": "eu"} if len(values) % 2 else {})
            case "void", int(number) if sent:
                life.void(sent[number % len(sent)])
            case "correct", int(quantity):
                life.correct(f"c{life.usage.value('select count(*) from usage.corrections')}", quantity)
            case "compact", _:
                with life.usage.databases.ingest.transaction(reach="*") as tx:
                    store.compact(tx)
            case "pass", int(days):
                life.usage.world.clock.forward(days=days)
            case "archive", _:
                life.usage.world.clock.forward(days=RETENTION + 1)
                life.archive()
            case "bill", _:
                life.bill(life.usage.now.replace(hour=0, minute=0) - timedelta(days=1))
            case _:
                continue
    query = "select account, project, meter, dimensions, day, sum(sum)::bigint from usage.corrections "
    query += "group by account, project, meter, dimensions, day"
    for account, project, meter, dimensions, day, quantity in life.usage.rows(query):
        corrected[account, project, meter, dimensions, day] = quantity
    assert without_corrections(life.rolled_up(), corrected) == life.recounted()


def without_corrections(rows: dict[Key, Figures], corrected: dict[Key, int]) -> dict[Key, Figures]:
    """The rows as events alone would have made them: a correction of a sum adds to nothing else."""
    plain = {key: (figures[0] - corrected.get(key, 0), *figures[1:]) for key, figures in rows.items()}
    return {key: figures for key, figures in plain.items() if figures[1]}
