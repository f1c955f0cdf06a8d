"""Field sets of the Kubernetes API are sets of paths."""

from hypothesis import given
from hypothesis import strategies as st

from milo_billing.controlplane.ownership import (
    FieldSet,
    difference,
    from_paths,
    intersection,
    paths,
    union,
)

FIELD_SETS = st.sets(
    st.lists(st.sampled_from(["f:a", "f:b", "f:c"]), min_size=3, max_size=3).map(tuple), max_size=8
).map(lambda found: from_paths(sorted(found)))


@given(FIELD_SETS, FIELD_SETS)
def test_field_sets_behave_like_sets_of_paths(left: FieldSet, right: FieldSet) -> None:
    a, b = set(paths(left)), set(paths(right))
    assert set(paths(union(left, right))) == a | b
    assert set(paths(difference(left, right))) == a - b
    assert set(paths(intersection(left, right))) == a & b
