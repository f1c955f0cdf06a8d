"""./task test:mutation -- [FILE…]: try mutants of the pure rules, and record the functions that hold.

Examples:

    ./task test:mutation                                          what changed since it was recorded
    ./task test:mutation -- --all                                 everything
    ./task test:mutation -- src/milo_billing/pricing/rules/fx.py  one file
"""

import argparse
import os
import sys
from pathlib import Path

from tests.mutation.lists import changed, read_recorded, recorded_anew, write_recorded
from tests.mutation.mutants import ROOT, SOURCE, mutated_files
from tests.mutation.run import all_parts, run, show_progress


def main() -> int:
    os.chdir(ROOT)
    asked = _asked()
    every = all_parts()
    records = read_recorded()
    files = [_named(path) for path in asked.files]
    wanted = every if asked.all else changed(every, records)
    if files:
        wanted = [part for part in every if part.file in files]
    if not wanted:
        print("Nothing changed since it was recorded; --all tries everything.")
        return 0
    print(f"{len(wanted)} functions", file=sys.stderr)
    findings = run(wanted, processes=asked.processes, seconds_max=asked.seconds, progress=show_progress)
    print(findings.table())
    if not asked.check:
        standing = {(part.file, part.function) for part in every}
        sound = findings.sound
        anew = recorded_anew(sound, findings.killed, findings.explained)
        kept = {place: record for place, record in records.items() if place in standing}
        write_recorded({**kept, **anew})
        print(f"{len(sound)} of {len(wanted)} functions recorded in tests/mutation/recorded.toml")
    told = findings.told()
    if told:
        print(told)
    return 1 if told else 0


def _asked() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="./task test:mutation --",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "files", nargs="*", type=Path, metavar="FILE", help="files of rules; all their functions"
    )
    parser.add_argument("--all", action="store_true", help="every function of every file, changed or not")
    parser.add_argument("--check", action="store_true", help="record nothing")
    parser.add_argument(
        "--seconds", type=float, help="begin no mutant after this time, and name what was left"
    )
    parser.add_argument(
        "--processes", type=int, default=os.cpu_count() or 1, help="how many at a time (%(default)s)"
    )
    return parser.parse_args()


def _named(path: Path) -> str:
    name = str(path.resolve().relative_to(SOURCE)) if path.resolve().is_relative_to(SOURCE) else str(path)
    if name not in mutated_files():
        sys.exit(f"{path} is not among the files that are mutated:\n" + "\n".join(mutated_files()))
    return name


if __name__ == "__main__":
    sys.exit(main())
