"""`python -m tests.simulation.usage_simulation`: run seeds on a PostgreSQL of its own, and say which of them fail."""

import argparse
import logging
import sys
from collections import Counter
from time import monotonic

from tests.simulation.usage_simulation.ground import own_ground
from tests.simulation.usage_simulation.run import TURNS, again, simulate

SHOWN_MAX = 10


def main(arguments: list[str]) -> int:
    """1 if a seed fails."""
    parser = argparse.ArgumentParser(
        prog="python -m tests.simulation.usage_simulation",
        description="Simulate usage with duplicates, late and bad events, rebinding, voids, replays, corrections, "
        "the SDK's spool, kills and crashes, and audit it.",
        epilog="example: python -m tests.simulation.usage_simulation --seed 7 --story",
    )
    parser.add_argument("--seed", type=int, default=1, help="the first seed (default 1)")
    parser.add_argument("--seeds", type=int, default=1, help="how many, one after the other (default 1)")
    parser.add_argument("--turns", type=int, default=TURNS, help=f"turns a seed (default {TURNS})")
    parser.add_argument("--story", action="store_true", help="tell what happened, turn by turn")
    parser.add_argument("--counts", action="store_true", help="say at the end how often each thing happened")
    chosen = parser.parse_args(arguments)
    logging.disable()  # of connections that were killed
    failed: list[int] = []
    happened: Counter[str] = Counter()
    with own_ground() as ground:
        for ran, seed in enumerate(range(chosen.seed, chosen.seed + chosen.seeds), start=1):
            began = monotonic()
            outcome = simulate(seed, ground=ground, database="simulated", turns=chosen.turns)
            happened += outcome.happened
            if chosen.story:
                print(*outcome.story, sep="\n")
            if outcome.wrong:
                failed.append(seed)
            verdict = "as predicted" if not outcome.wrong else f"{len(outcome.wrong)} WRONG"
            print(
                f"seed {seed}: {verdict}, {said(outcome.happened)}, {monotonic() - began:.1f} s; "
                f"{ran - len(failed)} of {ran} as predicted",
                flush=True,
            )
            for text in outcome.wrong[:SHOWN_MAX]:
                print(f"  {text[:1000]}")
    if chosen.counts:
        print(*(f"{count:8} {what}" for what, count in sorted(happened.items())), sep="\n")
    print(f"{chosen.seeds - len(failed)} of {chosen.seeds} seeds as predicted, {said(happened)}")
    for seed in failed:
        print(f"seed {seed} fails; again: {again(seed, turns=chosen.turns)}")
    return 1 if failed else 0


def said(happened: Counter[str]) -> str:
    """The gist of what happened."""
    kills = happened["kill"] + happened["crash"] + happened["cut"]
    kills += sum(count for what, count in happened.items() if what.startswith("programs killed"))
    named = {
        "events": "events stored",
        "voids": "events voided",
        "replays": "replays",
        "corrections": "corrections",
        "ids of the SDK": "ids that record returned",
    }
    return ", ".join([f"{happened[what]} {name}" for name, what in named.items()] + [f"{kills} kills"])


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
