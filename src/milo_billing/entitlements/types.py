"""Frozen values of what may be used: terms, entitlements as they are held, books by account, the answer of a review."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date
from decimal import Decimal
from typing import Final, Literal, NamedTuple, TypeAlias

GROUP: Final = "billing.miloapis.com"

EntitlementPhase: TypeAlias = Literal["Scheduled", "Active", "Ended"]
OfferPhase: TypeAlias = Literal["Draft", "Published"]
RecurringPer: TypeAlias = Literal["Seat", "Entitlement"]
"""Whether there is so much of a recurring Sku for each of the entitlement's quantity, or for all of it."""

ReviewReason: TypeAlias = Literal[
    "Entitled",
    "ProjectNotFound",
    "ServiceNotFound",
    "ServiceNotOffered",
    "NoBillingAccount",
    "AccountSuspended",
    "AccountArchived",
    "NotEntitled",
    "NotStarted",
    "Ended",
]


@dataclass(frozen=True, slots=True)
class Term:
    """The days `[starts_on, ends_on)` on which something holds, from local midnight of the account; None is open."""

    starts_on: date
    ends_on: date | None

    def __contains__(self, day: date) -> bool:
        return self.starts_on <= day and (self.ends_on is None or day < self.ends_on)


@dataclass(frozen=True, slots=True)
class OfferEntry:
    """A published offer below the control plane. `book` is a bookName; None leaves the account's list prices."""

    number: int
    name: str
    phase: OfferPhase
    tier: str
    services: tuple[str, ...]
    features: Mapping[str, str]
    book: str | None
    trial_days: int


@dataclass(frozen=True, slots=True)
class HeldEntitlement:
    """What an account holds or held, with what its offer adds. `services` are all that it covers, by name."""

    name: str
    term: Term
    services: tuple[str, ...]
    offer: str | None
    tier: str
    quantity: int
    features: Mapping[str, str] = field(default_factory=dict[str, str])
    limits: Mapping[str, int] = field(default_factory=dict[str, int])


class RecurringSku(NamedTuple):
    """What recurs with an offer or an entitlement: so much of a Sku, in its pricing unit."""

    sku: str
    quantity: Decimal
    per: RecurringPer


class Revision(NamedTuple):
    """What an entitlement said when a day of its account ended on which it was written; the day after, it is known."""

    day: date
    quantity: int
    ends_on: date | None


@dataclass(frozen=True, slots=True)
class HeldSubscription:
    """What an account has of one recurring Sku, by an entitlement.

    `quantity` is for each of what the entitlement's revisions say, or in all, as `per` says. Days before
    `trial_ends_on` cost nothing. `revisions` are by day; the first is of the day on which the entitlement was declared.
    """

    entitlement: str
    sku: str
    quantity: Decimal
    per: RecurringPer
    starts_on: date
    trial_ends_on: date | None
    revisions: tuple[Revision, ...]


@dataclass(frozen=True, slots=True)
class AccountBook:
    """A price book that an entitlement gives to an account, on the days of `term`.

    `book` is the bookName that its versions share. `entitlement` says where it comes from, `offer` through which offer;
    None where the book was negotiated for this entitlement itself. `revisions` say what was known of the term on which
    day; they are empty where nobody asked.
    """

    entitlement: str
    offer: str | None
    book: str
    term: Term
    revisions: tuple[Revision, ...] = ()


@dataclass(frozen=True, slots=True)
class Verdict:
    """Whether a project may use a service, and why. `message` is for people."""

    allowed: bool
    reason: ReviewReason
    message: str
    entitlement: HeldEntitlement | None = None
