"""Commitments: how they stand, and accepting them. Declared objects are read through client.objects."""

from urllib.parse import quote

from milo_billing.client.billing import BILLING
from milo_billing.client.http import JSON, ApiClient


def get_commitment_summary(api: ApiClient, *, namespace: str, name: str) -> JSON:
    """How a commitment stands now: `{commitment, at, currencyCode, accepted, items}`, an item a running interval."""
    return api.json("GET", f"{_path(namespace, name)}/summary")


def accept_commitment(api: ApiClient, *, namespace: str, name: str) -> JSON:
    """Accept it in the caller's name; the commitment as it stands then. Accepting again changes nothing."""
    return api.json("POST", f"{_path(namespace, name)}/accept", body={})


def _path(namespace: str, name: str) -> str:
    return f"{BILLING}/namespaces/{quote(namespace)}/commitments/{quote(name)}"
