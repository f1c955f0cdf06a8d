"""What was collected under guidance, mutated and taken again without it: `CONNINFO SECONDS FOLDER…`; looks at memory.

A process of its own, because an instrumented one grows whatever it runs, by 4 KB an input: atheris keeps what values
are compared with.
"""

import random
import sys
import time
from pathlib import Path

from tests.fuzz.harness import Harness, harness
from tests.fuzz.mutations import mutate

LOOK_INPUTS = 2_000


def repeat(fuzzer: Harness, *, seconds: int, folders: list[Path]) -> None:
    """Take mutations of the files in these folders for so long."""
    chance, until = random.Random(seconds), time.monotonic() + seconds
    collected = [path.read_bytes() for folder in folders for path in sorted(folder.iterdir())]
    done = 0
    while time.monotonic() < until:
        data = chance.choice(collected)
        fuzzer.take(data[:1] + mutate(data[1:], chance))
        done += 1
        if done % LOOK_INPUTS == 0:
            fuzzer.look_at_memory()
    print(f"Done {done} more without guidance, in {seconds} s")


if __name__ == "__main__":
    repeat(harness(sys.argv[1]), seconds=int(sys.argv[2]), folders=[Path(name) for name in sys.argv[3:]])
