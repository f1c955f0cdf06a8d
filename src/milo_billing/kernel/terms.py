"""What the time of a payment is worth: a discount for paying early, interest for paying late (domain.md §8)."""

from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from typing import Final

EARLY_DAYS: Final = 10
"""Days from issue within which a discount is given, where the terms do not say."""


@dataclass(frozen=True, slots=True)
class TimeTerms:
    """What an account has agreed to; percentages are None where there is nothing of it.

    `early_percent` is off the invoice within `early_days` of its issue, `interest_percent` a year on what is overdue.
    """

    early_percent: Decimal | None = None
    early_days: int = EARLY_DAYS
    interest_percent: Decimal | None = None


NO_TERMS: Final = TimeTerms()


@dataclass(frozen=True, slots=True)
class EarlyPayment:
    """So much is off an invoice that is paid until this day, itself included, where it was issued."""

    percent: Decimal
    until: date
