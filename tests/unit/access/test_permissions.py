"""Which permission covers which, and where a set of grants reaches."""

import pytest

from milo_billing.access.rules import PERMISSION, covering, holds, reach, within
from milo_billing.access.types import EVERYWHERE_ORG, Grant

INVOICES = "billing.miloapis.com/invoices"


@pytest.mark.parametrize(
    ("held", "wanted", "expected"),
    [
        ("*", f"{INVOICES}.get", True),
        ("*", "*", True),
        ("*.get", f"{INVOICES}.get", True),
        ("*.get", "*.get", True),
        ("*.get", f"{INVOICES}.run", False),
        ("*.get", "*", False),  # a wildcard is not held because one of its parts is
        (f"{INVOICES}.*", f"{INVOICES}.run", True),
        (f"{INVOICES}.*", f"{INVOICES}.*", True),
        (f"{INVOICES}.*", "billing.miloapis.com/invoicesets.get", False),
        (f"{INVOICES}.get", f"{INVOICES}.get", True),
        (f"{INVOICES}.get", f"{INVOICES}.getAll", False),
        (f"{INVOICES}.get", f"{INVOICES}.*", False),
        (f"{INVOICES}.get", "*.get", False),
        ("iam.miloapis.com/invoices.get", f"{INVOICES}.get", False),
    ],
)
def test_a_permission_is_held_through_itself_or_a_wider_wildcard(held: str, wanted: str, expected: bool):
    assert holds({held}, wanted) is expected


def test_everything_that_covers_a_permission_is_listed_once():
    assert sorted(covering(f"{INVOICES}.get")) == ["*", "*.get", f"{INVOICES}.*", f"{INVOICES}.get"]


@pytest.mark.parametrize(
    "text", ["*", "*.get", f"{INVOICES}.get", f"{INVOICES}.*", "billing.x/usage.acceptLate"]
)
def test_permissions_have_these_forms(text: str):
    assert PERMISSION.fullmatch(text)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "get",
        "*.*",
        "*.",
        f"{INVOICES}",
        f"{INVOICES}.",
        f"{INVOICES}.Get",
        "/invoices.get",
        "*/invoices.get",
        "a/b.c\n",
    ],
)
def test_permissions_have_no_other_form(text: str):
    assert PERMISSION.fullmatch(text) is None


def test_reach_is_the_organizations_whose_grants_include_the_permission():
    grants = [
        Grant(7, frozenset({"*.get"})),
        Grant(8, frozenset({f"{INVOICES}.*"})),
        Grant(9, frozenset({"*.list"})),
    ]
    assert reach(grants, f"{INVOICES}.get") == {7, 8}
    assert reach(grants, f"{INVOICES}.run") == {8}
    assert reach(grants, "iam.miloapis.com/roles.delete") == frozenset()
    assert reach([*grants, Grant(EVERYWHERE_ORG, frozenset({"*.get"}))], f"{INVOICES}.get") == "*"


def test_a_grant_in_one_organization_is_never_one_for_everywhere():
    assert within(frozenset({7}), 7)
    assert not within(frozenset({7}), 8)
    assert not within(frozenset({EVERYWHERE_ORG}), EVERYWHERE_ORG)
    assert within("*", EVERYWHERE_ORG)
