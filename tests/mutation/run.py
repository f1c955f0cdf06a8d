"""Mutate functions of the pure rules, try the mutants, and judge what survived."""

import sys
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass, field

from tests.mutation.lists import Change, change_of, read_explained, stale
from tests.mutation.mutants import SOURCE, Mutant, Part, mutants_of, mutated_files, parts_of
from tests.mutation.trial import Plan, Trial, try_mutants


@dataclass(frozen=True, slots=True)
class Findings:
    """What a run came to. `reached` are the functions whose mutants were all tried."""

    parts: Sequence[Part]
    trials: Sequence[Trial]
    untried: Sequence[Mutant]
    problem: str
    reasons: Collection[Change]
    seconds: float
    reached: Sequence[Part] = field(init=False)

    def __post_init__(self) -> None:
        waiting = {(mutant.file, mutant.function) for mutant in self.untried}
        reached = [part for part in self.parts if (part.file, part.function) not in waiting]
        object.__setattr__(self, "reached", [] if self.problem else reached)

    @property
    def survivors(self) -> list[Mutant]:
        return [trial.mutant for trial in self.trials if trial.outcome == "survived"]

    @property
    def explained(self) -> list[Mutant]:
        return [mutant for mutant in self.survivors if change_of(mutant) in self.reasons]

    @property
    def unexplained(self) -> list[Mutant]:
        return [mutant for mutant in self.survivors if change_of(mutant) not in self.reasons]

    @property
    def killed(self) -> list[Mutant]:
        return [trial.mutant for trial in self.trials if trial.outcome != "survived"]

    @property
    def stale(self) -> Sequence[Change]:
        return stale(self.reasons, self.survivors, self.reached)

    @property
    def sound(self) -> list[Part]:
        """The functions that can be recorded: all tried, and each mutant killed or explained."""
        poor = {(one.file, one.function) for one in (*self.unexplained, *self.stale)}
        return [part for part in self.reached if (part.file, part.function) not in poor]

    def told(self) -> str:
        """What has to be done, or nothing."""
        told: list[str] = []
        if self.problem:
            told.append(f"No mutant could be tried: {self.problem}.")
        if self.unexplained:
            told.append(
                f"{len(self.unexplained)} mutants survived. Kill each by a test that states the rule, remove the code"
                " that makes no difference, or explain it in tests/mutation/explained.toml:"
            )
            told += [str(change_of(mutant)) for mutant in self.unexplained]
        if self.stale:
            told.append("These are in tests/mutation/explained.toml and do not survive; remove them there:")
            told += [str(change) for change in self.stale]
        if self.untried:
            left = sorted({f"{mutant.file}: {mutant.function}" for mutant in self.untried})
            told.append(
                f"{len(self.untried)} mutants of {len(left)} changed functions were not reached in the time there was."
                " Run ./task test:mutation over them and commit tests/mutation/recorded.toml:"
            )
            told += left
        return "\n".join(told)

    def table(self) -> str:
        """Figures per file, as bench/results/proofs.md keeps them."""
        rows = [
            "| file | mutants | killed | survived | of them explained | seconds |",
            "|---|---|---|---|---|---|",
        ]
        spent: defaultdict[str, float] = defaultdict(float)
        for trial in self.trials:
            spent[trial.mutant.file] += trial.seconds
        columns = [
            Counter(mutant.file for mutant in chosen)
            for chosen in (self.killed, self.survivors, self.explained)
        ]
        for file in sorted(spent):
            killed, survived, explained = (column[file] for column in columns)
            rows.append(
                f"| {file} | {killed + survived} | {killed} | {survived} | {explained} | {spent[file]:.0f} |"
            )
        killed, survived, explained = (column.total() for column in columns)
        rows.append(
            f"| all | {killed + survived} | {killed} | {survived} | {explained} | {self.seconds:.0f} |"
        )
        return "\n".join(rows)


def all_parts(files: Iterable[str] | None = None) -> list[Part]:
    """Every function of the files of rules, of all or of these."""
    return [
        part
        for file in (mutated_files() if files is None else files)
        for part in parts_of(file, (SOURCE / file).read_text())
    ]


def run(
    parts: Sequence[Part],
    *,
    processes: int,
    seconds_max: float | None = None,
    progress: Callable[[int, int, Trial], None] | None = None,
) -> Findings:
    """Try every mutant of these functions, those of the first functions first.

    With `seconds_max`, no mutant is begun after that time, which includes the run of the tests without mutants.
    """
    began = time.monotonic()
    reasons = read_explained()
    mutants: list[Mutant] = []
    for file in dict.fromkeys(part.file for part in parts):
        functions = {part.function for part in parts if part.file == file}
        mutants += mutants_of(file, (SOURCE / file).read_text(), functions=functions)
    trials: list[Trial] = []

    def report(trial: Trial) -> None:
        trials.append(trial)
        if progress is not None:
            progress(len(trials), len(mutants), trial)

    deadline = None if seconds_max is None else began + seconds_max
    plan = Plan(mutants, processes=processes, deadline=deadline, report=report)
    try_mutants(plan)
    return Findings(parts, trials, plan.untried, plan.problem, reasons.keys(), time.monotonic() - began)


def show_progress(done: int, count: int, trial: Trial) -> None:
    """A survivor as it is found, and a line now and then."""
    if trial.outcome == "survived":
        print(f"\nsurvived: {change_of(trial.mutant)}", file=sys.stderr)
    if done % 100 == 0 or done == count:
        print(f"{done} of {count} mutants", file=sys.stderr, flush=True)
