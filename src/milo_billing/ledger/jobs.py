"""What workers do for the books: recompute them every hour, and say how many differences there are."""

from dataclasses import dataclass
from datetime import date
from typing import Final

import structlog

from milo_billing.infra.clock import Clock
from milo_billing.infra.database import EVERYWHERE, Database
from milo_billing.infra.jobs import Periodic, Task
from milo_billing.infra.telemetry import gauge
from milo_billing.ledger import operations, reads
from milo_billing.ledger.ports import Subledger

VERIFIED_AT: Final = "11 * * * *"
LOGGED_MAX: Final = 100
"""Differences that one check writes to the log; `milo-billing ledger verify` has all of them."""

UNCOMMITTED_MAX: Final = 10_000
"""Transactions that may have a lower number than one that is seen, and come after it."""


@dataclass(frozen=True, slots=True)
class Whole:
    """When everything was added up and right, and up to which transaction."""

    on: date
    number: int


_DIFFERENCES: Final = gauge(
    "ledger_differences",
    about="Differences between the books and the documents behind them, when last compared.",
)
_VERIFIED: Final = gauge(
    "ledger_verified_timestamp_seconds",
    about="When the books were last compared with the documents behind them.",
)
_log = structlog.get_logger(__name__)


def tasks(*, database: Database, subledgers: tuple[Subledger, ...], clock: Clock) -> tuple[Periodic, ...]:
    """`database` reaches every organization.

    Once a day, and every hour while something is wrong, everything is added up; else what was posted since, and each
    account that has documents. A worker that has just begun adds everything up.
    """
    whole: Whole | None = None

    def verify(timestamp: int) -> None:
        nonlocal whole
        del timestamp
        now = clock.now()
        since = None if whole is None or whole.on != now.date() else whole.number
        with database.transaction(reach=EVERYWHERE) as tx:
            last = reads.get_last_number(tx)
            found = operations.verify(tx, subledgers=subledgers, everything=True, since=since)
        if found:
            whole = None
        elif since is None:
            whole = Whole(now.date(), max(0, last - UNCOMMITTED_MAX))
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
        _VERIFIED.set(now.timestamp())

    return (Periodic(Task("ledger.verify", verify), cron=VERIFIED_AT),)
