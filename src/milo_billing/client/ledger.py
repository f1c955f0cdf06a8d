"""The books: what stands in them, what customers owe, closing a month, the books as text."""

from collections.abc import Iterator, Mapping
from typing import cast
from urllib.parse import quote

from milo_billing.client.http import JSON, ApiClient, next_page

LEDGER = "/v1/ledger"


def get_chart(api: ApiClient) -> list[JSON]:
    """Every account of the books: `{account, type, about, per}`."""
    return cast("list[JSON]", api.json("GET", f"{LEDGER}/chart")["items"])


def get_trial_balance(api: ApiClient, *, entity: str | None = None, at: str | None = None) -> JSON:
    """Debits and credits of every account, and `totals`, whose balance is zero."""
    return api.json("GET", f"{LEDGER}/trial-balance", params=_given(entity=entity, at=at))


def list_entries(api: ApiClient, filters: Mapping[str, str]) -> Iterator[JSON]:
    """Transactions with their entries, all pages. `filters`: entity, ledgerAccount, account, from, to."""
    return _pages(api, f"{LEDGER}/entries", filters)


def get_statement(
    api: ApiClient, *, namespace: str, name: str, first: str | None = None, last: str | None = None
) -> JSON:
    """What a billing account owed and what moved it, all pages: `{opening, items, firstDay, endDay}`."""
    path = f"{LEDGER}/accounts/{quote(namespace)}/{quote(name)}/statement"
    params = _given(**{"from": first, "to": last})
    found = page = api.json("GET", path, params=params)
    while after := next_page(page):
        page = api.json("GET", path, params={**params, "continue": after})
        found["items"] = [*cast("list[JSON]", found["items"]), *cast("list[JSON]", page["items"])]
    return found


def list_aged(api: ApiClient, *, at: str | None = None) -> Iterator[JSON]:
    """What each billing account owes, by how many days it is overdue, all pages."""
    return _pages(api, f"{LEDGER}/aged-receivables", _given(at=at))


def verify_books(api: ApiClient) -> JSON:
    """Recompute the books and compare them with invoices: `{ok, checked, differences}`."""
    return api.json("GET", f"{LEDGER}/verify")


def close_month(api: ApiClient, *, entity: str, month: str) -> JSON:
    """Close a month (YYYY-MM) for good: `{closed, month, closedAt, closedBy}`; not `closed` where it was already."""
    return api.json("POST", f"{LEDGER}/closings", body={"entity": entity, "month": month})


def accrue_month(api: ApiClient, *, entity: str, month: str) -> Iterator[JSON]:
    """Accrue what was earned in the month and is not invoiced: `{posted, unchanged, nothing, failed}` a request."""
    body: JSON = {"entity": entity, "month": month}
    while True:
        done = api.json("POST", f"{LEDGER}/accruals", body=body)
        yield done
        after = next_page(done)
        if not after:
            return
        body["continue"] = after


def list_closings(api: ApiClient) -> list[JSON]:
    """The months that are closed, the last one first."""
    return cast("list[JSON]", api.json("GET", f"{LEDGER}/closings")["items"])


def export_books(api: ApiClient, filters: Mapping[str, str]) -> Iterator[bytes]:
    """The books as text, in pieces. `filters` as for `list_entries`, and `format`: ledger, beancount or csv."""
    return api.download(f"{LEDGER}/export", params=filters)


def _pages(api: ApiClient, path: str, params: Mapping[str, str]) -> Iterator[JSON]:
    page = api.json("GET", path, params=params)
    yield from cast("list[JSON]", page["items"])
    while after := next_page(page):
        page = api.json("GET", path, params={**params, "continue": after})
        yield from cast("list[JSON]", page["items"])


def _given(**params: str | None) -> dict[str, str]:
    return {name: value for name, value in params.items() if value}
