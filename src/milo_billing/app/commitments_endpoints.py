"""The endpoints of commitments, as the OpenAPI document says (app.endpoints)."""

from typing import Final

from milo_billing.commitments.routes import COMMITMENT_PATH
from milo_billing.commitments.routes import READ as READ_COMMITMENTS
from milo_billing.controlplane.endpoints import TEXT, TIME, Endpoint, fields, many, number
from milo_billing.controlplane.kinds import Json

_DATE: Final[Json] = {**TEXT, "format": "date"}
_AMOUNT: Final[Json] = {**TEXT, "description": "A decimal number in the currency's main unit."}

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
)
