"""Invoices, payers, audit and tokens: what is not a declared object but has its own call.

Owns: those calls. Not: declared objects (objects) and usage (usage).
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import cast
from urllib.parse import quote

from milo_billing.client.errors import ApiError
from milo_billing.client.http import JSON, ApiClient, next_page

BILLING = "/apis/billing.miloapis.com/v1alpha1"
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


def run_invoices(
    api: ApiClient, *, month: str, accounts: Sequence[str] = ()
) -> Iterator[RunLine | RunTotals]:
    """Issue the invoices of a month (YYYY-MM); safe to repeat. Yields a line an account as it is done, then
    totals.

    `accounts` are `namespace/name`; none means all. Raises ApiError if the run breaks off before its totals.
    """
    body: JSON = {"month": month}
    if accounts:
        body["accounts"] = list(accounts)
    finished = False
    for line in api.stream("POST", "/v1/invoicing/runs", body=body):
        if line.get("done"):
            finished = True
            counts = (int(line.get(key, 0)) for key in ("issued", "unchanged", "skipped", "failed"))
            yield RunTotals(*counts)
        else:
            keys = ("account", "state", "invoice", "number", "total", "currency", "reason")
            yield RunLine(*(str(line.get(key) or "") for key in keys))
    if not finished:
        raise ApiError(
            "The run broke off before it was done; what was issued stays issued.",
            code=500,
            reason="RunInterrupted",
            where="POST /v1/invoicing/runs",
        )


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


def get_invoice_pdf(api: ApiClient, *, namespace: str, name: str) -> bytes:
    """The invoice as a PDF."""
    path = f"{BILLING}/namespaces/{quote(namespace)}/invoices/{quote(name)}/pdf"
    return api.request("GET", path, accept="application/pdf").content


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
