"""Who asks, and for which organizations: the two values that every door passes on."""

from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from milo_billing.infra.database import EVERYWHERE, Reach, Tx

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


ANONYMOUS = Identity(user="system:anonymous", groups=("system:unauthenticated",))


class Authorizer(Protocol):
    """Who may. `access` implements it; the engine and the doors only ask."""

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
