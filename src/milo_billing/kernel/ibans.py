"""International bank account numbers (ISO 13616). Owns: their check digits. Not: which length each country has."""

import re
from typing import Final

_IBAN: Final = re.compile(r"[A-Z]{2}[0-9]{2}[A-Z0-9]{11,30}")


def is_iban(text: str) -> bool:
    """Whether a text without spaces, in capitals, is an IBAN with right check digits (ISO 7064 MOD 97-10)."""
    if _IBAN.fullmatch(text) is None:
        return False
    return int("".join(str(int(letter, 36)) for letter in text[4:] + text[:4])) % 97 == 1
