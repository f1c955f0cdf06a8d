"""SQL that writes the tables of notices; messages and deliveries enter only through the database's notices.post."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from uuid import UUID

import psycopg

from milo_billing.infra import jobs
from milo_billing.infra.database import Tx
from milo_billing.notices.types import (
    Answer,
    Channel,
    ChannelType,
    Claim,
    DeliveryFilter,
    MessageConflict,
    Postponed,
    State,
)

DELIVER = "notices.deliver"
QUEUE = "notices"
IN_FLIGHT_MAX = 2
"""Calls to one channel at a time: one that answers slowly must not keep every worker waiting."""


# ---------------------------------------------------------------------------------------------------- channels


def put_channel(tx: Tx, channel: Channel, *, events: Sequence[str], paused: bool, renewed: bool) -> None:
    """The channel as declared. `renewed`: it leads elsewhere now, and how it fared before says nothing any more."""
    tx.execute(
        "insert into notices.channels (uid, owner_org, namespace, name, type, events, paused) "
        "values (%s, %s, %s, %s, %s, %s, %s) on conflict (uid) do update "
        "set type = excluded.type, events = excluded.events, paused = excluded.paused",
        (
            channel.uid,
            channel.owner_org,
            channel.namespace,
            channel.name,
            channel.type,
            list(events),
            paused,
        ),
    )
    if renewed:
        tx.execute(
            "insert into notices.health (channel, owner_org, listening) values (%s, %s, false) "
            "on conflict (channel) do update set gone_at = null, delivered_at = null, delivered_type = null, "
            "failed_at = null, failed_said = '', failures = 0, dead = 0",
            (channel.uid, channel.owner_org),
        )
        _listen(tx, channel=channel.uid)


def _listen(tx: Tx, *, channel: UUID) -> None:
    """Let the channel hear, if it has what it takes: webhooks leave signed or not at all."""
    tx.execute(
        "update notices.health h set listening = h.gone_at is null and (c.type <> 'Webhook' "
        "or exists (select from notices.secrets s where s.channel = c.uid)) "
        "from notices.channels c where c.uid = h.channel and c.uid = %s",
        (channel,),
    )


def delete_channel(tx: Tx, *, uid: UUID) -> None:
    """The channel, its health and its secrets. What was on its way to it is given up when its time comes."""
    tx.execute("delete from notices.channels where uid = %s", (uid,))


def insert_secret(
    tx: Tx, *, channel: UUID, owner_org: int, sealed: str, now: datetime, previous_ends_at: datetime
) -> None:
    """The newest secret. The one before it ends then, and any before that one now; the channel's row is locked."""
    tx.execute("select from notices.channels where uid = %s for update", (channel,))
    tx.execute("delete from notices.secrets where channel = %s and ends_at is not null", (channel,))
    tx.execute(
        "update notices.secrets set ends_at = greatest(created_at, %s) where channel = %s",
        (previous_ends_at, channel),
    )
    tx.execute(
        "insert into notices.secrets (channel, number, owner_org, sealed, created_at) "
        "select %(channel)s, coalesce(max(number), 0) + 1, %(org)s, %(sealed)s, %(now)s "
        "from notices.secrets where channel = %(channel)s",
        {"channel": channel, "org": owner_org, "sealed": sealed, "now": now},
    )
    _listen(tx, channel=channel)
    tx.execute("update notices.health set settled = false where channel = %s", (channel,))


