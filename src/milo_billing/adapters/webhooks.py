"""Carries events as HTTP: webhooks signed after Standard Webhooks, and what chats show.

Owns: the forms on the wire, and what an answer means. Not: which addresses may be called (outbound), when to try again
(notices).
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

import orjson
from standardwebhooks import Webhook
from typing_extensions import override

from milo_billing.adapters.notice_texts import Notice, write_notice
from milo_billing.adapters.outbound import OutboundRefused, post
from milo_billing.kernel.addresses import is_outside, is_outside_or_loopback
from milo_billing.kernel.errors import Unavailable
from milo_billing.notices.ports import Sender
from milo_billing.notices.types import (
    SAID_MAX,
    Answer,
    ChatTarget,
    Message,
    Outcome,
    Parcel,
    WebhookTarget,
)

USER_AGENT: Final = "Milo-Billing-Webhooks/1"
GONE: Final = 410


def webhook_body(message: Message) -> bytes:
    """The payload: the same bytes at every attempt, since signatures are over bytes."""
    payload = {
        "type": message.type,
        "timestamp": message.occurred_at.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ"),
        "data": message.data,
    }
    return orjson.dumps(payload, option=orjson.OPT_SORT_KEYS)


def signed_headers(body: bytes, *, id: str, at: datetime, secrets: tuple[str, ...]) -> dict[str, str]:
    """The three headers of Standard Webhooks; a signature with each secret, so that receivers can change over."""
    signatures = [Webhook(secret).sign(id, at.astimezone(UTC), body.decode()) for secret in secrets]
    return {
        "webhook-id": id,
        "webhook-timestamp": str(int(at.timestamp())),
        "webhook-signature": " ".join(signatures),
    }


@dataclass(frozen=True, slots=True)
class Webhooks(Sender):
    """Webhooks and chats. `loopback` lets this machine itself be called, over http too: for tests and development."""

    loopback: bool = False

    @override
    def send(self, parcel: Parcel) -> Answer:
        match parcel.target:
            case WebhookTarget() as target:
                body = webhook_body(parcel.message)
                signed = signed_headers(body, id=parcel.message.wire_id, at=parcel.at, secrets=target.secrets)
                return self._post(target.url, body, {**target.headers, **signed})
            case ChatTarget() as target:
                body = orjson.dumps(chat_body(parcel.message, target))
                # no chat looks at it, but a relay on the way may
                return self._post(target.url, body, {"webhook-id": parcel.message.wire_id})
            case _:
                return Answer("Refused", None, "mail does not go over HTTP")

    def _post(self, url: str, body: bytes, headers: Mapping[str, str]) -> Answer:
        try:
            answer = post(
                url,
                body,
                headers={"Content-Type": "application/json", "User-Agent": USER_AGENT, **headers},
                head_bytes=SAID_MAX,
                may_call=is_outside_or_loopback if self.loopback else is_outside,
                plain=self.loopback,
            )
        except OutboundRefused as error:
            # a name may lead outside again later, so this is no end
            return Answer("Failed", None, f"not called: {error}"[:SAID_MAX])
        except Unavailable as error:
            return Answer("Failed", None, str(error)[:SAID_MAX])
        said = answer.head.decode("utf-8", "replace")[:SAID_MAX]
        return Answer(_outcome(answer.status), answer.status, said)


def _outcome(status: int) -> Outcome:
    """2xx is taken. Redirects are not followed: they would lead a signed payload to who knows where."""
    if 200 <= status < 300:
        return "Delivered"
    return "Gone" if status == GONE else "Failed"


def chat_body(message: Message, target: ChatTarget) -> dict[str, Any]:
    """What an incoming webhook of a chat takes: one line, and the facts below it."""
    notice = write_notice(message, language=None)
    if target.format == "Slack":
        facts = "\n".join(f"*{_slack(label)}* {_slack(value)}" for label, value in notice.facts)
        return {
            "text": _slack(notice.subject),
            "blocks": [
                {"type": "section", "text": {"type": "mrkdwn", "text": f"*{_slack(notice.subject)}*"}},
                *([{"type": "section", "text": {"type": "mrkdwn", "text": facts}}] if facts else []),
            ],
        }
    return _teams(notice)


def _teams(notice: Notice) -> dict[str, Any]:
    """An Adaptive Card, as the Workflows app of Teams takes it."""
    card = {
        "type": "AdaptiveCard",
        "$schema": "http://adaptivecards.io/schemas/adaptive-card.json",
        "version": "1.4",
        "body": [
            {"type": "TextBlock", "text": notice.subject, "weight": "Bolder", "wrap": True},
            {
                "type": "FactSet",
                "facts": [{"title": label, "value": value} for label, value in notice.facts],
            },
        ],
    }
    attachment = {"contentType": "application/vnd.microsoft.card.adaptive", "content": card}
    return {"type": "message", "attachments": [attachment]}


def _slack(text: str) -> str:
    """Text in Slack's own markup: the three characters that mean something there."""
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
