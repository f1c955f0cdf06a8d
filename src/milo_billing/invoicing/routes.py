"""The doors of invoicing: run a month, read an invoice's lines and its documents."""

from collections.abc import Callable, Coroutine, Iterator, Mapping
from typing import Any, Final
from uuid import UUID

from anyio import to_thread
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route

from milo_billing.accounts.reads import accounts as account_reads
from milo_billing.accounts.types import Account, AccountNotFound
from milo_billing.controlplane.doors import Door, repeated
from milo_billing.controlplane.edge import read_body
from milo_billing.controlplane.identity import reaches
from milo_billing.controlplane.kinds import PROVIDER_ORG
from milo_billing.infra.clock import new_uid
from milo_billing.infra.database import Tx, forbid_writes
from milo_billing.invoicing.engine import printings, rerating, runs, vat_checks
from milo_billing.invoicing.engine.invoice_documents import ELECTRONIC
from milo_billing.invoicing.operations import closing as closing_accounts
from milo_billing.invoicing.operations import details as invoice_details
from milo_billing.invoicing.operations import explaining as invoice_explaining
from milo_billing.invoicing.operations import issuing, late_interest, papers, previewing, settlements
from milo_billing.invoicing.operations.office import Office
from milo_billing.invoicing.ports import DocumentWriter, EInvoiceChecker
from milo_billing.invoicing.reads import adjustments as adjustment_reads
from milo_billing.invoicing.reads import grants as grant_reads
from milo_billing.invoicing.reads import invoices as invoice_reads
from milo_billing.invoicing.reads import lines as line_reads
from milo_billing.invoicing.reads import notes as note_reads
from milo_billing.invoicing.rules import (
    adjustment_bodies,
    closing,
    explaining,
    grant_bodies,
    interest_accruals,
    previews,
    representations,
    requests,
)
from milo_billing.invoicing.rules import printings as printings_asked
from milo_billing.invoicing.rules.adjusting import Adjusted
from milo_billing.invoicing.rules.crediting import CANCELLATION, Paper
from milo_billing.invoicing.rules.runs import Run
from milo_billing.invoicing.types.documents import DocumentKind, PrintedDocument
from milo_billing.invoicing.types.drafts import GROUP
from milo_billing.invoicing.types.invoices import Invoice, IssueOutcome
from milo_billing.kernel.errors import BadRequest, Forbidden
from milo_billing.ledger import reads as books
from milo_billing.ledger.types import MONEY_ON_ACCOUNT, UNAPPLIED_CASH
from milo_billing.usage.ports import BlobStore

RUN: Final = f"{GROUP}/invoices.run"
ADJUST: Final = f"{GROUP}/invoices.adjust"
ISSUE_FINAL: Final = f"{GROUP}/invoices.issueFinal"
FINAL_PATH: Final = f"/apis/{GROUP}/v1alpha1/namespaces/{{namespace}}/billingaccounts/{{name}}/finalInvoice"
CHARGE_INTEREST: Final = f"{GROUP}/invoices.chargeInterest"
CHARGE_INTEREST_PATH: Final = (
    f"/apis/{GROUP}/v1alpha1/namespaces/{{namespace}}/billingaccounts/{{name}}/chargeInterest"
)
INTEREST_PATH: Final = "/v1/invoicing/interest"
GET: Final = f"{GROUP}/invoices.get"
GET_NOTES: Final = f"{GROUP}/creditnotes.get"
READ_USAGE: Final = f"{GROUP}/usage.read"
GET_GRANTS: Final = f"{GROUP}/creditgrants.get"
CREDITS_PATH: Final = "/v1/invoicing/credits"
PREVIEW_PATH: Final = "/v1/invoicing/preview"
INVOICE_PATH: Final = f"/apis/{GROUP}/v1alpha1/namespaces/{{namespace}}/invoices/{{name}}"
NOTE_PATH: Final = f"/apis/{GROUP}/v1alpha1/namespaces/{{namespace}}/creditnotes/{{name}}"
CANCELLATION_PATH: Final = f"{NOTE_PATH}/{CANCELLATION}"
PAPERS: Final[Mapping[Paper, str]] = {"Note": NOTE_PATH, "Cancellation": CANCELLATION_PATH}
RUNS_PATH: Final = "/v1/invoicing/runs"
PRINTINGS_PATH: Final = "/v1/invoicing/printings"
VAT_CHECKS_PATH: Final = "/v1/invoicing/vat-checks"
CHECK_VAT: Final = f"{GROUP}/invoices.checkVat"
RUNS_MAX: Final = 100
"""A list shows so many runs, the newest."""
SETTLEMENTS_MAX: Final = 1_000
"""The first of one invoice; more of them is nobody's invoice."""
BODY_BYTES_MAX: Final = 3 * 1024 * 1024


