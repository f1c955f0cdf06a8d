"""Frozen values of what may be used: terms, entitlements as they are held, books by account, the answer of a review."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date
from typing import Final, Literal, TypeAlias

GROUP: Final = "billing.miloapis.com"

EntitlementPhase: TypeAlias = Literal["Scheduled", "Active", "Ended"]
OfferPhase: TypeAlias = Literal["Draft", "Published"]

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


@dataclass(frozen=True, slots=True)
class AccountBook:
    """A price book that an entitlement gives to an account, on the days of `term`.

    `book` is the bookName that its versions share. `entitlement` says where it comes from, `offer` through which offer;
    None where the book was negotiated for this entitlement itself.
    """

    entitlement: str
    offer: str | None
    book: str
    term: Term


@dataclass(frozen=True, slots=True)
class Verdict:
    """Whether a project may use a service, and why. `message` is for people."""

    allowed: bool
    reason: ReviewReason
    message: str
    entitlement: HeldEntitlement | None = None
