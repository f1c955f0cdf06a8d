"""What accounts ask of the slices above them: what an account owes that is on no invoice yet."""

from collections.abc import Sequence
from datetime import datetime
from typing import Protocol

from milo_billing.infra.database import Tx
from milo_billing.kernel.money import Money


class OpenInterest(Protocol):
    """Interest on what an account paid late, or has not paid yet, that no invoice charges."""

    def __call__(self, tx: Tx, *, account: int, now: datetime) -> Sequence[Money]:
        """Up to and with today, by currency; nothing that is zero. `account` is a number."""
        ...
