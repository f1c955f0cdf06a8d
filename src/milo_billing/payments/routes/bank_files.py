"""HTTP: files that ask a bank to move money are made, listed and had again; what is in them is for others to say."""

from collections.abc import Callable
from typing import Any, Final, TypeVar

from anyio import to_thread
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from milo_billing.controlplane.doors import Door
from milo_billing.controlplane.edge import read_body
from milo_billing.controlplane.work import Work
from milo_billing.invoicing.operations.office import Office
from milo_billing.kernel.money import minor_to_decimal
from milo_billing.payments.engine import bank_file_rows as rows
from milo_billing.payments.engine.bank_file_rows import FileRow, FileTable
from milo_billing.payments.routes.writing import written
from milo_billing.payments.rules import bank_requests
from milo_billing.payments.rules.mandates import CURRENCY

W = TypeVar("W")
M = TypeVar("M")
BODY_BYTES_MAX: Final = 16 * 1024


def file_routes(
    door: Door,
    office: Office,
    table: FileTable,
    *,
    path: str,
    permission: str,
    parse: Callable[[bytes], W],
    make: Callable[[Work, W], M],
    body_of: Callable[[M], dict[str, Any]],
    day: str,
) -> list[Route]:
    """`POST` and `GET` of the path, `GET …/{message}`. `day` is what bodies call the day on which the bank acts."""

    async def make_file(request: Request) -> Response:
        wanted = parse(await read_body(request, bytes_max=BODY_BYTES_MAX))
        dry_run = bank_requests.parse_flag(request.query_params, "dryRun")

        def write(work: Work) -> M:
            made = make(work, wanted)
            if dry_run:
                work.tx.rollback()
            return made

        made = await to_thread.run_sync(written, door, office.engine, request, permission, write)
        return JSONResponse({**body_of(made), "dryRun": dry_run}, status_code=200 if dry_run else 201)

    def show_files(request: Request) -> Response:
        limit = bank_requests.parse_limit(request.query_params)
        with door.open(request, permission=permission) as call:
            found = rows.list_files(call.tx, table, limit=limit)
        return JSONResponse({"items": [_file_body(one, table=table, day=day) for one in found]})

    def show_file(request: Request) -> Response:
        message = request.path_params["message"]
        with door.open(request, permission=permission) as call:
            content = rows.get_file(call.tx, office.vault, table, message_id=message)
        headers = {
            "Content-Disposition": f'attachment; filename="{message}.xml"',
            "Cache-Control": "private, no-store",
        }
        return Response(content, headers=headers, media_type="application/xml")

    return [
        Route(path, make_file, methods=["POST"]),
        Route(path, show_files, methods=["GET"]),
        Route(f"{path}/{{message}}", show_file, methods=["GET"]),
    ]


def euros(minor: int) -> str:
    """Cents as bodies say them."""
    return str(minor_to_decimal(minor, CURRENCY))


def _file_body(row: FileRow, *, table: FileTable, day: str) -> dict[str, Any]:
    return {
        "messageId": row.message_id,
        "issuer": row.issuer,
        day: row.on.isoformat(),
        table.orders: row.orders,
        "total": euros(row.total_minor),
        "currencyCode": CURRENCY,
        "createdAt": row.created_at.isoformat(),
        "createdBy": row.created_by,
    }
