"""The endpoints of previews and explanations, as the OpenAPI document says them (app.endpoints)."""

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
from milo_billing.invoicing.routes import ADJUST, FINAL_PATH, INVOICE_PATH, ISSUE_FINAL, PREVIEW_PATH
from milo_billing.invoicing.routes import GET as READ_INVOICES

_NULLABLE_TEXT: Final = {**TEXT, "nullable": True}

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
                **dict.fromkeys(
                    (
                        "account",
                        "currencyCode",
                        "subtotal",
                        "discounts",
                        "taxTotal",
                        "total",
                        "goodwill",
                        "prepaidCredit",
                        "amountDue",
                    ),
                    TEXT,
                ),
                "tax": many(ANY),
                "untaxed": _NULLABLE_TEXT,
                "at": TIME,
                "invoicedWith": _NULLABLE_TEXT,
                "firstDay": DAY,
                "endDay": DAY,
                "provisional": {"type": "boolean"},
                "givenBack": many(fields(dict.fromkeys(("invoice", "amount"), TEXT))),
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
    Endpoint(
        id="listInvoiceAdjustments",
        method="get",
        path=f"{INVOICE_PATH}/adjustments",
        about="What an invoice came to since it was issued: adjustments that were made, and what one made now would "
        "charge and give back, rated at the versions that the invoice froze.",
        permission=READ_INVOICES,
        answer=fields(
            {
                "items": many(ANY),
                "open": fields({"amount": TEXT, "charged": many(ANY), "givenBack": many(ANY)}),
            }
        ),
    ),
    Endpoint(
        id="adjustInvoice",
        method="post",
        path=f"{INVOICE_PATH}/adjust",
        about="Charge and give back at once what an invoice came to since, by an invoice of kind Adjustment and by "
        "credit notes, without waiting for the account's next invoice; only the provider's staff.",
        permission=ADJUST,
        answer=fields({"invoice": {**ANY, "nullable": True}, "creditNotes": many(ANY)}),
    ),
    Endpoint(
        id="issueFinalInvoice",
        method="post",
        path=FINAL_PATH,
        about="Issue the last invoice of an account that is being closed, over all that no invoice covers up to its "
        "last midnight; nothing of it may run any more. Only the provider's staff.",
        permission=ISSUE_FINAL,
        answer=fields(
            {
                "account": TEXT,
                "issued": {"type": "boolean"},
                "reason": _NULLABLE_TEXT,
                "invoice": {**ANY, "nullable": True},
            }
        ),
    ),
    Endpoint(
        id="explainInvoiceLine",
        method="get",
        path=f"{INVOICE_PATH}/lines/{{line}}/explanation",
        about="How the amount of a line came about, step by step from what the invoice froze, and whether the frozen "
        "version of the price book gives it again.",
        permission=READ_INVOICES,
        answer=fields(
            {
                **dict.fromkeys(("invoice", "kind", "description", "amount", "net", "currencyCode"), TEXT),
                "line": number(minimum=1),
                "sku": _NULLABLE_TEXT,
                "firstDay": DAY,
                "endDay": DAY,
                "priceBook": {**ANY, "nullable": True},
                "commitment": _NULLABLE_TEXT,
                "steps": many(fields({"step": TEXT, "text": TEXT})),
                "recomputed": {**TEXT, "enum": ["same", "differs"]},
                "recomputedAmount": _NULLABLE_TEXT,
                "shares": many(ANY),
            }
        ),
    ),
)
