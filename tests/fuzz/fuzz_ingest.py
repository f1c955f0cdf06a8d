"""`python -m tests.fuzz.fuzz_ingest --seconds N`: coverage-guided fuzzing of ingest, on a PostgreSQL of its own.

A crash, an input that takes more than a second, a group that an event spoils, a good event that is not stored, memory
that grows by more than 100 MB: each ends it with 1. The input is kept beside, and is tried again with `--input FILE`.
"""

import argparse
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

from milo_billing.infra.database import open_databases
from tests.simulation.usage_simulation.ground import own_ground
from tests.usage_world import make_usage_world

CORPUS = Path(__file__).parent / "corpus"
INPUT_BYTES_MAX = 8_192
HANG_S_MAX = 120
"""A backstop: within it the harness itself measures each input in its own time."""

REPEATED_SHARE = 5
"""One part in so many of the time goes to the look at memory."""


@dataclass(frozen=True)
class Result:
    """Whether nothing was found, the end of what the fuzzer said, and what it did."""

    sound: bool
    said: str

    @property
    def done(self) -> str:
        """How many inputs it tried."""
        done = [line for line in self.said.splitlines() if line.startswith("Done ")]
        return "; ".join(done) or "it did not finish"


def fuzz(*, seconds: int, kept: Path, inputs: tuple[Path, ...] = ()) -> Result:
    """Fuzz for so long, or try these inputs only; what fails is written to `kept`."""
    with own_ground() as ground, tempfile.TemporaryDirectory() as folder:
        conninfo = ground.server.clone("fuzzed")
        databases = open_databases(conninfo, pool_max=2)
        world = make_usage_world(databases, Path(folder)).world
        world.project("free")
        databases.close()
        found = Path(folder) / "corpus"
        found.mkdir()
        options = [
            f"-max_len={INPUT_BYTES_MAX}",
            f"-timeout={HANG_S_MAX}",
            "-rss_limit_mb=0",
            "-print_final_stats=1",
        ]
        options.append(f"-artifact_prefix={kept}/")
        if inputs:
            return _run("fuzzer", conninfo, *map(str, inputs), *options)
        repeated_s = seconds // REPEATED_SHARE
        guided = _run(
            "fuzzer", conninfo, str(found), str(CORPUS), f"-max_total_time={seconds - repeated_s}", *options
        )
        if not guided.sound:
            return guided
        repeated = _run("repeated", conninfo, str(repeated_s), str(found), str(CORPUS))
        return Result(repeated.sound, f"{guided.done}\n{repeated.said}")


def _run(module: str, conninfo: str, *options: str) -> Result:
    command = [sys.executable, "-m", f"tests.fuzz.{module}", conninfo, *options]
    ended = subprocess.run(command, capture_output=True, text=True, errors="replace", check=False)
    return Result(ended.returncode == 0, ended.stderr[-8_000:] + ended.stdout[-4_000:])


def main(arguments: list[str]) -> int:
    """1 if something was found."""
    parser = argparse.ArgumentParser(
        prog="python -m tests.fuzz.fuzz_ingest",
        description="Fuzz the decoding, preparing and storing of usage, guided by coverage.",
        epilog="example: python -m tests.fuzz.fuzz_ingest --seconds 300 --keep .",
    )
    parser.add_argument("--seconds", type=int, default=60, help="how long (default 60)")
    parser.add_argument(
        "--keep", type=Path, default=Path(), help="where inputs that fail are kept (default: here)"
    )
    parser.add_argument("--input", type=Path, action="append", default=[], help="try this input only")
    chosen = parser.parse_args(arguments)
    print(f"fuzzing for {chosen.seconds} s", flush=True)
    result = fuzz(seconds=chosen.seconds, kept=chosen.keep, inputs=tuple(chosen.input))
    print(result.said if not result.sound else result.done)
    return 0 if result.sound else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
