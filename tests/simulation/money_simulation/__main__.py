"""`python -m tests.simulation.money_simulation`: run seeds on a PostgreSQL of its own, and say which of them fail."""

import argparse
import logging
import sys
from collections import Counter
from time import monotonic

from tests.simulation.money_simulation.run import TURNS, again, simulate
from tests.simulation.usage_simulation.ground import own_ground

SHOWN_MAX = 6


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
    parser.add_argument("--story", action="store_true", help="tell what happened, turn by turn")
    parser.add_argument("--counts", action="store_true", help="say at the end how often each thing happened")
    chosen = parser.parse_args(arguments)
    logging.disable()  # of payments that were refused
    failed: list[int] = []
    happened: Counter[str] = Counter()
    with own_ground() as ground:
        for seed in range(chosen.seed, chosen.seed + chosen.seeds):
            began = monotonic()
            outcome = simulate(seed, ground=ground, database="simulated", turns=chosen.turns)
            happened += outcome.happened
            if chosen.story:
                print(*outcome.story, sep="\n")
            if outcome.wrong:
                failed.append(seed)
            verdict = "as it must be" if not outcome.wrong else f"{len(outcome.wrong)} WRONG"
            print(
                f"seed {seed}: {verdict}, {said(outcome.happened)}, {monotonic() - began:.1f} s", flush=True
            )
            for text in outcome.wrong[:SHOWN_MAX]:
                print(f"  {text[:3000]}")
    if chosen.counts:
        print(*(f"{count:8} {what}" for what, count in sorted(happened.items())), sep="\n")
    print(f"{chosen.seeds - len(failed)} of {chosen.seeds} seeds as they must be, {said(happened)}")
    for seed in failed:
        print(f"seed {seed} fails; again: {again(seed, turns=chosen.turns)}")
    return 1 if failed else 0


def said(happened: Counter[str]) -> str:
    """The gist of what happened."""
    return (
        f"{happened['issued']} invoices, {happened['credit notes']} notes, {happened['asked']} requests to providers, "
        f"{happened['statements']} statements, {happened['killed']} kills, {happened['races']} races"
    )


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