def routes(door: Door, office: Office, writer: DocumentWriter, blobs: BlobStore) -> list[Route]:
    """`POST` and `GET /v1/invoicing/runs`, `GET …/runs/{id}`, `…/{id}/accounts`, `GET /v1/invoicing/preview`; of an
    invoice `…/details`, `…/lines`, `…/lines/{line}/events`, `…/lines/{line}/explanation`; of an invoice and a
    credit note `…/pdf`, `…/ubl`, `…/cii`; of what cancels a credit note the same below `…/cancellation`.

    `blobs` is where archived usage lies.
    """

    def show_lines(request: Request) -> Response:
        page = requests.parse_page(request.query_params)
        with door.open(request, permission=GET) as call:
            invoice = invoice_reads.get_invoice(call.tx, **_names(request))
            lines = line_reads.list_lines(
                call.tx, invoice=invoice.uid, after=page.after, limit=page.limit + 1
            )
        more = {"continue": str(lines[page.limit - 1].line)} if len(lines) > page.limit else {}
        items = [
            representations.line_body(line, currency=invoice.currency, taxes=invoice.taxes)
            for line in lines[: page.limit]
        ]
        return JSONResponse({"metadata": more, "items": items})

    def show_line_events(request: Request) -> Response:
        page = requests.parse_event_page(request.query_params)
        number = requests.parse_line(request.path_params["line"])
        with door.open(request, permission=GET) as call:
            invoice = invoice_reads.get_invoice(call.tx, **_names(request))
            usage_reach = door.authorizer.reach(call.tx, call.identity, READ_USAGE)
            if not reaches(usage_reach, invoice.owner_org):
                raise Forbidden(f'forbidden: User "{call.identity.user}" lacks the permission {READ_USAGE}')
            found = invoice_explaining.list_line_events(
                call.tx, invoice=invoice, line=number, asked=page, blobs=blobs, now=call.now
            )
        return JSONResponse(found.body())

    def show_details(request: Request) -> Response:
        with door.open(request, permission=GET) as call:  # what is wrong is said before the text begins
            invoice = invoice_reads.get_invoice(call.tx, **_names(request))
        return StreamingResponse(
            _details(door, request, invoice),
            headers={"Content-Disposition": f'attachment; filename="{invoice.number}.csv"'},
            media_type="text/csv; charset=utf-8",
        )

    return [
        Route(f"{INVOICE_PATH}/details", show_details, methods=["GET"]),
        *_run_routes(door),
        Route(f"{INVOICE_PATH}/lines", show_lines, methods=["GET"]),
        Route(f"{INVOICE_PATH}/lines/{{line}}/events", show_line_events, methods=["GET"]),
        *_computed_routes(door, office),
        *_adjustment_routes(door, office),
        *_document_routes(door, office, writer),
        Route(VAT_CHECKS_PATH, _vat_check_route(door, office), methods=["POST"]),
    ]


def _details(door: Door, request: Request, invoice: Invoice) -> Iterator[str]:
    """The details in pieces, from one transaction of the database."""
    with door.open(request, permission=GET) as call:
        forbid_writes(call.tx)
        yield from invoice_details.write_details(call.tx, invoice=invoice)


