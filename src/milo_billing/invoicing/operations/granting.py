"""The verbs of granted credit: grant, revoke, let lapse what has expired, tell of what soon will."""

from datetime import datetime, timedelta
from typing import Final
from uuid import UUID

from milo_billing.controlplane.engine import Engine
from milo_billing.controlplane.work import Work
from milo_billing.infra.database import Tx
from milo_billing.invoicing.engine import granting
from milo_billing.invoicing.engine.grant_notices import tell_grant
from milo_billing.invoicing.engine.granting import WantedGrant
from milo_billing.invoicing.reads import grants as grant_reads
from milo_billing.invoicing.rules.grants import Grant
from milo_billing.notices.types import MessageConflict

EXPIRING: Final = timedelta(days=14)
"""So long before credit expires its account is told, once."""


def check_funds(tx: Tx, wanted: WantedGrant) -> None:
    """Raise UnableToGrant where prepaid credit has no money behind it as things stand."""
    granting.funds(tx, wanted)


def grant_credit(tx: Tx, wanted: WantedGrant, *, now: datetime) -> Grant:
    """Grant the credit: row, first movement, and the books where money is set apart. Raises UnableToGrant."""
    return granting.grant(tx, wanted, now=now)


def revoke_credit(tx: Tx, *, uid: UUID, reason: str, now: datetime) -> Grant:
    """Take back what is left of the grant; prepaid credit becomes money on account, which can be refunded.

    The caller holds the lock of the grant's object and writes it. Raises UnableToRevoke.
    """
    return granting.revoke(tx, uid=uid, reason=reason, now=now)


def expire_credit(work: Work, engine: Engine, *, uid: UUID) -> bool:
    """Let what is left of a grant lapse once it has expired, with its object; whether this call did it."""
    return granting.expire(work, engine, uid=uid)


def tell_expiring(tx: Tx, *, now: datetime, limit: int) -> int:
    """Announce the grants that expire within `EXPIRING` and of which something is left; each once, whatever is asked.

    Returns how many of which that can be said with what is left of them now.
    """
    found = grant_reads.list_expiring(tx, after=now, until=now + EXPIRING, limit=limit)
    told = 0
    for grant in found:
        try:
            tell_grant(tx, "credit.expiring", grant, now=now)
        except MessageConflict:
            continue  # told before, when more was left of it
        told += 1
    return told
