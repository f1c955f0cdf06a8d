"""How interest is asked for: one account or all, a page at a time."""

import pytest

from milo_billing.invoicing.rules.interest_accruals import PAGE_MAX, parse_accruals
from milo_billing.kernel.errors import BadRequest


def test_all_within_reach_are_asked_for_unless_an_account_is_named() -> None:
    asked = parse_accruals({})
    assert (asked.account, asked.after.int, asked.limit) == (None, 0, PAGE_MAX)
    named = parse_accruals({"namespace": "organization-acme", "account": "main", "limit": "7"})
    assert (named.account, named.limit) == (("organization-acme", "main"), 7)


@pytest.mark.parametrize(
    ("query", "message"),
    [
        (
            {"month": "2026-10"},
            "unknown parameter 'month': interest has namespace, account, limit and continue",
        ),
        ({"account": "main"}, "name one account together"),
        ({"namespace": "organization-acme"}, "name one account together"),
        ({"limit": "0"}, "not a number from 1 to 100"),
        ({"limit": "101"}, "not a number from 1 to 100"),
        ({"limit": "²"}, "not a number from 1 to 100"),
        ({"continue": "later"}, "does not come from a list of interest"),
    ],
)
def test_what_cannot_be_asked_is_told(query: dict[str, str], message: str) -> None:
    with pytest.raises(BadRequest, match=message):
        parse_accruals(query)
