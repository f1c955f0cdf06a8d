"""Verbs of the directory that other slices and the engine call."""

from milo_billing.directory import reads
from milo_billing.directory.types import OrganizationGone, organization_of
from milo_billing.infra.database import Tx


def hold_namespace(tx: Tx, *, namespace: str) -> int | None:
    """The number of the organization that owns the namespace; None if there is no such namespace.

    It cannot be deleted before this transaction ends. Works whatever the reach: the caller authorises.
    """
    name = organization_of(namespace)
    return None if name is None else _held(tx, name)


def hold_organization(tx: Tx, *, name: str) -> int:
    """The number of the living organization, which cannot be deleted before this transaction ends.

    For whatever is created for an organization outside its namespace. Raises OrganizationGone.
    """
    number = _held(tx, name)
    if number is None:
        raise OrganizationGone(f'organization "{name}" does not exist any more')
    return number


def _held(tx: Tx, name: str) -> int | None:
    row = tx.execute("select directory.hold_organization(%s)", (name,)).fetchone()
    return None if row is None else row[0]


class OrganizationNamespaces:
    """The engine's `Namespaces`: an organization's namespace exists as long as the organization."""

    def find_owner(self, tx: Tx, namespace: str) -> int | None:
        """Who owns the namespace now: for reading, and for deciding who may."""
        return reads.find_owner_of_namespace(tx, namespace)

    def hold_owner(self, tx: Tx, namespace: str) -> int | None:
        """The same, for creating something in it: see `hold_namespace`."""
        return hold_namespace(tx, namespace=namespace)
