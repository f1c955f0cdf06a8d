"""SQL that reads what was paid. Row-level security narrows each to the organizations that the transaction may see."""

from datetime import datetime
from typing import Any, LiteralString
from uuid import UUID

from milo_billing.controlplane.projections import KEEP, ProjectionDifference, compare_rows
from milo_billing.infra.database import Tx
from milo_billing.payments.types import Attempt, MethodOnFile, Payment, PaymentNotFound, ProviderEvent, Refund

_PAYMENT: LiteralString = (
    "select p.uid, p.owner_org, p.namespace, p.name, p.account, p.account_name, p.entity, p.invoice, p.invoice_name, "
    "p.method_name, p.provider, p.currency, p.amount_minor, p.refunded_minor, p.phase, p.reference, p.failure, "
    "(select count(*)::int from payments.attempts a where a.payment = p.uid), "
    "p.next_attempt_on, p.created_at, p.decided_at, p.disputed_minor from payments.payments p"
)
_ATTEMPT: LiteralString = (
    "select invoice, number, payment, owner_org, key, class, method, amount_minor, currency, state, calls, reference, "
    "code, message, hard, at, called_at, answered_at from payments.attempts"
)
_REFUND: LiteralString = (
    "select payment, number, owner_org, key, amount_minor, currency, source, reason, state, calls, reference, message, "
    "at, called_at, answered_at from payments.refunds"
)


def get_payment(tx: Tx, *, namespace: str, name: str) -> Payment:
    """Raises PaymentNotFound, also where it is out of reach."""
    row = tx.execute(f"{_PAYMENT} where p.namespace = %s and p.name = %s", (namespace, name)).fetchone()
    if row is None:
        raise PaymentNotFound(f'payment "{name}" not found')
    return Payment(*row)


def get_payment_by_uid(tx: Tx, *, uid: UUID) -> Payment:
    """Raises PaymentNotFound."""
    row = tx.execute(f"{_PAYMENT} where p.uid = %s", (uid,)).fetchone()
    if row is None:
        raise PaymentNotFound(f"there is no payment {uid}")
    return Payment(*row)


def find_pending(tx: Tx, *, invoice: UUID) -> Payment | None:
    """The payment that is being collected for an invoice."""
    row = tx.execute(f"{_PAYMENT} where p.invoice = %s and p.phase = 'Pending'", (invoice,)).fetchone()
    return None if row is None else Payment(*row)


def list_idle(tx: Tx, *, after: UUID, limit: int) -> tuple[UUID, ...]:
    """Payments behind `after` that are Pending while nobody is being asked, in the order of uids."""
    rows = tx.execute(
        "select uid from payments.payments p where phase = 'Pending' and uid > %s and not exists (select "
        "from payments.attempts a where a.payment = p.uid and a.state in ('Open', 'Processing', 'ActionRequired')) "
        "order by uid limit %s",
        (after, limit),
    )
    return tuple(uid for (uid,) in rows)


def count_payments(tx: Tx, *, invoice: UUID) -> int:
    """How many payments have ever been collected, or tried, for an invoice."""
    row = tx.execute("select count(*) from payments.payments where invoice = %s", (invoice,)).fetchone()
    assert row is not None, "an aggregate returns one row"
    return row[0]


def list_attempts(tx: Tx, *, invoice: UUID, limit: int = 1000) -> tuple[Attempt, ...]:
    """The attempts to collect an invoice, in order."""
    rows = tx.execute(f"{_ATTEMPT} where invoice = %s order by number limit %s", (invoice, limit))
    return tuple(Attempt(*row) for row in rows)


def get_attempt(tx: Tx, *, invoice: UUID, number: int) -> Attempt:
    """Raises PaymentNotFound."""
    row = tx.execute(f"{_ATTEMPT} where invoice = %s and number = %s", (invoice, number)).fetchone()
    if row is None:
        raise PaymentNotFound(f"invoice {invoice} has no attempt {number}")
    return Attempt(*row)


def find_attempt(tx: Tx, *, class_uid: UUID, reference: str, key: str) -> Attempt | None:
    """The attempt of which a provider spoke, by our key or else by its own reference."""
    row = tx.execute(
        f"{_ATTEMPT} where class = %s and (key = %s or (%s <> '' and reference = %s)) order by key = %s desc limit 1",
        (class_uid, key, reference, reference, key),
    ).fetchone()
    return None if row is None else Attempt(*row)


def has_unnamed(tx: Tx, *, class_uid: UUID, until: datetime) -> bool:
    """Whether a provider was asked for a payment up to this instant of which nobody knows yet what it calls it."""
    row = tx.execute(
        "select from payments.attempts where state = 'Open' and class = %s and reference = '' and called_at <= %s "
        "limit 1",
        (class_uid, until),
    ).fetchone()
    return row is not None


def list_standing(tx: Tx, *, before: datetime, limit: int) -> tuple[Attempt, ...]:
    """Attempts that nobody has an answer to, opened before this instant, the oldest first."""
    rows = tx.execute(
        f"{_ATTEMPT} where state in ('Open', 'Processing', 'ActionRequired') and at < %s order by at limit %s",
        (before, limit),
    )
    return tuple(Attempt(*row) for row in rows)


def get_refund(tx: Tx, *, payment: UUID, number: int) -> Refund:
    """Raises PaymentNotFound."""
    row = tx.execute(f"{_REFUND} where payment = %s and number = %s", (payment, number)).fetchone()
    if row is None:
        raise PaymentNotFound(f"payment {payment} has no refund {number}")
    return Refund(*row)


