"""HTTP: SEPA mandates, and files of direct debits."""

from typing import Any, Final

from anyio import to_thread
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from milo_billing.controlplane.doors import Door
from milo_billing.controlplane.edge import read_body
from milo_billing.controlplane.work import Work
from milo_billing.invoicing.operations.office import Office
from milo_billing.payments.engine import debit_rows as rows
from milo_billing.payments.engine.bank_file_rows import DEBIT_FILES
from milo_billing.payments.engine.debit_rows import MandateRow
from milo_billing.payments.engine.debiting import (
    MadeFile,
    add_mandate,
    make_file,
    note_refused,
    revoke_mandate,
)
from milo_billing.payments.engine.transferring import note_refused_transfers
from milo_billing.payments.routes import bank_files
from milo_billing.payments.routes.bank_files import BODY_BYTES_MAX, euros
from milo_billing.payments.routes.writing import written
from milo_billing.payments.rules import bank_requests, debit_requests
from milo_billing.payments.rules.debit_requests import DebitRequest
from milo_billing.payments.rules.mandates import CURRENCY
from milo_billing.payments.types import GROUP, STATEMENT_BYTES_MAX, DebitWriter, RefusalReader

READ_MANDATES: Final = f"{GROUP}/mandates.get"
WRITE_MANDATES: Final = f"{GROUP}/mandates.update"
DEBIT: Final = f"{GROUP}/directdebits.run"
MANDATES_PATH: Final = "/v1/payments/mandates"
FILES_PATH: Final = "/v1/payments/debit-files"
ANSWERS_PATH: Final = "/v1/payments/debit-answers"


def routes(door: Door, office: Office, writer: DebitWriter, reader: RefusalReader) -> list[Route]:
    """Everything below `/v1/payments` that has to do with direct debits."""
    return [*mandate_routes(door, office), *file_routes(door, office, writer, reader)]


def mandate_routes(door: Door, office: Office) -> list[Route]:
    """`POST` and `GET /v1/payments/mandates`, `POST …/{reference}/revoke`."""

    async def add(request: Request) -> Response:
        wanted = debit_requests.parse_mandate(await read_body(request, bytes_max=BODY_BYTES_MAX))

        def write(work: Work) -> MandateRow:
            return add_mandate(work, office.vault, wanted)

        row = await to_thread.run_sync(written, door, office.engine, request, WRITE_MANDATES, write)
        return JSONResponse(mandate_body(row), status_code=201)

    def show_mandates(request: Request) -> Response:
        limit = bank_requests.parse_limit(request.query_params)
        with door.open(request, permission=READ_MANDATES) as call:
            found = rows.list_mandates(call.tx, limit=limit)
        return JSONResponse({"items": [mandate_body(one) for one in found]})

    async def revoke(request: Request) -> Response:
        reason = bank_requests.parse_reason(await read_body(request, bytes_max=BODY_BYTES_MAX))

        def write(work: Work) -> MandateRow:
            return revoke_mandate(work, reference=request.path_params["reference"], reason=reason)

        row = await to_thread.run_sync(written, door, office.engine, request, WRITE_MANDATES, write)
        return JSONResponse(mandate_body(row))

    return [
        Route(MANDATES_PATH, add, methods=["POST"]),
        Route(MANDATES_PATH, show_mandates, methods=["GET"]),
        Route(f"{MANDATES_PATH}/{{reference}}/revoke", revoke, methods=["POST"]),
    ]


def file_routes(door: Door, office: Office, writer: DebitWriter, reader: RefusalReader) -> list[Route]:
    """`POST` and `GET /v1/payments/debit-files`, `GET …/{message}`; `POST /v1/payments/debit-answers`."""

    async def answer(request: Request) -> Response:
        refusals = await to_thread.run_sync(reader, await read_body(request, bytes_max=STATEMENT_BYTES_MAX))

        def write(work: Work) -> tuple[str, ...]:
            return (*note_refused(work, refusals), *note_refused_transfers(work, refusals))

        refused = await to_thread.run_sync(written, door, office.engine, request, DEBIT, write)
        return JSONResponse({"refused": list(refused)})

    def make(work: Work, wanted: DebitRequest) -> MadeFile:
        return make_file(work, office.vault, writer, wanted)

    return [
        Route(ANSWERS_PATH, answer, methods=["POST"]),
        *bank_files.file_routes(
            door,
            office,
            DEBIT_FILES,
            path=FILES_PATH,
            permission=DEBIT,
            parse=debit_requests.parse_debits,
            make=make,
            body_of=made_body,
            day="collectOn",
        ),
    ]


def mandate_body(row: MandateRow) -> dict[str, Any]:
    """A mandate; of its IBAN the last four characters."""
    return {
        "reference": row.reference,
        "account": row.account,
        "signedOn": row.signed_on.isoformat(),
        "scheme": row.scheme,
        "ibanLast4": row.last4,
        "state": row.state,
        "reason": row.reason,
        "debits": row.debits,
    }


def made_body(made: MadeFile) -> dict[str, Any]:
    """A file with its debits; `messageId` is empty where nothing is due."""
    return {
        "messageId": made.message_id,
        "collectOn": made.collect_on.isoformat(),
        "total": euros(sum(one.amount_minor for one in made.planned)),
        "currencyCode": CURRENCY,
        "debits": [
            {
                "endToEndId": one.end_to_end_id,
                "invoice": f"{one.invoice.namespace}/{one.invoice.name}",
                "mandate": one.mandate.reference,
                "sequence": one.sequence,
                "amount": euros(one.amount_minor),
            }
            for one in made.planned
        ],
    }