def note_health(tx: Tx, claim: Claim, answer: Answer, *, state: State, type: str, now: datetime) -> bool:
    """How the attempt went, for the channel's conditions; whether its status has to say something else now."""
    assert claim.channel is not None, "a mail without a channel has no health"
    values = {"uid": claim.channel.uid, "now": now, "type": type, "said": answer.said}
    if answer.outcome == "Delivered":
        row = tx.execute(
            # the status shows the minute: an event a second must not be a version of the object a second
            "update notices.health set settled = settled and failures = 0 and dead = 0 and gone_at is null "
            "and coalesce(date_trunc('minute', delivered_at) = date_trunc('minute', %(now)s::timestamptz) "
            "and delivered_type = %(type)s, false), delivered_at = %(now)s, delivered_type = %(type)s, failures = 0, "
            "dead = 0, gone_at = null, listening = listening or gone_at is not null where channel = %(uid)s "
            "returning settled",
            values,
        ).fetchone()
        return row is not None and not row[0]
    row = tx.execute(
        "update notices.health set settled = false, failed_at = %(now)s, failed_said = %(said)s, "
        "failures = failures + 1, dead = dead + %(dead)s, "
        "gone_at = case when %(gone)s then coalesce(gone_at, %(now)s) else gone_at end, "
        "listening = listening and not %(gone)s where channel = %(uid)s returning settled",
        {**values, "dead": int(state == "Dead"), "gone": answer.outcome == "Gone"},
    ).fetchone()
    return row is not None and not row[0]


def note_settled(tx: Tx, *, channel: UUID) -> None:
    """The object's status says what the health does; called under the object's lock."""
    tx.execute("update notices.health set settled = true where channel = %s and not settled", (channel,))


# -------------------------------------------------------------------------------------------------- deliveries


def post(
    tx: Tx,
    *,
    id: UUID,
    key: str,
    org: int,
    type: str,
    account: str,
    subject: UUID | None,
    hash: bytes,
    body: str,
    channels: Sequence[UUID],
    mail: bool,
    now: datetime,
) -> int:
    """A message, a delivery for each channel and one for its own addresses, each with its job; how many are new.

    Raises MessageConflict where the key stands for something else.
    """
    try:
        with tx.transaction():
            made = tx.execute(
                "select notices.post(%s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s)",
                (id, key, org, type, account, subject, hash, body, now, list(channels), mail),
            ).fetchall()
    except psycopg.errors.UniqueViolation as error:
        raise MessageConflict(
            f"message {key!r} was announced already with other contents: a fact is told once, "
            "and another one needs a key of its own"
        ) from error
    for (delivery,) in made:
        jobs.defer(tx, DELIVER, queue=QUEUE, delivery=str(delivery))
    return len(made)


def defer_later(tx: Tx, *, delivery: UUID, after_s: float) -> None:
    """Have the delivery looked at again in so many seconds, by the database's clock as all jobs are."""
    row = tx.execute("select clock_timestamp() + make_interval(secs => %s)", (after_s,)).fetchone()
    assert row is not None, "there is always a time"
    jobs.defer(tx, DELIVER, queue=QUEUE, at=row[0], delivery=str(delivery))


def claim(tx: Tx, *, delivery: UUID, now: datetime, until: datetime) -> Claim | Postponed | None:
    """Take the next attempt upon oneself and note that it begins; None where nothing is to be done.

    Whoever holds a claim has until `until`; then somebody else may try, with the same message id.
    """
    row = tx.execute(
        "select state, next_at, claimed_until, channel from notices.deliveries where id = %s for update",
        (delivery,),
    ).fetchone()
    if row is None or row[0] in ("Delivered", "Dead"):
        return None
    _, next_at, claimed_until, channel = row
    if claimed_until is not None and claimed_until > now:
        return Postponed((claimed_until - now).total_seconds())
    if next_at > now + timedelta(seconds=1):  # the job of the next try comes by itself
        return None
    if channel is not None:
        (flying,) = tx.execute(
            "select count(*) from notices.deliveries where channel = %s and claimed_until > %s",
            (channel, now),
        ).fetchone() or (0,)
        if flying >= IN_FLIGHT_MAX:
            return Postponed(2 + delivery.int % 8)
    return _claimed(tx, delivery=delivery, now=now, until=until)


