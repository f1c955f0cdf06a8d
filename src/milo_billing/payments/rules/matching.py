"""Which invoices a movement of the bank account pays. Pure and deterministic; money is minor units.

Only what is certain is applied by itself: the number or the creditor reference of an invoice, an end-to-end id that was
given to it, or a payer's known IBAN with exactly the sum of the oldest invoices. Everything else goes to the worklist,
with ranked candidates and why each is one. Never is more allocated than the entry has, or than an invoice can take.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from datetime import date
from itertools import accumulate
from typing import Final, Literal, TypeAlias
from uuid import UUID

from milo_billing.payments.rules.references import (
    compacted,
    creditor_references,
    resembles,
    tokens,
)
from milo_billing.payments.types import BankEntry

CANDIDATES_MAX: Final = 10

NUMBER_MIN: Final = 5
"""A shorter number in a free text may be anything."""

Rule: TypeAlias = Literal[
    "FullAmount",
    "EarlyPayment",
    "PartialAmount",
    "SeveralInvoices",
    "OverPaid",
    "OldestOfKnownPayer",
    "Assigned",
]
"""How an entry found its invoices."""

Reason: TypeAlias = Literal[
    "UnknownReference",
    "WrongCurrency",
    "AmbiguousReference",
    "SeveralAccounts",
    "LessThanNamed",
    "VoidInvoice",
    "PossibleDuplicate",
    "UnknownReturn",
    "PayoutDiffers",
    "TransferDiffers",
]
"""Why an entry waits for a person."""


@dataclass(frozen=True, slots=True)
class OpenInvoice:
    """An invoice that a transfer may pay. `open_minor` is what it can take: 0 where it is paid.

    `names` are the addressee's, `ibans` those from which the account has paid or is debited, in any form in which
    `BankEntry.counterparty_iban` is compared with them; `aliases` are end-to-end ids under which it was collected.
    """

    uid: UUID
    number: str
    account: int
    currency: str
    open_minor: int
    due_on: date
    void: bool = False
    names: tuple[str, ...] = ()
    ibans: frozenset[str] = field(default_factory=frozenset[str])
    aliases: frozenset[str] = field(default_factory=frozenset[str])
    early_minor: int = 0
    """What is off for whoever pays the rest on the day of the entry."""


@dataclass(frozen=True, slots=True)
class Allocation:
    """So much of an entry pays this invoice."""

    invoice: UUID
    amount_minor: int


@dataclass(frozen=True, slots=True)
class Matched:
    """What an entry pays: invoices of one account, and what is over, which is that account's."""

    account: int
    allocations: tuple[Allocation, ...]
    over_minor: int
    rule: Rule


@dataclass(frozen=True, slots=True)
class Candidate:
    """An invoice that an entry may mean. A higher `score` is likelier; `why` says of what it is made up."""

    invoice: UUID
    number: str
    account: int
    open_minor: int
    score: int
    why: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Waiting:
    """An entry for the worklist."""

    reason: Reason
    detail: str
    candidates: tuple[Candidate, ...]


Outcome: TypeAlias = Matched | Waiting


_Mark: TypeAlias = Literal["number", "alike", "payer", "amount", "name", "currency"]


def match(entry: BankEntry, invoices: Sequence[OpenInvoice], *, currency: str) -> Outcome:
    """What a credit of this currency pays, among invoices that may be meant; their order does not matter."""
    known = sorted(invoices, key=_age)
    named = named_by(entry, known)
    if not named:
        return _by_payer(entry, known, currency=currency) or _waiting(
            "UnknownReference", "it names no invoice", entry, known, currency=currency
        )
    if len({one.number for one in named}) < len(named):
        twice = ", ".join(sorted({one.number for one in named}))
        return _waiting(
            "AmbiguousReference", f"{twice} is the number of two invoices", entry, named, currency=currency
        )
    if void := [one.number for one in named if one.void]:
        return _waiting("VoidInvoice", f"{', '.join(void)} is void", entry, known, currency=currency)
    if other := sorted({one.currency for one in named} - {currency}):
        detail = f"the account is in {currency}, the invoice in {', '.join(other)}"
        return _waiting("WrongCurrency", detail, entry, named, currency=currency)
    if len({one.account for one in named}) > 1:
        return _waiting(
            "SeveralAccounts", "it names invoices of several accounts", entry, named, currency=currency
        )
    return _by_number(entry, named, currency=currency)


def named_by(entry: BankEntry, invoices: Iterable[OpenInvoice]) -> list[OpenInvoice]:
    """The invoices that an entry names beyond doubt, in the order given."""
    words, references = tokens(entry), creditor_references(entry)
    return [
        one
        for one in invoices
        if (one.number.upper() in words and _is_telling(one.number))
        or one.number in (entry.end_to_end_id, *entry.references)
        or compacted(one.number) in references
        or (entry.end_to_end_id and entry.end_to_end_id in one.aliases)
    ]


def _is_telling(number: str) -> bool:
    """Whether a number in a free text can be nothing else: digits alone may be the payer's own."""
    return len(number) >= NUMBER_MIN and not number.isdigit()


