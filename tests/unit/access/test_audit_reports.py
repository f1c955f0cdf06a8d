"""What the findings of a pass over an audit chain mean."""

from typing import Any

import pytest

from milo_billing.access.rules import parse_position, report_chain
from milo_billing.access.types import Position

LAST = b"\x01" * 32
INTACT: dict[str, Any] = {
    "chain": 3,
    "records": 5,
    "missing": None,
    "changed": None,
    "unlinked": None,
    "last_hash": LAST,
    "head": (5, LAST),
}


def test_an_intact_chain_is_reported_with_its_head():
    report = report_chain(**INTACT)
    assert (report.ok, report.first_broken, report.problem) == (True, None, None)
    assert report.head == LAST.hex()


@pytest.mark.parametrize(
    ("findings", "first_broken", "problem"),
    [
        ({"changed": 4}, 4, "the record was changed"),
        ({"changed": 2, "unlinked": 3}, 2, "the record was changed"),
        ({"records": 4, "missing": 3, "unlinked": 4}, 3, "the record is missing"),
        ({"unlinked": 2}, 2, "the record does not follow from the one before it"),
        ({"records": 3, "head": (5, LAST)}, 4, "the end of the chain was cut off: it had 5 records"),
        ({"head": (5, b"\x02" * 32)}, 5, "the head of the chain is not that of its last record"),
        ({"head": (4, LAST)}, 5, "the head of the chain is not that of its last record"),
        ({"head": None}, 6, "the head of the chain is missing"),
        ({"records": 0, "last_hash": None, "head": None}, 1, "the head of the chain is missing"),
    ],
)
def test_the_first_thing_that_is_wrong_is_named(findings: dict[str, Any], first_broken: int, problem: str):
    report = report_chain(**{**INTACT, **findings})
    assert not report.ok
    assert (report.first_broken, report.problem) == (first_broken, problem)


def test_positions_survive_being_written_and_read():
    assert parse_position(str(Position(12, 345))) == Position(12, 345)


@pytest.mark.parametrize("text", ["", "1", "1.", ".1", "-1.2", "1.2.3", "a.b", "1.2 "])
def test_what_is_no_position_is_none(text: str):
    assert parse_position(text) is None
