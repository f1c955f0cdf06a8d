"""`./task bench -- NAME…`: run benchmarks, print one JSON line a figure, record them, exit 1 when a bar is missed.

A benchmark is a module bench_*.py here with `NAME` and `run() -> Sequence[Figure]`. Without names all of them run.
"""

import importlib
import json
import subprocess
import sys
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Protocol, cast

from bench.figures import Figure

FOLDER = Path(__file__).parent
RESULTS = FOLDER / "results"


class Benchmark(Protocol):
    """What a bench_*.py module has."""

    NAME: str

    def run(self) -> Sequence[Figure]:
        """Measure."""
        ...


def find_benchmarks() -> dict[str, Benchmark]:
    """Every benchmark by its name, sorted."""
    modules = [importlib.import_module(f"bench.{path.stem}") for path in sorted(FOLDER.glob("bench_*.py"))]
    return {module.NAME: cast("Benchmark", module) for module in modules}


def main(arguments: Sequence[str]) -> int:
    """Run the named ones, or all; 1 when a bar is missed, 2 for an unknown name."""
    known = find_benchmarks()
    if unknown := [name for name in arguments if name not in known]:
        print(f"no benchmark is called {', '.join(unknown)}; there are: {', '.join(known)}", file=sys.stderr)
        return 2
    missed = 0
    for name in arguments or known:
        lines = [figure.line() for figure in known[name].run()]
        for line in lines:
            print(json.dumps(line), flush=True)
            missed += not line["holds"]
        record(name, lines)
    return 1 if missed else 0


def record(name: str, lines: list[dict[str, Any]]) -> None:
    """Append to bench/results/NAME.jsonl: when, at which commit, what."""
    RESULTS.mkdir(exist_ok=True)
    commit = subprocess.run(
        ["git", "describe", "--always", "--dirty"], cwd=FOLDER, capture_output=True, text=True, check=False
    ).stdout.strip()
    at = datetime.now(UTC).isoformat(timespec="seconds")
    with (RESULTS / f"{name}.jsonl").open("a") as file:
        for line in lines:
            file.write(json.dumps({"at": at, "commit": commit, **line}) + "\n")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
