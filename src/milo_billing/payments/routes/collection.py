"""Collect what is due, refund, take webhooks, keep the secrets of a class, begin the set-up of a method."""

from typing import Any, Final
from uuid import UUID

from anyio import to_thread
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from milo_billing.accounts.reads import accounts as account_reads
from milo_billing.accounts.reads import methods as method_reads
from milo_billing.accounts.types import AccountNotFound, PayingMethod
from milo_billing.controlplane.doors import Door, audit_id_of, repeated
from milo_billing.controlplane.edge import read_body
from milo_billing.controlplane.identity import Identity
from milo_billing.controlplane.kinds import PROVIDER_ORG
from milo_billing.controlplane.work import Work
from milo_billing.infra.database import EVERYWHERE
from milo_billing.kernel.errors import NotFound, Unavailable
from milo_billing.payments import reads
from milo_billing.payments.operations import collecting, desk, methods, refunding, telling
from milo_billing.payments.operations.desk import Desk
from milo_billing.payments.rules import requests
from milo_billing.payments.rules.requests import CollectRequest, RefundWish
from milo_billing.payments.types import GROUP, Collected, MethodAwaiting, Unknown

COLLECT: Final = f"{GROUP}/payments.collect"
REFUND: Final = f"{GROUP}/payments.refund"
SET_SECRETS: Final = f"{GROUP}/paymentmethodclasses.setSecrets"
SET_UP: Final = f"{GROUP}/paymentmethods.create"
COLLECT_PATH: Final = "/v1/payments/collect"
SECRETS_PATH: Final = "/v1/payments/classes/{name}/secrets"
WEBHOOK_PATH: Final = "/v1/payments/webhooks/{name}"
SETUP_PATH: Final = "/v1/payments/methods/{namespace}/{name}/setup"
REFUND_PATH: Final = f"/apis/{GROUP}/v1alpha1/namespaces/{{namespace}}/payments/{{name}}/refund"
BODY_BYTES_MAX: Final = 256 * 1024
INVOICES_MAX: Final = 100
"""Invoices that one request looks at; the answer says where to go on."""


def routes(door: Door, till: Desk) -> list[Route]:
    """`POST /v1/payments/collect`, `…/webhooks/{class}`, `…/classes/{class}/secrets`, `…/methods/{…}/setup`, and
    `POST …/payments/{name}/refund` of a Payment.
    """

    async def collect(request: Request) -> Response:
        wanted = requests.parse_collect(await read_body(request, bytes_max=BODY_BYTES_MAX))
        return JSONResponse(await to_thread.run_sync(_collect, door, till, request, wanted))

    async def refund(request: Request) -> Response:
        wish = requests.parse_refund(await read_body(request, bytes_max=BODY_BYTES_MAX))
        return JSONResponse(await to_thread.run_sync(_refund, door, till, request, wish), status_code=202)

    async def set_secrets(request: Request) -> Response:
        secrets = requests.parse_secrets(await read_body(request, bytes_max=BODY_BYTES_MAX))
        name = request.path_params["name"]

        def keep() -> None:
            with door.open(request, permission=SET_SECRETS, org=PROVIDER_ORG) as call:
                work = call.work()
                desk.set_secrets(work, till, name=name, secrets=secrets)
                till.engine.commit(work)

        await to_thread.run_sync(keep)
        return JSONResponse({"class": name, "secrets": sorted(secrets)})

    async def take_webhook(request: Request) -> Response:
        body = await read_body(request, bytes_max=BODY_BYTES_MAX)
        new = await to_thread.run_sync(_take, door, till, request, body)
        return JSONResponse({"stored": new})

    def show_setup(request: Request) -> Response:
        return JSONResponse(_setup(door, till, request))

    return [
        Route(COLLECT_PATH, collect, methods=["POST"]),
        Route(REFUND_PATH, refund, methods=["POST"]),
        Route(SECRETS_PATH, set_secrets, methods=["POST"]),
        Route(WEBHOOK_PATH, take_webhook, methods=["POST"]),
        Route(SETUP_PATH, show_setup, methods=["POST"]),
    ]


