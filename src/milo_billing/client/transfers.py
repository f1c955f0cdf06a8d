"""Customers' money that goes back by bank transfer, and the files that ask the bank to pay it."""

from typing import cast
from urllib.parse import quote

from milo_billing.client.http import JSON, ApiClient

TRANSFERS = "/v1/payments/transfers"
FILES = "/v1/payments/transfer-files"


def request_transfer(api: ApiClient, **fields: str) -> JSON:
    """Ask for money to go back: account, reason; amount, iban, holder, bic, issuer."""
    return api.json("POST", TRANSFERS, body=fields)


def list_transfers(api: ApiClient, *, limit: int) -> list[JSON]:
    """Transfers, the newest first."""
    return cast("list[JSON]", api.json("GET", TRANSFERS, params={"limit": str(limit)})["items"])


def cancel_transfer(api: ApiClient, end_to_end_id: str, *, reason: str) -> JSON:
    """Pay nothing of what was asked for."""
    path = f"{TRANSFERS}/{quote(end_to_end_id, safe='')}/cancel"
    return api.json("POST", path, body={"reason": reason})


def note_not_executed(api: ApiClient, end_to_end_id: str, *, reason: str) -> JSON:
    """Say that the bank has not paid it."""
    path = f"{TRANSFERS}/{quote(end_to_end_id, safe='')}/not-executed"
    return api.json("POST", path, body={"reason": reason})


def make_transfer_file(api: ApiClient, *, execute_on: str | None, issuer: str | None, dry_run: bool) -> JSON:
    """The file of what is wanted: `{messageId, issuer, executeOn, total, transfers, dryRun}`."""
    asked = {"executeOn": execute_on, "issuer": issuer}
    body = {name: value for name, value in asked.items() if value}
    return api.json("POST", FILES, body=body, params={"dryRun": "true"} if dry_run else {})


def list_transfer_files(api: ApiClient, *, limit: int) -> list[JSON]:
    """The files that were made last."""
    return cast("list[JSON]", api.json("GET", FILES, params={"limit": str(limit)})["items"])


def get_transfer_file(api: ApiClient, message_id: str) -> bytes:
    """The file as banks take it."""
    return api.request("GET", f"{FILES}/{quote(message_id)}", accept="application/xml").content
