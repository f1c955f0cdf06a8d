"""HTTP: which events there are, the log of deliveries, replays, and the secrets of webhooks."""

from typing import Any, Final

from anyio import to_thread
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from milo_billing.access import operations as access
from milo_billing.controlplane.doors import Call, Door
from milo_billing.controlplane.edge import BODY_BYTES_MAX, read_body
from milo_billing.controlplane.engine import Engine
from milo_billing.controlplane.kinds import Ref
from milo_billing.controlplane.work import Work
from milo_billing.infra.crypto import Vault
from milo_billing.notices import operations, reads
from milo_billing.notices.resources import NotificationChannel
from milo_billing.notices.rules import requests
from milo_billing.notices.types import GROUP, DeliveryFilter

READ_CHANNELS: Final = f"{GROUP}/notificationchannels.get"
READ: Final = f"{GROUP}/deliveries.get"
REPLAY: Final = f"{GROUP}/deliveries.replay"
ROTATE_SECRET: Final = f"{GROUP}/notificationchannels.rotateSecret"
EVENTS_PATH: Final = "/v1/notices/events"
DELIVERIES_PATH: Final = "/v1/notices/deliveries"
REPLAYS_PATH: Final = "/v1/notices/replays"
SECRET_PATH: Final = f"/apis/{GROUP}/v1alpha1/namespaces/{{namespace}}/notificationchannels/{{name}}/secret"
ATTEMPTS_SHOWN: Final = 100


def routes(door: Door, engine: Engine, vault: Vault) -> list[Route]:
    """Every endpoint needs the permission named beside its path above."""

    def show_events(request: Request) -> Response:
        with door.open(request, permission=READ_CHANNELS):
            return JSONResponse({"items": requests.catalogue_body()})

    def list_deliveries(request: Request) -> Response:
        asked = requests.parse_list(request.query_params)
        with door.open(request, permission=READ) as call:
            found = reads.list_deliveries(
                call.tx, wanted=asked.wanted, after=asked.after, limit=asked.limit + 1
            )
        page = found[: asked.limit]
        more = requests.position_of(page[-1]) if len(found) > len(page) else ""
        items = [requests.delivery_body(one) for one in page]
        return JSONResponse({"items": items, "continue": more})

    def show_delivery(request: Request) -> Response:
        id = requests.parse_delivery(request.path_params["id"])
        with door.open(request, permission=READ) as call:
            delivery = reads.get_delivery(call.tx, id=id)
            attempts = reads.list_attempts(call.tx, delivery=id, limit=ATTEMPTS_SHOWN)
        shown = [requests.attempt_body(one) for one in attempts]
        return JSONResponse({**requests.delivery_body(delivery), "log": shown})

    def replay(request: Request) -> Response:
        id = requests.parse_delivery(request.path_params["id"])
        with door.open(request, permission=REPLAY) as call:
            operations.replay(call.tx, delivery=id, now=call.now)
            delivery = reads.get_delivery(call.tx, id=id)
            _record(call, delivery.namespace, delivery.channel, verb="replay", detail={"delivery": str(id)})
        return JSONResponse(requests.delivery_body(delivery), 202)

    async def replay_many(request: Request) -> Response:
        body = await read_body(request, bytes_max=BODY_BYTES_MAX)
        return await to_thread.run_sync(_replay_many, door, request, body)

    async def rotate(request: Request) -> Response:
        body = await read_body(request, bytes_max=BODY_BYTES_MAX)
        return await to_thread.run_sync(rotate_secret, request, body)

    def rotate_secret(request: Request, body: bytes) -> Response:
        asked = requests.parse_secret(body)
        with door.open(request, permission=ROTATE_SECRET) as call:
            return _rotate_secret(call, engine, vault, asked, **_names(request))

    return [
        Route(EVENTS_PATH, show_events, methods=["GET"]),
        Route(DELIVERIES_PATH, list_deliveries, methods=["GET"]),
        Route(f"{DELIVERIES_PATH}/{{id}}", show_delivery, methods=["GET"]),
        Route(f"{DELIVERIES_PATH}/{{id}}/replay", replay, methods=["POST"]),
        Route(REPLAYS_PATH, replay_many, methods=["POST"]),
        Route(SECRET_PATH, rotate, methods=["POST"]),
    ]


def _names(request: Request) -> dict[str, str]:
    return {"namespace": request.path_params["namespace"], "name": request.path_params["name"]}


def _replay_many(door: Door, request: Request, body: bytes) -> Response:
    wanted = requests.parse_replay(body)
    with door.open(request, permission=REPLAY) as call:
        replayed = operations.replay_many(call.tx, wanted=wanted, now=call.now)
        if replayed:
            detail = {"replayed": replayed, **_told(wanted)}
            _record(call, wanted.namespace or "", wanted.channel or "", verb="replay", detail=detail)
        # what has ended by then was there before: the next page leaves out what this one sent
        at = wanted.ended_before or call.now
    more = replayed == operations.REPLAYED_MAX
    return JSONResponse({"replayed": replayed, "more": more, "endedBefore": requests.shown(at)}, 202)


def _rotate_secret(
    call: Call, engine: Engine, vault: Vault, asked: requests.SecretRequest, *, namespace: str, name: str
) -> Response:
    channel = reads.get_channel(call.tx, namespace=namespace, name=name)
    work = Work(tx=call.tx, identity=call.identity, reach=call.reach, audit_id=call.audit_id, now=call.now)
    itself = [Ref(NotificationChannel, namespace, name)]
    engine.settle(work, itself)  # takes the object's lock, which comes before those of the side tables
    secret = operations.rotate_secret(
        call.tx, vault, channel=channel, given=asked.given, overlap=asked.overlap, now=call.now
    )
    engine.settle(work, itself)
    hours = int(asked.overlap.total_seconds() // 3600)
    _record(call, namespace, name, verb="rotateSecret", detail={"overlapHours": hours})
    engine.commit(work)
    # one that was given is not repeated: whoever gave it knows it
    shown: dict[str, Any] = {} if asked.given else {"secret": secret}
    return JSONResponse({**shown, "overlapHours": hours}, 201)


def _told(wanted: DeliveryFilter) -> dict[str, str]:
    asked = {
        "state": wanted.state,
        "type": wanted.type,
        "from": None if wanted.since is None else wanted.since.isoformat(),
        "to": None if wanted.until is None else wanted.until.isoformat(),
    }
    return {name: value for name, value in asked.items() if value is not None}


def _record(call: Call, namespace: str, name: str, *, verb: str, detail: dict[str, Any]) -> None:
    """Into the chain of the caller's one organization; of several, the platform's."""
    chain = next(iter(call.reach)) if call.reach != "*" and len(call.reach) == 1 else 0
    access.record(
        call.tx,
        chain=int(chain),
        at=call.now,
        audit_id=call.audit_id,
        actor=call.identity.user,
        verb=verb,
        target=f"{GROUP}/notificationchannels/{namespace}/{name}",
        detail={**detail, **call.identity.audited},
    )