def _collect(door: Door, till: Desk, request: Request, wanted: CollectRequest) -> dict[str, Any]:
    """One invoice a transaction: nobody waits for all of them, and what one lacks does not stop the others."""
    with door.open(request, permission=COLLECT) as call:
        identity, reach, now, audit_id = call.identity, call.reach, call.now, call.audit_id
        numbers: list[int] | None = None
        if wanted.accounts is not None:
            numbers = []
            for namespace, name in wanted.accounts:
                account = account_reads.find_account(call.tx, namespace=namespace, name=name)
                if account is None:
                    raise AccountNotFound(f'billing account "{name}" not found in {namespace}')
                numbers.append(account.number)
        found = collecting.list_due(call.tx, numbers=numbers, after=wanted.after, limit=INVOICES_MAX, now=now)
    items: list[Collected] = []
    for invoice, method in found:
        if method is None:
            continue

        def write(invoice: UUID = invoice, method: PayingMethod = method) -> Collected:
            with door.database.transaction(reach=reach) as tx:
                work = Work(tx, identity, reach, audit_id, now)
                done = collecting.collect_invoice(
                    work, till, invoice=invoice, method=method, again=wanted.again
                )
                till.engine.commit(work)
                return done

        items.append(repeated(write))
    more = {"continue": str(found[-1][0])} if len(found) == INVOICES_MAX else {}
    return {"metadata": more, "items": [_body(one) for one in items]}


def _body(one: Collected) -> dict[str, Any]:
    return {
        "namespace": one.namespace,
        "invoice": one.invoice,
        "state": one.state,
        "payment": one.payment,
        "amount": str(one.amount.decimal()),
        "currencyCode": one.amount.currency,
        "reason": one.reason,
    }


def _refund(door: Door, till: Desk, request: Request, wish: RefundWish) -> dict[str, Any]:
    namespace, name = request.path_params["namespace"], request.path_params["name"]
    with door.open(request, permission=REFUND, org=PROVIDER_ORG) as call:
        work = call.work()
        payment = reads.get_payment(call.tx, namespace=namespace, name=name)
        minor = None if wish.amount is None else requests.minor_of(wish.amount, currency=payment.currency)
        made = refunding.open_refund(
            work,
            till,
            namespace=namespace,
            name=name,
            minor=minor,
            reason=wish.reason,
            reopen=wish.reopen,
        )
        till.engine.commit(work)
    return {
        "payment": name,
        "number": made.number,
        "amount": str(made.amount.decimal()),
        "currencyCode": made.currency,
        "source": made.source,
        "state": made.state,
    }


def _take(door: Door, till: Desk, request: Request, body: bytes) -> bool:
    """The provider's signature is all that lets a webhook in, so nothing is written before it was looked at."""
    name = request.path_params["name"]
    with door.database.transaction(reach=EVERYWHERE) as tx:
        identity = Identity(f"system:payments:{name}")
        work = Work(tx, identity, EVERYWHERE, audit_id_of(request), door.clock.now())
        new = telling.store_event(
            work, till, class_name=name, body=body, headers={k.lower(): v for k, v in request.headers.items()}
        )
        till.engine.commit(work)
    return new


def _setup(door: Door, till: Desk, request: Request) -> dict[str, Any]:
    """What the browser of the method's owner needs to enter it at the provider; asked for anew, never kept."""
    namespace, name = request.path_params["namespace"], request.path_params["name"]
    with door.open(request, permission=SET_UP) as call:
        uid = method_reads.find_method_uid(call.tx, namespace=namespace, name=name)
        if uid is None:
            raise NotFound(f'payment method "{name}" not found')
    with door.database.transaction(reach=EVERYWHERE) as tx:
        work = Work(tx, call.identity, EVERYWHERE, call.audit_id, call.now)
        begun = methods.begin_setup(work, till, method=uid)
        till.engine.commit(work)
    if begun is None:
        return {"state": "decided", "clientSecret": "", "parameters": {}}
    setup, config = begun
    result = desk.open_provider(till, config).set_up_method(setup)
    if isinstance(result, Unknown):
        raise Unavailable(f"the provider does not answer: {result.reason}")
    with door.database.transaction(reach=EVERYWHERE) as tx:
        work = Work(tx, call.identity, EVERYWHERE, call.audit_id, call.now)
        methods.apply_setup(work, till, method=uid, result=result)
        till.engine.commit(work)
    if isinstance(result, MethodAwaiting):
        return {
            "state": "awaiting",
            "clientSecret": result.client_secret,
            "parameters": dict(config.parameters),
        }
    return {"state": "decided", "clientSecret": "", "parameters": {}}