def find_refund(tx: Tx, *, key: str, reference: str) -> Refund | None:
    """The refund of which a provider spoke, by our key or else by its own reference."""
    row = tx.execute(
        f"{_REFUND} where key = %s or (%s <> '' and reference = %s) order by key = %s desc limit 1",
        (key, reference, reference, key),
    ).fetchone()
    return None if row is None else Refund(*row)


def list_refunds(tx: Tx, *, payment: UUID) -> tuple[Refund, ...]:
    """The refunds of a payment, in order."""
    rows = tx.execute(f"{_REFUND} where payment = %s order by number", (payment,))
    return tuple(Refund(*row) for row in rows)


def list_standing_refunds(tx: Tx, *, before: datetime, limit: int) -> tuple[Refund, ...]:
    """Refunds that nobody has an answer to, opened before this instant, the oldest first."""
    rows = tx.execute(
        f"{_REFUND} where state in ('Open', 'Processing') and at < %s order by at limit %s", (before, limit)
    )
    return tuple(Refund(*row) for row in rows)


def get_refund_class(tx: Tx, *, payment: UUID) -> UUID:
    """The class of the method that a payment came from. Raises PaymentNotFound where no provider collected it."""
    row = tx.execute(
        "select class from payments.attempts where payment = %s and state = 'Succeeded'", (payment,)
    ).fetchone()
    if row is None:
        raise PaymentNotFound(f"no provider has collected payment {payment}")
    return row[0]


_METHOD: LiteralString = "select uid, class, customer, reference, token, kind from payments.methods"


def find_method(tx: Tx, *, uid: UUID) -> MethodOnFile | None:
    """What a provider knows a payment method by, once it was asked."""
    row = tx.execute(f"{_METHOD} where uid = %s", (uid,)).fetchone()
    return None if row is None else MethodOnFile(*row)


def find_method_by_reference(tx: Tx, *, class_uid: UUID, reference: str) -> UUID | None:
    """The payment method that is being set up under the provider's reference."""
    row = tx.execute(
        "select uid from payments.methods where class = %s and reference = %s and reference <> ''",
        (class_uid, reference),
    ).fetchone()
    return None if row is None else row[0]


def find_customer(tx: Tx, *, account: UUID, class_uid: UUID) -> str:
    """What a provider calls the account, empty where it does not know it."""
    row = tx.execute(
        "select customer from payments.methods where account = %s and class = %s and customer <> '' limit 1",
        (account, class_uid),
    ).fetchone()
    return "" if row is None else row[0]


def list_waiting_events(tx: Tx, *, before: datetime, limit: int) -> tuple[tuple[UUID, str, str], ...]:
    """(class, id, what it is about) of events that were received before this instant and have had no effect yet."""
    rows = tx.execute(
        "select class, id, reference from payments.webhook_events where applied_at is null and received_at < %s "
        "order by received_at limit %s",
        (before, limit),
    )
    return tuple(rows)


def find_event(tx: Tx, *, class_uid: UUID, id: str) -> tuple[ProviderEvent, datetime, bool] | None:
    """What a provider told, when it came, and whether it has had its effect."""
    row: tuple[Any, ...] | None = tx.execute(
        "select id, type, subject, reference, key, received_at, applied_at is not null from payments.webhook_events "
        "where class = %s and id = %s",
        (class_uid, id),
    ).fetchone()
    return None if row is None else (ProviderEvent(*row[:5]), row[5], row[6])


def find_secrets(tx: Tx, *, class_uid: UUID) -> str | None:
    """A class's secrets, as ciphertext."""
    row = tx.execute("select sealed from payments.class_secrets where class = %s", (class_uid,)).fetchone()
    return None if row is None else row[0]


# -------------------------------------------------------------------------------------------------- projections

_PAYMENTS: LiteralString = """
select 'controlplane.objects', uid::text, 'payment ' || namespace || '/' || name, jsonb_build_object(
    'namespace', namespace, 'name', name, 'owner_org', owner_org, 'account', account_name, 'phase', phase,
    'currency', currency, 'amount', amount_minor, 'refunded', refunded_minor, 'disputed', disputed_minor,
    'reference', reference,
    'failure', failure, 'next', next_attempt_on,
    'attempts', (select count(*) from payments.attempts a where a.payment = p.uid),
    'refunds', (select count(*) from payments.refunds r where r.payment = p.uid))
from payments.payments p
"""
_PAYMENT_OBJECTS: LiteralString = """
select 'controlplane.objects', uid::text, 'payment ' || namespace || '/' || name, jsonb_build_object(
    'namespace', namespace, 'name', name, 'owner_org', owner_org, 'account', spec #>> '{billingAccountRef,name}',
    'phase', status ->> 'phase', 'currency', spec ->> 'currencyCode',
    'amount', replace(status ->> 'amount', '.', '')::bigint,
    'refunded', replace(status ->> 'amountRefunded', '.', '')::bigint,
    'disputed', replace(status ->> 'amountDisputed', '.', '')::bigint,
    'reference', status ->> 'providerReference', 'failure', status ->> 'failureReason',
    'next', (status ->> 'nextAttemptOn')::date,
    'attempts', jsonb_array_length(coalesce(status -> 'attempts', '[]')),
    'refunds', jsonb_array_length(coalesce(status -> 'refunds', '[]')))
from controlplane.objects where api_group = 'billing.miloapis.com' and resource = 'payments'
"""


def compare_projections(tx: Tx) -> tuple[ProjectionDifference, ...]:
    """Where the objects of payments differ from the payments. Needs to reach everything; empty is right."""
    return compare_rows(tx, expected=_PAYMENTS, found=_PAYMENT_OBJECTS, remedy=KEEP)


def list_classes(tx: Tx) -> tuple[UUID, ...]:
    """The classes of payment methods that have secrets, with which their provider can be asked."""
    return tuple(row[0] for row in tx.execute("select class from payments.class_secrets order by class"))
