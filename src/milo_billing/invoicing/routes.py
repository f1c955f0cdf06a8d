"""The doors of invoicing: run a month, read an invoice's lines and its PDF."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final
from uuid import UUID

import orjson
import structlog
from anyio import to_thread
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route

from milo_billing.accounts import reads as accounts
from milo_billing.accounts.types import Account, AccountNotFound
from milo_billing.controlplane.doors import Door, repeated
from milo_billing.controlplane.edge import read_body
from milo_billing.controlplane.identity import Identity, Reach, reaches
from milo_billing.controlplane.work import Work
from milo_billing.infra.database import Tx, forbid_writes
from milo_billing.infra.telemetry import counter
from milo_billing.invoicing import operations, reads
from milo_billing.invoicing.operations import Office
from milo_billing.invoicing.ports import DocumentWriter
from milo_billing.invoicing.rules import explaining, previews, representations, requests
from milo_billing.invoicing.types import GROUP, IssueOutcome
from milo_billing.kernel.errors import Forbidden, MiloError
from milo_billing.usage.ports import BlobStore

RUN: Final = f"{GROUP}/invoices.run"
GET: Final = f"{GROUP}/invoices.get"
READ_USAGE: Final = f"{GROUP}/usage.read"
PREVIEW_PATH: Final = "/v1/invoicing/preview"
INVOICE_PATH: Final = f"/apis/{GROUP}/v1alpha1/namespaces/{{namespace}}/invoices/{{name}}"
BODY_BYTES_MAX: Final = 3 * 1024 * 1024

_log = structlog.get_logger(__name__)
_accounts = counter(
    "invoice_run_accounts", about="Accounts that runs went over, by outcome.", labels=("state",)
)


def routes(door: Door, office: Office, writer: DocumentWriter, blobs: BlobStore) -> list[Route]:
    """`POST /v1/invoicing/runs`, `GET /v1/invoicing/preview`, `GET …/invoices/{name}/lines`,
    `…/lines/{line}/events`, `…/lines/{line}/explanation`, `…/pdf`.

    `blobs` is where archived usage lies.
    """

    async def run_month(request: Request) -> Response:
        wanted = requests.parse_run(await read_body(request, bytes_max=BODY_BYTES_MAX))
        run = await to_thread.run_sync(_open_run, door, office, request, wanted)
        # an iterator that is not async is read in the thread pool, a row at a time
        return StreamingResponse(run.rows(), media_type="application/x-ndjson")

    def show_preview(request: Request) -> Response:
        asked = requests.parse_preview(request.query_params)
        with door.open(request, permission=GET) as call:
            forbid_writes(call.tx)
            account = _get_account(call.tx, namespace=asked.namespace, name=asked.account)
            found = operations.preview(
                call.tx, office=office, account=account, month=asked.month, now=call.now
            )
        return JSONResponse(previews.preview_body(found, account=account, by=asked.by, at=call.now))

    def show_lines(request: Request) -> Response:
        page = requests.parse_page(request.query_params)
        with door.open(request, permission=GET) as call:
            invoice = reads.get_invoice(call.tx, **_names(request))
            lines = reads.list_lines(call.tx, invoice=invoice.uid, after=page.after, limit=page.limit + 1)
        more = {"continue": str(lines[page.limit - 1].line)} if len(lines) > page.limit else {}
        items = [representations.line_body(line, currency=invoice.currency) for line in lines[: page.limit]]
        return JSONResponse({"metadata": more, "items": items})

    def show_line_events(request: Request) -> Response:
        page = requests.parse_event_page(request.query_params)
        number = requests.parse_line(request.path_params["line"])
        with door.open(request, permission=GET) as call:
            invoice = reads.get_invoice(call.tx, **_names(request))
            usage_reach = door.authorizer.reach(call.tx, call.identity, READ_USAGE)
            if not reaches(usage_reach, invoice.owner_org):
                raise Forbidden(f'forbidden: User "{call.identity.user}" lacks the permission {READ_USAGE}')
            found = operations.list_line_events(
                call.tx, invoice=invoice, line=number, asked=page, blobs=blobs, now=call.now
            )
        return JSONResponse(found.body())

    def explain_line(request: Request) -> Response:
        number = requests.parse_line(request.path_params["line"])
        with door.open(request, permission=GET) as call:
            invoice = reads.get_invoice(call.tx, **_names(request))
            found = operations.explain_line(call.tx, invoice=invoice, line=number)
        return JSONResponse(explaining.explanation_body(found))

    def show_pdf(request: Request) -> Response:
        with door.open(request, permission=GET) as call:
            invoice = reads.get_invoice(call.tx, **_names(request))
            document = operations.print_invoice(call.tx, office.vault, writer, invoice=invoice, now=call.now)
        headers = {
            "Content-Disposition": f'inline; filename="{invoice.number}.pdf"',
            "ETag": f'"{document.sha256.hex()}"',
            "Cache-Control": "private, no-cache",
        }
        return Response(document.content, headers=headers, media_type=document.media_type)

    return [
        Route("/v1/invoicing/runs", run_month, methods=["POST"]),
        Route(PREVIEW_PATH, show_preview, methods=["GET"]),
        Route(f"{INVOICE_PATH}/lines", show_lines, methods=["GET"]),
        Route(f"{INVOICE_PATH}/lines/{{line}}/events", show_line_events, methods=["GET"]),
        Route(f"{INVOICE_PATH}/lines/{{line}}/explanation", explain_line, methods=["GET"]),
        Route(f"{INVOICE_PATH}/pdf", show_pdf, methods=["GET"]),
    ]


def _names(request: Request) -> dict[str, str]:
    return {"namespace": request.path_params["namespace"], "name": request.path_params["name"]}


@dataclass(frozen=True, slots=True)
class _Run:
    """One month over some accounts, a transaction each."""

    door: Door
    office: Office
    identity: Identity
    reach: Reach
    audit_id: UUID
    now: datetime
    year: int
    month: int
    accounts: tuple[Account, ...]

    def rows(self) -> Iterator[bytes]:
        """A line of JSON for each account as it is done, then the totals."""
        counts = dict.fromkeys(representations.STATES, 0)
        for account in self.accounts:
            row = self._row(account)
            counts[row["state"]] += 1
            _accounts.labels(row["state"]).inc()
            yield orjson.dumps(row, option=orjson.OPT_APPEND_NEWLINE)
        yield orjson.dumps({"done": True, **counts}, option=orjson.OPT_APPEND_NEWLINE)

    def _row(self, account: Account) -> dict[str, Any]:
        name = f"{account.namespace}/{account.name}"
        try:
            return representations.outcome_row(name, repeated(lambda: self._issue(account)))
        except MiloError as error:
            return representations.failure_row(name, reason=str(error))
        except Exception as error:  # one account's defect must not stop the others' invoices
            _log.error("issue_failed", account=account.number, audit_id=str(self.audit_id), exc_info=error)
            reason = f"internal error: see the server's log under audit id {self.audit_id}"
            return representations.failure_row(name, reason=reason)

    def _issue(self, account: Account) -> IssueOutcome:
        with self.door.database.transaction(reach=self.reach) as tx:
            work = Work(tx=tx, identity=self.identity, reach=self.reach, audit_id=self.audit_id, now=self.now)
            outcome = operations.issue_month(
                work, office=self.office, account=account, year=self.year, month=self.month
            )
            self.office.engine.commit(work)
            return outcome


def _open_run(door: Door, office: Office, request: Request, wanted: requests.RunRequest) -> _Run:
    with door.open(request, permission=RUN) as call:
        return _Run(
            door=door,
            office=office,
            identity=call.identity,
            reach=call.reach,
            audit_id=call.audit_id,
            now=call.now,
            year=wanted.year,
            month=wanted.month,
            accounts=_accounts_of(call.tx, wanted),
        )


def _accounts_of(tx: Tx, wanted: requests.RunRequest) -> tuple[Account, ...]:
    """The accounts named, or all within reach that stood during the month, by namespace and name.

    Deleted ones are among them: usage of theirs that was not invoiced must not go unnoticed.
    """
    if wanted.accounts is None:
        every = (a for a in accounts.load_accounts(tx) if requests.stood_in(a, wanted))
        return tuple(sorted(every, key=lambda a: (a.namespace, a.name, a.number)))
    return tuple(_get_account(tx, namespace=namespace, name=name) for namespace, name in wanted.accounts)


def _get_account(tx: Tx, *, namespace: str, name: str) -> Account:
    found = accounts.find_account(tx, namespace=namespace, name=name)
    if found is None:
        raise AccountNotFound(f'billingaccounts.billing.miloapis.com "{namespace}/{name}" not found')
    return found
