"""What providers of payments paid out to the bank."""

from typing import cast
from urllib.parse import quote

from milo_billing.client.http import JSON, ApiClient

PAYOUTS = "/v1/payments/payouts"


def list_payouts(api: ApiClient, *, limit: int) -> list[JSON]:
    """The payouts that were heard of last, the newest first."""
    return cast("list[JSON]", api.json("GET", PAYOUTS, params={"limit": str(limit)})["items"])


def fetch_payouts(api: ApiClient) -> JSON:
    """Have workers ask providers for payouts of which no webhook came."""
    return api.json("POST", f"{PAYOUTS}/fetch")


def accept_payout(api: ApiClient, *, class_name: str, reference: str) -> JSON:
    """Have a payout booked that waits, with what nobody knows."""
    return api.json("POST", f"{PAYOUTS}/{quote(class_name)}/{quote(reference)}/accept")
