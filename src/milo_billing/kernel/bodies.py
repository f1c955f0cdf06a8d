"""What may stand in a body, whoever reads it: texts and numbers that the database and every client can hold.

Pure. JSON and YAML can say more: the character NUL, half a surrogate pair, numbers without end, nesting without end.
Owns: these bounds. Not: syntax, and what a field may hold (schemas, rules).
"""

import math
from typing import Any, cast

from milo_billing.kernel.errors import BadRequest

DEPTH_MAX = 100
"""How deeply objects and lists may be nested; no kind comes near it, and every encoder can go deeper."""

VALUES_MAX = 300_000
"""Values in one body. A body of 3 MiB that holds more says nothing but zeros, or repeats itself by aliases."""

INTEGER_MIN, INTEGER_MAX = -(2**63), 2**63 - 1


def check_value(value: object) -> None:
    """Raise BadRequest for the first thing in a decoded body that cannot be kept or shown again."""
    waiting: list[tuple[object, int]] = [(value, 0)]
    left = VALUES_MAX
    while waiting:
        one, depth = waiting.pop()
        left -= 1
        if left < 0:
            raise BadRequest(f"the body holds more than {VALUES_MAX} values")
        if isinstance(one, dict | list):
            if depth >= DEPTH_MAX:
                raise BadRequest(f"the body is nested too deeply: {DEPTH_MAX} levels are the most")
            nested = cast("dict[Any, Any] | list[Any]", one)
            if isinstance(nested, dict):
                for key in nested:
                    if not isinstance(key, str):
                        raise BadRequest(f"the body holds a key that is not a text: {str(key)[:30]!a}")
                    check_text(key)
            below = nested.values() if isinstance(nested, dict) else nested
            if len(nested) > left:
                raise BadRequest(f"the body holds more than {VALUES_MAX} values")
            waiting += ((item, depth + 1) for item in below)
        else:
            _check_scalar(one)


def check_text(text: str) -> None:
    """Raise BadRequest for a text that is no Unicode, or holds the one character that PostgreSQL does not keep."""
    if "\0" in text:
        raise BadRequest(f"a text holds the character NUL: {text[:30]!a}")
    if text.isascii():
        return
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise BadRequest(f"a text is not valid Unicode, half of a surrogate pair: {text[:30]!a}") from error


def _check_scalar(value: object) -> None:
    if isinstance(value, str):
        check_text(value)
    elif isinstance(value, bool) or value is None:
        return
    elif isinstance(value, int):
        if not INTEGER_MIN <= value <= INTEGER_MAX:
            raise BadRequest("a number is outside of the 64 bits of an integer: write it as a text")
    elif isinstance(value, float):
        if not math.isfinite(value):
            raise BadRequest(f"a number is {value}, which JSON cannot say")
    else:
        raise BadRequest(f"the body holds what JSON cannot say: a {type(value).__name__}")
