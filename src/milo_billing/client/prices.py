"""How prices come about, asked of the server."""

from milo_billing.client.http import JSON, ApiClient


def explain_price(api: ApiClient, *, account: str, sku: str, quantity: str, at: str | None = None) -> JSON:
    """Every step from a quantity, in the meter's unit, to what the account (`namespace/name`) would pay for it."""
    params = {"account": account, "sku": sku, "quantity": quantity, **({"at": at} if at else {})}
    return api.json("GET", "/v1/prices:explain", params=params)
