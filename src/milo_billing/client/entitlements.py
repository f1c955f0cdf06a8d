"""What may be used, asked of the server."""

from typing import cast

from milo_billing.client.billing import BILLING
from milo_billing.client.generated import EntitlementReview
from milo_billing.client.http import ApiClient


def review_entitlement(api: ApiClient, *, project: str, service: str) -> EntitlementReview:
    """Whether a project may use a service now: `status` has `allowed`, `reason`, `message` and what decided."""
    body = {
        "apiVersion": "billing.miloapis.com/v1alpha1",
        "kind": "EntitlementReview",
        "spec": {"projectRef": {"name": project}, "serviceRef": {"name": service}},
    }
    return cast("EntitlementReview", api.json("POST", f"{BILLING}/entitlementreviews", body=body))
