"""What an invoice would be, and how a line of one came about, asked of the server."""

from urllib.parse import quote

from milo_billing.client.billing import BILLING
from milo_billing.client.http import JSON, ApiClient


def preview_invoice(api: ApiClient, *, account: str, month: str | None = None, by: str = "sku") -> JSON:
    """The invoice of an account (`namespace/name`) as it stands now: the one that holds the month, or the running one.

    `by` groups what is owed: sku, each with its projects, or project, each with its Skus.
    """
    namespace, _, name = account.partition("/")
    params = {"namespace": namespace, "account": name, "by": by, **({"month": month} if month else {})}
    return api.json("GET", "/v1/invoicing/preview", params=params)


def explain_line(api: ApiClient, *, namespace: str, name: str, line: int) -> JSON:
    """Every step from what was metered to the line's amount, and whether it comes out the same again."""
    path = f"{BILLING}/namespaces/{quote(namespace)}/invoices/{quote(name)}/lines/{line}/explanation"
    return api.json("GET", path)
