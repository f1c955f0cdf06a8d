"""What becomes of the invoices: a card, the bank's statement of December, and a credit note.

Owns: who pays what, and the file in which the bank says so. Not: how it is brought in and checked (__main__).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Final

CARD_AT: Final = datetime(2026, 12, 1, 12, tzinfo=UTC)
"""The server's clock when the card is asked: the last day to pay. It declines, and is asked again three days later."""

AT: Final = datetime(2026, 12, 12, 12, tzinfo=UTC)
"""The server's clock when the statement comes in: all invoices of October are due."""

BOOKED: Final = date(2026, 12, 11)
IBAN: Final = "IE64IRCE92050112345678"
"""The account of the sample's issuer."""

PAID: Final = "organization-globex/main"
"""Pays in full."""

PAID_BY_CARD: Final = "organization-initech/main"
"""Pays by a card that has not enough money at first."""

PAID_IN_PART: Final = "organization-acme/research"
"""Pays half, and is past due with the rest."""

CREDITED: Final = "organization-alpenglow/main"
"""Gets all of its invoice taken back."""

REASON: Final = "Billed by mistake: the pilot was free of charge."


@dataclass(frozen=True, slots=True)
class Transfer:
    """Money that came in for the invoice with this number."""

    number: str
    amount: Decimal
    currency: str
    payer: str


def bank_file(transfers: Sequence[Transfer]) -> bytes:
    """A file of MT940, one statement a transfer and currency, from an empty account."""
    return "".join(_statement(sequence, one) for sequence, one in enumerate(transfers, start=1)).encode()


def _statement(sequence: int, one: Transfer) -> str:
    amount = f"{one.amount:.2f}".replace(".", ",")
    day = f"{BOOKED:%y%m%d}"
    lines = (
        ":20:DEMO",
        f":25:{IBAN}",
        f":28C:{sequence:05}/001",
        f":60F:C{day}{one.currency}0,00",
        f":61:{day}{BOOKED:%m%d}C{amount}NTRFNONREF//DEMO-{sequence}",
        f":86:166?00CREDIT TRANSFER?20{one.number}?32{one.payer[:27]}",
        f":62F:C{day}{one.currency}{amount}",
        "-",
        "",
    )
    return "\r\n".join(lines)
