"""VAT numbers of accounts at the server: have one checked, or note what a register said."""

from milo_billing.client.http import JSON, ApiClient


def check_vat_number(
    api: ApiClient, *, account: str, valid: bool | None = None, source: str = "", reference: str = ""
) -> JSON:
    """What was answered about the number of the account, given as namespace/name.

    With `valid` that is kept, as `source` said it; else the server asks its register. Raises ApiError.
    """
    answer = {} if valid is None else {"valid": valid, "source": source, "reference": reference}
    return api.json("POST", "/v1/invoicing/vat-checks", body={"account": account, **answer})
