"""What a disputed payment is, and what follows from it each time that its provider says how it stands. Pure."""

from dataclasses import dataclass
from typing import Final
from uuid import UUID

from milo_billing.payments.types import Dispute, DisputeState

TAKEN_STATES: Final[frozenset[DisputeState]] = frozenset({"Open", "Lost"})


@dataclass(frozen=True, slots=True)
class DisputeRow:
    """A dispute as it was noted last: `taken_minor` of the payment is gone, `changes` counts when that changed."""

    class_uid: UUID
    reference: str
    payment: UUID
    owner_org: int
    amount_minor: int
    taken_minor: int
    state: DisputeState
    reason: str
    changes: int


def taken_minor(dispute: Dispute, *, left_minor: int) -> int:
    """How much of the payment is gone now: never more than is left of it, refunds and other disputes aside."""
    return min(dispute.amount.minor, left_minor) if dispute.state in TAKEN_STATES else 0


def holds_back(state: DisputeState, *, same_method: bool, again: bool) -> str:
    """Why nobody asks for the money of the invoice again, empty where somebody may.

    While a case runs nobody asks. Who lost one must not charge the same method again for it, unless somebody says so.
    """
    if state == "Open":
        return "is open: its outcome decides"
    if state == "Lost" and same_method and not again:
        return "was lost: another payment method, or `--again`, tries anew"
    return ""
