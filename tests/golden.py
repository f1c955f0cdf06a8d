"""The golden cases beside the repository: worked examples of other billing systems, clouds and standards.

Their answers are their sources'. A test module says how each numeric case of its area is run, by the shape of its input
and never by its id: through the real code, ruled out by a choice of domain.md, or later, with what it waits for.
`account_for` sorts them and finds what was forgotten. The file is the one that MILO_GOLDEN_CASES names, where that is
set: others of the same form run through the same code.
"""

import json
import os
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeAlias

import pytest

CASES = Path(
    os.environ.get("MILO_GOLDEN_CASES") or Path(__file__).parents[2] / "shared" / "golden" / "cases.json"
)


@dataclass(frozen=True)
class GoldenCase:
    """One case: what goes in and what the source says comes out; decimals are strings."""

    id: str
    description: str
    input: dict[str, Any]
    expected: dict[str, Any]

    def __str__(self) -> str:
        return self.id


@dataclass(frozen=True)
class RuledOut:
    """A choice that the source makes otherwise: its row in the table of the golden cases, and what is done here."""

    row: int
    why: str

    def __str__(self) -> str:
        return f"choice {self.row}, {self.why}"


@dataclass(frozen=True)
class Later:
    """What has to be there before the case can run."""

    waits_for: str

    def __str__(self) -> str:
        return self.waits_for


Way: TypeAlias = Callable[[GoldenCase], None]
"""Runs a case through the real code and asserts what its source says."""


@dataclass
class Accounted:
    """An area's cases, sorted. `forgotten` are those that nothing is said about, by id: there must be none."""

    area: str
    reproduced: dict[str, Way] = field(default_factory=dict[str, Way])
    ruled_out: dict[str, RuledOut] = field(default_factory=dict[str, RuledOut])
    later: dict[str, Later] = field(default_factory=dict[str, Later])
    forgotten: list[str] = field(default_factory=list[str])

    def __str__(self) -> str:
        lines = [
            f"{self.area}: {len(self.reproduced)} reproduced, {len(self.ruled_out)} ruled out, {len(self.later)} later"
        ]
        for name, listed in (("ruled out", self.ruled_out), ("later", self.later)):
            for why, count in sorted(Counter(map(str, listed.values())).items()):
                ids = [id for id, one in listed.items() if str(one) == why]
                lines.append(f"  {name} ({count}): {why}: {' '.join(ids)}")
        return "\n".join(lines + [f"  nothing is said about {id}" for id in self.forgotten])


def account_for(
    area: str, cases: Iterable[GoldenCase], way_of: Callable[[GoldenCase], Way | RuledOut | Later | None]
) -> Accounted:
    """Sort the cases of an area by what `way_of` says of each; None is a case that was forgotten.

    Those reproduced are asserted one by one in the test module; printing the answer says how many there are of each.
    """
    accounted = Accounted(area)
    for case in cases:
        way = way_of(case)
        match way:
            case None:
                accounted.forgotten.append(case.id)
            case RuledOut():
                accounted.ruled_out[case.id] = way
            case Later():
                accounted.later[case.id] = way
            case _:
                accounted.reproduced[case.id] = way
    return accounted


def golden_cases(prefix: str) -> tuple[GoldenCase, ...]:
    """The numeric cases whose id begins with `prefix`, by id; none where the file is absent."""
    if not CASES.is_file():
        return ()
    found = [
        GoldenCase(case["id"], case["description"], case["input"], case["expected"])
        for case in json.loads(CASES.read_text())
        if case["id"].startswith(prefix) and case["kind"] == "numeric"
    ]
    return tuple(sorted(found, key=lambda case: case.id))


def require_golden_cases() -> None:
    """Skip, or fail where CI=true, if the file is absent."""
    if not CASES.is_file():
        if os.environ.get("CI") == "true":
            pytest.fail(f"{CASES} is missing, and CI=true")
        pytest.skip(f"{CASES} is not on this machine")


def unaccounted(cases: Iterable[GoldenCase], *accounted: Iterable[str]) -> list[str]:
    """Ids of cases that are neither run nor ruled out."""
    known = {id for ids in accounted for id in ids}
    return [case.id for case in cases if case.id not in known]
