"""The endpoints of notices, as the OpenAPI document says (app.endpoints)."""

from typing import Final

from milo_billing.controlplane.endpoints import (
    ANY,
    TEXT,
    TIME,
    Body,
    Endpoint,
    Follow,
    Parameter,
    closed,
    fields,
    many,
    number,
)
from milo_billing.controlplane.kinds import Json
from milo_billing.notices.routes import (
    DELIVERIES_PATH,
    EVENTS_PATH,
    READ,
    READ_CHANNELS,
    REPLAY,
    REPLAYS_PATH,
    ROTATE_SECRET,
    SECRET_PATH,
)
from milo_billing.notices.rules.requests import LIMIT_MAX, OVERLAP_HOURS_MAX

_STATE: Final[Json] = {**TEXT, "enum": ["Waiting", "Failed", "Delivered", "Dead"]}
_NULLABLE_TIME: Final[Json] = {**TIME, "nullable": True}
_DELIVERY: Final[dict[str, Json]] = {
    "id": {**TEXT, "format": "uuid"},
    "messageId": {
        **TEXT,
        "description": "The header webhook-id: the same at every attempt and every replay.",
    },
    "namespace": TEXT,
    "channel": {**TEXT, "description": "Empty for mail to the addresses of an account."},
    "channelType": {**TEXT, "enum": ["Email", "Webhook", "Chat"]},
    "type": TEXT,
    "account": TEXT,
    "occurredAt": TIME,
    "state": _STATE,
    "attempts": number(),
    "nextAttemptAt": _NULLABLE_TIME,
    "endedAt": _NULLABLE_TIME,
}
_ATTEMPT: Final[Json] = fields(
    {
        "number": number(minimum=1),
        "begunAt": TIME,
        "outcome": {**TEXT, "nullable": True, "enum": ["Delivered", "Failed", "Refused", "Gone", None]},
        "status": {**number(), "nullable": True},
        "latencyMs": {**number(), "nullable": True},
        "answer": TEXT,
    }
)
_OF_DELIVERY: Final = {"path.id": "$response.body#/id"}

NOTICES: Final = (
    Endpoint(
        id="listNoticeEvents",
        method="get",
        path=EVENTS_PATH,
        about="Every event that channels can hear of, with the JSON schema of its data.",
        permission=READ_CHANNELS,
        answer=fields({"items": many(fields({"type": TEXT, "about": TEXT, "schema": ANY}))}),
    ),
    Endpoint(
        id="listDeliveries",
        method="get",
        path=DELIVERIES_PATH,
        about="What was sent to channels and how it went, the latest event first.",
        permission=READ,
        parameters=(
            Parameter("namespace", "Of this namespace."),
            Parameter("channel", "To this channel."),
            Parameter("state", "In this state.", _STATE),
            Parameter("type", "Of this type of event."),
            Parameter("from", "Of events from this time on."),
            Parameter("to", "Of events before this time."),
            Parameter("limit", "Deliveries of one page.", number(minimum=1, maximum=LIMIT_MAX)),
            Parameter("continue", "What the page before said."),
        ),
        answer=fields({"items": many(fields(_DELIVERY)), "continue": TEXT}),
        follows=(Follow("showDelivery", {"path.id": "$response.body#/items/0/id"}),),
    ),
    Endpoint(
        id="showDelivery",
        method="get",
        path=f"{DELIVERIES_PATH}/{{id}}",
        about="One delivery with its attempts, the latest first: status, time taken, the first of the answer.",
        permission=READ,
        answer=fields({**_DELIVERY, "log": many(_ATTEMPT)}),
        follows=(Follow("replayDelivery", _OF_DELIVERY),),
    ),
    Endpoint(
        id="replayDelivery",
        method="post",
        path=f"{DELIVERIES_PATH}/{{id}}/replay",
        about="Send one delivery again, with the id that it had.",
        permission=REPLAY,
        code=202,
        answer=fields(_DELIVERY),
        follows=(Follow("showDelivery", _OF_DELIVERY),),
    ),
    Endpoint(
        id="replayDeliveries",
        method="post",
        path=REPLAYS_PATH,
        about="Send many deliveries again, by channel and time; those that are Dead where no state is named.",
        permission=REPLAY,
        body=Body(
            closed(
                fields(
                    {},
                    {
                        **dict.fromkeys(("namespace", "channel", "type", "from", "to", "endedBefore"), TEXT),
                        "state": _STATE,
                    },
                )
            )
        ),
        code=202,
        answer=fields(
            {
                "replayed": number(),
                "more": {"type": "boolean", "description": "Whether to ask again, with this endedBefore."},
                "endedBefore": TIME,
            }
        ),
    ),
    Endpoint(
        id="rotateChannelSecret",
        method="post",
        path=SECRET_PATH,
        about="Give a channel a new secret to sign with; one that is made here is shown this once.",
        permission=ROTATE_SECRET,
        body=Body(
            closed(
                fields({}, {"secret": TEXT, "overlapHours": number(minimum=0, maximum=OVERLAP_HOURS_MAX)})
            ),
            required=False,
        ),
        code=201,
        answer=fields({"overlapHours": number()}, {"secret": TEXT}),
    ),
)
