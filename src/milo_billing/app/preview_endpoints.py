"""The endpoint of previews, as the OpenAPI document says it (app.endpoints)."""

from typing import Final

from milo_billing.controlplane.endpoints import (
    ANY,
    DAY,
    TEXT,
    TIME,
    Endpoint,
    Parameter,
    fields,
    many,
    number,
)
from milo_billing.invoicing.routes import GET as READ_INVOICES
from milo_billing.invoicing.routes import PREVIEW_PATH

PREVIEWS: Final = (
    Endpoint(
        id="previewInvoice",
        method="get",
        path=PREVIEW_PATH,
        about="An account's invoice as it stands now, from the same functions as the invoice; nothing is written.",
        permission=READ_INVOICES,
        parameters=(
            Parameter("namespace", "The account's; required."),
            Parameter("account", "The name of the billing account; required."),
            Parameter("month", "YYYY-MM: the invoice that holds it; the running one where none is said."),
            Parameter("by", "How shares are grouped.", {**TEXT, "enum": ["sku", "project"]}),
        ),
        answer=fields(
            {
                **dict.fromkeys(("account", "currencyCode", "subtotal", "discounts", "total"), TEXT),
                "at": TIME,
                "firstDay": DAY,
                "endDay": DAY,
                "provisional": {"type": "boolean"},
                "invoices": many(fields(dict.fromkeys(("name", "number", "total"), TEXT))),
                "lines": many(ANY),
                "linesLeft": number(),
                "by": TEXT,
                "shares": fields({"items": many(ANY), "others": fields({"count": number(), "amount": TEXT})}),
                "rates": many(ANY),
                "unpriced": fields({"usage": many(ANY), "skus": many(ANY)}),
            }
        ),
    ),
)
