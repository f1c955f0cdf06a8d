"""HTTP: tokens of service accounts, and the audit chains."""

from typing import Any, Final, cast

import orjson
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from milo_billing.access import operations, reads, rules
from milo_billing.access.types import GROUP, AuditRecord, ChainReport, Position
from milo_billing.controlplane.doors import Call, Door
from milo_billing.controlplane.edge import read_body
from milo_billing.kernel.errors import BadRequest, NotFound

CREATE_TOKEN: Final = f"{GROUP}/serviceaccounts.createToken"
REVOKE_TOKENS: Final = f"{GROUP}/serviceaccounts.revokeTokens"
READ_AUDIT: Final = "billing.miloapis.com/audit.read"

TOKEN_BODY_BYTES_MAX: Final = 4096
RECORDS_DEFAULT: Final = 100


def routes(door: Door) -> list[Route]:
    """`POST` and `DELETE …/serviceaccounts/{name}/token`, `GET /v1/audit/verify`, `GET /v1/audit/records`."""

    async def create_token(request: Request) -> Response:
        seconds = _expiration_seconds(await read_body(request, bytes_max=TOKEN_BODY_BYTES_MAX))
        answer = await run_in_threadpool(_create_token, door, request, seconds)
        return JSONResponse(answer, 201)

    def revoke_tokens(request: Request) -> Response:
        return JSONResponse({"revoked": _revoke_tokens(door, request)})

    def verify_audit(request: Request) -> Response:
        chain = _whole_number(request, "chain", at_least=0)
        with door.open(request, permission=READ_AUDIT) as call:
            reports = operations.verify(call.tx, chain=chain)
        chains = [_shown_chain(report) for report in reports]
        return JSONResponse({"ok": all(report.ok for report in reports), "chains": chains})

    def list_audit_records(request: Request) -> Response:
        after = _position(request)
        limit = _whole_number(request, "limit", at_least=1) or RECORDS_DEFAULT
        with door.open(request, permission=READ_AUDIT) as call:
            records = operations.list_records(call.tx, after=after, limit=limit)
        following = str(Position(records[-1].chain, records[-1].sequence)) if records else None
        body = {"items": [_shown_record(record) for record in records], "next": following}
        return Response(orjson.dumps(body), media_type="application/json")

    token = f"/apis/{GROUP}/v1alpha1/namespaces/{{namespace}}/serviceaccounts/{{name}}/token"
    return [
        Route(token, create_token, methods=["POST"]),
        Route(token, revoke_tokens, methods=["DELETE"]),
        Route("/v1/audit/verify", verify_audit, methods=["GET"]),
        Route("/v1/audit/records", list_audit_records, methods=["GET"]),
    ]


def _create_token(door: Door, request: Request, seconds: Any) -> dict[str, str]:
    namespace, name = request.path_params["namespace"], request.path_params["name"]
    with door.open(request, permission=CREATE_TOKEN) as call:
        expires_at = operations.expiration(now=call.now, seconds=seconds)
        found = reads.lock_service_account(call.tx, namespace=namespace, name=name)
        if found is None:
            raise _not_found(name)
        operations.check_token_grants_nothing_more(
            call.tx,
            authorizer=door.authorizer,
            identity=call.identity,
            namespace=namespace,
            name=name,
            service_account=found.uid,
        )
        token = operations.issue_token(
            call.tx,
            namespace=namespace,
            name=name,
            service_account=found.uid,
            owner_org=found.owner_org,
            expires_at=expires_at,
            now=call.now,
        )
        shown = f"{expires_at:%Y-%m-%dT%H:%M:%SZ}"
        _record(call, found, namespace=namespace, name=name, verb="createToken", detail={"expiresAt": shown})
    return {"token": token, "expiresAt": shown}


def _revoke_tokens(door: Door, request: Request) -> int:
    namespace, name = request.path_params["namespace"], request.path_params["name"]
    with door.open(request, permission=REVOKE_TOKENS) as call:
        found = reads.lock_service_account(call.tx, namespace=namespace, name=name)
        if found is None:
            raise _not_found(name)
        revoked = operations.revoke_tokens(call.tx, service_account=found.uid, now=call.now)
        detail = {"revoked": revoked}
        _record(call, found, namespace=namespace, name=name, verb="revokeTokens", detail=detail)
    return revoked


def _record(
    call: Call,
    account: reads.ServiceAccountEntry,
    *,
    namespace: str,
    name: str,
    verb: str,
    detail: dict[str, Any],
) -> None:
    operations.record(
        call.tx,
        chain=account.owner_org,
        at=call.now,
        audit_id=call.audit_id,
        actor=call.identity.user,
        verb=verb,
        target=f"{GROUP}/serviceaccounts/{namespace}/{name}",
        target_uid=account.uid,
        detail={**detail, **call.identity.audited},
    )


def _not_found(name: str) -> NotFound:
    return NotFound(f'serviceaccounts.{GROUP} "{name}" not found')


def _expiration_seconds(body: bytes) -> Any:
    """What the body asks for; None where it asks for nothing. Raises BadRequest if it is no such object."""
    if not body.strip():
        return None
    try:
        wanted = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise BadRequest(f'the body is not JSON ({error}): send {{"expirationSeconds": 3600}}') from error
    if not isinstance(wanted, dict) or set(cast("dict[str, Any]", wanted)) - {"expirationSeconds"}:
        raise BadRequest('the body must be an object with no other field than "expirationSeconds"')
    return cast("dict[str, Any]", wanted).get("expirationSeconds")


def _whole_number(request: Request, parameter: str, *, at_least: int) -> int | None:
    text = request.query_params.get(parameter, "")
    if not text:
        return None
    if not (text.isascii() and text.isdecimal() and len(text) < 20) or not at_least <= int(text) < 2**63:
        raise BadRequest(f'parameter "{parameter}": {text!r} is not a whole number from {at_least} up')
    return int(text)


def _position(request: Request) -> Position | None:
    text = request.query_params.get("after", "")
    if not text:
        return None
    position = rules.parse_position(text)
    if position is None:
        raise BadRequest(f'parameter "after": {text!r} is not what "next" of the page before said')
    return position


def _shown_chain(report: ChainReport) -> dict[str, Any]:
    return {
        "chain": report.chain,
        "records": report.records,
        "ok": report.ok,
        "firstBroken": report.first_broken,
        "problem": report.problem,
        "head": report.head,
    }


def _shown_record(record: AuditRecord) -> dict[str, Any]:
    return {
        "chain": record.chain,
        "sequence": record.sequence,
        "at": f"{record.at:%Y-%m-%dT%H:%M:%S.%fZ}",
        "auditId": str(record.audit_id),
        "actor": record.actor,
        "verb": record.verb,
        "target": record.target,
        "targetUid": None if record.target_uid is None else str(record.target_uid),
        "resourceVersion": None if record.resource_version is None else str(record.resource_version),
        "detail": record.detail,
        "hash": record.hash,
    }
