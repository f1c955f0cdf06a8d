"""The endpoints of bank statements and of entries that wait, as the OpenAPI document says them."""

from typing import Final

from milo_billing.controlplane.endpoints import (
    ANY,
    TEXT,
    Body,
    Endpoint,
    Follow,
    Parameter,
    closed,
    fields,
    many,
    number,
)
from milo_billing.payments.routes.bank import DECIDE, IMPORT, READ, STATEMENTS_PATH, WORKLIST_PATH
from milo_billing.payments.rules.bank_requests import LIMIT_MAX

_LIMIT: Final = Parameter(
    "limit", "At most so many; 100 where none is said.", number(minimum=1, maximum=LIMIT_MAX)
)
DRY_RUN: Final = Parameter(
    "dryRun", "Say what would happen, and change nothing.", {**TEXT, "enum": ["true", "false"]}
)
_ENTRY: Final = {"entry": "$response.body#/items/0/uid"}


def listed(
    operation: str, path: str, *, about: str, permission: str, follows: tuple[Follow, ...] = ()
) -> Endpoint:
    """A list of at most so many items, as the caller says."""
    return Endpoint(
        id=operation,
        method="get",
        path=path,
        about=about,
        permission=permission,
        parameters=(_LIMIT,),
        answer=fields({"items": many(ANY)}),
        follows=follows,
    )


BANK: Final = (
    Endpoint(
        id="importBankStatements",
        method="post",
        path=STATEMENTS_PATH,
        about="Bring in a file of bank statements, camt.053 or MT940; a transfer that names its invoice pays it.",
        permission=IMPORT,
        parameters=(DRY_RUN,),
        body=Body({"type": "string", "format": "binary"}, ("application/octet-stream",)),
        answer=fields({"digest": TEXT, "dryRun": {"type": "boolean"}, "statements": many(ANY)}),
    ),
    listed(
        "listBankStatements",
        STATEMENTS_PATH,
        about="The statements that were brought in last, the newest first.",
        permission=READ,
    ),
    listed(
        "listBankWorklist",
        WORKLIST_PATH,
        about="Entries of bank statements that wait for a person, with the invoices that they may pay, and why.",
        permission=READ,
        follows=(Follow("assignBankEntry", _ENTRY), Follow("ignoreBankEntry", _ENTRY)),
    ),
    Endpoint(
        id="assignBankEntry",
        method="post",
        path=f"{WORKLIST_PATH}/{{entry}}/assign",
        about="Say which invoices an entry pays, in their order; what is left is money on account, or "
        "unapplied cash where no invoice is named.",
        permission=DECIDE,
        body=Body(
            closed(
                fields(
                    {},
                    {
                        "invoices": many(
                            closed(
                                fields(
                                    {"invoice": {**TEXT, "description": "As namespace/name."}},
                                    {
                                        "amount": {
                                            **TEXT,
                                            "description": "A decimal; what it can take where none is said.",
                                        }
                                    },
                                )
                            )
                        ),
                        "account": {
                            **TEXT,
                            "description": "As namespace/name; needed where no invoice is named.",
                        },
                    },
                )
            )
        ),
        answer=ANY,
    ),
    Endpoint(
        id="ignoreBankEntry",
        method="post",
        path=f"{WORKLIST_PATH}/{{entry}}/ignore",
        about="Take an entry off the worklist that is not about invoices.",
        permission=DECIDE,
        body=Body(closed(fields({"reason": TEXT}))),
        answer=ANY,
    ),
)
