"""`python -m tests.simulation.money_simulation`: run seeds on a PostgreSQL of its own, and say which of them fail."""

import argparse
import logging
import sys
from collections import Counter
from time import monotonic

from tests.simulation.money_simulation.run import TURNS, Outcome, Stage, again, failure, open_stage, shrink
from tests.simulation.usage_simulation.ground import own_ground


def main(arguments: list[str]) -> int:
    """1 if a seed fails."""
    parser = argparse.ArgumentParser(
        prog="python -m tests.simulation.money_simulation",
        description="Simulate months of money: usage, invoices, credit notes, cards, transfers, refunds, closed books, "
        "deaths in the middle of it, two of everybody at once; and audit it after every step.",
        epilog="example: python -m tests.simulation.money_simulation --seed 7 --story",
    )
    parser.add_argument("--seed", type=int, default=1, help="the first seed (default 1)")
    parser.add_argument("--seeds", type=int, default=1, help="how many, one after the other (default 1)")
    parser.add_argument("--turns", type=int, default=TURNS, help=f"turns a seed (default {TURNS})")
    parser.add_argument("--without", default="", help="turns that are left out, such as 3,17,20")
    parser.add_argument(
        "--shrink",
        action="store_true",
        help="leave out as many turns of a seed that fails as it still fails without",
    )
    parser.add_argument("--story", action="store_true", help="tell what happened, turn by turn")
    parser.add_argument("--counts", action="store_true", help="say at the end how often each thing happened")
    chosen = parser.parse_args(arguments)
    logging.disable()  # of payments that were refused
    without = frozenset(int(turn) for turn in chosen.without.split(",") if turn)
    failed: list[int] = []
    happened: Counter[str] = Counter()
    with own_ground() as ground, open_stage(ground, database="simulated") as stage:
        for seed in range(chosen.seed, chosen.seed + chosen.seeds):
            began = monotonic()
            outcome = stage.simulate(seed, turns=chosen.turns, without=without)
            happened += outcome.happened
            if chosen.story:
                print(*outcome.story, sep="\n")
            if outcome.wrong:
                failed.append(seed)
            verdict = "as it must be" if not outcome.wrong else f"{len(outcome.wrong)} WRONG"
            print(
                f"seed {seed}: {verdict}, {said(outcome.happened)}, {monotonic() - began:.1f} s", flush=True
            )
            if outcome.wrong:
                print(failure(outcome, turns=chosen.turns), flush=True)
                if chosen.shrink:
                    print(f"the least that fails: {shrunk(outcome, stage, turns=chosen.turns)}", flush=True)
    if chosen.counts:
        print(*(f"{count:8} {what}" for what, count in sorted(happened.items())), sep="\n")
    print(f"{chosen.seeds - len(failed)} of {chosen.seeds} seeds as they must be, {said(happened)}")
    for seed in failed:
        print(f"seed {seed} fails; again: {again(seed, turns=chosen.turns)}")
    return 1 if failed else 0


def shrunk(outcome: Outcome, stage: Stage, *, turns: int) -> str:
    """The command that repeats a seed with few turns."""

    def run(turns: int, without: frozenset[int]) -> Outcome:
        return stage.simulate(outcome.seed, turns=turns, without=without)

    without = shrink(outcome, run=run, turns=turns)
    last = turns if outcome.failed_in is None else outcome.failed_in + 1
    return again(outcome.seed, turns=last, without=without)


def said(happened: Counter[str]) -> str:
    """The gist of what happened."""
    return (
        f"{happened['issued']} invoices, {happened['credit notes']} notes, {happened['asked']} requests to providers, "
        f"{happened['statements']} statements, {happened['killed']} kills, {happened['races']} races"
    )


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
