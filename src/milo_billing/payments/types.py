"""Frozen values and errors of this slice."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import date
from typing import Final, TypeAlias

from milo_billing.kernel.errors import BadRequest

# ----------------------------------------------------------------------------------------------- bank statements

STATEMENT_BYTES_MAX: Final = 16 * 1024 * 1024
"""Of one file of bank statements."""

STATEMENT_ENTRIES_MAX: Final = 50_000
"""Entries of one statement; a bank splits a busier day into several."""


class UnreadableStatement(BadRequest):
    """A file of bank statements that is refused as a whole; the message says where and what is wrong with it."""


@dataclass(frozen=True, slots=True)
class BankEntry:
    """One movement of a bank account, as the statement tells it. Texts that the bank did not give are empty.

    `position` counts from 1 within the statement; the transactions of a booked batch are entries of their own where
    the bank gives their amounts. `amount_minor` is positive; `credit` says that it came in. `reversal` says that it
    takes an earlier entry back, `return_reason` why (an ISO 20022 external code such as AC04). `references` are the
    structured creditor references as they were sent, `remittance` is the free text to the payee.
    """

    position: int
    amount_minor: int
    credit: bool
    reversal: bool
    booked_on: date
    valued_on: date
    bank_reference: str = ""
    end_to_end_id: str = ""
    mandate: str = ""
    references: tuple[str, ...] = ()
    remittance: str = ""
    counterparty_name: str = ""
    counterparty_iban: str = ""
    return_reason: str = ""

    @property
    def signed_minor(self) -> int:
        """What the entry does to the balance."""
        return self.amount_minor if self.credit else -self.amount_minor


@dataclass(frozen=True, slots=True)
class BankStatement:
    """One account over some days: the balance before, every booked entry, the balance after.

    Balances are signed minor units of `currency`, an overdraft negative. `account` is the IBAN, or how else the bank
    names it. `format` is the message as the bank calls it, such as camt.053.001.08.
    """

    format: str
    account: str
    statement_id: str
    sequence: str
    currency: str
    opening_minor: int
    closing_minor: int
    opened_on: date
    closed_on: date
    entries: tuple[BankEntry, ...]


StatementReader: TypeAlias = Callable[[bytes], tuple[BankStatement, ...]]
"""Reads a file of statements in any format that is known. Raises UnreadableStatement."""
