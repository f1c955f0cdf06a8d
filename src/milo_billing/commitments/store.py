"""SQL that writes this slice's tables, and the lock under which an account accepts one promise at a time."""

from datetime import date, datetime
from typing import Any
from uuid import UUID

from psycopg.types.json import Jsonb

from milo_billing.commitments.types import SettledInterval
from milo_billing.infra import advisory_locks
from milo_billing.infra.database import Tx

"""Advisory transaction lock (this, account): what an account promises is compared and accepted by one at a time."""


def lock_promises(tx: Tx, *, account: int) -> None:
    """Wait for whoever is promising something for the account; what he promised is seen afterwards."""
    tx.execute("select pg_advisory_xact_lock(%s, %s)", (advisory_locks.PROMISES, account))


def put_commitment(
    tx: Tx,
    *,
    uid: UUID,
    owner_org: int,
    namespace: str,
    name: str,
    account: int,
    currency: str,
    starts_on: date,
    ends_on: date | None,
    accepted_at: datetime | None,
    covers_all: bool,
    stacks: bool,
    body: dict[str, Any],
) -> None:
    tx.execute(
        "insert into commitments.commitments (uid, owner_org, namespace, name, account, currency, starts_on, ends_on, "
        "accepted_at, covers_all, stacks, body) values (%s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s) "
        "on conflict (uid) do update set account = excluded.account, currency = excluded.currency, "
        "starts_on = excluded.starts_on, ends_on = excluded.ends_on, accepted_at = excluded.accepted_at, "
        "covers_all = excluded.covers_all, stacks = excluded.stacks, body = excluded.body",
        (
            uid,
            owner_org,
            namespace,
            name,
            account,
            currency,
            starts_on,
            ends_on,
            accepted_at,
            covers_all,
            stacks,
            Jsonb(body),
        ),
    )


def delete_commitment(tx: Tx, *, uid: UUID) -> None:
    tx.execute("delete from commitments.commitments where uid = %s", (uid,))


def put_interval(
    tx: Tx, *, commitment: UUID, owner_org: int, settled: SettledInterval, now: datetime
) -> None:
    """Write how an ended interval stands; looking again replaces what was seen before."""
    s = settled.settlement
    tx.execute(
        "insert into commitments.intervals (commitment, minimum, starts_on, ends_on, owner_org, minimum_minor, "
        "spent_minor, shortfall_minor, assessed_at) values (%s, %s, %s, %s, %s, %s, %s, %s, %s) "
        "on conflict (commitment, minimum, starts_on) do update set ends_on = excluded.ends_on, "
        "minimum_minor = excluded.minimum_minor, spent_minor = excluded.spent_minor, "
        "shortfall_minor = excluded.shortfall_minor, assessed_at = excluded.assessed_at",
        (
            commitment,
            settled.minimum,
            settled.part.days.start,
            settled.part.days.end,
            owner_org,
            s.minimum_minor,
            s.spent_minor,
            s.shortfall_minor,
            now,
        ),
    )


def put_discount(
    tx: Tx,
    *,
    uid: UUID,
    owner_org: int,
    namespace: str,
    name: str,
    account: int,
    starts_on: date,
    ends_on: date | None,
    body: dict[str, Any],
) -> None:
    tx.execute(
        "insert into commitments.discounts (uid, owner_org, namespace, name, account, starts_on, ends_on, body) "
        "values (%s, %s, %s, %s, %s, %s, %s, %s) on conflict (uid) do update set ends_on = excluded.ends_on, "
        "body = excluded.body",
        (uid, owner_org, namespace, name, account, starts_on, ends_on, Jsonb(body)),
    )


def delete_discount(tx: Tx, *, uid: UUID) -> None:
    tx.execute("delete from commitments.discounts where uid = %s", (uid,))
