"""What workers do for notices: make the calls, after the commit of what they tell and outside of any transaction.

An attempt is noted before the call and its outcome behind it. A worker that is killed in between leaves an attempt
without an outcome; another worker calls again, and the other side knows the message by its id.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Final
from uuid import UUID

import structlog

from milo_billing.controlplane.engine import Engine
from milo_billing.controlplane.identity import Identity
from milo_billing.controlplane.kinds import Ref
from milo_billing.controlplane.work import Work
from milo_billing.infra import jobs
from milo_billing.infra.clock import Clock, new_uid
from milo_billing.infra.crypto import Erased, Vault
from milo_billing.infra.database import EVERYWHERE, Database, Tx
from milo_billing.infra.jobs import Periodic, Task
from milo_billing.infra.telemetry import counter, gauge
from milo_billing.kernel.errors import MiloError
from milo_billing.notices import reads, store
from milo_billing.notices.ports import Attachments, Sender
from milo_billing.notices.resources import NotificationChannel, NotificationChannelSpec
from milo_billing.notices.rules import schedule
from milo_billing.notices.types import (
    SAID_MAX,
    Answer,
    Channel,
    ChannelType,
    ChatTarget,
    Claim,
    EmailTarget,
    Message,
    Parcel,
    Postponed,
    State,
    Target,
    WebhookTarget,
)

CLAIM_S: Final = 60.0
"""How long one attempt may take; then its worker is taken for dead. Senders keep well below it."""

LEFT_BEHIND_S: Final = 120.0
"""A delivery that is due for so long and that nobody is at has lost its job, and gets another one."""

_SWEPT_MAX: Final = 1_000
_PRUNED_MAX: Final = 10_000
_SYSTEM: Final = Identity("system:notices")

_log = structlog.get_logger(__name__)
_attempts = counter(
    "notice_attempts", about="Calls to channels, by their type and outcome.", labels=("channel", "outcome")
)
_dead = counter(
    "notice_deliveries_dead", about="Deliveries that were given up, by type.", labels=("channel",)
)
_oldest = gauge(
    "notices_oldest_undelivered_seconds",
    about="Seconds since the oldest event that is on its way still; 0 where none is.",
)
_overdue = gauge(
    "notices_overdue_seconds",
    about="For how long the delivery that waits longest for its next try has been due; 0 where none is.",
)


class Undeliverable(Exception):
    """There is nothing to send, or nowhere to send it to, and no later try will change that."""


@dataclass(frozen=True, slots=True)
class Postman:
    """Carries deliveries. `database` is a pool of milo_app. One a process, shared by its threads."""

    engine: Engine
    vault: Vault
    database: Database
    clock: Clock
    senders: Mapping[ChannelType, Sender]
    attachments: Attachments
    claim_s: float = CLAIM_S

    def deliver(self, delivery: UUID) -> State | None:
        """Make the next attempt at a delivery, if it is due and nobody is at it; where that leaves it."""
        now = self.clock.now()
        with self.database.transaction(reach=EVERYWHERE) as tx:
            claim = store.claim(tx, delivery=delivery, now=now, until=now + timedelta(seconds=self.claim_s))
            if isinstance(claim, Postponed):
                store.defer_later(tx, delivery=delivery, after_s=claim.after_s)
        if not isinstance(claim, Claim):
            return None
        type, answer = self._call(claim)
        return self._note(claim, answer, type=type)

    def settle(self, channel: Channel) -> None:
        """Bring the status of a channel in line with how it fares."""
        with self.database.transaction(reach=EVERYWHERE) as tx:
            work = Work(tx=tx, identity=_SYSTEM, reach=EVERYWHERE, audit_id=new_uid(), now=self.clock.now())
            # first the object's lock, then the health: in this order everywhere
            self.engine.settle(work, [Ref(NotificationChannel, channel.namespace, channel.name)])
            store.note_settled(tx, channel=channel.uid)
            self.engine.commit(work)

    def _call(self, claim: Claim) -> tuple[str, Answer]:
        """The type of the event, and how the call went."""
        type = ""
        try:
            with self.database.transaction(reach=EVERYWHERE) as tx:
                message = self._message(tx, claim)
                type = message.type
                parcel = self._parcel(tx, claim, message)
            return type, self.senders[claim.channel_type].send(parcel)
        except Undeliverable as error:
            return type, Answer("Refused", None, str(error))
        except MiloError as error:
            return type, Answer("Failed", None, str(error)[:SAID_MAX])
        except Exception as error:  # a defect in one message must not be lost, nor end the worker
            _log.error("notice_not_sent", delivery=str(claim.delivery), exc_info=error)
            return type, Answer(
                "Failed", None, f"internal error ({error.__class__.__name__}): see the server's log"
            )

    def _message(self, tx: Tx, claim: Claim) -> Message:
        message = reads.open_message(tx, self.vault, delivery=claim.delivery)
        if isinstance(message, Erased):
            raise Undeliverable("the personal data in it was erased")
        return message

    def _parcel(self, tx: Tx, claim: Claim, message: Message) -> Parcel:
        if claim.channel_type not in self.senders:
            raise Undeliverable("this server sends no mail: set MILO_BILLING_SMTP_HOST, then replay")
        target = self._target(tx, claim, message)
        wanted = message.attachments if isinstance(target, EmailTarget) else ()
        return Parcel(
            message=message,
            target=target,
            attachments=tuple(self.attachments.open(tx, reference) for reference in wanted),
            at=self.clock.now(),
        )

    def _target(self, tx: Tx, claim: Claim, message: Message) -> Target:
        channel = claim.channel
        if channel is None:
            return EmailTarget(message.mail_to)
        found = self.engine.find_object(
            tx, NotificationChannel, namespace=channel.namespace, name=channel.name
        )
        if found is None or found.uid != channel.uid:
            raise Undeliverable("the channel was deleted")
        spec: NotificationChannelSpec = found.spec
        if spec.type != channel.type:
            raise Undeliverable(f"the channel is of type {spec.type} now")
        if spec.email is not None:
            return EmailTarget(tuple(spec.email.to), spec.email.language)
        if spec.chat is not None:
            return ChatTarget(spec.chat.url, spec.chat.format)
        if spec.webhook is None:
            raise Undeliverable("where the channel leads was erased")
        secrets = reads.open_secrets(tx, self.vault, channel=channel.uid, now=self.clock.now())
        if not secrets:
            raise Undeliverable("the channel has no secret to sign with")
        return WebhookTarget(spec.webhook.url, spec.webhook.headers, secrets)

    def _note(self, claim: Claim, answer: Answer, *, type: str) -> State:
        now = self.clock.now()
        gap = schedule.gap_after(claim.delivery, tries=claim.tries)
        state = schedule.state_after(answer.outcome, gap=gap)
        with self.database.transaction(reach=EVERYWHERE) as tx:
            next_at = now + gap if state == "Failed" and gap is not None else None
            stands = store.note_attempt(tx, claim, answer, state=state, next_at=next_at, now=now)
            if stands and next_at is not None and gap is not None:
                store.defer_later(tx, delivery=claim.delivery, after_s=gap.total_seconds())
            unsettled = claim.channel is not None and store.note_health(
                tx, claim, answer, state=state, type=type, now=now
            )
        _attempts.labels(claim.channel_type, answer.outcome).inc()
        if stands and state == "Dead":
            _dead.labels(claim.channel_type).inc()
            _log.warning("notice_given_up", delivery=str(claim.delivery), event_type=type, said=answer.said)
        if unsettled and claim.channel is not None:
            self.settle(claim.channel)
        return state


def tasks(postman: Postman, *, retention_days: int) -> tuple[Periodic | Task, ...]:
    """Deliver; every minute look for what was left behind; every night forget what is old."""

    def deliver(delivery: str) -> None:
        postman.deliver(UUID(delivery))

    def sweep_up(timestamp: int) -> None:
        del timestamp
        sweep(postman)

    def prune(timestamp: int) -> None:
        del timestamp
        before = postman.clock.now() - timedelta(days=retention_days)
        pruned = _PRUNED_MAX
        while pruned == _PRUNED_MAX:
            with postman.database.transaction(reach=EVERYWHERE) as tx:
                pruned = store.prune(tx, before=before, limit=_PRUNED_MAX)

    return (
        Task(store.DELIVER, deliver, queue=store.QUEUE),
        Periodic(Task("notices.sweep", sweep_up), cron="* * * * *"),
        Periodic(Task("notices.prune", prune), cron="37 2 * * *"),
    )


def sweep(postman: Postman) -> int:
    """Queue deliveries that have lost their job, settle channels, and say how late things are; how many were queued."""
    now = postman.clock.now()
    with postman.database.transaction(reach=EVERYWHERE) as tx:
        found = reads.list_due(tx, before=now - timedelta(seconds=LEFT_BEHIND_S), now=now, limit=_SWEPT_MAX)
        for delivery in found:
            jobs.defer(
                tx, store.DELIVER, queue=store.QUEUE, once=f"notices/{delivery}", delivery=str(delivery)
            )
        oldest_s, overdue_s = reads.measure(tx, now=now)
        unsettled = reads.list_unsettled(tx, limit=_SWEPT_MAX)
    _oldest.set(oldest_s)
    _overdue.set(overdue_s)
    for channel in unsettled:
        postman.settle(channel)
    return len(found)
