"""Numbers of cards are recognised; what merely has digits is not."""

from typing import Any

import pytest

from milo_billing.kernel.card_numbers import card_number_paths, holds_card_number


@pytest.mark.parametrize(
    "text",
    [
        "4242424242424242",
        "4000 0000 0000 0341",
        "pay with 3782-822463-10005, please",
        "5555555555554444",
        "6011111111111117",
        "6759649826438453",  # Maestro
        '{"card":{"number":"4242424242424242"}}',
        "4222222222222",  # 13 digits
        "card_4242424242424242",
    ],
)
def test_a_card_number_is_seen(text: str) -> None:
    assert holds_card_number(text)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "pm_1PgafyB7WZ01zgkWSjxsAJo3",
        "4242424242424243",  # the last digit does not check
        "1111111111111117",  # no network begins with 1
        "2026-11-22T12:00:00Z",
        "**** 4242",
        "42424242424242424242424242",  # too long for a card
    ],
)
def test_other_texts_are_not(text: str) -> None:
    assert not holds_card_number(text)


@pytest.mark.parametrize(
    ("value", "paths"),
    [
        ({"spec": {"providerToken": "4242 4242 4242 4242"}}, ["spec.providerToken"]),
        ({"a": [{"b": 4242424242424242}, None, True, 1.5]}, ["a[0].b"]),
        ({"4242424242424242": "x", "fine": "y"}, [""]),
        ({"amount": "12.50", "of": ["INV-2026-000001"]}, []),
    ],
)
def test_where_it_stands_is_said_without_the_number(value: Any, paths: list[str]) -> None:
    assert card_number_paths(value) == paths
