"""Names of organizations and projects, and the namespaces that go with them."""

import pytest

from milo_billing.directory.rules import ORGANIZATION_NAME_LENGTH_MAX, name_errors
from milo_billing.directory.types import namespace_of, organization_of


@pytest.mark.parametrize("name", ["a", "acme", "acme-2", "0", "a" * ORGANIZATION_NAME_LENGTH_MAX])
def test_rfc_1123_labels_are_names(name: str):
    assert list(name_errors(name, length_max=ORGANIZATION_NAME_LENGTH_MAX)) == []
    assert len(namespace_of(name)) <= 63


@pytest.mark.parametrize("name", ["", "-a", "a-", "A", "a.b", "a_b", "ä", "a\n"])
def test_anything_else_is_none(name: str):
    (error,) = name_errors(name, length_max=63)
    assert (error.field, error.reason) == ("metadata.name", "FieldValueInvalid")


def test_a_name_that_is_wrong_twice_is_told_both():
    assert len(list(name_errors("A" * 64, length_max=63))) == 2


def test_the_namespace_of_an_organization_leads_back_to_it():
    assert organization_of(namespace_of("acme")) == "acme"


@pytest.mark.parametrize("namespace", ["", "default", "organization-", "acme"])
def test_other_namespaces_belong_to_nobody(namespace: str):
    assert organization_of(namespace) is None
