"""An account's credit: its balance, its history, and granting it."""

from urllib.parse import quote

from milo_billing.client.billing import BILLING
from milo_billing.client.http import JSON, ApiClient

CREDITS = "/v1/invoicing/credits"


def show_credits(api: ApiClient, *, namespace: str, account: str) -> JSON:
    """What an invoice issued now could use, by kind, the grants, and what is on account besides."""
    return api.json("GET", f"{CREDITS}?namespace={quote(namespace)}&account={quote(account)}")


def list_history(api: ApiClient, *, namespace: str, account: str, grant: str | None = None) -> JSON:
    """What became of the account's credit, or of one grant, the newest first."""
    query = f"namespace={quote(namespace)}&account={quote(account)}"
    if grant is not None:
        query += f"&grant={quote(grant)}"
    return api.json("GET", f"{CREDITS}/history?{query}")


def grant_credit(api: ApiClient, *, namespace: str, name: str | None, spec: JSON) -> JSON:
    """Grant credit, which cannot be taken back but for what is left; the object as it stands."""
    kind = spec["kind"].lower()
    metadata = {"generateName": f"{kind}-"} if name is None else {"name": name}
    body = {
        "apiVersion": "billing.miloapis.com/v1alpha1",
        "kind": "CreditGrant",
        "metadata": metadata,
        "spec": spec,
    }
    return api.json("POST", f"{BILLING}/namespaces/{quote(namespace)}/creditgrants", body=body)


def revoke_credit(api: ApiClient, *, namespace: str, name: str, reason: str) -> JSON:
    """Take back what is left of a grant; the object as it is then."""
    path = f"{BILLING}/namespaces/{quote(namespace)}/creditgrants/{quote(name)}/revoke"
    return api.json("POST", path, body={"reason": reason})
