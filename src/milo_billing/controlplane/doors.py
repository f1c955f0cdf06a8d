"""How a request comes in: who sends it, what it may reach, and the transaction it runs in.

Every HTTP door of every slice opens here, so that authentication, authorisation, the clock and row-level security
cannot be forgotten. Owns no rule: the authorizer decides.
"""

from collections.abc import Callable, Generator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import TypeVar
from uuid import UUID

from starlette.requests import HTTPConnection

from milo_billing.controlplane.identity import ANONYMOUS, Authorizer, Identity, Reach, reaches
from milo_billing.controlplane.impersonation import Impersonation, impersonated, read_impersonation
from milo_billing.controlplane.store import RETRIED
from milo_billing.controlplane.work import Work
from milo_billing.infra.clock import Clock, new_uid
from milo_billing.infra.database import Database, Tx, reach_text
from milo_billing.kernel.errors import Forbidden, Unauthenticated

ATTEMPTS_MAX = 3
"""A transaction that lost a deadlock runs again, twice."""

AUDIT_ID = "milo.audit_id"
"""Where the scope of a request has its id, a UUID."""

R = TypeVar("R")


@dataclass(frozen=True, slots=True)
class Call:
    """One authorised request inside its transaction. `now` was read once, here."""

    tx: Tx
    identity: Identity
    now: datetime
    reach: Reach
    audit_id: UUID

    def work(self) -> Work:
        """A write by whoever sent the request, within what the permission reaches."""
        return Work(self.tx, self.identity, self.reach, self.audit_id, self.now)


@dataclass(frozen=True, slots=True)
class Credentials:
    """What a request says of its sender: a token, empty for nobody, and whom the sender wants to act as."""

    token: str
    impersonation: Impersonation | None = None


@dataclass(frozen=True, slots=True)
class Door:
    """Opens transactions for requests; one a process."""

    database: Database
    authorizer: Authorizer
    clock: Clock

    @contextmanager
    def open(self, request: HTTPConnection, *, permission: str, org: int | None = None) -> Generator[Call]:
        """A call that holds `permission` somewhere, or in the organization `org` where that is given.

        Raises Unauthenticated for a token that nobody knows, Forbidden where the permission is missing. The
        transaction commits at the end of the block.
        """
        with self.enter(read_credentials(request.headers), audit_id_of(request)) as (
            tx,
            identity,
            now,
            audit_id,
        ):
            reach = self.authorizer.reach(tx, identity, permission)
            if not reach or (org is not None and not reaches(reach, org)):
                raise Forbidden(f'forbidden: User "{identity.user}" lacks the permission {permission}')
            set_reach(tx, reach)
            yield Call(tx=tx, identity=identity, now=now, reach=reach, audit_id=audit_id)

    @contextmanager
    def enter(
        self, credentials: Credentials, audit_id: UUID
    ) -> Generator[tuple[Tx, Identity, datetime, UUID]]:
        """A transaction that reaches nothing yet, and who asks; the caller decides on the reach."""
        now = self.clock.now()
        with self.database.transaction(reach=frozenset()) as tx:
            identity = ANONYMOUS
            if credentials.token:
                identity = self.authorizer.authenticate(tx, credentials.token, now)
            if (wanted := credentials.impersonation) is not None:
                identity = self.authorizer.check_impersonation(tx, identity, impersonated(identity, wanted))
            yield tx, identity, now, audit_id

    def identify(self, request: HTTPConnection, *, permission: str) -> tuple[Identity, Reach]:
        """Who asks and where they hold the permission, for doors that keep no transaction open."""
        with self.open(request, permission=permission) as call:
            return call.identity, call.reach


def set_reach(tx: Tx, reach: Reach) -> None:
    """Let row-level security show the rows of these organizations until the transaction ends."""
    tx.execute("select set_config('milo.reach', %s, true)", (reach_text(reach),))


def read_credentials(headers: Mapping[str, str]) -> Credentials:
    """The token of the request, if there is one, and whom it wants to act as.

    Raises Unauthenticated for any other scheme, BadRequest for an impersonation that makes no sense.
    """
    value = headers.get("authorization", "")
    scheme, _, token = value.partition(" ")
    if value and (scheme.lower() != "bearer" or not token.strip()):
        raise Unauthenticated("Unauthorized")
    return Credentials(token.strip(), read_impersonation(headers))


def audit_id_of(request: HTTPConnection) -> UUID:
    """The id that the answer, the logs and the audit record of this request share."""
    found: UUID | None = request.scope.get(AUDIT_ID)
    return found or new_uid()


def repeated(write: Callable[[], R]) -> R:
    """Run a whole transaction, again where it lost a deadlock: the database rolled all of it back."""
    for _ in range(ATTEMPTS_MAX - 1):
        try:
            return write()
        except RETRIED:
            continue
    return write()
