"""NotificationChannel: whom an organization's events are told, and how well that goes."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import TypeAlias

from pydantic import Field
from typing_extensions import override

from milo_billing.controlplane.kinds import (
    Admission,
    AnyKind,
    Column,
    Condition,
    Conditions,
    Fields,
    Json,
    Kind,
    Object,
    rfc3339,
    set_condition,
)
from milo_billing.infra.clock import Clock
from milo_billing.infra.database import Tx
from milo_billing.kernel.errors import FieldError
from milo_billing.notices import operations, reads, store
from milo_billing.notices.rules import standing, targets
from milo_billing.notices.types import GROUP, Channel, ChannelType, ChatFormat, Health, Secrets

HEADERS_MAX = 20


class EmailFields(Fields):
    """Mail to fixed addresses."""

    to: list[str] = Field(min_length=1, max_length=10, description="Addresses; one mail goes to all of them.")
    language: str | None = Field(
        default=None,
        pattern="^[a-z]{2,3}(-[A-Za-z0-9]{2,8})*$",
        max_length=35,
        description="BCP 47 tag of the mails' language; without it that of the account which an event is about.",
    )


class WebhookFields(Fields):
    """A POST with a Standard Webhooks signature."""

    url: str = Field(min_length=1, max_length=2048, description="An https URL of a public host.")
    headers: dict[str, str] = Field(
        default_factory=dict[str, str],
        max_length=HEADERS_MAX,
        description="Headers to send along, such as Authorization.",
    )


class ChatFields(Fields):
    """An incoming webhook of a chat."""

    url: str = Field(
        min_length=1, max_length=2048, description="The incoming webhook that the chat gave you."
    )
    format: ChatFormat = Field(
        default="Slack", description="Slack, which Mattermost and others read too, or Teams."
    )


class NotificationChannelSpec(Fields):
    """Whom to tell of what."""

    type: ChannelType = Field(description="Which of the blocks below says where to.")
    email: EmailFields | None = Field(default=None, description="Stored encrypted.")
    webhook: WebhookFields | None = Field(default=None, description="Stored encrypted.")
    chat: ChatFields | None = Field(default=None, description="Stored encrypted.")
    events: list[str] = Field(
        default_factory=list[str],
        max_length=50,
        description="Types of events, or invoice.* for all of a family. Empty for every event.",
    )
    paused: bool = Field(
        default=False,
        description="Whether nothing new is sent to it. Events of that time are not sent later either.",
    )


class LastDelivery(Fields):
    """The last event that came through, to the minute."""

    at: str
    type: str


class LastTest(Fields):
    """The last test of the channel."""

    at: str
    delivery: str = Field(description="What GET /v1/notices/deliveries/{id} shows.")


class SecretDates(Fields):
    """The secret that webhooks are signed with; it is shown once, when it is made."""

    created_at: str
    previous_ends_at: str | None = Field(
        default=None, description="Until when the secret before it signs as well."
    )


class NotificationChannelStatus(Fields):
    """What is true of a channel."""

    conditions: Conditions = Field(default_factory=list[Condition])
    last_delivery: LastDelivery | None = None
    last_test: LastTest | None = None
    secret: SecretDates | None = None
    observed_generation: int = 0


ChannelObject: TypeAlias = Object[NotificationChannelSpec, NotificationChannelStatus]
ChannelAdmission: TypeAlias = Admission[NotificationChannelSpec, NotificationChannelStatus]


@dataclass(frozen=True, slots=True)
class Facts:
    """How the channel fares, and when its secrets were made."""

    health: Health | None
    secrets: Secrets | None


class NotificationChannel(Kind[NotificationChannelSpec, NotificationChannelStatus]):
    """Where events go. One in a namespace of the provider's hears of every organization."""

    group = GROUP
    kind = "NotificationChannel"
    plural = "notificationchannels"
    singular = "notificationchannel"
    short_names = ("nc",)
    namespaced = True
    description = (
        "Where events go: mail, a webhook or a chat. "
        "One in a namespace of the provider's hears of every organization."
    )
    spec_model = NotificationChannelSpec
    status_model = NotificationChannelStatus
    columns = (
        Column("Type", ".spec.type"),
        Column("Ready", ".status.conditions[?(@.type=='Ready')].status"),
        Column("Healthy", ".status.conditions[?(@.type=='Healthy')].status"),
        Column("Last Delivery", ".status.lastDelivery.at", type="date"),
    )
    selectable = ("spec.type",)
    personal = ("spec.email", "spec.webhook", "spec.chat")
    actions = ("test",)

    def __init__(self, *, loopback: bool = False) -> None:
        """`loopback`: targets may be this machine itself, over http too; for tests and development."""
        self._loopback = loopback

    @override
    def validate(self, admission: ChannelAdmission) -> Iterable[FieldError]:
        """One target, of the type; addresses and URLs that can be sent to; events that there are."""
        return self.spec_errors(admission.object.spec)

    def spec_errors(self, spec: NotificationChannelSpec) -> Iterable[FieldError]:
        """What is wrong with a spec, whoever wrote it."""
        yield from targets.event_errors("spec.events", spec.events)
        blocks = {"Email": spec.email, "Webhook": spec.webhook, "Chat": spec.chat}
        for type, block in blocks.items():
            path = f"spec.{type.lower()}"
            if type == spec.type and block is None:
                yield FieldError(
                    path, "FieldValueRequired", f"Required value: where a channel of type {type} leads"
                )
            if type != spec.type and block is not None:
                yield FieldError(
                    path,
                    "FieldValueForbidden",
                    f"Forbidden: a channel of type {spec.type} has no {type.lower()}",
                )
        if spec.email is not None:
            yield from targets.email_errors("spec.email.to", spec.email.to)
        if spec.webhook is not None:
            yield from targets.url_errors("spec.webhook.url", spec.webhook.url, loopback=self._loopback)
            yield from targets.header_errors("spec.webhook.headers", spec.webhook.headers)
        if spec.chat is not None:
            yield from targets.url_errors("spec.chat.url", spec.chat.url, loopback=self._loopback)

    @override
    def act(self, admission: ChannelAdmission, *, action: str, request: Json) -> NotificationChannelStatus:
        """Send a test event to this channel. Raises ChannelNotReady for a webhook without a secret."""
        object, now = admission.object, admission.now
        delivery = operations.send_test(
            admission.tx, channel=_channel(object), key=f"test/{object.uid}/{now.isoformat()}", now=now
        )
        test = LastTest(at=rfc3339(now), delivery=str(delivery))
        return object.status.model_copy(update={"last_test": test})

    @override
    def gather(
        self, tx: Tx, object: ChannelObject, old: ChannelObject | None, *, now: datetime, clock: Clock
    ) -> Facts:
        """Health and secrets; those of before where it leads elsewhere now say nothing."""
        health = (
            None
            if old is None or _leads_elsewhere(object, old)
            else reads.find_health(tx, channel=object.uid)
        )
        return Facts(health, reads.find_secrets(tx, channel=object.uid, now=now))

    @override
    def reconcile(self, object: ChannelObject, facts: Facts, *, now: datetime) -> NotificationChannelStatus:
        """Ready when events can go there, Verified when one has, Healthy while they do."""
        health, secrets = facts.health, facts.secrets
        conditions = object.status.conditions
        for said in standing.conditions(
            type=object.spec.type, paused=object.spec.paused, signed=secrets is not None, health=health
        ):
            conditions = _with(conditions, said, generation=object.generation, now=now)
        last = None
        if health is not None and health.delivered_at is not None:
            minute = health.delivered_at.replace(second=0, microsecond=0)
            last = LastDelivery(at=rfc3339(minute), type=health.delivered_type or "")
        return object.status.model_copy(
            update={
                "conditions": conditions,
                "last_delivery": last,
                "secret": None if secrets is None or object.spec.type != "Webhook" else _dates(secrets),
                "observed_generation": object.generation,
            }
        )

    @override
    def project(self, tx: Tx, object: ChannelObject, old: ChannelObject | None, *, now: datetime) -> None:
        """notices.channels and notices.health."""
        if object.deleted:
            store.delete_channel(tx, uid=object.uid)
            return
        store.put_channel(
            tx,
            _channel(object),
            events=object.spec.events,
            paused=object.spec.paused,
            renewed=old is None or _leads_elsewhere(object, old),
        )


def _channel(object: ChannelObject) -> Channel:
    return Channel(object.uid, object.owner_org, object.namespace, object.name, object.spec.type)


def _leads_elsewhere(object: ChannelObject, old: ChannelObject) -> bool:
    new, before = object.spec, old.spec
    return (new.type, new.email, new.webhook, new.chat) != (
        before.type,
        before.email,
        before.webhook,
        before.chat,
    )


def _with(
    conditions: list[Condition], said: standing.Said, *, generation: int, now: datetime
) -> list[Condition]:
    return set_condition(
        conditions,
        type=said.type,
        status=said.status,
        reason=said.reason,
        message=said.message,
        observed_generation=generation,
        now=now,
    )


def _dates(secrets: Secrets) -> SecretDates:
    ends = secrets.previous_ends_at
    return SecretDates(
        created_at=rfc3339(secrets.created_at), previous_ends_at=None if ends is None else rfc3339(ends)
    )


KINDS: tuple[type[AnyKind], ...] = (NotificationChannel,)
