"""The golden cases beside the repository: worked examples of other billing systems, clouds and standards.

Their answers are their sources'. A test module runs each numeric case of its area through the real code or names the
choice of domain.md, or the later work, that rules it out; `unaccounted` finds what was forgotten. The file is the one
that MILO_GOLDEN_CASES names, where that is set: others of the same form run through the same code.
"""

import json
import os
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

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
