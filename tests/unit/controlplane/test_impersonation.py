"""Impersonation: what headers ask for, and who one becomes."""

import pytest
from starlette.datastructures import Headers

from milo_billing.controlplane.identity import Identity
from milo_billing.controlplane.impersonation import Impersonation, impersonated, read_impersonation
from milo_billing.kernel.errors import BadRequest

ADMIN = Identity("system:admin")


def headers(*pairs: tuple[str, str]) -> Headers:
    return Headers(raw=[(name.lower().encode(), value.encode()) for name, value in pairs])


def test_without_the_headers_nobody_is_impersonated() -> None:
    assert read_impersonation(headers(("Authorization", "Bearer x"), ("Accept", "*/*"))) is None


def test_groups_come_as_repeated_headers() -> None:
    asked = headers(
        ("Impersonate-User", "ann"),
        ("Impersonate-Group", "staff"),
        ("Impersonate-Group", "readers"),
        ("Impersonate-Uid", "7"),
    )
    assert read_impersonation(asked) == Impersonation("ann", ("staff", "readers"), "7")


@pytest.mark.parametrize(
    "pair", [("Impersonate-Group", "staff"), ("Impersonate-Uid", "7"), ("Impersonate-User", "")]
)
def test_groups_without_a_user_make_no_sense(pair: tuple[str, str]) -> None:
    with pytest.raises(BadRequest, match="without impersonating a user"):
        read_impersonation(headers(pair))


def test_extra_attributes_are_refused_rather_than_forgotten() -> None:
    with pytest.raises(BadRequest, match="impersonate-extra-scopes"):
        read_impersonation(headers(("Impersonate-User", "ann"), ("Impersonate-Extra-Scopes", "view")))


@pytest.mark.parametrize(
    ("wanted", "groups"),
    [
        (Impersonation("ann"), ("system:authenticated",)),
        (Impersonation("ann", ("staff",)), ("staff", "system:authenticated")),
        (Impersonation("system:anonymous"), ("system:unauthenticated",)),
        (
            Impersonation("system:serviceaccount:organization-acme:ci"),
            (
                "system:serviceaccounts",
                "system:serviceaccounts:organization-acme",
                "system:authenticated",
            ),
        ),
    ],
)
def test_who_is_impersonated_is_in_the_groups_that_kubernetes_says(
    wanted: Impersonation, groups: tuple[str, ...]
) -> None:
    identity = impersonated(ADMIN, wanted)
    assert identity.user == wanted.user and identity.groups == groups
    assert identity.audited == {"impersonatedBy": "system:admin"}
    assert ADMIN.audited == {}
