"""The wire format of protocol buffers: what is read, what is refused, what is written."""

import pytest

from milo_billing.controlplane.protobuf import (
    bytes_field,
    double_field,
    integer_field,
    nested,
    read_message,
    text,
    text_field,
    varint,
)
from milo_billing.kernel.errors import BadRequest


@pytest.mark.parametrize(
    ("value", "written"),
    [
        (0, b"\x00"),
        (127, b"\x7f"),
        (128, b"\x80\x01"),
        (300, b"\xac\x02"),  # the example of the specification
        (-1, b"\xff" * 9 + b"\x01"),
    ],
)
def test_varints_are_as_the_specification_writes_them(value: int, written: bytes) -> None:
    assert varint(value) == written


def test_what_is_written_is_read() -> None:
    inner = text_field(1, "grüße") + integer_field(2, 150)
    message = read_message(bytes_field(3, inner) + double_field(4, 1.5) + integer_field(3000, 7))
    found = nested(message, 3)
    assert found is not None
    assert text(found, 1) == "grüße" and found[2] == [150]
    assert message[4] == [b"\x00\x00\x00\x00\x00\x00\xf8\x3f"]
    assert message[3000] == [7]


def test_what_is_not_set_is_empty() -> None:
    assert text_field(1, "") == b"" and integer_field(1, 0) == b""
    assert text({}, 1) == "" and nested({}, 1) is None


def test_of_a_field_that_is_set_twice_the_last_counts() -> None:
    assert text(read_message(text_field(1, "first") + text_field(1, "last")), 1) == "last"


@pytest.mark.parametrize(
    "content",
    [
        b"\x0a",  # a length is missing
        b"\x0a\x05abc",  # shorter than it says
        b"\x80" * 11,  # a number without end
        b"\x0b",  # groups are not used
        b"\x02\x00",  # field 0
        b"\x09\x00",  # half a fixed number
    ],
)
def test_what_is_no_message_is_a_bad_request(content: bytes) -> None:
    with pytest.raises(BadRequest, match="protobuf"):
        read_message(content)


def test_a_number_where_text_is_wanted_is_a_bad_request() -> None:
    with pytest.raises(BadRequest, match="wrong wire type of field 1"):
        text(read_message(integer_field(1, 1)), 1)
    with pytest.raises(BadRequest, match="UTF-8"):
        text(read_message(bytes_field(1, b"\xff")), 1)