def _run_routes(door: Door) -> list[Route]:
    """Open runs, and see how far they are; workers do the rest."""

    async def run_month(request: Request) -> Response:
        wanted = requests.parse_run(await read_body(request, bytes_max=BODY_BYTES_MAX))
        opened = await to_thread.run_sync(_open_run, door, request, wanted)
        return JSONResponse(opened, status_code=202, headers={"Location": f"{RUNS_PATH}/{opened['id']}"})

    def show_runs(request: Request) -> Response:
        with door.open(request, permission=RUN) as call:
            found = runs.list_runs(call.tx, limit=RUNS_MAX, now=call.now)
        return JSONResponse({"items": [representations.run_body(run) for run in found]})

    def show_run(request: Request) -> Response:
        id = requests.parse_run_id(request.path_params["id"])
        with door.open(request, permission=RUN) as call:
            return JSONResponse(representations.run_body(runs.get_run(call.tx, id=id, now=call.now)))

    def show_run_accounts(request: Request) -> Response:
        id = requests.parse_run_id(request.path_params["id"])
        page, state = requests.parse_step_page(request.query_params)
        with door.open(request, permission=RUN) as call:
            run = runs.get_run(call.tx, id=id, now=call.now)
            steps = runs.list_steps(call.tx, run=run.id, state=state, after=page.after, limit=page.limit + 1)
        more = {"continue": str(steps[page.limit - 1].step)} if len(steps) > page.limit else {}
        items = [representations.step_body(step) for step in steps[: page.limit]]
        return JSONResponse({"metadata": more, "items": items})

    return [
        Route(RUNS_PATH, run_month, methods=["POST"]),
        Route(RUNS_PATH, show_runs, methods=["GET"]),
        Route(f"{RUNS_PATH}/{{id}}", show_run, methods=["GET"]),
        Route(f"{RUNS_PATH}/{{id}}/accounts", show_run_accounts, methods=["GET"]),
    ]


def _document_routes(door: Door, office: Office, writer: DocumentWriter) -> list[Route]:
    def show(kind: DocumentKind) -> Callable[[Request], Response]:
        def show_document(request: Request) -> Response:
            with door.open(request, permission=GET) as call:
                invoice = invoice_reads.get_invoice(call.tx, **_names(request))
                document = papers.print_invoice(
                    call.tx, office.vault, writer, invoice=invoice, now=call.now, kind=kind
                )
            return _shown(document, number=invoice.number, kind=kind)

        return show_document

    def show_note(kind: DocumentKind, paper: Paper) -> Callable[[Request], Response]:
        def show_document(request: Request) -> Response:
            with door.open(request, permission=GET_NOTES) as call:
                note = note_reads.get_credit_note(call.tx, **_names(request))
                document = papers.print_credit_note(
                    call.tx, office.vault, writer, note=note, now=call.now, kind=kind, paper=paper
                )
            return _shown(document, number=note.number_of(paper), kind=kind)

        return show_document

    kinds: tuple[DocumentKind, ...] = ("pdf", *ELECTRONIC)
    return [
        *(Route(f"{INVOICE_PATH}/{kind}", show(kind), methods=["GET"]) for kind in kinds),
        *(
            Route(f"{path}/{kind}", show_note(kind, paper), methods=["GET"])
            for paper, path in PAPERS.items()
            for kind in kinds
        ),
    ]


def printing_routes(door: Door) -> list[Route]:
    """`POST /v1/invoicing/printings`: have workers write the PDFs that are missing; `GET …/{id}` how far they are."""

    async def print_missing(request: Request) -> Response:
        asked = printings_asked.parse_printing(await read_body(request, bytes_max=BODY_BYTES_MAX))
        opened = await to_thread.run_sync(_open_printing, door, request, asked)
        location = {"Location": f"{PRINTINGS_PATH}/{opened['id']}"}
        return JSONResponse(opened, status_code=202, headers=location)

    def show_printing(request: Request) -> Response:
        id = requests.parse_printing_id(request.path_params["id"])
        with door.open(request, permission=GET) as call:
            return JSONResponse(_printing_body(call.tx, id))

    return [
        Route(PRINTINGS_PATH, print_missing, methods=["POST"]),
        Route(f"{PRINTINGS_PATH}/{{id}}", show_printing, methods=["GET"]),
    ]


def _open_printing(door: Door, request: Request, asked: printings_asked.PrintingRequest) -> dict[str, Any]:
    with door.open(request, permission=GET) as call:
        organizations = None if call.reach == "*" else tuple(sorted(call.reach))
        opened = printings_asked.Printing(new_uid(), organizations, None, call.identity.user, call.now)
        printings.open_asked(call.tx, opened, asked=asked)
        return _printing_body(call.tx, opened.id)


