"""SQL that writes this slice's own tables."""

from collections.abc import Sequence
from datetime import datetime

from milo_billing.infra.database import Tx
from milo_billing.pricing.types import ReferenceRate


def insert_rates(tx: Tx, *, source: str, rates: Sequence[ReferenceRate], now: datetime) -> int:
    """Add those rates that are new; how many they were. What stands stays as it is."""
    added = tx.execute(
        "insert into pricing.exchange_rates (source, currency, day, rate, imported_at) "
        "select %s, r.currency, r.day, r.rate, %s "
        "from unnest(%s::text[], %s::date[], %s::numeric[]) as r (currency, day, rate) on conflict do nothing",
        (
            source,
            now,
            [rate.currency for rate in rates],
            [rate.day for rate in rates],
            [rate.rate for rate in rates],
        ),
    )
    return added.rowcount
