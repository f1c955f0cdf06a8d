"""The Payment object, written from the payment's rows in the transaction that changed them."""

from typing import Any, Final, Literal, TypeAlias

from milo_billing.controlplane.engine import Engine
from milo_billing.controlplane.kinds import Condition, rfc3339, set_condition
from milo_billing.controlplane.work import Work
from milo_billing.payments import reads
from milo_billing.payments.types import GROUP, Payment, PaymentPhase

_Said: TypeAlias = tuple[Literal["True", "False", "Unknown"], str, str]
_CONDITION: Final[dict[PaymentPhase, _Said]] = {
    "Pending": ("Unknown", "PaymentPending", "The money has not come yet."),
    "Succeeded": ("True", "PaymentSucceeded", "The money has come."),
    "Failed": ("False", "PaymentFailed", "The money did not come, and nobody asks for it again by himself."),
    "Refunded": ("True", "PaymentRefunded", "The money came and was given back."),
}


def publish(work: Work, engine: Engine, payment: Payment, *, verb: str) -> None:
    """Write the Payment object as its rows say; `verb` is what the audit calls it."""
    kind = type(engine.registry.get(GROUP, "payments"))
    standing = engine.find_object(work.tx, kind, namespace=payment.namespace, name=payment.name)
    conditions: list[Condition] = [] if standing is None else standing.status.conditions
    status, reason, message = _CONDITION[payment.phase]
    conditions = set_condition(
        conditions,
        type="Succeeded",
        status=status,
        reason=reason,
        message=message,
        observed_generation=1,
        now=work.now,
    )
    engine.write_system(
        work,
        kind,
        namespace=payment.namespace,
        name=payment.name,
        spec=_spec(payment),
        status={
            **_status(payment),
            "attempts": _attempts(work, payment),
            "refunds": _refunds(work, payment),
            "conditions": [c.model_dump(mode="json", by_alias=True, exclude_none=True) for c in conditions],
        },
        verb=verb,
        uid=payment.uid,
    )


def _spec(payment: Payment) -> dict[str, Any]:
    spec: dict[str, Any] = {
        "billingAccountRef": {"name": payment.account_name},
        "currencyCode": payment.currency,
        "invoices": [{"name": payment.invoice_name}] if payment.invoice_name else [],
    }
    return {**spec, "paymentMethodRef": {"name": payment.method_name}} if payment.method_name else spec


def _status(payment: Payment) -> dict[str, Any]:
    status: dict[str, Any] = {
        "phase": payment.phase,
        "amount": payment.decimal(payment.amount_minor),
        "amountRefunded": payment.decimal(payment.refunded_minor),
        "amountDisputed": payment.decimal(payment.disputed_minor),
        "provider": payment.provider,
        "providerReference": payment.reference,
        "failureReason": payment.failure,
    }
    if payment.next_attempt_on is not None:
        status["nextAttemptOn"] = payment.next_attempt_on.isoformat()
    if payment.decided_at is not None:
        status["decidedAt"] = rfc3339(payment.decided_at)
    return status


def _attempts(work: Work, payment: Payment) -> list[dict[str, Any]]:
    if payment.invoice is None:
        return []
    return [
        {
            "number": one.number,
            "at": rfc3339(one.at),
            "amount": payment.decimal(one.amount_minor),
            "state": one.state,
            "code": one.code,
            "message": one.message,
            "hard": one.hard,
        }
        for one in reads.list_attempts(work.tx, invoice=payment.invoice)
        if one.payment == payment.uid
    ]


def _refunds(work: Work, payment: Payment) -> list[dict[str, Any]]:
    return [
        {
            "number": one.number,
            "at": rfc3339(one.at),
            "amount": payment.decimal(one.amount_minor),
            "state": one.state,
            "source": one.source,
            "reason": one.reason,
        }
        for one in reads.list_refunds(work.tx, payment=payment.uid)
    ]
