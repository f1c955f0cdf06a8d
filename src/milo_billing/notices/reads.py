"""SQL that reads the tables of notices."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any, Final, LiteralString, cast
from uuid import UUID

import orjson

from milo_billing.controlplane.projections import ProjectionDifference, compare_rows
from milo_billing.infra.crypto import Erased, Vault
from milo_billing.infra.database import Tx
from milo_billing.notices.rules.bodies import read_brand
from milo_billing.notices.types import (
    Attempt,
    Channel,
    ChannelNotFound,
    Delivery,
    DeliveryFilter,
    DeliveryNotFound,
    Health,
    Message,
    Secrets,
)

# ---------------------------------------------------------------------------------------------------- channels


def list_listeners(tx: Tx, *, org: int, type: str) -> list[UUID]:
    """The channels that an event of the organization is told: its own, and the provider's."""
    rows = tx.execute("select notices.listeners(%s, %s)", (org, type)).fetchall()
    return [row[0] for row in rows]


def get_channel(tx: Tx, *, namespace: str, name: str) -> Channel:
    """Raises ChannelNotFound."""
    row = tx.execute(
        "select uid, owner_org, namespace, name, type from notices.channels where namespace = %s and name = %s",
        (namespace, name),
    ).fetchone()
    if row is None:
        raise ChannelNotFound(f'notificationchannels.billing.miloapis.com "{namespace}/{name}" not found')
    return Channel(*row)


def find_health(tx: Tx, *, channel: UUID) -> Health | None:
    """How a channel has fared; None for one that is not there yet."""
    row = tx.execute(
        "select gone_at, delivered_at, delivered_type, failed_at, failures, dead from notices.health "
        "where channel = %s",
        (channel,),
    ).fetchone()
    return None if row is None else Health(*row)


def find_secrets(tx: Tx, *, channel: UUID, now: datetime) -> Secrets | None:
    """When the channel's secrets were made; None where it has none."""
    row = tx.execute(
        "select max(created_at) filter (where ends_at is null), max(ends_at) filter (where ends_at > %s) "
        "from notices.secrets where channel = %s",
        (now, channel),
    ).fetchone()
    return None if row is None or row[0] is None else Secrets(row[0], row[1])


def open_secrets(tx: Tx, vault: Vault, *, channel: UUID, now: datetime) -> tuple[str, ...]:
    """The secrets that sign at this instant, in clear, the newest first."""
    rows = tx.execute(
        "select sealed from notices.secrets where channel = %s and (ends_at is null or ends_at > %s) "
        "order by number desc",
        (channel, now),
    ).fetchall()
    opened = [vault.open(tx, subject=channel, ciphertext=row[0]) for row in rows]
    return tuple(secret for secret in opened if isinstance(secret, str))


def list_unsettled(tx: Tx, *, limit: int) -> list[Channel]:
    """Channels whose status does not say yet how they fare."""
    rows = tx.execute(
        "select c.uid, c.owner_org, c.namespace, c.name, c.type from notices.health h "
        "join notices.channels c on c.uid = h.channel where not h.settled order by c.uid limit %s",
        (limit,),
    ).fetchall()
    return [Channel(*row) for row in rows]


# ---------------------------------------------------------------------------------------------------- messages


def open_message(tx: Tx, vault: Vault, *, delivery: UUID) -> Message | Erased:
    """The message of a delivery, in clear; what is erased is erased here too."""
    row = tx.execute(
        "select m.id, m.type, m.occurred_at, m.account, m.subject, m.body from notices.deliveries d "
        "join notices.messages m on m.id = d.message where d.id = %s",
        (delivery,),
    ).fetchone()
    if row is None:
        raise DeliveryNotFound(f"there is no delivery {delivery}")
    id, type, occurred_at, account, subject, stored = row
    if subject is None:
        body = orjson.loads(stored)
    else:
        opened = vault.open(tx, subject=subject, ciphertext=stored)
        if isinstance(opened, Erased):
            return opened
        body = cast("dict[str, Any]", opened)
    return Message(
        id=id,
        type=type,
        occurred_at=occurred_at,
        account=account,
        data=body["data"],
        language=body["language"],
        brand=read_brand(body),
        mail_to=tuple(body["mailTo"]),
        attachments=tuple(body["attachments"]),
    )


# -------------------------------------------------------------------------------------------------- deliveries

