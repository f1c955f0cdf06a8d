"""Whatever was applied before, is wanted and is there: the patch makes it as wanted, and a second one is empty."""

from typing import Any, cast

from hypothesis import given
from hypothesis import strategies as st

from milo_billing.client.manifests import three_way_patch

_VALUES = st.recursive(
    st.integers(0, 2) | st.lists(st.integers(0, 2), max_size=2),
    lambda inner: st.dictionaries(st.sampled_from("abc"), inner, max_size=3),
    max_leaves=8,
)


_OBJECTS = st.dictionaries(st.sampled_from("abc"), _VALUES, max_size=3)


def merge(target: Any, patch: Any) -> Any:
    """RFC 7386, section 2."""
    if not isinstance(patch, dict):
        return patch
    merged: dict[str, Any] = dict(cast("dict[str, Any]", target)) if isinstance(target, dict) else {}
    for key, value in cast("dict[str, Any]", patch).items():
        if value is None:
            merged.pop(key, None)
        else:
            merged[key] = merge(merged.get(key), value)
    return merged


def covers(live: Any, wanted: Any) -> bool:
    if not isinstance(wanted, dict):
        return live == wanted
    if not isinstance(live, dict):
        return False
    there = cast("dict[str, Any]", live)
    fields = cast("dict[str, Any]", wanted)
    return all(key in there and covers(there[key], value) for key, value in fields.items())


@given(previous=_OBJECTS, wanted=_OBJECTS, live=_OBJECTS)
def test_after_the_patch_everything_wanted_is_there_and_a_second_apply_is_empty(
    previous: dict[str, Any], wanted: dict[str, Any], live: dict[str, Any]
):
    merged = merge(live, three_way_patch(previous=previous, wanted=wanted, live=live))
    assert covers(merged, wanted)
    assert all(key not in merged for key in previous if key not in wanted)
    assert three_way_patch(previous=wanted, wanted=wanted, live=merged) == {}
