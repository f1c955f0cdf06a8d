"""The endpoints of printings, as the OpenAPI document says them (app.endpoints)."""

from typing import Final

from milo_billing.controlplane.endpoints import (
    TEXT,
    TIME,
    Body,
    Endpoint,
    Follow,
    Json,
    closed,
    fields,
    many,
    number,
)
from milo_billing.invoicing.routes import GET, PRINTINGS_PATH

_COUNT: Final = number(minimum=0)
_PRINTING: Json = fields(
    {
        "id": TEXT,
        "run": {**TEXT, "nullable": True, "description": "The invoice run that it is ahead for."},
        "state": {**TEXT, "enum": ["running", "finished"]},
        "openedBy": TEXT,
        "openedAt": TIME,
        "finishedAt": {**TIME, "nullable": True},
        **dict.fromkeys(("total", "done", "printed", "failed"), _COUNT),
        "failures": many(fields({"number": TEXT, "reason": TEXT})),
    }
)

PRINTINGS: Final = (
    Endpoint(
        id="printInvoices",
        method="post",
        path=PRINTINGS_PATH,
        about="Have workers write the PDFs that are missing: of invoices, of a month or of all, and of credit notes "
        "over these. The answer is the printing, whose path says how far it is.",
        permission=GET,
        body=Body(
            closed(
                fields(
                    {},
                    {
                        "month": {**TEXT, "pattern": "^[0-9]{4}-(0[1-9]|1[0-2])$"},
                        "namespace": {**TEXT, "description": "Only of this one."},
                    },
                )
            )
        ),
        code=202,
        follows=(Follow("showPrinting", {"id": "$response.body#/id"}),),
        answer=_PRINTING,
    ),
    Endpoint(
        id="showPrinting",
        method="get",
        path=f"{PRINTINGS_PATH}/{{id}}",
        about="How far a printing is: documents written, and the first of those that cannot be, with the reason.",
        permission=GET,
        answer=_PRINTING,
    ),
)
