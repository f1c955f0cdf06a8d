"""What is known of mutants: the survivors that are explained, and the functions whose mutants were all tried.

explained.toml is written by hand: a table a survivor, or an `[[explained]]` for several at once that have one reason.
recorded.toml is written by `./task test:mutation` once every mutant of a function was killed or is explained. Both name
what they are about by its text, so that neither needs a history of the repository.
"""

import json
import tomllib
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.mutation.mutants import Mutant, Part

FOLDER = Path(__file__).parent
EXPLAINED, RECORDED = FOLDER / "explained.toml", FOLDER / "recorded.toml"


@dataclass(frozen=True, slots=True, order=True)
class Change:
    """A mutant as a person writes it down: the lines that change, and what they become."""

    file: str
    function: str
    was: str
    becomes: str

    def __str__(self) -> str:
        return f"{self.file}: {self.function}\n    - {_indented(self.was)}\n    + {_indented(self.becomes)}"


@dataclass(frozen=True, slots=True)
class Record:
    """What trying all mutants of a function came to, when its content was this."""

    content: str
    mutants: int
    killed: int
    explained: int


Records = Mapping[tuple[str, str], Record]


def change_of(mutant: Mutant) -> Change:
    return Change(mutant.file, mutant.function, mutant.was, mutant.becomes)


def read_explained(path: Path = EXPLAINED) -> Mapping[Change, str]:
    """The reason for each survivor that is explained. Raises ValueError at one without a reason, or told twice."""
    reasons: dict[Change, str] = {}
    for entry in tomllib.loads(path.read_text()).get("explained", []):
        if not entry.get("why", "").strip():
            raise ValueError(f"{path.name}: an entry of {entry['function']} does not say why")
        becomes = entry["becomes"] if isinstance(entry["becomes"], list) else [entry["becomes"]]
        for text in becomes:
            change = Change(entry["file"], entry["function"], entry["was"].strip("\n"), text.strip("\n"))
            if change in reasons:
                raise ValueError(f"{path.name}: explained twice:\n{change}")
            reasons[change] = entry["why"]
    return reasons


def stale(explained: Iterable[Change], survived: Iterable[Mutant], parts: Iterable[Part]) -> Sequence[Change]:
    """What is explained of these functions, but did not survive: the entry has to go."""
    alive = {change_of(mutant) for mutant in survived}
    tried = {(part.file, part.function) for part in parts}
    return [one for one in sorted(explained) if (one.file, one.function) in tried and one not in alive]


def read_recorded(path: Path = RECORDED) -> Records:
    """What was recorded, by file and function; nothing where the file is not there."""
    if not path.exists():
        return {}
    return {
        (file, function): Record(**figures)
        for file, functions in tomllib.loads(path.read_text()).items()
        for function, figures in functions.items()
    }


def write_recorded(records: Records, path: Path = RECORDED) -> None:
    """Write all records, in order."""
    lines = ["# Written by ./task test:mutation. A function is tried again once its content is another."]
    for file in sorted({file for file, _ in records}):
        lines += ["", f"[{json.dumps(file)}]"]
        for (_, function), one in sorted((key, one) for key, one in records.items() if key[0] == file):
            figures = f"mutants = {one.mutants}, killed = {one.killed}, explained = {one.explained}"
            lines.append(f"{json.dumps(function)} = {{ content = {json.dumps(one.content)}, {figures} }}")
    path.write_text("\n".join(lines) + "\n")


def changed(parts: Iterable[Part], records: Records) -> list[Part]:
    """The functions that were never recorded as they are now."""
    return [part for part in parts if _content(records.get((part.file, part.function))) != part.content]


def recorded_anew(
    parts: Iterable[Part], killed: Iterable[Mutant], explained: Iterable[Mutant]
) -> dict[tuple[str, str], Record]:
    """The records of functions whose mutants were all tried, and killed or explained."""
    dead = Counter((mutant.file, mutant.function) for mutant in killed)
    told = Counter((mutant.file, mutant.function) for mutant in explained)
    return {
        place: Record(
            part.content, mutants=dead[place] + told[place], killed=dead[place], explained=told[place]
        )
        for part in parts
        for place in [(part.file, part.function)]
    }


def _content(record: Record | None) -> str | None:
    return None if record is None else record.content


def _indented(text: str) -> str:
    return text.replace("\n", "\n      ") if text else "(left out)"
