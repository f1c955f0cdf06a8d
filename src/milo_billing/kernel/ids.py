"""128-bit identifiers that sort by time: ULID and UUIDv7, as text, integer and UUID.

Pure: the milliseconds and the random bits are passed in. ULID: https://github.com/ulid/spec. UUIDv7: RFC 9562
§5.7. Both start with 48 bits of Unix milliseconds, so one integer order serves both.
"""

import re
from typing import Final
from uuid import UUID

ULID: Final = re.compile(r"[0-7][0-9A-HJKMNP-TV-Z]{25}", re.IGNORECASE | re.ASCII)
"""Use with fullmatch. The first digit is at most 7: 26 digits of 5 bits hold 130, an id has 128. Any case."""

MS_MAX: Final = 2**48 - 1
# int(text, 32) reads 0-9A-V; Crockford writes the same values without I, L, O and U.
_ALPHABET: Final = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
_TO_BASE32HEX: Final = str.maketrans(_ALPHABET, "0123456789ABCDEFGHIJKLMNOPQRSTUV")


def ulid_to_int(text: str) -> int:
    """The 128 bits of a ULID. Raises ValueError if it is none."""
    if ULID.fullmatch(text) is None:
        raise ValueError(f"{text!r} is not a ULID: 26 digits of Crockford's base 32, the first at most 7")
    return int(text.upper().translate(_TO_BASE32HEX), 32)


def int_to_ulid(value: int) -> str:
    """The 26 capital digits of a 128-bit integer. Raises ValueError outside 0..2**128 - 1."""
    if not 0 <= value < 2**128:
        raise ValueError(f"{value} does not fit in 128 bits")
    return "".join(_ALPHABET[(value >> shift) & 31] for shift in range(125, -1, -5))


def int_to_uuid(value: int) -> UUID:
    """The same 128 bits as a UUID, whatever its version field says. Raises ValueError outside 128 bits."""
    return UUID(int=value)


def ulid(ms: int, random80: int) -> str:
    """A ULID of that Unix time in milliseconds with 80 random bits. Raises ValueError out of bounds."""
    return int_to_ulid(_checked(ms, "milliseconds", 48) << 80 | _checked(random80, "random bits", 80))


def uuid7(ms: int, random74: int) -> UUID:
    """A UUIDv7 of that Unix time in milliseconds with 74 random bits. Raises ValueError out of bounds."""
    _checked(ms, "milliseconds", 48)
    _checked(random74, "random bits", 74)
    high, low = random74 >> 62, random74 & (2**62 - 1)
    return UUID(int=ms << 80 | 0x7 << 76 | high << 64 | 0b10 << 62 | low)


def id_ms(value: int) -> int:
    """The Unix milliseconds that a 128-bit ULID or UUIDv7 starts with."""
    return value >> 80


def _checked(value: int, what: str, bits: int) -> int:
    if not 0 <= value < 2**bits:
        raise ValueError(f"{value} is not {bits} bits of {what}")
    return value
