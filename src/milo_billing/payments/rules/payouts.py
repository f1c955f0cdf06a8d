"""What a provider's payout is in the books: which part is whose, and when a person has to look first. Pure.

Owns: that decision. Not: asking the provider (adapters), rows and postings (engine.payout_rows, operations.paying_out).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Literal, TypeAlias
from uuid import UUID

from milo_billing.kernel.money import Money
from milo_billing.payments.rules.references import compacted
from milo_billing.payments.types import BankEntry, Payout, PayoutItem, PayoutItemKind

HeldReason: TypeAlias = Literal["DoesNotAddUp", "UnknownItems", "OtherCurrency", "NoIssuer"]

NOBODY: Final = 0
"""The billing account and the organization of what is about no payment: the provider's own."""


@dataclass(frozen=True, slots=True)
class Known:
    """A payment that a payout is about: in whose books, and of which account."""

    payment: UUID
    entity: str
    account: int
    owner_org: int
    currency: str


@dataclass(frozen=True, slots=True)
class Part:
    """An item of a payout, and the payment that it is about; `known` is None where it is about none."""

    item: PayoutItem
    kind: PayoutItemKind
    known: Known | None


@dataclass(frozen=True, slots=True)
class Share:
    """What of a payout one billing account's transaction in the books says; `NOBODY` is the provider itself.

    `amount` left the clearing account, `fee` was kept of it, and `unknown` is money that nobody knows.
    """

    entity: str
    account: int
    owner_org: int
    amount: Money
    fee: Money
    unknown: Money


@dataclass(frozen=True, slots=True)
class Bookable:
    """The payout can be booked; `home` are the books in which stands what is about no payment."""

    home: str
    parts: tuple[Part, ...]
    shares: tuple[Share, ...]


@dataclass(frozen=True, slots=True)
class Held:
    """A person has to look: `detail` says at what."""

    reason: HeldReason
    detail: str


def judge(
    payout: Payout,
    *,
    payments: Mapping[str, Known],
    failed: Mapping[str, str],
    default_entity: str | None,
    accepted: bool,
) -> Bookable | Held:
    """What the payout is in the books. `payments` and `failed` are what is known by the provider's names.

    `failed` gives the books of earlier payouts that came back. With `accepted` a person has said that what is not
    known, and what is missing to the sum, is to be booked as money of which nobody knows what it pays.
    """
    currency = payout.amount.currency
    other = [
        item
        for item in payout.items
        if currency != item.amount.currency
        or (item.payment in payments and payments[item.payment].currency != currency)
    ]
    if other:
        return Held("OtherCurrency", f"{other[0].reference} is not in {currency}: exchange is not ours")
    parts = [_part(item, payments=payments, failed=failed) for item in payout.items]
    missing = payout.amount.minor - sum(item.amount.minor - item.fee.minor for item in payout.items)
    unknown = [one for one in parts if one.kind == "Other"]
    if missing and not accepted:
        return Held(
            "DoesNotAddUp",
            f"its items are {Money(missing, currency)} away from {payout.amount}, what is paid out",
        )
    if unknown and not accepted:
        named = ", ".join(one.item.reference for one in unknown[:3])
        return Held("UnknownItems", f"{len(unknown)} of {len(parts)} are about no payment of ours: {named}")
    if missing:
        rest = PayoutItem(
            f"{payout.reference}/difference", "Other", "", Money(missing, currency), Money(0, currency)
        )
        parts.append(Part(rest, "Other", None))
    home = _home(parts, failed=failed) or default_entity
    if home is None:
        return Held(
            "NoIssuer",
            "nobody is declared to issue invoices: apply an IssuerProfile with spec.isDefault true",
        )
    return Bookable(home, tuple(parts), _shares(parts, home=home, currency=currency))


def _part(item: PayoutItem, *, payments: Mapping[str, Known], failed: Mapping[str, str]) -> Part:
    if item.kind in ("Payment", "Refund", "Dispute") and item.payment in payments:
        return Part(item, item.kind, payments[item.payment])
    if item.kind == "Fee" or (item.kind == "Payout" and item.payment in failed):
        return Part(item, item.kind, None)
    return Part(item, "Other", None)


def _home(parts: Sequence[Part], *, failed: Mapping[str, str]) -> str | None:
    """Where most of the payments stand; of a payout without any, where the one stood that came back."""
    moved: dict[str, int] = {}
    for one in parts:
        if one.known is not None:
            moved[one.known.entity] = moved.get(one.known.entity, 0) + abs(one.item.amount.minor)
    if moved:
        return max(sorted(moved), key=lambda entity: moved[entity])
    return next((failed[one.item.payment] for one in parts if one.kind == "Payout"), None)


def _shares(parts: Sequence[Part], *, home: str, currency: str) -> tuple[Share, ...]:
    sums: dict[tuple[str, int, int], list[int]] = {}
    for one in parts:
        whose = (home, NOBODY, NOBODY)
        if one.known is not None:
            whose = (one.known.entity, one.known.account, one.known.owner_org)
        amount, fee, unknown = sums.setdefault(whose, [0, 0, 0])
        lost = one.kind == "Other"
        sums[whose] = [
            amount + (0 if lost else one.item.amount.minor),
            fee + one.item.fee.minor,
            unknown + (one.item.amount.minor if lost else 0),
        ]
    return tuple(
        Share(entity, account, org, *(Money(minor, currency) for minor in minors))
        for (entity, account, org), minors in sorted(sums.items())
    )


def said_by(entry: BankEntry) -> str:
    """What a bank entry says, for looking names of payouts up in it."""
    return compacted(
        " ".join((entry.end_to_end_id, entry.bank_reference, entry.remittance, *entry.references))
    )


def is_named(said: str, *, reference: str, trace: str) -> bool:
    """Whether an entry that says this is the payout: by the provider's name of it, or what it was to be called."""
    names = (compacted(reference), compacted(trace))
    return any(name and name in said for name in names)