def allocate_in_full(invoices: Sequence[OpenInvoice], *, amount_minor: int, rule: Rule) -> Matched:
    """The oldest first, each as far as the money goes; the rest is over. The invoices are of one account."""
    left, allocations = amount_minor, list[Allocation]()
    for one in sorted(invoices, key=_age):
        if (part := min(left, one.open_minor)) > 0:
            allocations.append(Allocation(one.uid, part))
            left -= part
    return Matched(invoices[0].account, tuple(allocations), left, rule)


def _less_early(invoices: Sequence[OpenInvoice]) -> list[OpenInvoice]:
    """The invoices as whoever takes their discounts for early payment pays them."""
    return [replace(one, open_minor=one.open_minor - one.early_minor) for one in invoices]


def _by_number(entry: BankEntry, named: Sequence[OpenInvoice], *, currency: str) -> Outcome:
    total = sum(one.open_minor for one in named)
    asked = _less_early(named)
    if entry.amount_minor == sum(one.open_minor for one in asked) < total:
        return allocate_in_full(asked, amount_minor=entry.amount_minor, rule="EarlyPayment")
    if entry.amount_minor > total:
        return allocate_in_full(named, amount_minor=entry.amount_minor, rule="OverPaid")
    if entry.amount_minor == total:
        rule: Rule = "FullAmount" if len(named) == 1 else "SeveralInvoices"
        return allocate_in_full(named, amount_minor=entry.amount_minor, rule=rule)
    if len(named) == 1:
        return allocate_in_full(named, amount_minor=entry.amount_minor, rule="PartialAmount")
    detail = f"it names {len(named)} invoices and is less than they are together"
    return _waiting("LessThanNamed", detail, entry, named, currency=currency)


def _by_payer(entry: BankEntry, known: Sequence[OpenInvoice], *, currency: str) -> Matched | None:
    """The oldest invoices of the one account that pays from this IBAN, where the amount is exactly their sum."""
    payers = {
        one.account for one in known if entry.counterparty_iban and entry.counterparty_iban in one.ibans
    }
    if len(payers) != 1:
        return None
    open_ = [
        one
        for one in known
        if one.account in payers and one.currency == currency and one.open_minor > 0 and not one.void
    ]
    # in full before with their discounts taken: who pays all asks for none
    for owed in (open_, _less_early(open_)):
        if entry.amount_minor in accumulate(one.open_minor for one in owed):
            return allocate_in_full(owed, amount_minor=entry.amount_minor, rule="OldestOfKnownPayer")
    return None


def _waiting(
    reason: Reason, detail: str, entry: BankEntry, invoices: Sequence[OpenInvoice], *, currency: str
) -> Waiting:
    return Waiting(reason, detail, rank(entry, invoices, currency=currency))


def rank(entry: BankEntry, invoices: Sequence[OpenInvoice], *, currency: str) -> tuple[Candidate, ...]:
    """The invoices that an entry may mean, the likeliest first; equal ones by due date and number."""
    certain = {one.uid for one in named_by(entry, invoices)}
    found: list[tuple[int, OpenInvoice, tuple[_Mark, ...]]] = []
    for one in invoices:
        marks = _marks(entry, one, currency=currency, named=one.uid in certain)
        if marks and not one.void:
            found.append((sum(_SCORES[mark] for mark in marks), one, tuple(marks)))
    found.sort(key=lambda row: (-row[0], *_age(row[1])))
    return tuple(
        Candidate(
            one.uid, one.number, one.account, one.open_minor, score, tuple(_WHY[mark] for mark in marks)
        )
        for score, one, marks in found[:CANDIDATES_MAX]
    )


_SCORES: Final[dict[_Mark, int]] = {
    "number": 60,
    "alike": 40,
    "payer": 30,
    "amount": 25,
    "name": 15,
    "currency": -20,
}
_WHY: Final[dict[_Mark, str]] = {
    "number": "its number is named",
    "alike": "something like its number is named",
    "payer": "the account has paid from this IBAN",
    "amount": "the amount is what it can take",
    "name": "the payer's name is like the addressee's",
    "currency": "it is in another currency",
}


def _marks(entry: BankEntry, one: OpenInvoice, *, currency: str, named: bool) -> list[_Mark]:
    found: list[_Mark] = []
    if named:
        found.append("number")
    elif resembles(one.number, entry):
        found.append("alike")
    if entry.counterparty_iban and entry.counterparty_iban in one.ibans:
        found.append("payer")
    if one.open_minor == entry.amount_minor and one.currency == currency:
        found.append("amount")
    if any(_alike(entry.counterparty_name, name) for name in one.names):
        found.append("name")
    if found and one.currency != currency:
        found.append("currency")
    return found


_LEGAL_FORMS: Final = frozenset(
    {"GMBH", "AG", "KG", "SARL", "SAS", "SA", "LTD", "LIMITED", "INC", "LLC", "BV", "NV", "SRL", "SPA"}
)


def _alike(payer: str, name: str) -> bool:
    """Whether two names share most of their words, legal forms aside."""
    first, second = (
        {word for word in map(compacted, text.replace("-", " ").split()) if len(word) > 1} - _LEGAL_FORMS
        for text in (payer, name)
    )
    return 2 * len(first & second) > max(len(first), len(second))


def _age(one: OpenInvoice) -> tuple[date, str, UUID]:
    return one.due_on, one.number, one.uid
