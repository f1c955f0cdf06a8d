"""Who asks, and for which organizations: the two values that every door passes on."""

from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from milo_billing.infra.database import EVERYWHERE, Reach, Tx
from milo_billing.kernel.errors import Forbidden

__all__ = ["ANONYMOUS", "EVERYWHERE", "Authorizer", "Identity", "Reach", "reaches"]


def reaches(reach: Reach, org: int) -> bool:
    """Whether the organization with this number is within reach."""
    return reach == "*" or org in reach


@dataclass(frozen=True, slots=True)
class Identity:
    """A user as Kubernetes knows one. `uid` is empty where the source of the identity has none."""

    user: str
    groups: tuple[str, ...] = ("system:authenticated",)
    uid: str = ""
    impersonated_by: str = ""
    """The user who acts as this one; empty where nobody does."""

    @property
    def audited(self) -> dict[str, str]:
        """What an audit record says beside the user: who it was really."""
        return {"impersonatedBy": self.impersonated_by} if self.impersonated_by else {}


ANONYMOUS = Identity(user="system:anonymous", groups=("system:unauthenticated",))


class Authorizer(Protocol):
    """Who may. `access` implements it; the engine and the doors only ask.

    An implementation that subclasses it says nothing of impersonation and lists of permissions: nobody has any.
    """

    def authenticate(self, tx: Tx, token: str, now: datetime) -> Identity:
        """The identity behind a bearer token.

        Raises Unauthenticated for an unknown, expired or revoked one.
        """
        ...

    def reach(self, tx: Tx, identity: Identity, permission: str) -> Reach:
        """The organizations (surrogate numbers) in which the identity holds the permission; EVERYWHERE for all.

        `permission` is `<group>/<plural>.<verb>`. Nothing granted is the empty set.
        """
        ...

    def check_impersonation(self, tx: Tx, identity: Identity, wanted: Identity) -> Identity:
        """`wanted` as it acts from now on, if `identity` may act as it. Raises Forbidden where it may not."""
        raise Forbidden(f'User "{identity.user}" cannot impersonate anybody here')

    def list_permissions(self, tx: Tx, identity: Identity, org: int | None) -> frozenset[str]:
        """What the identity holds in the organization and everywhere, wildcards as they were granted.

        Without an organization only what it holds everywhere.
        """
        return frozenset()
