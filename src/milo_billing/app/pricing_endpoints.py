"""The endpoints of pricing, as the OpenAPI document says them."""

from typing import Final

from milo_billing.controlplane.endpoints import DAY, TEXT, Body, Endpoint, Parameter, fields, number
from milo_billing.pricing.routes import IMPORT_RATES, READ_RATES

PRICING: Final = (
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
