"""What workers do for the books: recompute them every hour, and say how many differences there are."""

from typing import Final

import structlog

from milo_billing.infra.database import EVERYWHERE, Database
from milo_billing.infra.jobs import Periodic, Task
from milo_billing.infra.telemetry import gauge
from milo_billing.ledger import operations
from milo_billing.ledger.ports import Subledger

VERIFIED_AT: Final = "11 * * * *"
LOGGED_MAX: Final = 100
"""Differences that one check writes to the log; `milo-billing ledger verify` has all of them."""

_DIFFERENCES: Final = gauge(
    "ledger_differences",
    about="Differences between the books and the documents behind them, when last compared.",
)
_log = structlog.get_logger(__name__)


def tasks(*, database: Database, subledgers: tuple[Subledger, ...]) -> tuple[Periodic, ...]:
    """`database` reaches every organization."""

    def verify(timestamp: int) -> None:
        del timestamp
        with database.transaction(reach=EVERYWHERE) as tx:
            found = operations.verify(tx, subledgers=subledgers, everything=True)
        for one in found[:LOGGED_MAX]:
            _log.error(
                "ledger_difference",
                check=one.check,
                entity=one.entity,
                ledger_account=one.account,
                billing_account=one.billing_account,
                expected=str(one.expected),
                found=str(one.found),
            )
        _DIFFERENCES.set(len(found))

    return (Periodic(Task("ledger.verify", verify), cron=VERIFIED_AT),)
