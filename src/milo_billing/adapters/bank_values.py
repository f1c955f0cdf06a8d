"""What every statement format says in its own way: amounts, dates, account names. Strict: a doubt is a refusal.

Owns: reading one value. Not: where it stands in a file (camt053, mt940).
"""

import re
from datetime import date
from decimal import Decimal
from typing import Final

from milo_billing.kernel.money import UnknownCurrency, exponent
from milo_billing.kernel.quantity import INT64_MAX
from milo_billing.payments.types import UnreadableStatement

_AMOUNT: Final = re.compile(r"[0-9]{1,18}(?:[.,][0-9]{0,5})?")
_IBAN: Final = re.compile(r"[A-Z]{2}[0-9]{2}[A-Z0-9]{11,30}")
_UNPRINTABLE: Final = re.compile(r"[\x00-\x1f\x7f]+")
TEXT_MAX: Final = 2000
"""Characters of one text that are kept; ISO 20022 has 140 a line."""


def minor_units(text: str, *, currency: str, where: str) -> int:
    """A decimal amount, point or comma, as minor units. Raises UnreadableStatement where that loses a digit."""
    if _AMOUNT.fullmatch(text) is None:
        raise UnreadableStatement(f"{where}: {text[:40]!r} is not an amount such as 118.50")
    try:
        scaled = Decimal(text.replace(",", ".")).scaleb(exponent(currency))
    except UnknownCurrency as error:
        raise UnreadableStatement(f"{where}: {error}") from error
    minor = int(scaled)
    if minor != scaled:
        raise UnreadableStatement(f"{where}: {text} {currency} has more decimals than {currency} has")
    if minor > INT64_MAX:
        raise UnreadableStatement(f"{where}: {text} {currency} is more than can be kept")
    return minor


def day(text: str, *, where: str) -> date:
    """YYYY-MM-DD, or the day of a timestamp as the bank wrote it. Raises UnreadableStatement."""
    try:
        return date.fromisoformat(text[:10])
    except ValueError as error:
        raise UnreadableStatement(f"{where}: {text[:40]!r} is not a day of the calendar") from error


def account_id(text: str) -> str:
    """An IBAN without spaces and in capitals; any other name of an account as it stands."""
    compact = "".join(text.split()).upper()
    return compact if is_iban(compact) else text.strip()


def is_iban(text: str) -> bool:
    """Whether a compact text is an IBAN with right check digits (ISO 13616, ISO 7064 MOD 97-10)."""
    if _IBAN.fullmatch(text) is None:
        return False
    return int("".join(str(int(letter, 36)) for letter in text[4:] + text[:4])) % 97 == 1


def clean(text: str) -> str:
    """A text without line ends and control characters, runs of spaces as one, and no longer than is kept."""
    return " ".join(_UNPRINTABLE.sub(" ", text).split())[:TEXT_MAX]
