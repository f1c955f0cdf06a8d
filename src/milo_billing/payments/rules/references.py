"""What names an invoice in the words of a payer: its number as it stands, or as an ISO 11649 creditor reference. Pure.

Only these two are certain. What looks like a number with other separators, or with letters taken for digits, is a guess
(`resembles`), for people to decide.
"""

import re
from collections.abc import Iterable
from typing import Final

from milo_billing.payments.types import BankEntry

_SEPARATORS: Final = re.compile(r"[^A-Z0-9]+")
_TOKEN: Final = re.compile(r"[A-Z0-9]+(?:-[A-Z0-9]+)*")
"""Numbers of invoices hold capitals, digits and hyphens only."""
ALIKE: Final = ("OQDILZSB", "00011258")
"""Letters that scanners and people take for digits, and the digits."""
_ALIKE: Final = str.maketrans(*ALIKE)
CREDITOR_REFERENCE_MAX: Final = 21
"""Characters of an ISO 11649 reference behind RF and the two check digits."""
RESEMBLING_MIN: Final = 5
"""Shorter numbers are found in every text, so nothing is guessed from them."""
TOKENS_MAX: Final = 200


def creditor_reference(number: str) -> str | None:
    """The invoice number as a creditor reference, RF and check digits before it (ISO 11649, MOD 97-10).

    Separators go; None where more than 21 characters are left.
    """
    compact = compacted(number)
    if not 0 < len(compact) <= CREDITOR_REFERENCE_MAX:
        return None
    return f"RF{98 - _remainder(compact + 'RF00'):02}{compact}"


def read_creditor_reference(text: str) -> str | None:
    """What a creditor reference is about; None where it is none, or its check digits are wrong."""
    compact = compacted(text)
    if re.fullmatch(r"RF[0-9]{2}[A-Z0-9]{1,21}", compact) is None:
        return None
    return compact[4:] if _remainder(compact[4:] + compact[:4]) == 1 else None


def compacted(text: str) -> str:
    """Capitals and digits only."""
    return _SEPARATORS.sub("", text.upper())


def tokens(entry: BankEntry) -> frozenset[str]:
    """The words of an entry that may be the number of an invoice, in capitals: for looking numbers up."""
    found = {word.upper() for word in (entry.end_to_end_id, *entry.references) if word}
    for text in _texts(entry):
        for word in _TOKEN.findall(text.upper()):
            found.add(word)
            if len(found) >= TOKENS_MAX:
                break
    return frozenset(found)


def creditor_references(entry: BankEntry) -> frozenset[str]:
    """The compact numbers that the entry names by valid creditor references."""
    return frozenset(
        number
        for text in (*entry.references, entry.end_to_end_id, *_TOKEN.findall(entry.remittance.upper()))
        if (number := read_creditor_reference(text)) is not None
    )


def resembles(number: str, entry: BankEntry) -> bool:
    """Whether the entry may mean this number: other separators, spaces between, letters taken for digits."""
    wanted = compacted(number).translate(_ALIKE)
    if len(wanted) < RESEMBLING_MIN:
        return False
    return any(wanted in compacted(text).translate(_ALIKE) for text in _texts(entry))


def resembling(entry: BankEntry) -> str:
    """All that the entry says, as `resembles` compares it."""
    return " ".join(compacted(text).translate(_ALIKE) for text in _texts(entry))


def _texts(entry: BankEntry) -> Iterable[str]:
    return (entry.remittance, entry.end_to_end_id, *entry.references)


def _remainder(text: str) -> int:
    return int("".join(str(int(letter, 36)) for letter in text)) % 97
