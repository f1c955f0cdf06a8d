"""The endpoints of providers' payouts, as the OpenAPI document says them (app.endpoints)."""

from typing import Final

from milo_billing.controlplane.endpoints import ANY, Endpoint, Parameter, fields, many, number
from milo_billing.payments.routes.payouts import ACCEPT, ACCEPT_PATH, FETCH, FETCH_PATH, PAYOUTS_PATH, READ
from milo_billing.payments.rules.bank_requests import LIMIT_MAX

PAYOUTS: Final = (
    Endpoint(
        id="listPayouts",
        method="get",
        path=PAYOUTS_PATH,
        about="What providers of payments paid out to the bank, the newest first, and what became of it in the books.",
        permission=READ,
        parameters=(
            Parameter(
                "limit", "At most so many; 100 where none is said.", number(minimum=1, maximum=LIMIT_MAX)
            ),
        ),
        answer=fields({"items": many(ANY)}),
    ),
    Endpoint(
        id="fetchPayouts",
        method="post",
        path=FETCH_PATH,
        about="Have workers ask providers for payouts of which no webhook came; they do so every hour by themselves.",
        permission=FETCH,
        answer=fields({"asked": {"type": "boolean"}}),
        code=202,
    ),
    Endpoint(
        id="acceptPayout",
        method="post",
        path=ACCEPT_PATH,
        about="Book a payout that waits: what is about no payment, or is missing to its sum, becomes unapplied cash of "
        "no account.",
        permission=ACCEPT,
        answer=ANY,
        code=202,
    ),
)
