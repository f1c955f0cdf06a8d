"""The endpoints of pricing, as the OpenAPI document says them."""

from typing import Final

from milo_billing.controlplane.endpoints import (
    ANY,
    DAY,
    TEXT,
    Body,
    Endpoint,
    Parameter,
    fields,
    many,
    number,
)
from milo_billing.pricing.routes import EXPLAIN, IMPORT_RATES, READ_RATES

_NULLABLE: Final = {**ANY, "nullable": True}

PRICING: Final = (
    Endpoint(
        id="explainPrice",
        method="get",
        path="/v1/prices:explain",
        about="How a quantity of a Sku is priced for an account, step by step.",
        permission=EXPLAIN,
        parameters=(
            Parameter("account", "As namespace/name; required."),
            Parameter("sku", "The name of the Sku; required."),
            Parameter("quantity", "In the meter's unit, all that the rating period meters; required."),
            Parameter("at", "A timestamp, or a day of the account's zone; now where none is said."),
        ),
        answer=fields(
            {
                **dict.fromkeys(("account", "sku"), TEXT),
                "day": DAY,
                "period": fields({"firstDay": DAY, "endDay": DAY}),
                "candidates": many(ANY),
                "price": _NULLABLE,
                "quantity": ANY,
                "parts": {**many(ANY), "nullable": True},
                "conversion": _NULLABLE,
                "amount": {**TEXT, "nullable": True},
                "currencyCode": {**TEXT, "nullable": True},
            }
        ),
    ),
    Endpoint(
        id="showRate",
        method="get",
        path="/v1/rates",
        about="The exchange rate between two currencies that was last published on a day or before.",
        permission=READ_RATES,
        parameters=(
            Parameter("from", "The currency to convert, such as USD; required."),
            Parameter("to", "The currency to convert to; required."),
            Parameter("at", "The day that is asked about; today where none is said.", DAY),
        ),
        answer=fields(
            {
                **dict.fromkeys(("from", "to", "rate", "source"), TEXT),
                "day": DAY,
                "perEuro": fields({"from": TEXT, "to": TEXT}),
            }
        ),
    ),
    Endpoint(
        id="importRates",
        method="post",
        path="/v1/rates/imports",
        about="Bring in exchange rates as the European Central Bank publishes them: CSV, or a zip of it.",
        permission=IMPORT_RATES,
        body=Body({"type": "string", "format": "binary"}, ("application/octet-stream",)),
        answer=fields(
            {"source": TEXT, "firstDay": DAY, "lastDay": DAY, "added": number(), "known": number()}
        ),
    ),
)
