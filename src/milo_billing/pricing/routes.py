"""HTTP: how a price comes about; exchange rates, to read and to bring in."""

import re
from collections.abc import Mapping
from datetime import UTC, date, datetime
from fractions import Fraction
from typing import Final

from anyio import to_thread
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from milo_billing.accounts.reads import accounts as account_reads
from milo_billing.accounts.types import AccountNotFound
from milo_billing.controlplane.doors import Door
from milo_billing.controlplane.edge import read_body
from milo_billing.kernel.errors import BadRequest
from milo_billing.kernel.periods import local_midnight
from milo_billing.pricing import operations, reads
from milo_billing.pricing.rules.representations import explanation_body, rate_body

READ_RATES: Final = "billing.miloapis.com/exchangerates.get"
IMPORT_RATES: Final = "billing.miloapis.com/exchangerates.import"
EXPLAIN: Final = "billing.miloapis.com/prices.get"

FILE_BYTES_MAX: Final = 8 * 1024 * 1024
"""Of a file of rates as it is sent; the whole history since 1999 is 1.9 MB, and 0.6 zipped."""

_CURRENCY = re.compile(r"[A-Z]{3}")
_DAY = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")
_INSTANT = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9:.]{8,15}(Z|[+-][0-9]{2}:[0-9]{2})")
_QUANTITY = re.compile(r"[0-9]{1,18}(\.[0-9]{1,12})?")


def routes(door: Door) -> list[Route]:
    """`GET /v1/prices:explain`, `GET /v1/rates` and `POST /v1/rates/imports`."""

    def show_rate(request: Request) -> Response:
        query = request.query_params
        from_currency, to_currency = currency_of(query, "from"), currency_of(query, "to")
        wanted = day_of(query, "at")
        with door.open(request, permission=READ_RATES) as call:
            found = reads.get_rate(
                call.tx,
                from_currency=from_currency,
                to_currency=to_currency,
                on=wanted or call.now.date(),
            )
        return JSONResponse(rate_body(found))

    async def import_rates(request: Request) -> Response:
        content = await read_body(request, bytes_max=FILE_BYTES_MAX)
        return await to_thread.run_sync(import_content, request, content)

    def import_content(request: Request, content: bytes) -> Response:
        with door.open(request, permission=IMPORT_RATES) as call:
            done = operations.import_rates(call.tx, content=content, now=call.now)
        return JSONResponse(
            {
                "source": done.source,
                "firstDay": done.first_day.isoformat(),
                "lastDay": done.last_day.isoformat(),
                "added": done.added,
                "known": done.known,
            }
        )

    def explain_price(request: Request) -> Response:
        query = request.query_params
        sku, metered = query.get("sku", ""), quantity_of(query)
        namespace, _, name = query.get("account", "").partition("/")
        if not (namespace and name and sku):
            raise BadRequest('the parameters "account", as namespace/name, and "sku" must be given')
        with door.open(request, permission=EXPLAIN) as call:
            account = account_reads.find_account(call.tx, namespace=namespace, name=name)
            if account is None:
                raise AccountNotFound(f'billing account "{namespace}/{name}" not found')
            at = instant_of(query, zone=account.time_zone) or call.now
            found = operations.explain_price(call.tx, payer=account, sku=sku, at=at, metered=metered)
        return JSONResponse(explanation_body(found, account=f"{namespace}/{name}"))

    return [
        Route("/v1/prices:explain", explain_price, methods=["GET"]),
        Route("/v1/rates", show_rate, methods=["GET"]),
        Route("/v1/rates/imports", import_rates, methods=["POST"]),
    ]


def currency_of(query: Mapping[str, str], name: str) -> str:
    """A currency among the parameters. Raises BadRequest."""
    text = query.get(name, "")
    if not _CURRENCY.fullmatch(text):
        raise BadRequest(f'parameter "{name}": {text!r} is not a currency such as USD')
    return text


def day_of(query: Mapping[str, str], name: str) -> date | None:
    """A day among the parameters; None where there is none. Raises BadRequest."""
    text = query.get(name, "")
    if not text:
        return None
    try:
        if _DAY.fullmatch(text):
            return date.fromisoformat(text)
    except ValueError as error:
        raise BadRequest(f'parameter "{name}": {text!r} is not a day of the calendar') from error
    raise BadRequest(f'parameter "{name}": {text!r} is not a day such as 2026-10-31')


def instant_of(query: Mapping[str, str], *, zone: str) -> datetime | None:
    """The instant that is asked about, an RFC 3339 timestamp or a day, which is its midnight in the zone.

    None where there is none. Raises BadRequest.
    """
    text = query.get("at", "")
    try:
        if _DAY.fullmatch(text):
            return local_midnight(date.fromisoformat(text), zone=zone)
        if _INSTANT.fullmatch(text):
            return datetime.fromisoformat(text).astimezone(UTC)
    except (ValueError, OverflowError) as error:
        raise BadRequest(f'parameter "at": {text!r} is not a time of the calendar') from error
    if not text:
        return None
    raise BadRequest(f'parameter "at": {text!r} is neither a day nor a time such as 2026-10-31T12:00:00Z')


def quantity_of(query: Mapping[str, str]) -> Fraction:
    """How much is asked about, in the meter's unit. Raises BadRequest."""
    text = query.get("quantity", "")
    if not _QUANTITY.fullmatch(text):
        raise BadRequest(f'parameter "quantity": {text!r} is not a number such as 1500000')
    return Fraction(text)
