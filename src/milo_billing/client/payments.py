"""Calls about payments that are not declared objects: collect, refund, secrets of a class, set-up."""

from collections.abc import Iterator, Mapping, Sequence
from typing import cast
from urllib.parse import quote

from milo_billing.client.http import JSON, ApiClient, next_page

PAYMENTS = "/v1/payments"


def collect_payments(api: ApiClient, *, accounts: Sequence[str] = (), again: bool = False) -> Iterator[JSON]:
    """Ask for the money of what is due: `{invoice, state, payment, amount, …}` an invoice. Safe to repeat.

    `accounts` are `namespace/name`, none means all. `again` asks now, whatever the schedule of retries says.
    """
    body: JSON = {"again": again}
    if accounts:
        body["accounts"] = list(accounts)
    while True:
        page = api.json("POST", f"{PAYMENTS}/collect", body=body)
        yield from cast("list[JSON]", page.get("items") or [])
        after = next_page(page)
        if not after:
            return
        body["continue"] = after


def refund_payment(
    api: ApiClient, *, namespace: str, name: str, amount: str | None, reason: str, reopen: bool
) -> JSON:
    """Give back a payment, or `amount` of it: `{payment, number, amount, currencyCode, source, state}`."""
    path = f"/apis/billing.miloapis.com/v1alpha1/namespaces/{quote(namespace)}/payments/{quote(name)}/refund"
    body: JSON = {"reason": reason, "reopen": reopen}
    return api.json("POST", path, body={**body, "amount": amount} if amount is not None else body)


def set_payment_secrets(api: ApiClient, *, name: str, secrets: Mapping[str, str]) -> JSON:
    """Keep the secrets of a payment method class; they cannot be read again."""
    return api.json("POST", f"{PAYMENTS}/classes/{quote(name)}/secrets", body={"secrets": dict(secrets)})


def begin_method_setup(api: ApiClient, *, namespace: str, name: str) -> JSON:
    """What a browser needs to enter a payment method at its provider: `{state, clientSecret, parameters}`."""
    return api.json("POST", f"{PAYMENTS}/methods/{quote(namespace)}/{quote(name)}/setup")
