"""Patches: RFC 7396 by its own examples, RFC 6902 where it fails."""

from typing import Any

import pytest

from milo_billing.controlplane.patches import json_patch, merge_patch
from milo_billing.controlplane.statuses import Failure
from milo_billing.kernel.errors import BadRequest


@pytest.mark.parametrize(
    ("target", "patch", "result"),
    [  # RFC 7396, appendix A
        ({"a": "b"}, {"a": "c"}, {"a": "c"}),
        ({"a": "b"}, {"b": "c"}, {"a": "b", "b": "c"}),
        ({"a": "b"}, {"a": None}, {}),
        ({"a": "b", "b": "c"}, {"a": None}, {"b": "c"}),
        ({"a": ["b"]}, {"a": "c"}, {"a": "c"}),
        ({"a": "c"}, {"a": ["b"]}, {"a": ["b"]}),
        ({"a": {"b": "c"}}, {"a": {"b": "d", "c": None}}, {"a": {"b": "d"}}),
        ({"a": [{"b": "c"}]}, {"a": [1]}, {"a": [1]}),
        (["a", "b"], ["c", "d"], ["c", "d"]),
        ({"a": "b"}, ["c"], ["c"]),
        ({"a": "foo"}, None, None),
        ({"a": "foo"}, "bar", "bar"),
        ({"e": None}, {"a": 1}, {"e": None, "a": 1}),
        ([1, 2], {"a": "b", "c": None}, {"a": "b"}),
        ({}, {"a": {"bb": {"ccc": None}}}, {"a": {"bb": {}}}),
    ],
)
def test_merge_patch_by_the_examples_of_its_rfc(target: Any, patch: Any, result: Any) -> None:
    assert merge_patch(target, patch) == result


def test_a_json_patch_changes_a_copy() -> None:
    target = {"metadata": {"name": "x"}}
    patched = json_patch(target, [{"op": "add", "path": "/metadata/labels", "value": {"a": "b"}}])
    assert patched == {"metadata": {"name": "x", "labels": {"a": "b"}}}
    assert target == {"metadata": {"name": "x"}}


@pytest.mark.parametrize(
    "operations",
    [
        [{"op": "test", "path": "/metadata/name", "value": "y"}],
        [{"op": "remove", "path": "/spec/nope"}],
        [{"op": "replace", "path": "/a/b/c", "value": 1}],
    ],
)
def test_a_failed_test_or_path_is_invalid(operations: Any) -> None:
    with pytest.raises(Failure, match="rejected"):
        json_patch({"metadata": {"name": "x"}}, operations)


@pytest.mark.parametrize("operations", [{}, [{"op": "fly", "path": "/a"}], [1], [{"path": "/a"}]])
def test_a_malformed_patch_is_a_bad_request(operations: Any) -> None:
    with pytest.raises(BadRequest):
        json_patch({"metadata": {"name": "x"}}, operations)
