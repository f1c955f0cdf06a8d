"""Seeds of months of money: whatever happens, dies or runs twice, the books are right after every step."""

import subprocess
from collections import Counter
from pathlib import Path
from time import monotonic

import pytest

from tests.conftest import TestServer
from tests.simulation.money_simulation.run import failure, open_stage
from tests.simulation.usage_simulation.ground import Ground, own_ground

SEEDS = (1, 2, 3)
TURNS = 60
LONG_S = 180.0
LONG_SEEDS = 40
"""At least so many, however slow the machine is: the rarest of EVERYTHING came seven times in forty seeds."""
NIGHTLY_SEEDS = 500

ALWAYS = (
    "issued",
    "late usage",
    "asked",
    "statements",
    "credit notes",
    "killed",
    "races",
    "collections",
    "duns",
    "granted Prepaid",
)
"""What happens even in a few short seeds; a simulation in which it does not proves nothing."""

EVERYTHING = (
    *ALWAYS,
    *("asked", "credit notes", "duns", "disputes"),
    *("usage voided", "charges", "subscriptions", "price changes", "months closed", "cards changed"),
    *("unchanged", "skipped", "voids", "write-offs", "no answer", "decided", "webhooks"),
    *(
        "refunds",
        "asked for refunds",
        "refunds decided",
        "sent back",
        "assigned",
        "ignored",
        "statements again",
    ),
    *("refused Invalid", "refused UnableToRefund", "refused UnableToSettle", "invoices Consolidated"),
    *("terms changed", "grants revoked", "paid early", "mandates signed", "mandates revoked"),
    *(f"{kind} Used" for kind in ("Prepaid", "Promotional", "Goodwill")),
    *("settled by EarlyPaymentDiscount", "settled by WriteOff"),
    *("debits sent", "debits booked", "payers changed", "invoiced together"),
)
"""What happens in the seeds of some minutes."""

RARE = (
    *(
        f"{kind} {what}"
        for kind in ("Prepaid", "Promotional", "Goodwill")
        for what in ("Expired", "GivenBack")
    ),
    *("settled by DiscountReversal", "settled by Recovery"),
    *("invoices OneTime", "invoices Adjustment", "interest given back"),
    *("debits refused", "debits returned"),
    *("payouts Booked", "payouts arrived", "payouts came back"),
    *("transfers sent", "transfers booked", "transfers returned", "transfers cancelled"),
    *("transfers not executed", "transfers paid all the same"),
)
"""What may take more seeds than a few minutes have."""


def first_seed() -> int:
    """A number from the commit, so that every commit takes seeds of its own and a failure can be repeated."""
    commit = subprocess.run(
        ["git", "rev-parse", "HEAD"], cwd=Path(__file__).parent, capture_output=True, text=True, check=False
    ).stdout.strip()
    return int(commit[:8] or "0", 16)


def simulate_all(
    ground: Ground, *, first: int, count: int, until_s: float, at_least: int = 0
) -> Counter[str]:
    """Run seeds one after the other, as many as fit; what happened in them. Fails with the first seed that does."""
    happened: Counter[str] = Counter()
    began, ran = monotonic(), 0
    with open_stage(ground, database="money") as stage:
        while ran < count and (ran < at_least or monotonic() - began < until_s):
            outcome = stage.simulate(first + ran)
            assert not outcome.wrong, failure(outcome)
            happened += outcome.happened
            ran += 1
    print(f"{ran} seeds from {first} on, {happened['issued']} invoices, {monotonic() - began:.0f} s")
    return happened


def test_the_books_are_right_after_every_step_of_some_months(postgres: TestServer, worker_id: str) -> None:
    happened: Counter[str] = Counter()
    with open_stage(Ground(postgres), database=f"money_{worker_id}") as stage:
        for seed in SEEDS:
            outcome = stage.simulate(seed, turns=TURNS)
            assert not outcome.wrong, failure(outcome, turns=TURNS)
            happened += outcome.happened
    assert {what for what in ALWAYS if not happened[what]} == set()


@pytest.mark.long
def test_seeds_of_this_commit() -> None:
    with own_ground() as ground:
        happened = simulate_all(ground, first=first_seed(), count=10_000, until_s=LONG_S, at_least=LONG_SEEDS)
    assert {what for what in EVERYTHING if not happened[what]} == set()


@pytest.mark.nightly
def test_five_hundred_seeds_of_money() -> None:
    with own_ground() as ground:
        happened = simulate_all(ground, first=1, count=NIGHTLY_SEEDS, until_s=float("inf"))
    assert {what for what in (*EVERYTHING, *RARE) if not happened[what]} == set()
