"""The endpoints of the books, as the OpenAPI document says them (app.endpoints)."""

from typing import Final

from milo_billing.controlplane.endpoints import (
    ANY,
    DAY,
    TEXT,
    TIME,
    Body,
    Endpoint,
    Parameter,
    closed,
    fields,
    many,
    number,
)
from milo_billing.controlplane.kinds import Json
from milo_billing.ledger.routes import CLOSE, PATH, READ, READ_OWED, STATEMENT_PATH

_MONTH: Final = {**TEXT, "pattern": "^[0-9]{4}-(0[1-9]|1[0-2])$"}
_AT: Final = Parameter("at", "The last day that counts; today where none is said.", DAY)
_LIMIT: Final = Parameter("limit", "Entries of one page.", number(minimum=1, maximum=1000))
_CONTINUE: Final = Parameter("continue", "What the page before said.")
_ENTITY: Final = Parameter("entity", "Of one legal entity: the name of an IssuerProfile.")
_FILTER: Final = (
    _ENTITY,
    Parameter(
        "ledgerAccount",
        "That have an entry on this account of the books or below it, such as Income:Revenue.",
    ),
    Parameter("account", "Of one billing account, as namespace/name."),
    Parameter("from", "From this day on.", DAY),
    Parameter("to", "Until this day, itself included.", DAY),
)
_CLOSING: Final[dict[str, Json]] = {"entity": TEXT, "month": _MONTH, "closedAt": TIME, "closedBy": TEXT}
_BALANCE: Final = fields({"currencyCode": TEXT, "balance": TEXT})
_TOTAL: Final[dict[str, Json]] = dict.fromkeys(
    ("entity", "currencyCode", "debits", "credits", "balance"), TEXT
)

LEDGER: Final = (
    Endpoint(
        id="showChartOfAccounts",
        method="get",
        path=f"{PATH}/chart",
        about="Every account of the books, its type, and what it is for.",
        permission=READ,
        answer=fields({"items": many(fields(dict.fromkeys(("account", "type", "about", "per"), TEXT)))}),
    ),
    Endpoint(
        id="showTrialBalance",
        method="get",
        path=f"{PATH}/trial-balance",
        about="Debits and credits of every account, and their totals, whose balance is zero. Debits are positive.",
        permission=READ,
        parameters=(
            _ENTITY,
            Parameter("at", "The last day that counts; everything where none is said.", DAY),
        ),
        answer=fields(
            {
                "until": {**DAY, "nullable": True},
                "items": many(fields({**_TOTAL, "account": TEXT, "type": TEXT})),
                "totals": many(fields(_TOTAL)),
            }
        ),
    ),
    Endpoint(
        id="listLedgerEntries",
        method="get",
        path=f"{PATH}/entries",
        about="Transactions with all of their entries, by day.",
        permission=READ,
        parameters=(*_FILTER, _LIMIT, _CONTINUE),
        answer=fields({"metadata": ANY, "items": many(ANY)}),
    ),
    Endpoint(
        id="showAccountStatement",
        method="get",
        path=STATEMENT_PATH,
        about="What a billing account owed, what moved it, and what it owed after each; the last 91 days unless said.",
        permission=READ_OWED,
        parameters=(
            Parameter("from", "The first day.", DAY),
            Parameter("to", "The last day; today where none is said.", DAY),
            _LIMIT,
            _CONTINUE,
        ),
        answer=fields(
            {
                "metadata": ANY,
                "account": TEXT,
                "firstDay": DAY,
                "endDay": DAY,
                "opening": many(_BALANCE),
                "items": many(ANY),
            }
        ),
    ),
    Endpoint(
        id="listAgedReceivables",
        method="get",
        path=f"{PATH}/aged-receivables",
        about="What each billing account owes, by how many days it is overdue.",
        permission=READ_OWED,
        parameters=(_AT, _LIMIT, _CONTINUE),
        answer=fields({"metadata": ANY, "at": DAY, "items": many(ANY)}),
    ),
    Endpoint(
        id="verifyLedger",
        method="get",
        path=f"{PATH}/verify",
        about="Recompute the books from their entries and compare them with invoices: every difference.",
        permission=READ,
        answer=fields({"ok": {"type": "boolean"}, "checked": many(TEXT), "differences": many(ANY)}),
    ),
    Endpoint(
        id="exportLedger",
        method="get",
        path=f"{PATH}/export",
        about="The books as text: for Ledger, for Beancount, or as CSV.",
        permission=READ,
        parameters=(*_FILTER, Parameter("format", "How.", {**TEXT, "enum": ["ledger", "beancount", "csv"]})),
        media_type="text/plain",
        answer=TEXT,
    ),
    Endpoint(
        id="accrueLedgerMonth",
        method="post",
        path=f"{PATH}/accruals",
        about="Accrue what was earned in a month and is on no invoice of it, some accounts a request; for staff. "
        "`metadata.continue` is where the next request goes on. Doing it again changes nothing.",
        permission=CLOSE,
        body=Body(closed(fields({"entity": TEXT, "month": _MONTH}, {"continue": TEXT}))),
        answer=fields(
            {
                "metadata": ANY,
                **{name: number() for name in ("posted", "unchanged", "nothing")},
                "failed": many(fields({"account": TEXT, "reason": TEXT})),
            }
        ),
    ),
    Endpoint(
        id="closeLedgerMonth",
        method="post",
        path=f"{PATH}/closings",
        about="Close a month of an entity's books, and all before it, for good; for staff. `closed` is false where it "
        "was closed before, and the answer is the last month that is.",
        permission=CLOSE,
        body=Body(closed(fields({"entity": TEXT, "month": _MONTH}))),
        answer=fields({"closed": {"type": "boolean"}, **_CLOSING}),
    ),
    Endpoint(
        id="listLedgerClosings",
        method="get",
        path=f"{PATH}/closings",
        about="The months that are closed, the last one first.",
        permission=READ,
        answer=fields({"items": many(fields(_CLOSING))}),
    ),
)
