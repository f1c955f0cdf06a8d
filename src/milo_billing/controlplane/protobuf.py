"""The wire format of protocol buffers: just enough to read Kubernetes' envelopes and to write an OpenAPI document.

https://protobuf.dev/programming-guides/encoding/. Not: any message's meaning; field numbers are where the messages are.
"""

import struct
from typing import TypeAlias

from milo_billing.controlplane.statuses import Status
from milo_billing.kernel.errors import BadRequest

KUBERNETES_MAGIC = b"k8s\x00"
"""What a body of application/vnd.kubernetes.protobuf begins with; a runtime.Unknown follows."""

_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5
_WIDTHS = {_FIXED64: 8, _FIXED32: 4}
_VARINT_BYTES_MAX = 10

Message: TypeAlias = dict[int, list[int | bytes]]
"""Field number → its values in order. Nested messages, strings and fixed numbers are still bytes."""


def read_message(content: bytes) -> Message:
    """The fields of one message. Raises BadRequest where the bytes are none."""
    found: Message = {}
    position = 0
    while position < len(content):
        tag, position = _read_varint(content, position)
        number, wire_type = tag >> 3, tag & 7
        if number == 0:
            raise BadRequest("protobuf: illegal field number 0")
        if wire_type == _VARINT:
            value, position = _read_varint(content, position)
            found.setdefault(number, []).append(value)
            continue
        if wire_type == _BYTES:
            length, position = _read_varint(content, position)
        elif wire_type in _WIDTHS:
            length = _WIDTHS[wire_type]
        else:
            raise BadRequest(f"protobuf: illegal wire type {wire_type}")
        if position + length > len(content):
            raise BadRequest("protobuf: unexpected EOF")
        found.setdefault(number, []).append(content[position : position + length])
        position += length
    return found


def _read_varint(content: bytes, position: int) -> tuple[int, int]:
    value = 0
    for index in range(_VARINT_BYTES_MAX):
        if position >= len(content):
            raise BadRequest("protobuf: unexpected EOF")
        byte = content[position]
        position += 1
        value |= (byte & 0x7F) << (7 * index)
        if not byte & 0x80:
            return value, position
    raise BadRequest("protobuf: integer overflow")


def nested(message: Message, number: int) -> Message | None:
    """A field that is a message; None where it is not set. The last one counts."""
    content = _last_bytes(message, number)
    return None if content is None else read_message(content)


def text(message: Message, number: int) -> str:
    """A string field, empty where it is not set. Raises BadRequest for what is no UTF-8."""
    content = _last_bytes(message, number) or b""
    if b"\0" in content:
        raise BadRequest(f"protobuf: field {number} holds the character NUL")
    try:
        return content.decode()
    except UnicodeDecodeError as error:
        raise BadRequest(f"protobuf: field {number} is not valid UTF-8") from error


def _last_bytes(message: Message, number: int) -> bytes | None:
    if number not in message:
        return None
    value = message[number][-1]
    if not isinstance(value, bytes):
        raise BadRequest(f"protobuf: wrong wire type of field {number}")
    return value


# -- writing


def varint(value: int) -> bytes:
    """A number as protobuf writes it; a negative one in two's complement of 64 bits."""
    value &= (1 << 64) - 1
    written = bytearray()
    while value > 0x7F:
        written.append(value & 0x7F | 0x80)
        value >>= 7
    written.append(value)
    return bytes(written)


def bytes_field(number: int, content: bytes) -> bytes:
    """A nested message, or bytes. Written even when empty: that it is set may be the information."""
    return varint(number << 3 | _BYTES) + varint(len(content)) + content


def text_field(number: int, value: str) -> bytes:
    """A string; nothing where it is empty."""
    return bytes_field(number, value.encode()) if value else b""


def integer_field(number: int, value: int) -> bytes:
    """An integer; nothing where it is 0."""
    return varint(number << 3 | _VARINT) + varint(value) if value else b""


def bool_field(number: int, value: bool) -> bytes:
    """A boolean; nothing where it is false."""
    return integer_field(number, int(value))


def double_field(number: int, value: float) -> bytes:
    """A double; nothing where it is 0."""
    return varint(number << 3 | _FIXED64) + struct.pack("<d", value) if value else b""


PROTOBUF = "application/vnd.kubernetes.protobuf"


def encode_status(status: Status) -> bytes:
    """A failure for a client that reads nothing else (meta.v1.Status in a runtime.Unknown envelope)."""
    raw = (
        bytes_field(1, b"")
        + text_field(2, "Failure")
        + text_field(3, status.message)
        + text_field(4, status.reason)
        + integer_field(6, status.code)
    )
    type_meta = text_field(1, "v1") + text_field(2, "Status")
    return b"k8s\0" + bytes_field(1, type_meta) + bytes_field(2, raw)
