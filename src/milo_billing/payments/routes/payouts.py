"""HTTP: what providers paid out, have them asked, and accept a payout that does not add up."""

from typing import Any, Final

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from milo_billing.accounts.reads import methods as method_reads
from milo_billing.controlplane.doors import Call, Door
from milo_billing.controlplane.engine import Engine
from milo_billing.controlplane.kinds import PROVIDER_ORG
from milo_billing.controlplane.work import Work
from milo_billing.infra import jobs
from milo_billing.kernel.errors import NotFound
from milo_billing.payments.engine import arrivals, payout_rows
from milo_billing.payments.engine.payout_rows import PayoutRow
from milo_billing.payments.operations import paying_out
from milo_billing.payments.rules import bank_requests as requests
from milo_billing.payments.types import GROUP

READ: Final = f"{GROUP}/payouts.get"
FETCH: Final = f"{GROUP}/payouts.fetch"
ACCEPT: Final = f"{GROUP}/payouts.accept"
PAYOUTS_PATH: Final = "/v1/payments/payouts"
FETCH_PATH: Final = f"{PAYOUTS_PATH}/fetch"
ACCEPT_PATH: Final = f"{PAYOUTS_PATH}/{{class}}/{{reference}}/accept"


def routes(door: Door, engine: Engine) -> list[Route]:
    """`GET /v1/payments/payouts`, `POST …/fetch`, `POST …/{class}/{reference}/accept`."""

    def show_payouts(request: Request) -> Response:
        limit = requests.parse_limit(request.query_params)
        with door.open(request, permission=READ, org=PROVIDER_ORG) as call:
            found = payout_rows.list_payouts(call.tx, limit=limit)
            names = {
                uid: method_reads.get_method_class_name(call.tx, uid=uid)
                for uid in {r.class_uid for r in found}
            }
        return JSONResponse({"items": [_body(one, class_name=names[one.class_uid]) for one in found]})

    def fetch(request: Request) -> Response:
        with door.open(request, permission=FETCH, org=PROVIDER_ORG) as call:
            jobs.defer(call.tx, arrivals.FETCH, once=arrivals.FETCH, timestamp=int(call.now.timestamp()))
        return JSONResponse({"asked": True}, status_code=202)

    def accept(request: Request) -> Response:
        return JSONResponse(_accept(door, engine, request), status_code=202)

    return [
        Route(PAYOUTS_PATH, show_payouts, methods=["GET"]),
        Route(FETCH_PATH, fetch, methods=["POST"]),
        Route(ACCEPT_PATH, accept, methods=["POST"]),
    ]


def _accept(door: Door, engine: Engine, request: Request) -> dict[str, Any]:
    name, reference = request.path_params["class"], request.path_params["reference"]
    with door.open(request, permission=ACCEPT, org=PROVIDER_ORG) as call:
        found = method_reads.find_method_class(call.tx, name=name)
        if found is None:
            raise NotFound(f'payment method class "{name}" not found')
        work = _work(call)
        row = paying_out.accept(work, class_uid=found.uid, reference=reference)
        engine.commit(work)
    return _body(row, class_name=name)


def _work(call: Call) -> Work:
    return Work(call.tx, call.identity, call.reach, call.audit_id, call.now)


def _body(row: PayoutRow, *, class_name: str) -> dict[str, Any]:
    return {
        "class": class_name,
        "reference": row.reference,
        "amount": str(row.amount.decimal()),
        "currencyCode": row.currency,
        "arrivesOn": row.arrives_on.isoformat(),
        "bankAccount": row.bank_account,
        "state": row.state,
        "reason": row.reason,
        "detail": row.detail,
        "arrived": row.entry is not None,
        "acceptedBy": row.accepted_by or "",
    }
