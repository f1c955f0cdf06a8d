"""What may stand in a body."""

import math
from typing import Any

import pytest

from milo_billing.app.wiring import build_registry
from milo_billing.controlplane.decoding import parse_body
from milo_billing.kernel.bodies import DEPTH_MAX, VALUES_MAX, check_value
from milo_billing.kernel.errors import BadRequest

ACCOUNT = next(kind for kind in build_registry().kinds if kind.kind == "BillingAccount")


def nested(depth: int) -> Any:
    value: Any = 1
    for _ in range(depth):
        value = [value]
    return value


@pytest.mark.parametrize(
    "value",
    [
        None,
        True,
        "",
        "Zoë 💶",
        2**63 - 1,
        -(2**63),
        1.5,
        {"a": [{"b": None}]},
        nested(DEPTH_MAX),
        [0] * (VALUES_MAX - 1),
    ],
    ids=lambda value: repr(value)[:20],
)
def test_what_json_can_say_and_postgresql_can_keep_is_let_through(value: Any) -> None:
    check_value(value)


@pytest.mark.parametrize(
    ("value", "says"),
    [
        ("a\0", "NUL"),
        ({"a\0": 1}, "NUL"),
        (["\ud800"], "not valid Unicode"),
        ({"\udfff": 1}, "not valid Unicode"),
        (2**63, "64 bits"),
        (-(2**63) - 1, "64 bits"),
        (math.inf, "JSON cannot say"),
        (math.nan, "JSON cannot say"),
        ({1: 2}, "not a text"),
        ({"a": b"x"}, "a bytes"),
        ({"a": {1, 2}}, "a set"),
        (nested(DEPTH_MAX + 1), "nested too deeply"),
        ([0] * VALUES_MAX, "more than"),
    ],
    ids=lambda value: repr(value)[:20],
)
def test_anything_else_is_refused_with_the_reason(value: Any, says: str) -> None:
    with pytest.raises(BadRequest, match=says):
        check_value(value)


def test_a_value_that_holds_itself_is_refused() -> None:
    value: list[Any] = []
    value.append(value)
    with pytest.raises(BadRequest, match="nested too deeply"):
        check_value(value)


@pytest.mark.parametrize(
    "body",
    [b"- " * 200_000 + b"a", b"? " * 200_000 + b"a", b"[" * 2_000_000, b'{"a":' * 500_000],
    ids=["sequences", "keys", "flow", "maps"],
)
def test_yaml_that_would_end_the_process_is_refused_before_it_is_composed(body: bytes) -> None:
    with pytest.raises(BadRequest, match="nested too deeply"):
        parse_body(ACCOUNT, body, "application/yaml")


def test_yaml_that_multiplies_itself_is_refused() -> None:
    lines = ["m0: &m0 {a: 1}", "a0: &a0 [x, x, x, x, x, x, x, x, x]"]
    for n in range(1, 12):
        lines.append(f"m{n}: &m{n} {{<<: [{', '.join([f'*m{n - 1}'] * 9)}], k{n}: 1}}")
    merges = "\n".join(lines).encode()
    with pytest.raises(BadRequest, match="too large"):
        parse_body(ACCOUNT, merges, "application/yaml")
    laughs = "\n".join(f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]" for n in range(1, 12)).encode()
    with pytest.raises(BadRequest, match="more than"):
        parse_body(ACCOUNT, lines[1].encode() + b"\n" + laughs, "application/yaml")


def test_merge_keys_and_aliases_of_an_honest_text_are_resolved() -> None:
    value, _ = parse_body(ACCOUNT, b"a: &a {x: 1, y: 2}\nb: {<<: *a, y: 3}\nc: *a\n", "application/yaml")
    assert value == {"a": {"x": 1, "y": 2}, "b": {"x": 1, "y": 3}, "c": {"x": 1, "y": 2}}
