"""Frozen values and errors of notices: what happened, whom it is told, and how that went.

The contract with every slice that has something to tell (Event) and with the adapters that carry it (Parcel, Answer).
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final, Literal, TypeAlias
from uuid import UUID

from milo_billing.kernel.errors import Conflict, NotFound

GROUP: Final = "billing.miloapis.com"

ChannelType: TypeAlias = Literal["Email", "Webhook", "Chat"]
ChatFormat: TypeAlias = Literal["Slack", "Teams"]
State: TypeAlias = Literal["Waiting", "Failed", "Delivered", "Dead"]
"""Waiting: not tried yet. Failed: tried, and due again. Dead: given up, until somebody replays it."""
Outcome: TypeAlias = Literal["Delivered", "Failed", "Refused", "Gone"]
"""Failed may be tried again, Refused not; Gone says that the whole channel is not wanted any more (HTTP 410)."""

SAID_MAX: Final = 500
"""Characters of an answer that are kept."""


class MessageConflict(Conflict):
    """The same fact was announced already, and said something else."""


class ChannelNotReady(Conflict):
    """The channel lacks something before it can be sent to. The message says what, and what to do."""


class ChannelNotFound(NotFound):
    """There is no such channel, or not for the caller."""


class DeliveryNotFound(NotFound):
    """There is no such delivery, or not for the caller."""


@dataclass(frozen=True, slots=True)
class Brand:
    """In whose name a mail is written: the issuer's. Empty strings are the server's own plain look."""

    name: str = ""
    color: str = ""


@dataclass(frozen=True, slots=True)
class Event:
    """Something that happened, as the slice that knows announces it.

    `key` names the fact for ever (`invoice/<uid>/issued`): announced twice, it is told once. `type` and the fields of
    `data` are of the catalogue (`rules.catalogue`); amounts are decimal strings, dates ISO 8601. `org` is the number of
    the organization that it is about. With a `subject`, whose personal data this is, everything but type and account
    is kept sealed under that subject's key. `mail_to` are addresses that get it by mail whatever channels there are.
    `attachments` name documents that the process which sends fetches (`ports.Attachments`), such as
    `invoice/<namespace>/<name>`.
    """

    type: str
    key: str
    org: int
    data: Mapping[str, Any]
    account: str = ""
    subject: UUID | None = None
    language: str = "en"
    brand: Brand = field(default_factory=Brand)
    mail_to: tuple[str, ...] = ()
    attachments: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Message:
    """An event on its way: as it was announced, with the id that all its deliveries and attempts share."""

    id: UUID
    type: str
    occurred_at: datetime
    account: str
    data: Mapping[str, Any]
    language: str
    brand: Brand
    mail_to: tuple[str, ...]
    attachments: tuple[str, ...]

    @property
    def wire_id(self) -> str:
        """How receivers know it: `webhook-id`, and the first part of a mail's Message-ID."""
        return f"msg_{self.id.hex}"


@dataclass(frozen=True, slots=True)
class EmailTarget:
    """Addresses. `language` None is that of the event."""

    to: tuple[str, ...]
    language: str | None = None


@dataclass(frozen=True, slots=True)
class WebhookTarget:
    """A URL, headers to send along, and the secrets to sign with: one or two, as `whsec_…`, the newest first."""

    url: str
    headers: Mapping[str, str]
    secrets: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class ChatTarget:
    """An incoming webhook of a chat."""

    url: str
    format: ChatFormat


Target: TypeAlias = EmailTarget | WebhookTarget | ChatTarget


@dataclass(frozen=True, slots=True)
class Attachment:
    """A file that goes with a mail."""

    name: str
    media_type: str
    content: bytes


@dataclass(frozen=True, slots=True)
class Parcel:
    """All that a sender needs for one call. `at` is the instant of the call, which signatures hold."""

    message: Message
    target: Target
    attachments: tuple[Attachment, ...]
    at: datetime


@dataclass(frozen=True, slots=True)
class Answer:
    """How a call went: the other side's status, if it gave one, and the first of what it said."""

    outcome: Outcome
    status: int | None
    said: str


@dataclass(frozen=True, slots=True)
class Channel:
    """A channel as other slices and the API see it."""

    uid: UUID
    owner_org: int
    namespace: str
    name: str
    type: ChannelType


@dataclass(frozen=True, slots=True)
class Secrets:
    """When a channel's newest secret was made, and until when the one before it signs as well."""

    created_at: datetime
    previous_ends_at: datetime | None


@dataclass(frozen=True, slots=True)
class Health:
    """How a channel has fared. `failures` in a row, `dead` since the last delivery that came through."""

    gone_at: datetime | None
    delivered_at: datetime | None
    delivered_type: str | None
    failed_at: datetime | None
    failures: int
    dead: int


@dataclass(frozen=True, slots=True)
class Claim:
    """One attempt at a delivery that this process has taken upon itself, and its number."""

    delivery: UUID
    attempt: int
    tries: int
    owner_org: int
    channel: Channel | None
    channel_type: ChannelType


@dataclass(frozen=True, slots=True)
class Postponed:
    """Nothing to do now; somebody should look again in so many seconds."""

    after_s: float


@dataclass(frozen=True, slots=True)
class Attempt:
    """One call to the other side; `outcome` None where it was cut short, and nobody knows."""

    number: int
    begun_at: datetime
    outcome: Outcome | None
    status: int | None
    latency_ms: int | None
    said: str


@dataclass(frozen=True, slots=True)
class Delivery:
    """One message on its way to one channel, as the log shows it."""

    id: UUID
    message: UUID
    namespace: str
    channel: str
    channel_type: ChannelType
    type: str
    account: str
    occurred_at: datetime
    state: State
    attempts: int
    next_at: datetime | None
    ended_at: datetime | None


@dataclass(frozen=True, slots=True)
class DeliveryFilter:
    """Which deliveries; None is all. `since` and `until` bound when it happened, half-open.

    `ended_before`: those that ended before this instant, so that who replays page by page meets none twice.
    """

    namespace: str | None = None
    channel: str | None = None
    state: State | None = None
    type: str | None = None
    since: datetime | None = None
    until: datetime | None = None
    ended_before: datetime | None = None
