"""One request written by hand, and the addresses and objects that such requests are about."""

import json
from dataclasses import dataclass, field
from typing import Any

from tests.contract.examples import ACCOUNT, ACME

BILLING = "/apis/billing.miloapis.com/v1alpha1"
IAM = "/apis/iam.miloapis.com/v1alpha1"
ACCOUNTS = f"{BILLING}/namespaces/{ACME}/billingaccounts"
ACCOUNT_PATH = f"{ACCOUNTS}/main"
BINDINGS = f"{BILLING}/namespaces/{ACME}/billingaccountbindings"
LINES = f"{BILLING}/namespaces/{ACME}/invoices/x/lines"
PROJECTS = "/apis/resourcemanager.miloapis.com/v1alpha1/projects"
BOOK = f"{BILLING}/pricebooks/list-usd-2026"
TOKEN = f"{IAM}/namespaces/{ACME}/serviceaccounts/meter/token"
REVIEW = "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews"
RULES = "/apis/authorization.k8s.io/v1/selfsubjectrulesreviews"
SELF = "/apis/authentication.k8s.io/v1/selfsubjectreviews"
EVENTS = "/v1/usage/events"
BATCH = "/v1/usage/events:batchIngest"
IMPORTS = "/v1/usage/imports"
CHUNKS = f"{IMPORTS}/00000000-0000-4000-8000-000000000001/chunks"
RUNS = "/v1/invoicing/runs"

JSON = "application/json"
MERGE = "application/merge-patch+json"
JSON_PATCH = "application/json-patch+json"
APPLY = "application/apply-patch+yaml"
YAML = "application/yaml"
PROTOBUF = "application/vnd.kubernetes.protobuf"

DEPTH = 10_000
LONG_DIGITS = "9" * 5000
"""More digits than Python reads as a number."""

HEAD = b"apiVersion: billing.miloapis.com/v1alpha1\nkind: BillingAccount\nmetadata: {name: fresh}\n"


@dataclass(frozen=True)
class Nasty:
    """One request; `codes` are the answers that are right, any below 500 where there are none."""

    what: str
    method: str
    path: str
    body: bytes = b""
    type: str = JSON
    codes: tuple[int, ...] = ()
    headers: dict[str, bytes | str] = field(default_factory=dict[str, bytes | str])


def encoded(value: Any) -> bytes:
    """As JSON, with every character that is not ASCII escaped: half of a surrogate pair can be sent so."""
    return json.dumps(value).encode()


def account(**changed: Any) -> dict[str, Any]:
    """A good account with changes to its spec, its metadata or itself."""
    made = json.loads(json.dumps(ACCOUNT))
    made["metadata"]["name"] = "fresh"
    made["spec"] |= changed.pop("spec", {})
    made["metadata"] |= changed.pop("metadata", {})
    return {**made, **changed}


def event(**changed: Any) -> dict[str, Any]:
    """A good event with other attributes."""
    return {
        "specversion": "1.0",
        "id": "nasty-1",
        "source": "nasty",
        "type": "api.example.com/requests",
        "subject": "projects/web",
        "time": "2026-10-01T00:00:00Z",
        "data": {"value": "1", "dimensions": {}},
        **changed,
    }
