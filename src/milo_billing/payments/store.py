"""SQL that writes this slice's tables. Whoever collects, refunds or notes an answer holds the account's lock first."""

from datetime import date, datetime
from uuid import UUID

from milo_billing.infra import advisory_locks
from milo_billing.infra.database import Tx
from milo_billing.payments.types import (
    Attempt,
    AttemptState,
    MethodKind,
    Payment,
    PaymentPhase,
    ProviderEvent,
    Refund,
    RefundState,
)


def lock_account(tx: Tx, *, account: int) -> None:
    """The collection lock of every invoice of the account, until the transaction ends."""
    tx.execute("select pg_advisory_xact_lock(%s, %s)", (advisory_locks.COLLECTION, account))


# --------------------------------------------------------------------------------------------- payments, attempts


def insert_payment(tx: Tx, payment: Payment) -> None:
    """A payment that has just begun, or come in. The database refuses a second one that is Pending for an invoice."""
    tx.execute(
        "insert into payments.payments (uid, owner_org, namespace, name, account, account_name, entity, invoice, "
        "invoice_name, method_name, provider, currency, amount_minor, phase, reference, failure, next_attempt_on, "
        "created_at, decided_at) values (%s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s)",
        (
            payment.uid,
            payment.owner_org,
            payment.namespace,
            payment.name,
            payment.account,
            payment.account_name,
            payment.entity,
            payment.invoice,
            payment.invoice_name,
            payment.method_name,
            payment.provider,
            payment.currency,
            payment.amount_minor,
            payment.phase,
            payment.reference,
            payment.failure,
            payment.next_attempt_on,
            payment.created_at,
            payment.decided_at,
        ),
    )


def update_payment(
    tx: Tx,
    *,
    uid: UUID,
    phase: PaymentPhase,
    amount_minor: int,
    method_name: str,
    provider: str,
    reference: str,
    failure: str,
    next_attempt_on: date | None,
    decided_at: datetime | None,
) -> None:
    """Note how a payment stands after an attempt was opened or answered."""
    tx.execute(
        "update payments.payments set phase = %s, amount_minor = %s, method_name = %s, provider = %s, reference = %s, "
        "failure = %s, next_attempt_on = %s, decided_at = %s where uid = %s",
        (phase, amount_minor, method_name, provider, reference, failure, next_attempt_on, decided_at, uid),
    )


def set_refunded(tx: Tx, *, uid: UUID, refunded_minor: int, phase: PaymentPhase) -> None:
    """Note how much of a payment goes back, with refunds under way."""
    tx.execute(
        "update payments.payments set refunded_minor = %s, phase = %s where uid = %s",
        (refunded_minor, phase, uid),
    )


def insert_attempt(tx: Tx, attempt: Attempt, *, request_sha256: bytes) -> None:
    """Write an attempt before anybody is asked. The database refuses it while another one of the invoice stands."""
    tx.execute(
        "insert into payments.attempts (invoice, number, payment, owner_org, key, request_sha256, class, method, "
        "amount_minor, currency, at) values (%s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s)",
        (
            attempt.invoice,
            attempt.number,
            attempt.payment,
            attempt.owner_org,
            attempt.key,
            request_sha256,
            attempt.class_uid,
            attempt.method,
            attempt.amount_minor,
            attempt.currency,
            attempt.at,
        ),
    )


def count_call(tx: Tx, *, invoice: UUID, number: int, at: datetime) -> None:
    """Note that the provider is about to be asked; committed before it is. The first instant stays."""
    tx.execute(
        "update payments.attempts set calls = calls + 1, called_at = coalesce(called_at, %s) "
        "where invoice = %s and number = %s",
        (at, invoice, number),
    )


