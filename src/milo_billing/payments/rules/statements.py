"""What makes a statement acceptable, and by what an entry is known again. Pure."""

import hashlib
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Literal, TypeAlias

from milo_billing.kernel.money import Money
from milo_billing.payments.types import BankEntry, BankStatement, UnreadableStatement

ReturnKind: TypeAlias = Literal["Hard", "Soft"]

_SOFT_REASONS: Final = frozenset({"AM04", "MS03", "ED05", "TM01"})
"""A later attempt may succeed: no funds, reason not told, settlement failed, cut-off. Everything else is for good, for
example AC01, AC04 (closed), MD01 (no mandate), MD06 (refund asked by the debtor), MD07 (deceased), SL01.
Source: ISO 20022 external code set ExternalReturnReason1Code; EPC173-14 on SEPA reason codes."""


def assert_adds_up(statement: BankStatement) -> None:
    """Raise UnreadableStatement unless the opening balance and the entries are the closing balance."""
    moved = sum(one.signed_minor for one in statement.entries)
    told = statement.opening_minor + moved
    if told != statement.closing_minor:
        opening, entries, sum_, closing, off = (
            Money(minor, statement.currency)
            for minor in (
                statement.opening_minor,
                moved,
                told,
                statement.closing_minor,
                statement.closing_minor - told,
            )
        )
        raise UnreadableStatement(
            f"statement {statement.statement_id} of {statement.account} does not add up: opening {opening} and "
            f"{len(statement.entries)} entries of {entries} are {sum_}, its closing balance is {closing}: {off} is "
            "missing; ask the bank for the whole statement"
        )


@dataclass(frozen=True, slots=True)
class EntryKey:
    """By what an entry is known again. `certain` where the bank gave it a reference of its own."""

    digest: bytes
    certain: bool


def entry_keys(statement: BankStatement) -> tuple[EntryKey, ...]:
    """A key for each entry, in order. Equal entries of one statement are told apart by counting them.

    Of what every format says of an entry: the account, the day, the amount and the bank's reference; without one
    also the text.
    """
    seen: Counter[str] = Counter()
    found: list[EntryKey] = []
    for one in statement.entries:
        text = _text(statement, one)
        seen[text] += 1
        digest = hashlib.sha256(f"{text}\x1f{seen[text]}".encode()).digest()
        found.append(EntryKey(digest, certain=bool(one.bank_reference)))
    return tuple(found)


def _text(statement: BankStatement, one: BankEntry) -> str:
    known: Sequence[str] = (
        (one.bank_reference,)
        if one.bank_reference
        else (one.end_to_end_id, one.remittance, one.counterparty_name, *one.references)
    )
    return "\x1f".join(
        (statement.account, statement.currency, one.booked_on.isoformat(), str(one.signed_minor), *known)
    )


def return_kind(reason: str) -> ReturnKind:
    """Whether collecting again may succeed after a return for this reason. What is not known counts as hard."""
    return "Soft" if reason in _SOFT_REASONS else "Hard"


def cash_name(account: str) -> str:
    """What tells a bank account from others in the books: the last four characters."""
    letters = "".join(letter for letter in account if letter.isalnum())
    return letters[-4:] or "Bank"