def _printing_body(tx: Tx, id: UUID) -> dict[str, Any]:
    failures = printings.list_failures(tx, printing=id, limit=RUNS_MAX)
    return printings_asked.printing_body(printings.get(tx, id=id), failures=failures)


def _shown(document: PrintedDocument, *, number: str, kind: DocumentKind) -> Response:
    name = f"{number}.{'pdf' if kind == 'pdf' else f'{kind}.xml'}"
    headers = {
        "Content-Disposition": f'inline; filename="{name}"',
        "ETag": f'"{document.sha256.hex()}"',
        "Cache-Control": "private, no-cache",
    }
    return Response(document.content, headers=headers, media_type=document.media_type)


def validation_routes(
    door: Door, office: Office, writer: DocumentWriter, checker: EInvoiceChecker
) -> list[Route]:
    """Of invoices, credit notes and cancellations `GET …/validation`: what the rules of EN 16931 say against them."""

    def validate(request: Request) -> Response:
        with door.open(request, permission=GET) as call:
            invoice = invoice_reads.get_invoice(call.tx, **_names(request))
            found = papers.check_documents(
                call.tx, office.vault, writer, checker, invoice=invoice, now=call.now
            )
        return JSONResponse(representations.validation_body(found))

    def validate_note(paper: Paper) -> Callable[[Request], Response]:
        def validate_document(request: Request) -> Response:
            with door.open(request, permission=GET_NOTES) as call:
                note = note_reads.get_credit_note(call.tx, **_names(request))
                found = papers.check_credit_note(
                    call.tx, office.vault, writer, checker, note=note, now=call.now, paper=paper
                )
            return JSONResponse(representations.validation_body(found))

        return validate_document

    return [
        Route(f"{INVOICE_PATH}/validation", validate, methods=["GET"]),
        *(
            Route(f"{path}/validation", validate_note(paper), methods=["GET"])
            for paper, path in PAPERS.items()
        ),
    ]


def _computed_routes(door: Door, office: Office) -> list[Route]:
    """What is computed from what stands, and never kept: an invoice before it is one, and how a line came about."""

    def show_preview(request: Request) -> Response:
        asked = requests.parse_preview(request.query_params)
        with door.open(request, permission=GET) as call:
            forbid_writes(call.tx)
            account = _get_account(call.tx, namespace=asked.namespace, name=asked.account)
            found = previewing.preview(
                call.tx, office=office, account=account, month=asked.month, now=call.now
            )
        return JSONResponse(previews.preview_body(found, account=account, by=asked.by, at=call.now))

    def explain_line(request: Request) -> Response:
        number = requests.parse_line(request.path_params["line"])
        with door.open(request, permission=GET) as call:
            invoice = invoice_reads.get_invoice(call.tx, **_names(request))
            found = invoice_explaining.explain_line(call.tx, invoice=invoice, line=number)
        return JSONResponse(explaining.explanation_body(found))

    def show_settlements(request: Request) -> Response:
        with door.open(request, permission=GET) as call:
            invoice = invoice_reads.get_invoice(call.tx, **_names(request))
            found = settlements.list_settlements(
                call.tx, office.engine.store, invoice=invoice.uid, limit=SETTLEMENTS_MAX
            )
        items = [representations.settlement_body(one, by, currency=invoice.currency) for one, by in found]
        return JSONResponse({"items": items})

    return [
        Route(f"{INVOICE_PATH}/settlements", show_settlements, methods=["GET"]),
        Route(PREVIEW_PATH, show_preview, methods=["GET"]),
        Route(f"{INVOICE_PATH}/lines/{{line}}/explanation", explain_line, methods=["GET"]),
    ]


