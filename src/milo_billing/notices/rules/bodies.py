"""What an event is kept as, and what its receivers get: the same bytes for the same message, at every attempt."""

import hashlib
import json
from collections.abc import Mapping
from typing import Any, Final, cast
from uuid import NAMESPACE_URL, UUID, uuid5

from milo_billing.notices.types import Brand, Event

_MESSAGES: Final = uuid5(NAMESPACE_URL, "billing.miloapis.com/notices/messages")


def message_id(key: str) -> UUID:
    """The id of the message about a fact: from its key alone, so that no repetition makes another one."""
    return uuid5(_MESSAGES, key)


def event_body(event: Event) -> dict[str, Any]:
    """What is kept of an event beside its columns."""
    return {
        "data": dict(event.data),
        "language": event.language,
        "brand": {"name": event.brand.name, "color": event.brand.color},
        "mailTo": list(event.mail_to),
        "attachments": list(event.attachments),
    }


def event_hash(event: Event) -> bytes:
    """SHA-256 of what the event says; the addresses are left out, so that the hash tells nothing of a person."""
    said = [event.type, event.account, event.data, event.attachments]
    return hashlib.sha256(json.dumps(said, sort_keys=True, separators=(",", ":")).encode()).digest()


def read_brand(body: Mapping[str, Any]) -> Brand:
    """The brand again, from what `event_body` made."""
    kept = cast("Mapping[str, str]", body["brand"])
    return Brand(name=kept["name"], color=kept["color"])
