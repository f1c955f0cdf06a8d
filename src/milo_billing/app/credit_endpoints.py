"""The endpoints of granted credit, as the OpenAPI document says them (app.endpoints)."""

from typing import Final

from milo_billing.controlplane.endpoints import ANY, TEXT, TIME, Endpoint, Parameter, fields, many
from milo_billing.invoicing.routes import CREDITS_PATH, GET_GRANTS

_WHOSE: Final = (
    Parameter("namespace", "The account's; required."),
    Parameter("account", "The name of the billing account; required."),
)

CREDITS: Final = (
    Endpoint(
        id="showCredits",
        method="get",
        path=CREDITS_PATH,
        about="What is left of an account's credit by kind, its grants, and its money on account.",
        permission=GET_GRANTS,
        parameters=_WHOSE,
        answer=fields(
            {
                **dict.fromkeys(
                    ("account", "currencyCode", "total", "moneyOnAccount", "unappliedCash"), TEXT
                ),
                "at": TIME,
                "usable": many(fields({"kind": TEXT, "amount": TEXT})),
                "grants": many(ANY),
            }
        ),
    ),
    Endpoint(
        id="listCreditHistory",
        method="get",
        path=f"{CREDITS_PATH}/history",
        about="What became of an account's credit, the newest first: granted, used, given back, expired, revoked.",
        permission=GET_GRANTS,
        parameters=(*_WHOSE, Parameter("grant", "Of this grant only.")),
        answer=fields({"currencyCode": TEXT, "items": many(ANY)}),
    ),
)