def _adjustment_routes(door: Door, office: Office) -> list[Route]:
    """What came late for an issued invoice: what was done about it, what would be now, and doing it at once."""

    def show_adjustments(request: Request) -> Response:
        with door.open(request, permission=GET) as call:
            forbid_writes(call.tx)
            invoice = invoice_reads.get_invoice(call.tx, **_names(request))
            sections = [
                (
                    adjustment_reads.list_adjustments(call.tx, invoice=invoice.uid, account=account),
                    rerating.rerate(call.tx, invoice=invoice, account=account, now=call.now),
                )
                for account in adjustment_reads.list_sections(call.tx, invoice=invoice.uid)
                or (invoice.account,)
            ]
        return JSONResponse(adjustment_bodies.adjustments_body(invoice, sections=sections))

    def adjust(request: Request) -> Response:
        return JSONResponse(adjustment_bodies.adjusted_body(repeated(lambda: _adjust(door, office, request))))

    def close(request: Request) -> Response:
        name = request.path_params["name"]
        return JSONResponse(closing.outcome_body(name, repeated(lambda: _close(door, office, request))))

    return [
        Route(f"{INVOICE_PATH}/adjustments", show_adjustments, methods=["GET"]),
        Route(f"{INVOICE_PATH}/adjust", adjust, methods=["POST"]),
        Route(FINAL_PATH, close, methods=["POST"]),
    ]


def _close(door: Door, office: Office, request: Request) -> IssueOutcome:
    with door.open(request, permission=ISSUE_FINAL) as call:
        if not reaches(call.reach, PROVIDER_ORG):
            raise Forbidden(
                f'forbidden: User "{call.identity.user}" lacks the permission {ISSUE_FINAL} for the provider'
            )
        account = _get_account(call.tx, **_names(request))
        work = call.work()
        found = closing_accounts.issue_final(work, office=office, number=account.number)
        office.engine.commit(work)
    return found


def _adjust(door: Door, office: Office, request: Request) -> Adjusted:
    with door.open(request, permission=ADJUST) as call:
        if not reaches(call.reach, PROVIDER_ORG):  # nobody credits himself
            raise Forbidden(
                f'forbidden: User "{call.identity.user}" lacks the permission {ADJUST} for the provider'
            )
        invoice = invoice_reads.get_invoice(call.tx, **_names(request))
        work = call.work()
        found = issuing.adjust_invoice(work, office=office, invoice=invoice)
        office.engine.commit(work)
    return found


def interest_routes(door: Door, office: Office) -> list[Route]:
    """`GET /v1/invoicing/interest`: what overdue invoices cost up to today; of an account, `…/chargeInterest`."""

    def show_interest(request: Request) -> Response:
        asked = interest_accruals.parse_accruals(request.query_params)
        with door.open(request, permission=GET) as call:
            forbid_writes(call.tx)
            account = None
            if asked.account is not None:
                namespace, name = asked.account
                account = _get_account(call.tx, namespace=namespace, name=name).number
            found = late_interest.list_accruals(
                call.tx, account=account, after=asked.after, now=call.now, limit=asked.limit + 1
            )
        return JSONResponse(interest_accruals.accruals_body(found, limit=asked.limit))

    def charge(request: Request) -> Response:
        return JSONResponse(repeated(lambda: _charge_interest(door, office, request)))

    return [
        Route(INTEREST_PATH, show_interest, methods=["GET"]),
        Route(CHARGE_INTEREST_PATH, charge, methods=["POST"]),
    ]


def _charge_interest(door: Door, office: Office, request: Request) -> dict[str, Any]:
    with door.open(request, permission=CHARGE_INTEREST) as call:
        if not reaches(call.reach, PROVIDER_ORG):
            raise Forbidden(
                f'forbidden: User "{call.identity.user}" lacks the permission {CHARGE_INTEREST} for the provider'
            )
        account = _get_account(call.tx, **_names(request))
        work = call.work()
        done = late_interest.charge_interest(work, office=office, account=account)
        given_back = [invoice_reads.get_invoice_by_uid(call.tx, uid=uid) for uid in done.given_back]
        office.engine.commit(work)
    return interest_accruals.charged_body(account, charged=done.charged, given_back=given_back)