def _claimed(tx: Tx, *, delivery: UUID, now: datetime, until: datetime) -> Claim:
    row = tx.execute(
        "with claimed as (update notices.deliveries set attempts = attempts + 1, tries = tries + 1, "
        "claimed_until = %(until)s where id = %(id)s returning *), "
        "noted as (insert into notices.attempts (delivery, number, owner_org, begun_at) "
        "select id, attempts, owner_org, %(now)s from claimed) "
        "select attempts, tries, owner_org, channel, namespace, channel_name, channel_type from claimed",
        {"id": delivery, "now": now, "until": until},
    ).fetchone()
    assert row is not None, "it was locked"
    attempts, tries, owner_org, channel, namespace, name, type = row
    kind: ChannelType = type
    return Claim(
        delivery=delivery,
        attempt=attempts,
        tries=tries,
        owner_org=owner_org,
        channel=None if channel is None else Channel(channel, owner_org, namespace, name, kind),
        channel_type=kind,
    )


def note_attempt(
    tx: Tx, claim: Claim, answer: Answer, *, state: State, next_at: datetime | None, now: datetime
) -> bool:
    """What came of the attempt; whether the delivery stands where this attempt has left it.

    Where somebody else has begun another attempt meanwhile, only a success counts: it is as true as theirs.
    """
    tx.execute(
        "update notices.attempts set ended_at = %(now)s, outcome = %(outcome)s, status = %(status)s, said = %(said)s, "
        "latency_ms = greatest(0, extract(epoch from %(now)s - begun_at) * 1000)::int "
        "where delivery = %(delivery)s and number = %(number)s",
        {
            "now": now,
            "outcome": answer.outcome,
            "status": answer.status,
            "said": answer.said.replace("\0", "�"),
            "delivery": claim.delivery,
            "number": claim.attempt,
        },
    )
    noted = tx.execute(
        "update notices.deliveries set state = %(state)s, next_at = %(next)s, claimed_until = null, "
        "ended_at = case when %(next)s::timestamptz is null then %(now)s end "
        "where id = %(delivery)s and state in ('Waiting', 'Failed') "
        "and (attempts = %(number)s or %(state)s = 'Delivered')",
        {
            "state": state,
            "next": next_at,
            "now": now,
            "delivery": claim.delivery,
            "number": claim.attempt,
        },
    )
    return noted.rowcount == 1


def replay(tx: Tx, *, wanted: DeliveryFilter, delivery: UUID | None, limit: int, now: datetime) -> list[UUID]:
    """Make deliveries that ended due again, with the message ids they had; which ones, the oldest first.

    What is on its way still is left alone, but for its next try, which comes now.
    """
    rows = tx.execute(
        "update notices.deliveries set state = 'Waiting', tries = 0, next_at = %(now)s, ended_at = null "
        "where id in (select id from notices.deliveries where (%(delivery)s::uuid is null or id = %(delivery)s) "
        "and (%(namespace)s::text is null or namespace = %(namespace)s) "
        "and (%(channel)s::text is null or channel_name = %(channel)s) "
        "and (%(state)s::text is null or state = %(state)s) and (%(type)s::text is null or type = %(type)s) "
        "and (%(since)s::timestamptz is null or occurred_at >= %(since)s) "
        "and (%(until)s::timestamptz is null or occurred_at < %(until)s) "
        "and (%(ended)s::timestamptz is null or ended_at < %(ended)s) "
        "and (claimed_until is null or claimed_until <= %(now)s) "
        "order by occurred_at, id limit %(limit)s for update) returning id",
        {
            "delivery": delivery,
            "namespace": wanted.namespace,
            "channel": wanted.channel,
            "state": wanted.state,
            "type": wanted.type,
            "since": wanted.since,
            "until": wanted.until,
            "ended": wanted.ended_before,
            "limit": limit,
            "now": now,
        },
    ).fetchall()
    found = [row[0] for row in rows]
    for id in found:
        jobs.defer(tx, DELIVER, queue=QUEUE, delivery=str(id))
    return found


def prune(tx: Tx, *, before: datetime, limit: int) -> int:
    """Forget messages that happened before, with their deliveries and attempts; how many there were, up to `limit`."""
    return tx.execute(
        "delete from notices.messages where id in (select id from notices.messages m where occurred_at < %s "
        "and not exists (select from notices.deliveries d where d.message = m.id and d.next_at is not null) "
        "order by occurred_at limit %s)",
        (before, limit),
    ).rowcount
