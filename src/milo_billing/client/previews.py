"""What an invoice would be, asked of the server."""

from milo_billing.client.http import JSON, ApiClient


def preview_invoice(api: ApiClient, *, account: str, month: str | None = None, by: str = "sku") -> JSON:
    """The invoice of an account (`namespace/name`) as it stands now: the one that holds the month, or the running one.

    `by` groups what is owed: sku, each with its projects, or project, each with its Skus.
    """
    namespace, _, name = account.partition("/")
    params = {"namespace": namespace, "account": name, "by": by, **({"month": month} if month else {})}
    return api.json("GET", "/v1/invoicing/preview", params=params)
