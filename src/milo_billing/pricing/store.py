"""SQL that writes this slice's own tables."""

from collections.abc import Sequence
from datetime import date, datetime
from decimal import Decimal
from uuid import UUID

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


def put_charge(
    tx: Tx,
    *,
    uid: UUID,
    owner_org: int,
    namespace: str,
    name: str,
    account: int,
    sku: str,
    day: date,
    quantity: Decimal,
    description: str,
) -> None:
    """Write the row of a Charge as its object says it now."""
    tx.execute(
        "insert into pricing.charges (uid, owner_org, namespace, name, account, sku, day, quantity, description) "
        "values (%s, %s, %s, %s, %s, %s, %s, %s, %s) on conflict (uid) do update set sku = excluded.sku, "
        "account = excluded.account, day = excluded.day, quantity = excluded.quantity, "
        "description = excluded.description",
        (uid, owner_org, namespace, name, account, sku, day, quantity, description),
    )


def delete_charge(tx: Tx, *, uid: UUID) -> None:
    """Forget a Charge that no invoice holds."""
    tx.execute("delete from pricing.charges where uid = %s", (uid,))
