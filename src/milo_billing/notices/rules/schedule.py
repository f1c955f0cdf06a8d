"""When a delivery that failed is tried again, and when it is given up (Standard Webhooks, "Deliverability")."""

import hashlib
from datetime import timedelta
from typing import Final
from uuid import UUID

from milo_billing.notices.types import Outcome, State

GAPS: Final = (
    timedelta(seconds=5),
    timedelta(minutes=5),
    timedelta(minutes=30),
    timedelta(hours=2),
    timedelta(hours=5),
    timedelta(hours=10),
    timedelta(hours=14),
    timedelta(hours=20),
    timedelta(hours=24),
)
"""How long after each failed try the next one comes; after the try behind the last gap it is given up."""

JITTER: Final = 0.1
"""A gap is longer by up to this part of it, so that what failed together does not come back together."""


def gap_after(delivery: UUID, *, tries: int) -> timedelta | None:
    """How long to wait after so many tries that failed, at least 1; None where that was the last one.

    The same delivery waits the same time after the same try, whoever asks.
    """
    if tries > len(GAPS):
        return None
    digest = hashlib.sha256(delivery.bytes + tries.to_bytes(4, "big")).digest()
    part = int.from_bytes(digest[:4], "big") / 2**32
    return GAPS[tries - 1] * (1 + JITTER * part)


def state_after(outcome: Outcome, *, gap: timedelta | None) -> State:
    """Where an attempt leaves its delivery."""
    match outcome:
        case "Delivered":
            return "Delivered"
        case "Refused" | "Gone":
            return "Dead"
        case "Failed":
            return "Dead" if gap is None else "Failed"
