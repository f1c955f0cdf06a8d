"""The endpoints of payments, as the OpenAPI document says them (app.endpoints)."""

from typing import Final

from milo_billing.controlplane.endpoints import ANY, TEXT, Body, Endpoint, closed, fields, many, number
from milo_billing.payments.routes.collection import (
    COLLECT,
    COLLECT_PATH,
    REFUND,
    REFUND_PATH,
    SECRETS_PATH,
    SET_SECRETS,
    SET_UP,
    SETUP_PATH,
    WEBHOOK_PATH,
)

_FLAG: Final = {"type": "boolean"}
_STATES: Final = ["opened", "standing", "waiting", "stopped", "settled"]

PAYMENTS: Final = (
    Endpoint(
        id="collectPayments",
        method="post",
        path=COLLECT_PATH,
        about="Ask for the money of invoices that are due, of accounts that pay by card or direct debit. Safe to "
        "repeat: an invoice is asked for once at a time, by its schedule unless `again`.",
        permission=COLLECT,
        body=Body(
            closed(
                fields(
                    {},
                    {
                        "accounts": many({**TEXT, "description": "As namespace/name."}),
                        "again": {**_FLAG, "description": "Ask now, whatever the schedule says."},
                        "continue": {**TEXT, "description": "What the answer before said."},
                    },
                )
            ),
            required=False,
        ),
        answer=fields(
            {
                "metadata": fields({}, {"continue": TEXT}),
                "items": many(
                    fields(
                        {
                            **dict.fromkeys(
                                ("namespace", "invoice", "payment", "amount", "currencyCode", "reason"), TEXT
                            ),
                            "state": {**TEXT, "enum": _STATES},
                        }
                    )
                ),
            }
        ),
    ),
    Endpoint(
        id="refundPayment",
        method="post",
        path=REFUND_PATH,
        about="Give back a payment or a part of it: from what the account has unapplied or on account, or with "
        "`reopen` so that the invoice is owed again. A worker asks the provider.",
        permission=REFUND,
        body=Body(
            closed(
                fields(
                    {"reason": TEXT},
                    {
                        "amount": {**TEXT, "description": "A decimal; all that is left without."},
                        "reopen": _FLAG,
                    },
                )
            )
        ),
        code=202,
        answer=fields(
            {
                **dict.fromkeys(("payment", "amount", "currencyCode", "source", "state"), TEXT),
                "number": number(),
            }
        ),
    ),
    Endpoint(
        id="setPaymentSecrets",
        method="post",
        path=SECRETS_PATH,
        about="Keep the secrets with which a payment method class reaches its provider, in place of those before. They "
        "are sealed and never shown again.",
        permission=SET_SECRETS,
        body=Body(closed(fields({"secrets": {"type": "object", "additionalProperties": TEXT}}))),
        answer=fields({"class": TEXT, "secrets": many(TEXT)}),
    ),
    Endpoint(
        id="takePaymentWebhook",
        method="post",
        path=WEBHOOK_PATH,
        about="What a provider tells: stored once, then applied by asking the provider. No token: its signature is "
        "verified.",
        permission="the provider's signature",
        body=Body(ANY),
        answer=fields({"stored": _FLAG}),
    ),
    Endpoint(
        id="beginPaymentMethodSetup",
        method="post",
        path=SETUP_PATH,
        about="What the browser of a payment method's owner needs to enter it at the provider. Never kept.",
        permission=SET_UP,
        answer=fields(
            {"state": {**TEXT, "enum": ["awaiting", "decided"]}, "clientSecret": TEXT, "parameters": ANY}
        ),
    ),
)
