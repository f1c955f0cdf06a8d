"""HTTP: customers' money that goes back by bank transfer, and the files that ask the bank to pay it."""

from typing import Any, Final

from anyio import to_thread
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from milo_billing.controlplane.doors import Door
from milo_billing.controlplane.edge import read_body
from milo_billing.controlplane.work import Work
from milo_billing.invoicing.operations.office import Office
from milo_billing.kernel.money import minor_to_decimal
from milo_billing.payments.engine import transfer_rows as rows
from milo_billing.payments.engine.transfer_rows import TransferRow
from milo_billing.payments.engine.transferring import (
    MadeTransfers,
    cancel_transfer,
    make_transfer_file,
    request_transfer,
)
from milo_billing.payments.ports import TransferWriter
from milo_billing.payments.routes.writing import written
from milo_billing.payments.rules import bank_requests, transfer_requests
from milo_billing.payments.rules.mandates import CURRENCY
from milo_billing.payments.types import GROUP

READ: Final = f"{GROUP}/banktransfers.get"
REQUEST: Final = f"{GROUP}/banktransfers.request"
PAY: Final = f"{GROUP}/banktransfers.run"
"""Who may have the file that moves money; another permission than to ask for it, so that two people can be needed."""
TRANSFERS_PATH: Final = "/v1/payments/transfers"
FILES_PATH: Final = "/v1/payments/transfer-files"
BODY_BYTES_MAX: Final = 16 * 1024


def routes(door: Door, office: Office, writer: TransferWriter) -> list[Route]:
    """`POST` and `GET /v1/payments/transfers`, `POST …/{transfer}/cancel`; `/v1/payments/transfer-files`."""
    return [*transfer_routes(door, office), *file_routes(door, office, writer)]


def transfer_routes(door: Door, office: Office) -> list[Route]:
    """`POST` and `GET /v1/payments/transfers`, `POST …/{transfer}/cancel`."""

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
        reason = bank_requests.parse_reason(await read_body(request, bytes_max=BODY_BYTES_MAX))

        def write(work: Work) -> TransferRow:
            return cancel_transfer(work, end_to_end_id=request.path_params["transfer"], reason=reason)

        row = await to_thread.run_sync(written, door, office.engine, request, REQUEST, write)
        return JSONResponse(transfer_body(row))

    return [
        Route(TRANSFERS_PATH, add, methods=["POST"]),
        Route(TRANSFERS_PATH, show, methods=["GET"]),
        Route(f"{TRANSFERS_PATH}/{{transfer}}/cancel", cancel, methods=["POST"]),
    ]


def file_routes(door: Door, office: Office, writer: TransferWriter) -> list[Route]:
    """`POST` and `GET /v1/payments/transfer-files`, `GET …/{message}`."""

    async def make(request: Request) -> Response:
        day = transfer_requests.parse_execution(await read_body(request, bytes_max=BODY_BYTES_MAX))
        dry_run = bank_requests.parse_flag(request.query_params, "dryRun")

        def write(work: Work) -> MadeTransfers:
            made = make_transfer_file(work, office.vault, writer, execute_on=day)
            if dry_run:
                work.tx.rollback()
            return made

        made = await to_thread.run_sync(written, door, office.engine, request, PAY, write)
        return JSONResponse({**made_body(made), "dryRun": dry_run}, status_code=200 if dry_run else 201)

    def show_files(request: Request) -> Response:
        limit = bank_requests.parse_limit(request.query_params)
        with door.open(request, permission=PAY) as call:
            found = rows.list_files(call.tx, limit=limit)
        return JSONResponse({"items": [_file_body(one) for one in found]})

    def show_file(request: Request) -> Response:
        message = request.path_params["message"]
        with door.open(request, permission=PAY) as call:
            content = rows.get_file(call.tx, office.vault, message_id=message)
        headers = {
            "Content-Disposition": f'attachment; filename="{message}.xml"',
            "Cache-Control": "private, no-store",
        }
        return Response(content, headers=headers, media_type="application/xml")

    return [
        Route(FILES_PATH, make, methods=["POST"]),
        Route(FILES_PATH, show_files, methods=["GET"]),
        Route(f"{FILES_PATH}/{{message}}", show_file, methods=["GET"]),
    ]


def transfer_body(row: TransferRow) -> dict[str, Any]:
    """A transfer; of the payee's IBAN the last four characters."""
    return {
        "endToEndId": row.end_to_end_id,
        "account": row.account_name,
        "amount": _euros(row.amount_minor),
        "currencyCode": CURRENCY,
        "source": row.source,
        "ibanLast4": row.last4,
        "reason": row.reason,
        "state": row.state,
        "answer": row.answer,
        "messageId": row.message_id,
        "createdAt": row.created_at.isoformat(),
        "createdBy": row.created_by,
    }


def made_body(made: MadeTransfers) -> dict[str, Any]:
    """A file with its transfers; `messageId` is empty where nothing is wanted."""
    return {
        "messageId": made.message_id,
        "executeOn": made.execute_on.isoformat(),
        "total": _euros(sum(one.amount_minor for one in made.transfers)),
        "currencyCode": CURRENCY,
        "transfers": [
            {
                "endToEndId": one.end_to_end_id,
                "account": one.account_name,
                "ibanLast4": one.last4,
                "amount": _euros(one.amount_minor),
                "reason": one.reason,
            }
            for one in made.transfers
        ],
    }


def _file_body(row: tuple[Any, ...]) -> dict[str, Any]:
    message_id, issuer, execute_on, transfers, total_minor, created_at, created_by = row
    return {
        "messageId": message_id,
        "issuer": issuer,
        "executeOn": execute_on.isoformat(),
        "transfers": transfers,
        "total": _euros(total_minor),
        "currencyCode": CURRENCY,
        "createdAt": created_at.isoformat(),
        "createdBy": created_by,
    }


def _euros(minor: int) -> str:
    return str(minor_to_decimal(minor, CURRENCY))
