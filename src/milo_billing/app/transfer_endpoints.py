"""The endpoints of money that goes back by bank transfer, as the OpenAPI document says them."""

from typing import Final

from milo_billing.controlplane.endpoints import (
    ANY,
    DAY,
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
from milo_billing.payments.routes.transfers import FILES_PATH, PAY, READ, REQUEST, TRANSFERS_PATH
from milo_billing.payments.rules.bank_requests import LIMIT_MAX

_LIMIT: Final = Parameter(
    "limit", "At most so many; 100 where none is said.", number(minimum=1, maximum=LIMIT_MAX)
)
_ITEMS: Final = fields({"items": many(ANY)})
_FLAG: Final = {**TEXT, "enum": ["true", "false"]}

TRANSFERS: Final = (
    Endpoint(
        id="requestBankTransfer",
        method="post",
        path=TRANSFERS_PATH,
        about="Pay back what an account has unapplied or on account, by bank transfer with the next file.",
        permission=REQUEST,
        body=Body(
            closed(
                fields(
                    {"account": {**TEXT, "description": "As namespace/name."}, "reason": TEXT},
                    {
                        "amount": {**TEXT, "description": "Euro; all that it has where none is said."},
                        "iban": {**TEXT, "description": "Where to; where it came from when none is said."},
                        "holder": TEXT,
                        "bic": TEXT,
                    },
                )
            )
        ),
        code=201,
        answer=ANY,
        follows=(Follow("cancelBankTransfer", {"transfer": "$response.body#/endToEndId"}),),
    ),
    Endpoint(
        id="listBankTransfers",
        method="get",
        path=TRANSFERS_PATH,
        about="Money that goes back by bank transfer and what became of it, the newest first.",
        permission=READ,
        parameters=(_LIMIT,),
        answer=_ITEMS,
    ),
    Endpoint(
        id="cancelBankTransfer",
        method="post",
        path=f"{TRANSFERS_PATH}/{{transfer}}/cancel",
        about="Pay nothing of what was asked for, as long as it is in no file: the account has it again.",
        permission=REQUEST,
        body=Body(closed(fields({"reason": TEXT}))),
        answer=ANY,
    ),
    Endpoint(
        id="makeTransferFile",
        method="post",
        path=FILES_PATH,
        about="Make the file that asks the bank to pay everything that was asked for; 200 where it was only tried.",
        permission=PAY,
        parameters=(Parameter("dryRun", "Say what would be in it, and change nothing.", _FLAG),),
        body=Body(closed(fields({}, {"executeOn": DAY})), required=False),
        code=201,
        answer=ANY,
    ),
    Endpoint(
        id="listTransferFiles",
        method="get",
        path=FILES_PATH,
        about="The files of bank transfers that were made last.",
        permission=PAY,
        parameters=(_LIMIT,),
        answer=_ITEMS,
    ),
    Endpoint(
        id="showTransferFile",
        method="get",
        path=f"{FILES_PATH}/{{message}}",
        about="A file of bank transfers as banks take it, pain.001.001.09.",
        permission=PAY,
        media_type="application/xml",
        answer={"type": "string", "format": "binary"},
    ),
)
