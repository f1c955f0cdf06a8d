"""Invoices, payers, audit and tokens: what is not a declared object but has its own call.

Owns: those calls. Not: declared objects (objects) and usage (usage).
"""

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias, cast
from urllib.parse import quote

from milo_billing.client.http import JSON, ApiClient, next_page

BILLING = "/apis/billing.miloapis.com/v1alpha1"
RUNS = "/v1/invoicing/runs"
PRINTINGS = "/v1/invoicing/printings"
ASK_AGAIN_S = 0.2
"""How often a run is asked how far it is."""

DocumentPlural: TypeAlias = Literal["invoices", "creditnotes", "cancellations"]
"""What has documents; a cancellation is that of the credit note of its name."""
"""What has documents."""

IAM = "/apis/iam.miloapis.com/v1alpha1"


@dataclass(frozen=True, slots=True)
class RunLine:
    """What an invoice run did for one account. `total` is a decimal string in `currency`; empty when not
    issued.
    """

    account: str
    state: str
    invoice: str
    number: str
    total: str
    currency: str
    reason: str


@dataclass(frozen=True, slots=True)
class RunTotals:
    """How many accounts an invoice run ended with, by what became of them."""

    issued: int
    unchanged: int
    skipped: int
    failed: int


def open_run(api: ApiClient, *, month: str, accounts: Sequence[str] = ()) -> JSON:
    """Have the server issue the invoices of a month (YYYY-MM): the run, which workers go on with. Safe to repeat.

    `accounts` are `namespace/name`; none means all. `get_run` says how far it is.
    """
    body: JSON = {"month": month}
    if accounts:
        body["accounts"] = list(accounts)
    return api.json("POST", RUNS, body=body)


def get_run(api: ApiClient, id: str) -> JSON:
    """How far a run has come: `{state, total, done, issued, unchanged, skipped, failed, secondsLeft, …}`.

    `followedBy` is the id of the run over what this one left, or None: it is there once this one is finished.
    """
    return api.json("GET", f"{RUNS}/{quote(id)}")


def list_runs(api: ApiClient) -> list[JSON]:
    """The runs that were opened last, the newest first."""
    return cast("list[JSON]", api.json("GET", RUNS).get("items") or [])


def list_run_accounts(api: ApiClient, id: str, *, state: str | None = None) -> Iterator[RunLine]:
    """What became of each account that the run has been over, in order; only those of one state where it is given."""
    params = {} if state is None else {"state": state}
    keys = ("account", "state", "invoice", "number", "total", "currency", "reason")
    while True:
        page = api.json("GET", f"{RUNS}/{quote(id)}/accounts", params=params)
        for line in cast("list[JSON]", page.get("items") or []):
            yield RunLine(*(str(line.get(key) or "") for key in keys))
        after = next_page(page)
        if not after:
            return
        params = {**params, "continue": after}


def totals_of(*runs: JSON) -> RunTotals:
    """How many accounts these runs have ended with so far, by what became of them."""
    return RunTotals(
        *(sum(int(run[key]) for run in runs) for key in ("issued", "unchanged", "skipped", "failed"))
    )


def run_invoices(
    api: ApiClient, *, month: str, accounts: Sequence[str] = ()
) -> Iterator[RunLine | RunTotals]:
    """Issue the invoices of a month and wait until it is done: a line an account, then totals. See `open_run`.

    What follows the run is waited for, too: an account that is gone over again has a line of its own for that.
    """
    done: list[JSON] = []
    run = open_run(api, month=month, accounts=accounts)
    while True:
        while run["state"] != "finished":
            time.sleep(ASK_AGAIN_S)
            run = get_run(api, run["id"])
        yield from list_run_accounts(api, run["id"])
        done.append(run)
        if run["followedBy"] is None:
            break
        run = get_run(api, run["followedBy"])
    yield totals_of(*done)


def open_printing(api: ApiClient, *, month: str | None, namespace: str | None) -> JSON:
    """Have the server write the PDFs that are missing: the printing, which workers go on with. Safe to repeat.

    Of invoices of `month` (YYYY-MM), None for all, of `namespace`, None for all, and of credit notes over them.
    """
    asked = {"month": month, "namespace": namespace}
    return api.json("POST", PRINTINGS, body={key: value for key, value in asked.items() if value is not None})


def get_printing(api: ApiClient, id: str) -> JSON:
    """How far a printing has come: `{state, total, done, printed, failed, failures, …}`."""
    return api.json("GET", f"{PRINTINGS}/{quote(id)}")


def get_invoice_lines(api: ApiClient, *, namespace: str, name: str) -> list[JSON]:
    """The lines of an invoice, all pages."""
    path = f"{BILLING}/namespaces/{quote(namespace)}/invoices/{quote(name)}/lines"
    lines: list[JSON] = []
    params: dict[str, str] = {}
    while True:
        page = api.json("GET", path, params=params)
        lines += cast("list[JSON]", page.get("items") or [])
        after = next_page(page)
        if not after:
            return lines
        params = {"continue": after}


def get_invoice_details(api: ApiClient, *, namespace: str, name: str) -> Iterator[bytes]:
    """The invoice as CSV, in pieces: its lines by project, dimension set and day."""
    return api.download(f"{_document_path('invoices', namespace, name)}/details", params={})


def get_invoice_pdf(api: ApiClient, *, namespace: str, name: str) -> bytes:
    """The invoice as a PDF."""
    return get_invoice_document(api, namespace=namespace, name=name, kind="pdf")


def get_invoice_document(
    api: ApiClient,
    *,
    namespace: str,
    name: str,
    kind: Literal["pdf", "ubl", "cii"],
    plural: DocumentPlural = "invoices",
) -> bytes:
    """An invoice or credit note as a PDF, or as an electronic one after EN 16931 in UBL or CII."""
    accept = "application/pdf" if kind == "pdf" else "application/xml"
    return api.request("GET", f"{_document_path(plural, namespace, name)}/{kind}", accept=accept).content


def validate_invoice(
    api: ApiClient, *, namespace: str, name: str, plural: DocumentPlural = "invoices"
) -> JSON:
    """What the rules of EN 16931 say against it: `{valid, documents: {ubl: […], cii: […]}}`."""
    return api.json("GET", f"{_document_path(plural, namespace, name)}/validation")


def _document_path(plural: DocumentPlural, namespace: str, name: str) -> str:
    below = f"{BILLING}/namespaces/{quote(namespace)}"
    if plural == "cancellations":
        return f"{below}/creditnotes/{quote(name)}/cancellation"
    return f"{below}/{plural}/{quote(name)}"


def get_payer(api: ApiClient, *, project: str, at: str | None = None) -> JSON:
    """Who pays for a project at an instant (now when not given): `{project, at, account, since, until}`."""
    params = {"at": at} if at else None
    return api.json("GET", f"/v1/projects/{quote(project)}/payer", params=params)


def verify_audit(api: ApiClient, *, chain: int | None = None) -> JSON:
    """Recompute the audit chains on the server: `{ok, chains: [{chain, records, ok, firstBroken}]}`."""
    return api.json("GET", "/v1/audit/verify", params={"chain": str(chain)} if chain is not None else None)


def create_token(api: ApiClient, *, namespace: str, name: str, expiration_s: int | None = None) -> JSON:
    """A new bearer token of a ServiceAccount: `{token, expiresAt}`. The server keeps only its hash."""
    path = f"{IAM}/namespaces/{quote(namespace)}/serviceaccounts/{quote(name)}/token"
    return api.json("POST", path, body={"expirationSeconds": expiration_s} if expiration_s else {})
