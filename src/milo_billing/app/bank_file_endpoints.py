"""The endpoints of files that ask a bank to move money: direct debits under mandates, and transfers back to customers,
as the OpenAPI document says them.
"""

from typing import Final

from milo_billing.app.bank_endpoints import DRY_RUN, listed
from milo_billing.controlplane.endpoints import (
    ANY,
    DAY,
    TEXT,
    Body,
    Endpoint,
    Follow,
    closed,
    fields,
    many,
    number,
)
from milo_billing.controlplane.kinds import Json
from milo_billing.payments.routes.debits import (
    ANSWERS_PATH,
    DEBIT,
    MANDATES_PATH,
    READ_MANDATES,
    WRITE_MANDATES,
)
from milo_billing.payments.routes.debits import FILES_PATH as DEBIT_FILES_PATH
from milo_billing.payments.routes.transfers import FILES_PATH as TRANSFER_FILES_PATH
from milo_billing.payments.routes.transfers import PAY, READ, REQUEST, TRANSFERS_PATH
from milo_billing.payments.rules.debit_requests import NOTIFIED_DAYS_MAX


def _files(
    path: str, permission: str, *, noun: str, what: str, message: str, asks: str, wanted: dict[str, Json]
) -> tuple[Endpoint, ...]:
    """Make a file, list those that were made, have one again."""
    return (
        Endpoint(
            id=f"make{noun}File",
            method="post",
            path=path,
            about=f"Make the file that asks the bank to {asks}; 200 where it was only tried.",
            permission=permission,
            parameters=(DRY_RUN,),
            body=Body(closed(fields({}, wanted)), required=False),
            code=201,
            answer=ANY,
        ),
        listed(
            f"list{noun}Files",
            path,
            about=f"The files of {what} that were made last.",
            permission=permission,
        ),
        Endpoint(
            id=f"show{noun}File",
            method="get",
            path=f"{path}/{{message}}",
            about=f"A file of {what} as banks take it, {message}.",
            permission=permission,
            media_type="application/xml",
            answer={"type": "string", "format": "binary"},
        ),
    )


BANK_FILES: Final = (
    Endpoint(
        id="addMandate",
        method="post",
        path=MANDATES_PATH,
        about="Take down a SEPA mandate that a customer has signed. The IBAN is kept sealed and never shown again.",
        permission=WRITE_MANDATES,
        body=Body(
            closed(
                fields(
                    {"account": TEXT, "holder": TEXT, "iban": TEXT, "signedOn": DAY},
                    {"reference": TEXT, "bic": TEXT, "scheme": {**TEXT, "enum": ["CORE", "B2B"]}},
                )
            )
        ),
        code=201,
        answer=ANY,
    ),
    listed(
        "listMandates",
        MANDATES_PATH,
        about="SEPA mandates, the newest first.",
        permission=READ_MANDATES,
    ),
    Endpoint(
        id="revokeMandate",
        method="post",
        path=f"{MANDATES_PATH}/{{reference}}/revoke",
        about="Debit nothing under a mandate any more.",
        permission=WRITE_MANDATES,
        body=Body(closed(fields({"reason": TEXT}))),
        answer=ANY,
    ),
    *_files(
        DEBIT_FILES_PATH,
        DEBIT,
        noun="Debit",
        what="direct debits",
        message="pain.008.001.08",
        asks="collect everything that is due",
        wanted={"collectOn": DAY, "preNotificationDays": number(minimum=1, maximum=NOTIFIED_DAYS_MAX)},
    ),
    Endpoint(
        id="noteDebitAnswer",
        method="post",
        path=ANSWERS_PATH,
        about="Bring in a bank's answer to a file of direct debits (pain.002): what it refused can be asked for again.",
        permission=DEBIT,
        body=Body({"type": "string", "format": "binary"}, ("application/octet-stream",)),
        answer=fields({"refused": many(TEXT)}),
    ),
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
                        "issuer": {**TEXT, "description": "Who pays; whoever holds it when none is said."},
                    },
                )
            )
        ),
        code=201,
        answer=ANY,
        follows=(Follow("cancelBankTransfer", {"transfer": "$response.body#/endToEndId"}),),
    ),
    listed(
        "listBankTransfers",
        TRANSFERS_PATH,
        about="Money that goes back by bank transfer and what became of it, the newest first.",
        permission=READ,
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
        id="noteTransferNotExecuted",
        method="post",
        path=f"{TRANSFERS_PATH}/{{transfer}}/not-executed",
        about="Say that the bank has not paid what a file asked for, after its day: the account has it again.",
        permission=PAY,
        body=Body(closed(fields({"reason": TEXT}))),
        answer=ANY,
    ),
    *_files(
        TRANSFER_FILES_PATH,
        PAY,
        noun="Transfer",
        what="bank transfers",
        message="pain.001.001.09",
        asks="pay everything that was asked for",
        wanted={
            "executeOn": DAY,
            "issuer": {
                **TEXT,
                "description": "Who pays; needed where several issuers' transfers are wanted.",
            },
        },
    ),
)
