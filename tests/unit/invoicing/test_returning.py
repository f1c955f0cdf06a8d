"""What comes back of granted credit is never more than the invoice still has of it."""

from uuid import UUID

import pytest

from milo_billing.invoicing.rules.returning import LineReturn, within
from milo_billing.ledger.types import account_name

ONE, OTHER = UUID(int=1), UUID(int=2)


def back(minor: int, grant: UUID = ONE) -> LineReturn:
    return LineReturn(grant, minor, (account_name("Income", "Revenue", "Usage"), minor, None), bought=False)


@pytest.mark.parametrize(
    ("wanted", "still", "given"),
    [
        ([back(40)], {ONE: 2_000}, [back(40)]),
        ([back(40)], {ONE: 40}, [back(40)]),
        ([back(40)], {ONE: 39}, [back(39)]),
        ([back(40)], {ONE: 0}, []),  # all had come back when all but the discount was credited
        ([back(40), back(30)], {ONE: 50}, [back(40), back(10)]),
        ([back(40), back(30, OTHER), back(20)], {ONE: 50, OTHER: 30}, [back(40), back(30, OTHER), back(10)]),
    ],
)
def test_no_more_comes_back_than_was_used(
    wanted: list[LineReturn], still: dict[UUID, int], given: list[LineReturn]
) -> None:
    assert within(wanted, still=still) == tuple(given)
