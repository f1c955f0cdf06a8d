"""Every change to a pure rule is noticed by some test, or explained."""

import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from tests.mutation.lists import (
    Change,
    Record,
    change_of,
    changed,
    read_explained,
    read_recorded,
    stale,
    write_recorded,
)
from tests.mutation.mutants import CONSTANTS, ROOT, Part, mutants_of, parts_of
from tests.mutation.run import Findings, all_parts
from tests.mutation.trial import Trial

FILE = "milo_billing/pricing/rules/example.py"
LAST = "return [self.width + here for here, _ in zip(*self, strict=True)]"
TEXT = textwrap.dedent(
    '''
    """A module."""

    LIMIT = 10

    @cached
    def below(value: int) -> bool:
        """Whether the value is below the limit."""
        assert value >= 0, "it was counted"
        return value < LIMIT

    class Steps:
        width: int = 5

        @property
        def last(self) -> list[int]:
            return [self.width + here for here, _ in zip(*self, strict=True)]
    '''
)


def changes(text: str) -> list[tuple[str, str, str]]:
    return [(one.function, one.was, one.becomes) for one in mutants_of(FILE, text)]


def test_every_place_is_changed_but_for_fields_docstrings_and_what_an_assertion_says() -> None:
    assert changes(TEXT) == [
        (CONSTANTS, "LIMIT = 10", "LIMIT = None"),
        (CONSTANTS, "LIMIT = 10", "LIMIT = 11"),
        (
            "below",
            'assert value >= 0, "it was counted"',
            'assert value > 0, "it was counted"',
        ),
        (
            "below",
            'assert value >= 0, "it was counted"',
            'assert value >= 1, "it was counted"',
        ),
        ("below", "return value < LIMIT", "return value <= LIMIT"),
        ("Steps.last", LAST, LAST.replace("+", "-")),
        ("Steps.last", LAST, LAST.replace("*self, ", "")),
    ]


def test_only_the_functions_that_were_asked_for_are_changed() -> None:
    assert {one.function for one in mutants_of(FILE, TEXT, functions={"below"})} == {"below"}


def test_a_function_is_another_once_it_says_something_else() -> None:
    def content(text: str) -> dict[str, str]:
        return {part.function: part.content for part in parts_of(FILE, text)}

    before = content(TEXT)
    assert list(before) == ["below", "Steps.last", CONSTANTS]
    retold = TEXT.replace("Whether the value is", "True if").replace("< LIMIT", " <  LIMIT  # why")
    assert content(retold) == before
    shifted = content(TEXT.replace("+ here", "* here"))
    assert {name for name, one in shifted.items() if before[name] != one} == {"Steps.last"}


def test_what_was_recorded_is_read_as_it_was_written(tmp_path: Path) -> None:
    path = tmp_path / "recorded.toml"
    assert read_recorded(path) == {}
    records = {
        (FILE, "below"): Record("abc", mutants=3, killed=2, explained=1),
        (FILE, CONSTANTS): Record("def", mutants=2, killed=2, explained=0),
    }
    write_recorded(records, path)
    assert read_recorded(path) == records
    parts = [Part(FILE, "below", "abc"), Part(FILE, CONSTANTS, "other"), Part(FILE, "new", "abc")]
    assert [part.function for part in changed(parts, records)] == [CONSTANTS, "new"]


def test_an_explanation_of_what_does_not_survive_is_stale() -> None:
    survived, killed = mutants_of(FILE, TEXT, functions={CONSTANTS})
    elsewhere = Change(FILE, "below", "", "")
    found = stale(
        {change_of(survived), change_of(killed), elsewhere}, [survived], [Part(FILE, CONSTANTS, "")]
    )
    assert list(found) == [change_of(killed)]


def test_a_function_is_sound_once_all_its_mutants_were_tried_and_killed_or_explained() -> None:
    mutants = mutants_of(FILE, TEXT)
    by_place = {
        name: [one for one in mutants if one.function == name] for name in (CONSTANTS, "below", "Steps.last")
    }
    parts = [Part(FILE, name, "content") for name in by_place]
    killed = [
        Trial(one, "killed", 0.1, "some test") for one in by_place["below"][1:] + by_place[CONSTANTS][1:]
    ]
    survived = [Trial(by_place[name][0], "survived", 0.1) for name in ("below", CONSTANTS)]
    explained = {change_of(by_place[CONSTANTS][0])}
    late = by_place["Steps.last"]
    found = Findings(parts, [*killed, *survived], late, "", explained, seconds=1.0)
    assert [part.function for part in found.sound] == [CONSTANTS]
    told = found.told()
    assert "1 mutants survived" in told
    assert str(change_of(by_place["below"][0])) in told
    assert f"{len(late)} mutants of 1 changed functions were not reached" in told
    assert Findings(parts, killed, [], "pytest died", explained, seconds=1.0).sound == []


def test_explanations_name_functions_that_are_there() -> None:
    there = {(part.file, part.function) for part in all_parts()}
    lost = [str(change) for change in read_explained() if (change.file, change.function) not in there]
    assert lost == []


@pytest.mark.shared  # examples that others published kill many
@pytest.mark.long
@pytest.mark.alone
@pytest.mark.usefixtures("shared_data")
def test_changed_rules_leave_no_mutant_alive() -> None:
    """Within eight minutes; a change that needs longer is to be recorded by hand, and the failure says how."""
    _run("--check", "--seconds", "480")


@pytest.mark.shared
@pytest.mark.nightly
@pytest.mark.alone
@pytest.mark.usefixtures("shared_data")
def test_rules_leave_no_mutant_alive() -> None:
    _run("--check", "--all")


def _run(*arguments: str) -> None:
    ended = subprocess.run(
        [sys.executable, "-m", "tests.mutation", *arguments],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    print(ended.stdout[-4000:])
    assert ended.returncode == 0, ended.stdout