_DELIVERY: Final[LiteralString] = (
    "id, message, namespace, channel_name, channel_type, type, account, occurred_at, state, attempts, next_at, ended_at"
)


def list_deliveries(
    tx: Tx, *, wanted: DeliveryFilter, after: tuple[datetime, UUID] | None, limit: int
) -> list[Delivery]:
    """Deliveries, the latest event first; `after` is the last one of the page before."""
    before, id = after or (None, None)
    rows = tx.execute(
        f"select {_DELIVERY} from notices.deliveries "
        "where (%(namespace)s::text is null or namespace = %(namespace)s) "
        "and (%(channel)s::text is null or channel_name = %(channel)s) "
        "and (%(state)s::text is null or state = %(state)s) and (%(type)s::text is null or type = %(type)s) "
        "and (%(since)s::timestamptz is null or occurred_at >= %(since)s) "
        "and (%(until)s::timestamptz is null or occurred_at < %(until)s) "
        "and (%(before)s::timestamptz is null or (occurred_at, id) < (%(before)s, %(id)s)) "
        "order by occurred_at desc, id desc limit %(limit)s",
        {
            "namespace": wanted.namespace,
            "channel": wanted.channel,
            "state": wanted.state,
            "type": wanted.type,
            "since": wanted.since,
            "until": wanted.until,
            "before": before,
            "id": id,
            "limit": limit,
        },
    ).fetchall()
    return [Delivery(*row) for row in rows]


def get_delivery(tx: Tx, *, id: UUID) -> Delivery:
    """Raises DeliveryNotFound."""
    row = tx.execute(f"select {_DELIVERY} from notices.deliveries where id = %s", (id,)).fetchone()
    if row is None:
        raise DeliveryNotFound(f"there is no delivery {id}")
    return Delivery(*row)


def list_of_message(tx: Tx, *, message: UUID) -> list[UUID]:
    """The deliveries of a message."""
    rows = tx.execute(
        "select id from notices.deliveries where message = %s order by id", (message,)
    ).fetchall()
    return [row[0] for row in rows]


def list_attempts(tx: Tx, *, delivery: UUID, limit: int) -> list[Attempt]:
    """The attempts at a delivery, the latest first."""
    rows = tx.execute(
        "select number, begun_at, outcome, status, latency_ms, said from notices.attempts where delivery = %s "
        "order by number desc limit %s",
        (delivery, limit),
    ).fetchall()
    return [Attempt(*row) for row in rows]


def list_due(tx: Tx, *, before: datetime, now: datetime, limit: int) -> Sequence[UUID]:
    """Deliveries that have been due since before an instant, and that nobody is at; the longest due first."""
    rows = tx.execute(
        "select id from notices.deliveries where next_at < %s and (claimed_until is null or claimed_until <= %s) "
        "order by next_at limit %s",
        (before, now, limit),
    ).fetchall()
    return [row[0] for row in rows]


def measure(tx: Tx, *, now: datetime) -> tuple[float, float]:
    """Seconds since the oldest event that is on its way still, and since the longest due delivery was due; or 0."""
    row = tx.execute(
        "select coalesce(extract(epoch from %(now)s - min(occurred_at)), 0)::float8, "
        "coalesce(extract(epoch from %(now)s - min(next_at)), 0)::float8 "
        "from notices.deliveries where next_at is not null",
        {"now": now},
    ).fetchone()
    oldest, overdue = row or (0.0, 0.0)
    return max(0.0, oldest), max(0.0, overdue)


# ------------------------------------------------------------------------------------------------- projections

_DECLARED: Final[LiteralString] = """
select 'notices.channels', uid::text, namespace || '/' || name, jsonb_build_object(
    'owner', owner_org, 'type', spec ->> 'type', 'events', coalesce(spec -> 'events', '[]'::jsonb),
    'paused', coalesce((spec ->> 'paused')::boolean, false))
from controlplane.objects where api_group = 'billing.miloapis.com' and resource = 'notificationchannels'
"""
_PROJECTED: Final[LiteralString] = """
select 'notices.channels', uid::text, namespace || '/' || name, jsonb_build_object(
    'owner', owner_org, 'type', type, 'events', to_jsonb(events), 'paused', paused)
from notices.channels
"""


def compare_projections(tx: Tx) -> tuple[ProjectionDifference, ...]:
    """Where channels differ from their objects. Needs to reach everything; empty is right."""
    return compare_rows(tx, expected=_DECLARED, found=_PROJECTED)
