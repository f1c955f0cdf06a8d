"""HTTP: bank statements in, the worklist out, and what a person decides about an entry."""

import hashlib
from typing import Any, Final

from anyio import to_thread
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from milo_billing.controlplane.doors import Door, repeated
from milo_billing.controlplane.edge import read_body
from milo_billing.controlplane.work import Work
from milo_billing.invoicing.operations.office import Office
from milo_billing.payments.engine import bank_rows as rows
from milo_billing.payments.engine.bank_bodies import entry_body, imported_body, listed_body, statement_body
from milo_billing.payments.engine.bank_importing import import_statement
from milo_billing.payments.engine.bank_rows import EntryRow
from milo_billing.payments.engine.bank_worklist import assign, ignore, list_worklist
from milo_billing.payments.routes.writing import written
from milo_billing.payments.rules import bank_requests as requests
from milo_billing.payments.rules.statements import assert_adds_up
from milo_billing.payments.types import GROUP, STATEMENT_BYTES_MAX, BankStatement, StatementReader

IMPORT: Final = f"{GROUP}/bankstatements.import"
READ: Final = f"{GROUP}/bankstatements.get"
DECIDE: Final = f"{GROUP}/bankstatements.decide"
STATEMENTS_PATH: Final = "/v1/payments/statements"
WORKLIST_PATH: Final = "/v1/payments/worklist"
BODY_BYTES_MAX: Final = 64 * 1024


def routes(door: Door, office: Office, reader: StatementReader) -> list[Route]:
    """`POST` and `GET /v1/payments/statements`, `GET /v1/payments/worklist`, `POST …/worklist/{entry}/assign` and
    `…/ignore`.
    """

    async def import_file(request: Request) -> Response:
        dry_run = requests.parse_flag(request.query_params, "dryRun")
        content = await read_body(request, bytes_max=STATEMENT_BYTES_MAX)
        body = await to_thread.run_sync(_import, door, office, reader, request, content, dry_run)
        return JSONResponse(body)

    def show_statements(request: Request) -> Response:
        limit = requests.parse_limit(request.query_params)
        with door.open(request, permission=READ) as call:
            found = rows.list_statements(call.tx, limit=limit)
            counts = rows.count_entries(call.tx, statements=[one.uid for one in found])
        return JSONResponse({"items": [statement_body(one, counts[one.uid]) for one in found]})

    def show_worklist(request: Request) -> Response:
        limit = requests.parse_limit(request.query_params)
        with door.open(request, permission=READ) as call:
            found = list_worklist(call.tx, office.vault, limit=limit)
        return JSONResponse({"items": [listed_body(one) for one in found]})

    async def assign_entry(request: Request) -> Response:
        uid = requests.parse_entry(request.path_params["entry"])
        wanted = requests.parse_assignment(await read_body(request, bytes_max=BODY_BYTES_MAX))

        def write(work: Work) -> EntryRow:
            return assign(work, office, uid=uid, chosen=wanted.chosen, account=wanted.account)

        row = await to_thread.run_sync(written, door, office.engine, request, DECIDE, write)
        return JSONResponse(entry_body(row))

    async def ignore_entry(request: Request) -> Response:
        uid = requests.parse_entry(request.path_params["entry"])
        reason = requests.parse_reason(await read_body(request, bytes_max=BODY_BYTES_MAX))

        def write(work: Work) -> EntryRow:
            return ignore(work, office, uid=uid, reason=reason)

        return JSONResponse(
            entry_body(await to_thread.run_sync(written, door, office.engine, request, DECIDE, write))
        )

    return [
        Route(STATEMENTS_PATH, import_file, methods=["POST"]),
        Route(STATEMENTS_PATH, show_statements, methods=["GET"]),
        Route(WORKLIST_PATH, show_worklist, methods=["GET"]),
        Route(f"{WORKLIST_PATH}/{{entry}}/assign", assign_entry, methods=["POST"]),
        Route(f"{WORKLIST_PATH}/{{entry}}/ignore", ignore_entry, methods=["POST"]),
    ]


def _import(
    door: Door, office: Office, reader: StatementReader, request: Request, content: bytes, dry_run: bool
) -> dict[str, Any]:
    """One transaction a statement, in the order of the file. All are checked first: a file is refused as a whole.

    Where the server dies in between, the same file again goes on with the statements that are missing.
    """
    door.identify(request, permission=IMPORT)
    statements = reader(content)
    for one in statements:
        assert_adds_up(one)
    digest = hashlib.sha256(content).digest()
    done = [
        repeated(
            lambda one=one, ordinal=ordinal: _import_one(door, office, request, one, digest, ordinal, dry_run)
        )
        for ordinal, one in enumerate(statements, start=1)
    ]
    return {"digest": digest.hex(), "dryRun": dry_run, "statements": done}


def _import_one(
    door: Door,
    office: Office,
    request: Request,
    statement: BankStatement,
    digest: bytes,
    ordinal: int,
    dry_run: bool,
) -> dict[str, Any]:
    with door.open(request, permission=IMPORT) as call:
        work = call.work()
        body = imported_body(import_statement(work, office, statement, digest=digest, ordinal=ordinal))
        if dry_run:
            call.tx.rollback()
        else:
            office.engine.commit(work)
    return body
