"""Exchange rates: what is kept on the server, and bringing more in."""

from milo_billing.client.http import JSON, ApiClient


def get_rate(api: ApiClient, *, from_currency: str, to_currency: str, at: str | None = None) -> JSON:
    """The rate last published on a day (today when not given) or before: `{from, to, rate, day, source, perEuro}`."""
    params = {"from": from_currency, "to": to_currency, **({"at": at} if at else {})}
    return api.json("GET", "/v1/rates", params=params)


def import_rates(api: ApiClient, *, content: bytes) -> JSON:
    """Bring in a file as the European Central Bank publishes it: `{source, firstDay, lastDay, added, known}`."""
    return api.json("POST", "/v1/rates/imports", body=content, content_type="application/octet-stream")
