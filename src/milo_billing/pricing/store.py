"""SQL that writes this slice's own tables."""

from datetime import date
from decimal import Decimal
from uuid import UUID

from milo_billing.infra.database import Tx


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
