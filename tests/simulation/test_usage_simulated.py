"""Seeds of the usage simulation: an auditor predicts every roll-up and the whole quarantine, whatever was killed."""

import subprocess
from collections import Counter
from pathlib import Path
from time import monotonic

import pytest

from tests.conftest import TestServer
from tests.simulation.usage_simulation.ground import Ground, own_ground
from tests.simulation.usage_simulation.run import Outcome, again, simulate

SEEDS = (1, 2, 3, 4, 5)
TURNS = 40
LONG_S = 240.0
NIGHTLY_SEEDS = 500

REASONS = (
    "unknown_meter",
    "invalid_dimensions",
    "invalid_value",
    "malformed_data",
    "attribution_failure",
    "too_late",
)
REFUSALS = (
    "INVALID_ULID",
    "MISSING_REQUIRED_FIELD",
    "INVALID_VALUE_TYPE",
    "INVALID_DATACONTENTTYPE",
    "TIME_IN_FUTURE",
    "ID_EXPIRED",
    "ID_CONFLICT",
)
EVERYTHING = (
    *(f"quarantined {reason}" for reason in REASONS),
    *(f"fate {reason}" for reason in REFUSALS),
    *("fate accepted", "fate duplicate", "requests in doubt", "answers lost", "compacted", "payers changed"),
    *("go on", "kill", "cut"),
    *("told voided", "told discarded", "told unknown", "events replayed"),
    *("corrections", "corrections that were refused", "ids that record returned", "requests of the SDK"),
)
SELDOM = (
    *("void of the least", "void of the greatest", "void of the latest", "void of what was voided before"),
    *("programs killed while they recorded", "programs killed while they sent"),
    "programs killed while they waited for an answer",
    *("crash", "waited for a lock", "told None", "replays that were interrupted"),
)


def failure(outcome: Outcome) -> str:
    """What is said of a seed that fails."""
    return "\n".join([f"seed {outcome.seed} fails; again: {again(outcome.seed)}", *outcome.wrong[:10]])


def first_seed() -> int:
    """A number from the commit, so that every commit takes seeds of its own and a failure can be repeated."""
    commit = subprocess.run(
        ["git", "rev-parse", "HEAD"], cwd=Path(__file__).parent, capture_output=True, text=True, check=False
    ).stdout.strip()
    return int(commit[:8] or "0", 16)


def simulate_all(
    ground: Ground, *, first: int, count: int, until_s: float, turns: int | None = None
) -> Counter[str]:
    """Run seeds one after the other, as many as fit; what happened in them. Fails with the first seed that does."""
    happened: Counter[str] = Counter()
    began, ran = monotonic(), 0
    while ran < count and monotonic() - began < until_s:
        seed = first + ran
        more = {} if turns is None else {"turns": turns}
        outcome = simulate(seed, ground=ground, database="simulated", **more)
        assert not outcome.wrong, failure(outcome)
        happened += outcome.happened
        ran += 1
    print(f"{ran} seeds from {first} on, {happened['events stored']} events, {monotonic() - began:.0f} s")
    return happened


def test_what_was_acknowledged_and_declared_predicts_every_roll_up_and_the_quarantine(
    postgres: TestServer, worker_id: str
):
    happened: Counter[str] = Counter()
    for seed in SEEDS:
        outcome = simulate(seed, ground=Ground(postgres), database=f"simulated_{worker_id}", turns=TURNS)
        assert not outcome.wrong, failure(outcome)
        happened += outcome.happened
    assert {what for what in EVERYTHING if not happened[what]} == set()


@pytest.mark.long
def test_seeds_of_this_commit_with_crashes_of_the_database():
    with own_ground() as ground:
        happened = simulate_all(ground, first=first_seed(), count=10_000, until_s=LONG_S)
    assert {what for what in (*EVERYTHING, *SELDOM) if not happened[what]} == set()


@pytest.mark.nightly
def test_five_hundred_seeds():
    with own_ground() as ground:
        simulate_all(ground, first=1, count=NIGHTLY_SEEDS, until_s=float("inf"))
