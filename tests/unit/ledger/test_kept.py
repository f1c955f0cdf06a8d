"""What may leave the money that is kept for an account, where one part of it is below zero."""

import pytest

from milo_billing.kernel.money import Money
from milo_billing.ledger.types import MONEY_ON_ACCOUNT, UNAPPLIED_CASH, Kept


@pytest.mark.parametrize(
    ("unapplied", "on_account", "free"),
    [
        (0, 0, (0, 0)),
        (700, 900, (700, 900)),
        (-200, 900, (0, 700)),
        (700, -200, (500, 0)),
        (-900, 900, (0, 0)),
        (-901, 900, (0, 0)),
        (-5, -5, (0, 0)),
    ],
)
def test_what_is_missing_in_one_is_not_free_in_the_other(
    unapplied: int, on_account: int, free: tuple[int, int]
) -> None:
    kept = Kept("kestrel", Money(unapplied, "EUR"), Money(on_account, "EUR"))
    assert (kept.free(UNAPPLIED_CASH).minor, kept.free(MONEY_ON_ACCOUNT).minor) == free
    assert sum(free) == max(0, kept.total.minor)
