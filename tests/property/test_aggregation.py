"""A charged quantity is the naive recount of the raw events, however they came, were grouped and merged."""

from dataclasses import replace
from typing import get_args

from hypothesis import given
from hypothesis import strategies as st

from milo_billing.catalog.types import Meter
from milo_billing.kernel.aggregation import Aggregation, Window, merged, value
from tests.unit.pricing.builders import meter
from tests.unit.pricing.metering import Used, charged, recounted

histories = st.lists(
    st.builds(
        Used,
        id=st.just(0),
        value=st.integers(-(2**63), 2**63 - 1) | st.integers(-3, 3),
        hour=st.integers(0, 80),
        project=st.integers(1, 3),
        region=st.sampled_from([None, "eu", "us"]),
        user=st.sampled_from("abcd"),
    ),
    max_size=25,
).map(lambda events: [replace(event, id=number) for number, event in enumerate(events)])
aggregations = st.sampled_from(list[Aggregation](get_args(Aggregation)))
bindings = st.dictionaries(st.integers(1, 3), st.integers(0, 31).map(lambda days: (days, 31)))


@st.composite
def meters(draw: st.DrawFn) -> Meter:
    window: Window = draw(st.sampled_from(["Period", "Day"]))
    split = draw(st.sampled_from([(), ("region",)]))
    return meter("meter", draw(aggregations), window=window, series_by=split)


@given(data=st.data(), events=histories, meter=meters(), bound=bindings, pieces=st.integers(1, 4))
def test_what_is_charged_is_the_recount_whatever_the_order_and_the_groups(
    data: st.DataObject, events: list[Used], meter: Meter, bound: dict[int, tuple[int, int]], pieces: int
):
    arrived: list[Used] = data.draw(st.permutations(events))
    found = charged(arrived, meter, pieces=pieces, bound=bound)
    assert sum(found.values()) == recounted(events, meter, bound=bound)
    assert set(found) == {(event.project, event.labels) for event in events}


@given(data=st.data(), events=histories, aggregation=aggregations)
def test_merging_is_the_same_in_any_order_and_of_any_parts(
    data: st.DataObject, events: list[Used], aggregation: Aggregation
):
    shuffled: list[Used] = data.draw(st.permutations(events))
    cut = data.draw(st.integers(0, len(events)))
    halves = (
        merged(event.figures for event in shuffled[:cut]),
        merged(event.figures for event in shuffled[cut:]),
    )
    whole = merged(event.figures for event in events)
    assert merged(halves) == merged(reversed(halves)) == whole
    assert value(aggregation, merged([whole])) == value(aggregation, whole)


@given(events=histories, meter=meters())
def test_projects_are_charged_for_what_they_did_alone(events: list[Used], meter: Meter):
    apart = [charged([event for event in events if event.project == project], meter) for project in (1, 2, 3)]
    assert charged(events, meter) == {**apart[0], **apart[1], **apart[2]}
