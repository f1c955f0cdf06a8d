"""What becomes of invoices: settlements, taking back, giving up. Declared objects are read through client.objects."""

from typing import Literal
from urllib.parse import quote

from milo_billing.client.billing import BILLING
from milo_billing.client.http import JSON, ApiClient


def list_settlements(api: ApiClient, *, namespace: str, name: str) -> list[JSON]:
    """What became of the invoice, in order: `{step, kind, reference, amount, phase, at, reason}`."""
    answer = api.json("GET", f"{_invoice(namespace, name)}/settlements")
    found: list[JSON] = answer["items"]
    return found


def list_adjustments(api: ApiClient, *, namespace: str, name: str) -> JSON:
    """What the invoice came to since it was issued: `{items, open: {amount, charged, givenBack}}`."""
    return api.json("GET", f"{_invoice(namespace, name)}/adjustments")


def adjust_invoice(api: ApiClient, *, namespace: str, name: str) -> JSON:
    """Charge and give back at once what the invoice came to since: `{invoice, creditNotes}`."""
    return api.json("POST", f"{_invoice(namespace, name)}/adjust")


def issue_final_invoice(api: ApiClient, *, namespace: str, name: str) -> JSON:
    """Issue the last invoice of the account that is being closed: `{account, issued, reason, invoice}`."""
    path = f"{BILLING}/namespaces/{quote(namespace)}/billingaccounts/{quote(name)}/finalInvoice"
    return api.json("POST", path)


def act_on_invoice(
    api: ApiClient, *, namespace: str, name: str, action: Literal["void", "writeOff"], reason: str
) -> JSON:
    """Take an unpaid invoice back as a whole, or give up what is due of it; the invoice as it is then."""
    return api.json("POST", f"{_invoice(namespace, name)}/{action}", body={"reason": reason})


def issue_credit_note(api: ApiClient, *, namespace: str, spec: JSON) -> JSON:
    """Issue a credit note, which cannot be taken back; the note with its number."""
    body = {
        "apiVersion": "billing.miloapis.com/v1alpha1",
        "kind": "CreditNote",
        "metadata": {"generateName": f"{spec['invoiceRef']['name']}-"},
        "spec": spec,
    }
    return api.json("POST", f"{BILLING}/namespaces/{quote(namespace)}/creditnotes", body=body)


def _invoice(namespace: str, name: str) -> str:
    return f"{BILLING}/namespaces/{quote(namespace)}/invoices/{quote(name)}"
