"""Tell what happened: in the transaction of the fact a row and a job, after its commit the call.

Owns: announcing, testing and replaying, secrets. Not: the calls (jobs, through ports), who has something to tell.
"""

import base64
from datetime import datetime, timedelta
from typing import Any, Final
from uuid import UUID

import orjson

from milo_billing.infra.clock import random_bits
from milo_billing.infra.crypto import Vault
from milo_billing.infra.database import Tx
from milo_billing.notices import reads, store
from milo_billing.notices.rules.bodies import event_body, event_hash, message_id
from milo_billing.notices.rules.catalogue import TEST, check_event
from milo_billing.notices.types import Channel, ChannelNotReady, DeliveryFilter, Event

SECRET_BYTES: Final = 32
OVERLAP_MAX: Final = timedelta(days=7)
REPLAYED_MAX: Final = 1_000
"""Deliveries that one call replays at most."""


def send(tx: Tx, vault: Vault, *, event: Event, now: datetime) -> int:
    """Announce an event in the caller's transaction: it leaves if that commits, at least once, always with one id.

    It goes to each channel of the event's organization and of the provider that wants such events, and to
    `event.mail_to`. Returns how many deliveries this made: 0 where nobody listens (one statement then), and where the
    same key was announced before. Raises MessageConflict where it said something else then, SubjectErased where the
    subject's data was erased, ValueError for what is not in the catalogue.
    """
    check_event(event.type, event.data)
    channels = reads.list_listeners(tx, org=event.org, type=event.type)
    if not channels and not event.mail_to:
        return 0
    body = event_body(event)
    stored = (
        _json(body) if event.subject is None else vault.seal(tx, subject=event.subject, value=body, at=now)
    )
    return _post(tx, event, stored, channels=channels, now=now)


def send_test(tx: Tx, *, channel: Channel, key: str, now: datetime) -> UUID:
    """Send `notices.test` to this channel alone, whatever it wants to hear of; the delivery.

    Raises ChannelNotReady for a webhook without a secret.
    """
    if channel.type == "Webhook" and reads.find_secrets(tx, channel=channel.uid, now=now) is None:
        raise ChannelNotReady(
            f'notification channel "{channel.name}" has no secret to sign with: make one with '
            f"`milo-billing notices secret {channel.name} -n {channel.namespace}`"
        )
    data = {"channel": {"namespace": channel.namespace, "name": channel.name}}
    event = Event(type=TEST, key=key, org=channel.owner_org, data=data)
    _post(tx, event, _json(event_body(event)), channels=[channel.uid], now=now)
    (delivery,) = reads.list_of_message(tx, message=message_id(key))
    return delivery


def _json(body: dict[str, Any]) -> str:
    return orjson.dumps(body, option=orjson.OPT_SORT_KEYS).decode()


def _post(tx: Tx, event: Event, stored: str, *, channels: list[UUID], now: datetime) -> int:
    return store.post(
        tx,
        id=message_id(event.key),
        key=event.key,
        org=event.org,
        type=event.type,
        account=event.account,
        subject=event.subject,
        hash=event_hash(event),
        body=stored,
        channels=channels,
        mail=bool(event.mail_to),
        now=now,
    )


def replay(tx: Tx, *, delivery: UUID, now: datetime) -> None:
    """Send a delivery again, from its first try on and with the id it had. Raises DeliveryNotFound."""
    reads.get_delivery(tx, id=delivery)
    store.replay(tx, wanted=DeliveryFilter(), delivery=delivery, limit=1, now=now)


def replay_many(tx: Tx, *, wanted: DeliveryFilter, now: datetime) -> int:
    """The same for all that the filter finds, REPLAYED_MAX at most, the oldest first; how many."""
    return len(store.replay(tx, wanted=wanted, delivery=None, limit=REPLAYED_MAX, now=now))


def rotate_secret(
    tx: Tx, vault: Vault, *, channel: Channel, given: str | None, overlap: timedelta, now: datetime
) -> str:
    """Give the channel a new secret, `given` or made here; the secret, which is shown this once.

    The one before it signs as well for `overlap`, OVERLAP_MAX at most, so that the other side can change over.
    """
    secret = (
        given
        or f"whsec_{base64.b64encode(random_bits(SECRET_BYTES * 8).to_bytes(SECRET_BYTES, 'big')).decode()}"
    )
    store.insert_secret(
        tx,
        channel=channel.uid,
        owner_org=channel.owner_org,
        sealed=vault.seal(tx, subject=channel.uid, value=secret, at=now),
        now=now,
        previous_ends_at=now + min(overlap, OVERLAP_MAX),
    )
    return secret