def note_answer(
    tx: Tx,
    *,
    invoice: UUID,
    number: int,
    state: AttemptState,
    reference: str,
    code: str = "",
    message: str = "",
    hard: bool = False,
    answered_at: datetime | None = None,
) -> None:
    """Note what the provider said. `answered_at` belongs to what is for good."""
    tx.execute(
        "update payments.attempts set state = %s, reference = %s, code = %s, message = %s, hard = %s, answered_at = %s "
        "where invoice = %s and number = %s",
        (state, reference, code, message, hard, answered_at, invoice, number),
    )


# ------------------------------------------------------------------------------------------------------- refunds


def insert_refund(tx: Tx, refund: Refund) -> None:
    """Write a refund before anybody is asked."""
    tx.execute(
        "insert into payments.refunds (payment, number, owner_org, key, amount_minor, currency, source, reason, at) "
        "values (%s, %s, %s, %s, %s, %s, %s, %s, %s)",
        (
            refund.payment,
            refund.number,
            refund.owner_org,
            refund.key,
            refund.amount_minor,
            refund.currency,
            refund.source,
            refund.reason,
            refund.at,
        ),
    )


def count_refund_call(tx: Tx, *, payment: UUID, number: int, at: datetime) -> None:
    """As `count_call`."""
    tx.execute(
        "update payments.refunds set calls = calls + 1, called_at = coalesce(called_at, %s) "
        "where payment = %s and number = %s",
        (at, payment, number),
    )


def note_refund(
    tx: Tx,
    *,
    payment: UUID,
    number: int,
    state: RefundState,
    reference: str,
    message: str = "",
    answered_at: datetime | None = None,
) -> None:
    """As `note_answer`."""
    tx.execute(
        "update payments.refunds set state = %s, reference = %s, message = %s, answered_at = %s "
        "where payment = %s and number = %s",
        (state, reference, message, answered_at, payment, number),
    )


# ----------------------------------------------------------------------------------- methods, webhooks, secrets


def begin_method(tx: Tx, *, uid: UUID, owner_org: int, account: UUID, class_uid: UUID, at: datetime) -> None:
    """Have a row for what a provider will say of a method; one that stands stays."""
    tx.execute(
        "insert into payments.methods (uid, owner_org, account, class, asked_at) values (%s, %s, %s, %s, %s) "
        "on conflict (uid) do nothing",
        (uid, owner_org, account, class_uid, at),
    )


def note_method(
    tx: Tx, *, uid: UUID, customer: str, reference: str, token: str, kind: MethodKind | None
) -> None:
    """Note what the provider calls a method, its set-up, and whoever pays with it."""
    tx.execute(
        "update payments.methods set customer = %s, reference = %s, token = %s, kind = %s where uid = %s",
        (customer, reference, token, kind, uid),
    )


def insert_event(tx: Tx, event: ProviderEvent, *, class_uid: UUID, at: datetime) -> bool:
    """Store what a provider told; False where it told it before."""
    stored = tx.execute(
        "insert into payments.webhook_events (class, id, type, subject, reference, key, received_at) "
        "values (%s, %s, %s, %s, %s, %s, %s) on conflict do nothing",
        (class_uid, event.id, event.type, event.subject, event.reference, event.key, at),
    )
    return stored.rowcount == 1


def note_applied(tx: Tx, *, class_uid: UUID, id: str, at: datetime) -> None:
    """An event has had its effect, or has none."""
    tx.execute(
        "update payments.webhook_events set applied_at = coalesce(applied_at, %s) where class = %s and id = %s",
        (at, class_uid, id),
    )


def put_secrets(tx: Tx, *, class_uid: UUID, sealed: str, by: str, at: datetime) -> None:
    """Keep a class's secrets in place of those before."""
    tx.execute(
        "insert into payments.class_secrets (class, sealed, set_by, set_at) values (%s, %s, %s, %s) "
        "on conflict (class) do update set sealed = excluded.sealed, set_by = excluded.set_by, "
        "set_at = excluded.set_at",
        (class_uid, sealed, by, at),
    )
