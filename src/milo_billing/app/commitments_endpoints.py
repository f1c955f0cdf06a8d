"""The endpoints of commitments, as the OpenAPI document says (app.endpoints)."""

from typing import Final

from milo_billing.commitments.resources.simulations import COMMITMENTS_MAX, DISCOUNTS_MAX, WITHOUT_MAX
from milo_billing.commitments.routes import COMMITMENT_PATH, READ_ACCOUNT, READ_PRICES, SIMULATIONS_PATH
from milo_billing.commitments.routes import READ as READ_COMMITMENTS
from milo_billing.controlplane.endpoints import (
    ANY,
    TEXT,
    TIME,
    Body,
    Endpoint,
    closed,
    fields,
    many,
    number,
)
from milo_billing.controlplane.kinds import Json

_DATE: Final[Json] = {**TEXT, "format": "date"}
_AMOUNT: Final[Json] = {**TEXT, "description": "A decimal number in the currency's main unit."}
_FLAG: Final[Json] = {"type": "boolean"}
_COMPARED: Final[dict[str, Json]] = dict.fromkeys(("today", "simulated", "difference"), _AMOUNT)
_UNPRICED: Final[Json] = fields({"usage": many(ANY), "skus": many(ANY), "others": number()})


def _table(key: dict[str, Json]) -> Json:
    """Rows of a comparison, and the sum of those that are not shown."""
    return fields(
        {"items": many(fields({**key, **_COMPARED})), "others": fields({"count": number(), **_COMPARED})}
    )


def _limited(schema: Json, count: int) -> Json:
    return {**many(schema), "maxItems": count}


_MONTH: Final[Json] = {**TEXT, "pattern": "^[0-9]{4}-[0-9]{2}$"}
_SUPPOSED: Final[Json] = closed(fields({}, {"name": TEXT, "spec": ANY}))
_QUESTION: Final[Json] = closed(
    fields(
        {"billingAccountRef": closed(fields({"namespace": TEXT, "name": TEXT}))},
        {
            "month": _MONTH,
            "from": _MONTH,
            "to": _MONTH,
            "priceBook": ANY,
            "priceBookRef": closed(fields({}, {"name": TEXT, "version": TEXT})),
            "precedence": {**TEXT, "enum": ["First", "List", "Only"]},
            "commitments": _limited(_SUPPOSED, COMMITMENTS_MAX),
            "discounts": _limited(_SUPPOSED, DISCOUNTS_MAX),
            "without": _limited(
                closed(fields({"kind": {**TEXT, "enum": ["Commitment", "Discount"]}, "name": TEXT})),
                WITHOUT_MAX,
            ),
        },
    )
)

COMMITMENTS: Final = (
    Endpoint(
        id="showCommitmentSummary",
        method="get",
        path=f"{COMMITMENT_PATH}/summary",
        about="How the running intervals of a commitment stand, with the usage ingested up to now.",
        permission=READ_COMMITMENTS,
        answer=fields(
            {
                "commitment": fields({"namespace": TEXT, "name": TEXT}),
                "at": TIME,
                "currencyCode": TEXT,
                "accepted": {"type": "boolean"},
                "items": many(
                    fields(
                        {
                            "minimum": number(minimum=0),
                            "interval": TEXT,
                            "start": _DATE,
                            "end": _DATE,
                            "minimumSpend": _AMOUNT,
                            "spent": _AMOUNT,
                            "remaining": _AMOUNT,
                            "percent": number(minimum=0),
                            "daysLeft": number(minimum=0),
                            "projectedSpend": _AMOUNT,
                            "projectedShortfall": _AMOUNT,
                        }
                    )
                ),
            }
        ),
    ),
    Endpoint(
        id="simulate",
        method="post",
        path=SIMULATIONS_PATH,
        about="What the same usage would cost under another price book, commitments or Discounts. Writes nothing.",
        permission=f"{READ_ACCOUNT} and {READ_PRICES}",
        body=Body(_QUESTION, ("application/json", "application/yaml")),
        answer=fields(
            {
                **dict.fromkeys(("account", "currencyCode"), TEXT),
                "at": TIME,
                "provisional": _FLAG,
                "total": fields(_COMPARED),
                "periods": many(fields({"firstDay": _DATE, "endDay": _DATE, **_COMPARED})),
                "skus": _table({"sku": TEXT}),
                "projects": _table({"project": {**TEXT, "nullable": True}}),
                "charges": many(fields({"kind": TEXT, "commitment": TEXT, **_COMPARED})),
                "unpriced": fields(dict.fromkeys(("today", "simulated"), _UNPRICED)),
            }
        ),
    ),
)