def credit_routes(door: Door) -> list[Route]:
    """`GET /v1/invoicing/credits` of an account, and `…/history`."""

    def show_credits(request: Request) -> Response:
        asked = grant_bodies.parse_credits(request.query_params)
        with door.open(request, permission=GET_GRANTS) as call:
            account = _get_account(call.tx, namespace=asked.namespace, name=asked.account)
            on_account, unapplied = (
                books.balance(call.tx, account=one, currency=account.currency, billing_account=account.number)
                for one in (MONEY_ON_ACCOUNT, UNAPPLIED_CASH)
            )
            grants = grant_reads.list_grants(call.tx, account=account.number, limit=grant_bodies.GRANTS_MAX)
        body = grant_bodies.balance_body(
            grants,
            account=f"{account.namespace}/{account.name}",
            currency=account.currency,
            on_account_minor=-on_account.minor,
            unapplied_minor=-unapplied.minor,
            now=call.now,
        )
        return JSONResponse(body)

    def list_history(request: Request) -> Response:
        asked = grant_bodies.parse_credits(request.query_params)
        with door.open(request, permission=GET_GRANTS) as call:
            account = _get_account(call.tx, namespace=asked.namespace, name=asked.account)
            moved = grant_reads.list_moved(
                call.tx, account=account.number, grant=asked.grant, limit=grant_bodies.MOVEMENTS_MAX
            )
        return JSONResponse(grant_bodies.history_body(moved, currency=account.currency))

    return [
        Route(CREDITS_PATH, show_credits, methods=["GET"]),
        Route(f"{CREDITS_PATH}/history", list_history, methods=["GET"]),
    ]


def _vat_check_route(door: Door, office: Office) -> Callable[[Request], Coroutine[Any, Any, Response]]:
    """Have the register asked about an account's VAT number, or note what it told somebody of the provider's staff."""

    async def check_vat_number(request: Request) -> Response:
        asked = requests.parse_vat_check(await read_body(request, bytes_max=BODY_BYTES_MAX))
        return JSONResponse(await to_thread.run_sync(_check_vat_number, door, office, request, asked))

    return check_vat_number


def _check_vat_number(
    door: Door, office: Office, request: Request, asked: requests.VatCheckRequest
) -> dict[str, Any]:
    with door.open(request, permission=CHECK_VAT) as call:
        if not reaches(call.reach, PROVIDER_ORG):  # who could confirm himself would pay no tax
            raise Forbidden(
                f'forbidden: User "{call.identity.user}" lacks the permission {CHECK_VAT} for the provider'
            )
        account = _get_account(call.tx, namespace=asked.namespace, name=asked.account)
        number = vat_checks.get_vat_number(call.tx, office.vault, account=account)
    answer = asked.answer
    if answer is None:  # the register is outside: nothing is locked while it thinks
        if office.register is None:
            raise BadRequest(
                "this server asks no register (MILO_BILLING_VIES_URL is not set): give valid and source as it was "
                "answered to you"
            )
        answer = office.register.check(number)
    with door.open(request, permission=CHECK_VAT) as call:
        check = vat_checks.note_check(
            call.tx, office.vault, account=account, number=number, answer=answer, now=call.now
        )
    return representations.vat_check_body(check, account=f"{asked.namespace}/{asked.account}")


def _names(request: Request) -> dict[str, str]:
    return {"namespace": request.path_params["namespace"], "name": request.path_params["name"]}


def _open_run(door: Door, request: Request, wanted: requests.RunRequest) -> dict[str, Any]:
    with door.open(request, permission=RUN) as call:
        run = Run(
            id=new_uid(),
            organizations=None if call.reach == "*" else tuple(sorted(call.reach)),
            year=wanted.year,
            month=wanted.month,
            opened_by=call.identity.user,
            impersonated_by=call.identity.impersonated_by,
            audit_id=call.audit_id,
            opened_at=call.now,
        )
        runs.open_run(call.tx, run, _accounts_of(call.tx, wanted))
        return representations.run_body(runs.get_run(call.tx, id=run.id, now=call.now))


def _accounts_of(tx: Tx, wanted: requests.RunRequest) -> tuple[Account, ...]:
    """The accounts named, or all within reach that stood during the month, by namespace and name.

    Deleted ones are among them: usage of theirs that was not invoiced must not go unnoticed.
    """
    if wanted.accounts is None:
        every = (a for a in account_reads.load_accounts(tx) if requests.stood_in(a, wanted))
        return tuple(sorted(every, key=lambda a: (a.namespace, a.name, a.number)))
    return tuple(_get_account(tx, namespace=namespace, name=name) for namespace, name in wanted.accounts)


def _get_account(tx: Tx, *, namespace: str, name: str) -> Account:
    found = account_reads.find_account(tx, namespace=namespace, name=name)
    if found is None:
        raise AccountNotFound(f'billingaccounts.billing.miloapis.com "{namespace}/{name}" not found')
    return found
