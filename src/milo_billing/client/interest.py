"""Interest on what is paid late: what stands, and charging it."""

from collections.abc import Iterator
from typing import cast
from urllib.parse import quote

from milo_billing.client.billing import BILLING
from milo_billing.client.http import JSON, ApiClient, next_page

INTEREST = "/v1/invoicing/interest"


def list_interest(api: ApiClient, *, account: tuple[str, str] | None = None) -> Iterator[JSON]:
    """Interest on every overdue invoice, or on those of one account as (namespace, name), page by page."""
    params = {} if account is None else {"namespace": account[0], "account": account[1]}
    while True:
        page = api.json("GET", INTEREST, params=params)
        yield from cast("list[JSON]", page["items"])
        after = next_page(page)
        if not after:
            return
        params = {**params, "continue": after}


def charge_interest(api: ApiClient, *, namespace: str, name: str) -> JSON:
    """Invoice the account's interest of whole months, give back what is not owed: `{account, invoices, givenBack}`."""
    path = f"{BILLING}/namespaces/{quote(namespace)}/billingaccounts/{quote(name)}/chargeInterest"
    return api.json("POST", path)
