"""Bank statements and the worklist of entries that wait for a person."""

from collections.abc import Sequence
from typing import cast
from urllib.parse import quote

from milo_billing.client.http import JSON, ApiClient

STATEMENTS = "/v1/payments/statements"
WORKLIST = "/v1/payments/worklist"


def import_statements(api: ApiClient, *, content: bytes, dry_run: bool) -> JSON:
    """Bring in a file of camt.053 or MT940: `{digest, dryRun, statements}`."""
    params = {"dryRun": "true"} if dry_run else {}
    return api.json("POST", STATEMENTS, params=params, body=content, content_type="application/octet-stream")


def list_statements(api: ApiClient, *, limit: int) -> list[JSON]:
    """The statements that were brought in last, the newest first."""
    return cast("list[JSON]", api.json("GET", STATEMENTS, params={"limit": str(limit)})["items"])


def list_worklist(api: ApiClient, *, limit: int) -> list[JSON]:
    """Entries that wait, each with `candidates`, the likeliest first."""
    return cast("list[JSON]", api.json("GET", WORKLIST, params={"limit": str(limit)})["items"])


def assign_entry(
    api: ApiClient, entry: str, *, invoices: Sequence[tuple[str, str | None]], account: str | None
) -> JSON:
    """Say which invoices (namespace/name, amount or None) an entry pays, or whose account takes the money."""
    chosen = [{"invoice": name, **({"amount": amount} if amount else {})} for name, amount in invoices]
    body = {"invoices": chosen, **({"account": account} if account else {})}
    return api.json("POST", f"{WORKLIST}/{quote(entry)}/assign", body=body)


def ignore_entry(api: ApiClient, entry: str, *, reason: str) -> JSON:
    """Take an entry off the worklist."""
    return api.json("POST", f"{WORKLIST}/{quote(entry)}/ignore", body={"reason": reason})
