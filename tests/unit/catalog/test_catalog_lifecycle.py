"""Phases, and what may not change."""

import pytest

from milo_billing.catalog.rules import lifecycle


@pytest.mark.parametrize(
    ("before", "after", "allowed"),
    [
        (None, "Draft", True),
        (None, "Published", True),
        (None, "Deprecated", False),
        (None, "Retired", False),
        ("Draft", "Draft", True),
        ("Draft", "Published", True),
        ("Draft", "Deprecated", False),
        ("Published", "Draft", False),
        ("Published", "Deprecated", True),
        ("Published", "Retired", False),
        ("Deprecated", "Retired", True),
        ("Retired", "Draft", False),
    ],
)
def test_phases_move_forward_one_step(before: str | None, after: str, allowed: bool):
    found = list(lifecycle.phase_errors(lifecycle.METER_PHASES, before=before, after=after))
    assert (found == []) is allowed


def test_a_wrong_step_is_answered_with_the_right_ones():
    (error,) = lifecycle.phase_errors(lifecycle.METER_PHASES, before="Published", after="Draft")
    assert error.message == (
        'Forbidden: invalid phase transition from "Published" to "Draft"; allowed forward transitions are '
        "Draft→Published, Published→Deprecated, Deprecated→Retired"
    )


def test_lists_that_only_grow():
    found = lifecycle.only_added("measurement.dimensions", before=["a", "b"], after=["c", "b"])
    assert [str(error) for error in found] == [
        'spec.measurement.dimensions: Forbidden: measurement.dimensions is additive only; removing "a" is not allowed'
    ]


def test_an_entry_stands_once():
    assert [error.field for error in lifecycle.repeated("list", ["a", "b", "a"])] == ["spec.list[2]"]
