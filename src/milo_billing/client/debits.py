"""SEPA mandates, and files of direct debits."""

from typing import cast
from urllib.parse import quote

from milo_billing.client.http import JSON, ApiClient

MANDATES = "/v1/payments/mandates"
FILES = "/v1/payments/debit-files"


def add_mandate(api: ApiClient, **fields: str) -> JSON:
    """Take down a mandate: account, holder, iban, signedOn; reference, bic, scheme."""
    return api.json("POST", MANDATES, body=fields)


def list_mandates(api: ApiClient, *, limit: int) -> list[JSON]:
    """Mandates, the newest first."""
    return cast("list[JSON]", api.json("GET", MANDATES, params={"limit": str(limit)})["items"])


def revoke_mandate(api: ApiClient, reference: str, *, reason: str) -> JSON:
    """Debit nothing under the mandate any more."""
    return api.json("POST", f"{MANDATES}/{quote(reference, safe='')}/revoke", body={"reason": reason})


def make_debit_file(
    api: ApiClient, *, collect_on: str | None, pre_notification_days: int | None, dry_run: bool
) -> JSON:
    """The file of what is due: `{messageId, collectOn, total, debits, dryRun}`."""
    body = {
        **({"collectOn": collect_on} if collect_on else {}),
        **({} if pre_notification_days is None else {"preNotificationDays": pre_notification_days}),
    }
    return api.json("POST", FILES, body=body, params={"dryRun": "true"} if dry_run else {})


def send_debit_answer(api: ApiClient, *, content: bytes) -> list[str]:
    """Bring in a bank's answer (pain.002): the end-to-end ids of what it refused."""
    path = "/v1/payments/debit-answers"
    answer = api.json("POST", path, body=content, content_type="application/octet-stream")
    return cast("list[str]", answer["refused"])


def get_debit_file(api: ApiClient, message_id: str) -> bytes:
    """The file as banks take it."""
    return api.request("GET", f"{FILES}/{quote(message_id)}", accept="application/xml").content
