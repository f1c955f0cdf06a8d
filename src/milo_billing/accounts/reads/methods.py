"""SQL that reads payment methods and their classes."""

from collections.abc import Collection, Mapping
from uuid import UUID

from milo_billing.accounts.types import (
    AccountNotFound,
    MethodOwner,
    PayingMethod,
    PaymentMethodClassEntry,
    PaymentMethodEntry,
)
from milo_billing.infra.database import Tx


def find_method(tx: Tx, *, namespace: str, name: str) -> PaymentMethodEntry | None:
    """The payment method of that name."""
    row = tx.execute(
        "select namespace, name, account, phase, type, failure_reason from accounts.payment_methods "
        "where namespace = %s and name = %s",
        (namespace, name),
    ).fetchone()
    return None if row is None else PaymentMethodEntry(*row)


def list_paying_methods(tx: Tx, *, accounts: Collection[int]) -> Mapping[int, PayingMethod]:
    """The payment method that each of the accounts is collected from: those that have one, by number.

    It is active, of a class that collects by itself, and named by a payment profile Card or DirectDebit.
    """
    rows = tx.execute(
        "select a.number, m.uid, m.namespace, m.name, m.type, c.uid, c.name, c.provider from accounts.accounts a "
        "join accounts.payment_methods m on m.namespace = a.namespace and m.name = a.payment_method "
        "and m.account = a.uid join accounts.payment_method_classes c on c.uid = m.class "
        "where a.number = any(%s) and a.deleted_at is null and a.profile_type in ('Card', 'DirectDebit') "
        "and m.phase = 'Active' and c.provider <> 'manual'",
        (list(accounts),),
    )
    return {number: PayingMethod(*method) for number, *method in rows}


def list_pending_methods(tx: Tx, *, limit: int) -> tuple[UUID, ...]:
    """Payment methods whose provider has not said yet whether they can be paid with; uids, in their order."""
    rows = tx.execute(
        "select m.uid from accounts.payment_methods m join accounts.payment_method_classes c on c.uid = m.class "
        "where m.phase = 'Pending' and c.provider <> 'manual' order by m.uid limit %s",
        (limit,),
    )
    return tuple(uid for (uid,) in rows)


def get_method_owner(tx: Tx, *, uid: UUID) -> MethodOwner:
    """Whose a payment method is, and which class it is of. Raises AccountNotFound."""
    row = tx.execute(
        "select m.uid, m.owner_org, m.namespace, m.name, m.phase, m.account, a.number, c.uid, c.name, c.provider "
        "from accounts.payment_methods m join accounts.payment_method_classes c on c.uid = m.class "
        "join accounts.accounts a on a.uid = m.account where m.uid = %s",
        (uid,),
    ).fetchone()
    if row is None:
        raise AccountNotFound(f"there is no payment method {uid}")
    return MethodOwner(*row)


def find_method_uid(tx: Tx, *, namespace: str, name: str) -> UUID | None:
    """The uid of the payment method of that name."""
    row = tx.execute(
        "select uid from accounts.payment_methods where namespace = %s and name = %s", (namespace, name)
    ).fetchone()
    return None if row is None else row[0]


def get_method_class_name(tx: Tx, *, uid: UUID) -> str:
    """What a payment method class is called. Raises AccountNotFound."""
    row = tx.execute("select name from accounts.payment_method_classes where uid = %s", (uid,)).fetchone()
    if row is None:
        raise AccountNotFound(f"there is no payment method class {uid}")
    return row[0]


def find_method_class(tx: Tx, *, name: str | None) -> PaymentMethodClassEntry | None:
    """The payment method class of that name; None asks for the default one.

    It stays until the transaction ends.
    """
    row = tx.execute(
        "select uid, name, provider, is_default from accounts.payment_method_classes "
        "where name = %(name)s or (%(name)s::text is null and is_default) for key share",
        {"name": name},
    ).fetchone()
    return None if row is None else PaymentMethodClassEntry(*row)


def list_methods_of_class(tx: Tx, *, uid: UUID, limit: int) -> tuple[str, ...]:
    """Payment methods of the class as `namespace/name`."""
    found = tx.execute(
        "select namespace || '/' || name from accounts.payment_methods where class = %s "
        "order by namespace, name limit %s",
        (uid, limit),
    )
    return tuple(row[0] for row in found)
