"""Whether a text holds the number of a payment card, which must never come in: what is not stored is not lost.

A number is 12 to 19 digits, single spaces or hyphens between them, that begin as card networks' numbers do and whose
last digit checks (ISO/IEC 7812-1, Annex B: Luhn). Texts without such a run of digits cost one search.
"""

import re
from typing import Any, Final, cast

_RUN: Final = re.compile(r"(?<![0-9A-Za-z])[2-6](?:[ -]?[0-9]){11,18}(?![0-9A-Za-z])")


def holds_card_number(text: str) -> bool:
    """Whether somewhere in the text stands what can only be taken for a card's number."""
    return any(_checks(re.sub("[ -]", "", found)) for found in _RUN.findall(text))


def card_number_paths(value: Any, path: str = "") -> list[str]:
    """Where texts inside a JSON value hold one: `spec.providerToken`; for a key that is one, its parent."""
    if isinstance(value, str):
        return [path] if holds_card_number(value) else []
    if isinstance(value, bool) or value is None:
        return []
    if isinstance(value, int | float):
        return [path] if holds_card_number(str(value)) else []
    found: list[str] = []
    if isinstance(value, dict):
        for key, member in cast("dict[str, Any]", value).items():
            if holds_card_number(key):
                found.append(path)
            found += card_number_paths(member, f"{path}.{key}" if path else key)
        return found
    items: list[Any] = list(value)
    for index, item in enumerate(items):
        found += card_number_paths(item, f"{path}[{index}]")
    return found


def _checks(digits: str) -> bool:
    """Luhn: every second digit from the right counts double, the digits of the double added."""
    total = 0
    for place, digit in enumerate(reversed(digits)):
        value = int(digit) * (1 + place % 2)
        total += value - 9 * (value > 9)
    return total % 10 == 0
