"""The endpoints of the bank side of payments, as the OpenAPI document says them."""

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
from milo_billing.payments.routes.bank import DECIDE, IMPORT, READ, STATEMENTS_PATH, WORKLIST_PATH
from milo_billing.payments.routes.debits import (
    ANSWERS_PATH,
    DEBIT,
    FILES_PATH,
    MANDATES_PATH,
    READ_MANDATES,
    WRITE_MANDATES,
)
from milo_billing.payments.rules.bank_requests import LIMIT_MAX
from milo_billing.payments.rules.debit_requests import NOTIFIED_DAYS_MAX

_LIMIT: Final = Parameter(
    "limit", "At most so many; 100 where none is said.", number(minimum=1, maximum=LIMIT_MAX)
)
_ITEMS: Final = fields({"items": many(ANY)})
_FLAG: Final = {**TEXT, "enum": ["true", "false"]}
_ENTRY: Final = {"entry": "$response.body#/items/0/uid"}

BANK: Final = (
    Endpoint(
        id="importBankStatements",
        method="post",
        path=STATEMENTS_PATH,
        about="Bring in a file of bank statements, camt.053 or MT940; a transfer that names its invoice pays it.",
        permission=IMPORT,
        parameters=(Parameter("dryRun", "Say what would happen, and change nothing.", _FLAG),),
        body=Body({"type": "string", "format": "binary"}, ("application/octet-stream",)),
        answer=fields({"digest": TEXT, "dryRun": {"type": "boolean"}, "statements": many(ANY)}),
    ),
    Endpoint(
        id="listBankStatements",
        method="get",
        path=STATEMENTS_PATH,
        about="The statements that were brought in last, the newest first.",
        permission=READ,
        parameters=(_LIMIT,),
        answer=_ITEMS,
    ),
    Endpoint(
        id="listBankWorklist",
        method="get",
        path=WORKLIST_PATH,
        about="Entries of bank statements that wait for a person, with the invoices that they may pay, and why.",
        permission=READ,
        parameters=(_LIMIT,),
        answer=_ITEMS,
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
    Endpoint(
        id="listMandates",
        method="get",
        path=MANDATES_PATH,
        about="SEPA mandates, the newest first.",
        permission=READ_MANDATES,
        parameters=(_LIMIT,),
        answer=_ITEMS,
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
    Endpoint(
        id="makeDebitFile",
        method="post",
        path=FILES_PATH,
        about="Make the file that asks the bank to collect everything that is due; 200 where it was only tried.",
        permission=DEBIT,
        parameters=(Parameter("dryRun", "Say what would be in it, and change nothing.", _FLAG),),
        body=Body(
            closed(
                fields(
                    {},
                    {"collectOn": DAY, "preNotificationDays": number(minimum=1, maximum=NOTIFIED_DAYS_MAX)},
                )
            ),
            required=False,
        ),
        code=201,
        answer=ANY,
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
        id="listDebitFiles",
        method="get",
        path=FILES_PATH,
        about="The files of direct debits that were made last.",
        permission=DEBIT,
        parameters=(_LIMIT,),
        answer=_ITEMS,
    ),
    Endpoint(
        id="showDebitFile",
        method="get",
        path=f"{FILES_PATH}/{{message}}",
        about="A file of direct debits as banks take it, pain.008.001.08.",
        permission=DEBIT,
        media_type="application/xml",
        answer={"type": "string", "format": "binary"},
    ),
)
