"""What workers do for pricing: fetch exchange rates every day, where the settings say from where."""

from typing import Final

import structlog

from milo_billing.infra.clock import Clock
from milo_billing.infra.database import EVERYWHERE, Database
from milo_billing.infra.jobs import Periodic, Task
from milo_billing.pricing import operations
from milo_billing.pricing.ports import RateSource

FETCHED_AT: Final = "35 16,19 * * *"
"""UTC. The ECB publishes around 16:00 in Frankfurt, 15:00 UTC at the latest; the evening catches a late day."""

_log = structlog.get_logger(__name__)


def tasks(*, database: Database, clock: Clock, source: RateSource) -> tuple[Periodic, ...]:
    """Fetch and import. A source that is away is tried again; rates that differ from ours fail, and stay failed."""

    def fetch_rates(timestamp: int) -> None:
        del timestamp
        content = source.fetch()  # before the transaction: nobody waits in it for the outside
        with database.transaction(reach=EVERYWHERE) as tx:
            imported = operations.import_rates(tx, content=content, now=clock.now())
        _log.info("rates_imported", added=imported.added, last_day=imported.last_day.isoformat())

    return (Periodic(Task("pricing.fetch_rates", fetch_rates), cron=FETCHED_AT),)
