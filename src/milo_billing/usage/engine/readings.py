"""Times and values of events, thousands at a time: text to int64, exactly, with a mask of what is none.

Owns: RFC 3339 to microseconds, text or number to int64. Not: whether a time is acceptable (prepare).
"""

import re
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Final, TypeAlias, cast

import numpy as np
from numpy.typing import NDArray

from milo_billing.kernel.quantity import is_int64

I64: TypeAlias = NDArray[np.int64]
Mask: TypeAlias = NDArray[np.bool_]

EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
SECOND_US: Final = 1_000_000

_MICROSECOND: Final = timedelta(microseconds=1)
_RFC3339: Final = re.compile(
    r"\d{4}-\d\d-\d\d[Tt]([01]\d|2[0-3]):[0-5]\d:([0-5]\d|60)(\.\d+)?([Zz]|[+-]([01]\d|2[0-3]):[0-5]\d)",
    re.ASCII,
)
_DIGITS_MAX: Final = 20
_INTEGER: Final = re.compile(r"-?[0-9]{1,20}", re.ASCII)
_PLAIN: Final = frozenset(range(21, 31)) | {20}
"""Lengths of YYYY-MM-DDTHH:MM:SSZ without and with 0 … 9 decimals."""

_SEPARATORS: Final = ((4, ord("-")), (7, ord("-")), (10, ord("T")), (13, ord(":")), (16, ord(":")))


def to_us(instant: datetime) -> int:
    """Microseconds since 1970, exact."""
    return (instant - EPOCH) // _MICROSECOND


def to_instant(us: int) -> datetime:
    """The instant of these microseconds since 1970."""
    return EPOCH + timedelta(microseconds=us)


YEAR_1_US: Final = to_us(datetime.min.replace(tzinfo=UTC))
"""What lies before has no name in PostgreSQL's calendar or Python's."""


def parse_times(texts: Sequence[str]) -> tuple[I64, Mask]:
    """RFC 3339 times as microseconds since 1970, and which are good; finer digits are cut off.

    A time before the year 1 is none: `0000-…`, or the first day of that year east of Greenwich.
    A leap second counts as the second after it, as POSIX has it.
    """
    n = len(texts)
    instants = np.zeros(n, np.int64)
    good = np.zeros(n, np.bool_)
    lengths = np.fromiter(map(len, texts), np.int64, n)
    for length in np.unique(lengths).tolist():
        where = np.flatnonzero(lengths == length)
        chosen = texts if len(where) == n else [texts[i] for i in where.tolist()]
        plain = _parse_plain(chosen, length) if length in _PLAIN else None
        if plain is None:
            _parse_singly(texts, where, instants, good)
        else:
            instants[where] = plain
            good[where] = True
    good &= instants >= YEAR_1_US
    return np.where(good, instants, 0), good


def _parse_plain(texts: Sequence[str], length: int) -> I64 | None:
    """Times in UTC of the same length, all plain; None if any of them is something else."""
    joined = "".join(texts)
    if not joined.isascii():
        return None
    characters = np.frombuffer(joined.encode(), np.uint8).reshape(-1, length)
    if not (characters[:, length - 1] == ord("Z")).all():
        return None
    for column, separator in (*_SEPARATORS, *(((19, ord(".")),) if length > 20 else ())):
        if not (characters[:, column] == separator).all():
            return None
    separators = {column for column, _ in _SEPARATORS} | {19}
    digits = characters[:, [i for i in range(length - 1) if i not in separators]]
    if not ((digits >= ord("0")) & (digits <= ord("9"))).all() or length == 21:  # 21: a dot and no decimals
        return None
    kept = min(length - 1, 26)  # numpy reads microseconds exactly; finer decimals are cut
    texts_only = np.ascontiguousarray(characters[:, :kept]).view(f"S{kept}").ravel()
    try:
        return texts_only.astype("datetime64[us]").astype(np.int64)
    except ValueError:  # 30 February, a leap second, hour 24
        return None


def _parse_singly(texts: Sequence[str], where: NDArray[np.intp], instants: I64, good: Mask) -> None:
    places: list[int] = where.tolist()
    for i in places:
        us = parse_time(texts[i])
        if us is not None:
            instants[i] = us
            good[i] = True


def parse_time(text: str) -> int | None:
    """One RFC 3339 time as microseconds since 1970; None if it is none."""
    match = _RFC3339.fullmatch(text)
    if match is None:
        return None
    leap = match[2] == "60"
    upper = text.upper()
    try:
        instant = datetime.fromisoformat(upper[:17] + "59" + upper[19:] if leap else upper)
    except ValueError:
        return None
    us = to_us(instant) + (SECOND_US if leap else 0)
    return us if us >= YEAR_1_US else None


def parse_values(values: Sequence[str | int | float]) -> tuple[I64, Mask]:
    """Values as int64, and which are one: an integer as text or as a JSON number without a fraction."""
    n = len(values)
    try:
        joined = ",".join(cast("Sequence[str]", values))
        if joined.isascii() and not joined.encode().translate(None, b"0123456789-,"):
            return np.fromiter(map(int, values), np.int64, n), np.ones(n, np.bool_)
    except (TypeError, ValueError, OverflowError):  # a number; "" or "1-2"; too large
        pass
    numbers = [parse_value(value) for value in values]
    good = np.fromiter((number is not None for number in numbers), np.bool_, n)
    return np.fromiter((number or 0 for number in numbers), np.int64, n), good


def parse_value(value: str | int | float) -> int | None:
    """One value as int64; None if it is none."""
    if isinstance(value, str):
        if _INTEGER.fullmatch(value) is None:
            return None
        value = int(value)
    return value if isinstance(value, int) and is_int64(value) else None
