"""HTTP: customers' money that goes back by bank transfer, and the files that ask the bank to pay it."""

from collections.abc import Callable
from typing import Any, Final

from anyio import to_thread
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from milo_billing.controlplane.doors import Door
from milo_billing.controlplane.edge import read_body
from milo_billing.controlplane.work import Work
from milo_billing.invoicing.operations.office import Office
from milo_billing.payments.engine import transfer_rows as rows
from milo_billing.payments.engine.bank_file_rows import TRANSFER_FILES
from milo_billing.payments.engine.transfer_rows import TransferRow
from milo_billing.payments.engine.transferring import (
    MadeTransfers,
    cancel_transfer,
    make_transfer_file,
    note_not_executed,
    request_transfer,
)
from milo_billing.payments.ports import TransferWriter
from milo_billing.payments.routes import bank_files
from milo_billing.payments.routes.bank_files import BODY_BYTES_MAX, euros
from milo_billing.payments.routes.writing import written
from milo_billing.payments.rules import bank_requests, transfer_requests
from milo_billing.payments.rules.mandates import CURRENCY
from milo_billing.payments.rules.transfer_requests import TransferFileRequest
from milo_billing.payments.types import GROUP

READ: Final = f"{GROUP}/banktransfers.get"
REQUEST: Final = f"{GROUP}/banktransfers.request"
PAY: Final = f"{GROUP}/banktransfers.run"
"""Who may have the file that moves money; another permission than to ask for it, so that two people can be needed."""
TRANSFERS_PATH: Final = "/v1/payments/transfers"
FILES_PATH: Final = "/v1/payments/transfer-files"


def routes(door: Door, office: Office, writer: TransferWriter) -> list[Route]:
    """`/v1/payments/transfers` with what is below it, and `/v1/payments/transfer-files`."""
    return [*transfer_routes(door, office), *file_routes(door, office, writer)]


def transfer_routes(door: Door, office: Office) -> list[Route]:
    """`POST` and `GET /v1/payments/transfers`, `POST …/{transfer}/cancel` and `…/not-executed`."""

    async def add(request: Request) -> Response:
        wanted = transfer_requests.parse_transfer(await read_body(request, bytes_max=BODY_BYTES_MAX))

        def write(work: Work) -> TransferRow:
            return request_transfer(work, office.vault, wanted)

        row = await to_thread.run_sync(written, door, office.engine, request, REQUEST, write)
        return JSONResponse(transfer_body(row), status_code=201)

    def show(request: Request) -> Response:
        limit = bank_requests.parse_limit(request.query_params)
        with door.open(request, permission=READ) as call:
            found = rows.list_transfers(call.tx, limit=limit)
        return JSONResponse({"items": [transfer_body(one) for one in found]})

    async def cancel(request: Request) -> Response:
        return await take_back(request, cancel_transfer, REQUEST)

    async def not_executed(request: Request) -> Response:
        return await take_back(request, note_not_executed, PAY)

    async def take_back(request: Request, how: Callable[..., TransferRow], permission: str) -> Response:
        reason = bank_requests.parse_reason(await read_body(request, bytes_max=BODY_BYTES_MAX))

        def write(work: Work) -> TransferRow:
            return how(work, end_to_end_id=request.path_params["transfer"], reason=reason)

        row = await to_thread.run_sync(written, door, office.engine, request, permission, write)
        return JSONResponse(transfer_body(row))

    return [
        Route(TRANSFERS_PATH, add, methods=["POST"]),
        Route(TRANSFERS_PATH, show, methods=["GET"]),
        Route(f"{TRANSFERS_PATH}/{{transfer}}/cancel", cancel, methods=["POST"]),
        Route(f"{TRANSFERS_PATH}/{{transfer}}/not-executed", not_executed, methods=["POST"]),
    ]


def file_routes(door: Door, office: Office, writer: TransferWriter) -> list[Route]:
    """`POST` and `GET /v1/payments/transfer-files`, `GET …/{message}`."""

    def make(work: Work, asked: TransferFileRequest) -> MadeTransfers:
        return make_transfer_file(work, office.vault, writer, asked)

    return bank_files.file_routes(
        door,
        office,
        TRANSFER_FILES,
        path=FILES_PATH,
        permission=PAY,
        parse=transfer_requests.parse_file,
        make=make,
        body_of=made_body,
        day="executeOn",
    )


def transfer_body(row: TransferRow) -> dict[str, Any]:
    """A transfer; of the payee's IBAN the last four characters."""
    return {
        "endToEndId": row.end_to_end_id,
        "account": row.account_name,
        "amount": euros(row.amount_minor),
        "currencyCode": CURRENCY,
        "issuer": row.entity,
        "source": row.source,
        "ibanLast4": row.last4,
        "reason": row.reason,
        "state": row.state,
        "answer": row.answer,
        "answeredBy": row.answered_by,
        "messageId": row.message_id,
        "executeOn": None if row.execute_on is None else row.execute_on.isoformat(),
        "createdAt": row.created_at.isoformat(),
        "createdBy": row.created_by,
    }


def made_body(made: MadeTransfers) -> dict[str, Any]:
    """A file with its transfers; `messageId` is empty where nothing is wanted."""
    return {
        "messageId": made.message_id,
        "issuer": made.issuer,
        "executeOn": made.execute_on.isoformat(),
        "total": euros(sum(one.amount_minor for one in made.transfers)),
        "currencyCode": CURRENCY,
        "transfers": [
            {
                "endToEndId": one.end_to_end_id,
                "account": one.account_name,
                "ibanLast4": one.last4,
                "amount": euros(one.amount_minor),
                "reason": one.reason,
            }
            for one in made.transfers
        ],
    }
