"""HTTP: exchange rates, to read and to bring in."""

import re
from collections.abc import Mapping
from datetime import date
from typing import Any, Final

from anyio import to_thread
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from milo_billing.controlplane.doors import Door
from milo_billing.controlplane.edge import read_body
from milo_billing.kernel.errors import BadRequest
from milo_billing.kernel.quantity import shown_decimal
from milo_billing.pricing import operations, reads
from milo_billing.pricing.types import ExchangeRate

READ_RATES: Final = "billing.miloapis.com/exchangerates.get"
IMPORT_RATES: Final = "billing.miloapis.com/exchangerates.import"

RATE_PLACES_MAX: Final = 12
"""Decimals of a rate as it is shown; the exact one is the ratio of the two legs."""

FILE_BYTES_MAX: Final = 8 * 1024 * 1024
"""Of a file of rates as it is sent; the whole history since 1999 is 1.9 MB, and 0.6 zipped."""

_CURRENCY = re.compile(r"[A-Z]{3}")
_DAY = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")


def routes(door: Door) -> list[Route]:
    """`GET /v1/rates` and `POST /v1/rates/imports`."""

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

    return [
        Route("/v1/rates", show_rate, methods=["GET"]),
        Route("/v1/rates/imports", import_rates, methods=["POST"]),
    ]


def rate_body(rate: ExchangeRate) -> dict[str, Any]:
    """A rate as it is shown: both legs as they were published, and their ratio to so many decimals."""
    return {
        "from": rate.from_currency,
        "to": rate.to_currency,
        "rate": f"{shown_decimal(rate.rate, places_max=RATE_PLACES_MAX):f}",
        "day": rate.day.isoformat(),
        "source": rate.source,
        "perEuro": {"from": f"{rate.from_per_euro:f}", "to": f"{rate.to_per_euro:f}"},
    }


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
