"""What workers do for pricing: fetch exchange rates every day, where the settings say from where, and say how old
the last ones are."""

from datetime import UTC, datetime, time
from typing import Final

import structlog

from milo_billing.infra.clock import Clock
from milo_billing.infra.database import EVERYWHERE, Database
from milo_billing.infra.jobs import Periodic, Task
from milo_billing.infra.telemetry import counter, gauge
from milo_billing.kernel.errors import MiloError
from milo_billing.pricing import operations, reads
from milo_billing.pricing.ports import RateSource

FETCHED_AT: Final = "35 16,19 * * *"
"""UTC. The ECB publishes around 16:00 in Frankfurt, 15:00 UTC at the latest; the evening catches a late day."""
MEASURED_AT: Final = "*/5 * * * *"
"""Also where no fetch succeeds, and soon after a worker began anew."""

_LAST_DAY: Final = gauge(
    "exchange_rates_last_day_timestamp_seconds",
    about="The last day of which there are exchange rates, its midnight UTC in unix time; 0 where there are none.",
)
_FETCHES: Final = counter(
    "exchange_rate_fetches", about="Attempts to fetch exchange rates, by outcome.", labels=("outcome",)
)

_log = structlog.get_logger(__name__)


def tasks(*, database: Database, clock: Clock, source: RateSource) -> tuple[Periodic, ...]:
    """Fetch and import. A source that is away is tried again; rates that differ from ours fail, and stay failed."""

    def fetch_rates(timestamp: int) -> None:
        del timestamp
        try:
            content = source.fetch()  # before the transaction: nobody waits in it for the outside
            with database.transaction(reach=EVERYWHERE) as tx:
                imported = operations.import_rates(tx, content=content, now=clock.now())
        except MiloError:
            _FETCHES.labels("failed").inc()
            raise
        _FETCHES.labels("done").inc()
        _log.info("rates_imported", added=imported.added, last_day=imported.last_day.isoformat())

    def measure_rates(timestamp: int) -> None:
        del timestamp
        with database.transaction(reach=EVERYWHERE) as tx:
            last = reads.find_last_day(tx)
        _LAST_DAY.set(0 if last is None else datetime.combine(last, time(), UTC).timestamp())

    return (
        Periodic(Task("pricing.fetch_rates", fetch_rates), cron=FETCHED_AT),
        Periodic(Task("pricing.measure_rates", measure_rates), cron=MEASURED_AT),
    )
