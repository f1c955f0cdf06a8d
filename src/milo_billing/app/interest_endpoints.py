"""The endpoints of interest on what is paid late, as the OpenAPI document says them (app.endpoints)."""

from typing import Final

from milo_billing.controlplane.endpoints import ANY, DAY, TEXT, Endpoint, Parameter, fields, many, number
from milo_billing.invoicing.routes import CHARGE_INTEREST, CHARGE_INTEREST_PATH, INTEREST_PATH
from milo_billing.invoicing.routes import GET as READ_INVOICES
from milo_billing.invoicing.rules.interest_accruals import PAGE_MAX

_NAMED: Final = fields(dict.fromkeys(("name", "number"), TEXT))

INTEREST: Final = (
    Endpoint(
        id="listLateInterest",
        method="get",
        path=INTEREST_PATH,
        about="What overdue invoices have borne of interest up to today, what of it was charged, and what charging now "
        "would invoice: whole months. Below zero is what it would give back.",
        permission=READ_INVOICES,
        parameters=(
            Parameter("namespace", "The account's; with account."),
            Parameter("account", "The name of the billing account; all within reach where none is said."),
            Parameter("limit", "Invoices of one page.", number(minimum=1, maximum=PAGE_MAX)),
            Parameter("continue", "What the page before said."),
        ),
        answer=fields(
            {
                "metadata": ANY,
                "items": many(
                    fields(
                        {
                            **dict.fromkeys(
                                (
                                    "namespace",
                                    "account",
                                    "invoice",
                                    "number",
                                    "currencyCode",
                                    "phase",
                                    "amountDue",
                                    "percent",
                                    "accrued",
                                    "charged",
                                    "open",
                                    "chargeable",
                                ),
                                TEXT,
                            ),
                            "days": number(minimum=0),
                            "dueOn": DAY,
                            "chargedUntil": {**DAY, "nullable": True},
                        }
                    )
                ),
            }
        ),
    ),
    Endpoint(
        id="chargeLateInterest",
        method="post",
        path=CHARGE_INTEREST_PATH,
        about="Invoice an account's interest on what was overdue until the month began, and give back what turned out "
        "not to be owed, as workers do every night. Safe to repeat; only the provider's staff.",
        permission=CHARGE_INTEREST,
        answer=fields(
            {
                "account": TEXT,
                "invoices": many(fields(dict.fromkeys(("name", "number", "total", "currencyCode"), TEXT))),
                "givenBack": many(_NAMED),
            }
        ),
    ),
)
