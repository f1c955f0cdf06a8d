"""Post money facts to the books, in the database transaction of the fact itself (domain.md §9)."""

from collections.abc import Sequence
from datetime import date, datetime
from uuid import UUID

from milo_billing.infra.database import Tx
from milo_billing.kernel.money import Currency
from milo_billing.ledger import rules, store
from milo_billing.ledger.types import LedgerTransaction, Posting


def post(tx: Tx, *, transaction: LedgerTransaction, now: datetime) -> UUID:
    """Post the transaction; returns the id under which it stands.

    Posting the same key again changes nothing and returns the first id; description and instants may differ.
    Raises UnableToPost where it does not balance, or where the key stands for another entity, date, account
    or entries. After that error the surrounding transaction must roll back.
    """
    rules.assert_postable(transaction)
    return store.insert_transaction(tx, transaction, now=now)


def post_receivable(
    tx: Tx,
    *,
    id: UUID,
    key: str,
    entity: str,
    posted_on: date,
    billing_account: int,
    owner_org: int,
    currency: Currency,
    lines: Sequence[Posting],
    now: datetime,
    description: str = "",
) -> UUID | None:
    """Debit what the customer now owes, credit revenue, earned or deferred; as `post`, also in its errors.

    Of `lines`, charges are positive, reductions negative. None where all lines are zero: a zero invoice moves nothing
    in the books.
    """
    entries = rules.receivable_entries(lines, currency=currency)
    if not entries:
        return None
    transaction = LedgerTransaction(
        id=id,
        key=key,
        entity=entity,
        posted_on=posted_on,
        description=description,
        billing_account=billing_account,
        owner_org=owner_org,
        entries=entries,
    )
    return post(tx, transaction=transaction, now=now)
