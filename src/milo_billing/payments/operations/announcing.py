"""Announce what becomes of a payment, to the channels that want to hear of it."""

from datetime import date
from typing import Any, Final, Literal
from uuid import UUID

from milo_billing.controlplane.work import Work
from milo_billing.invoicing.reads import invoices as invoice_reads
from milo_billing.kernel.money import Money, minor_to_decimal
from milo_billing.notices import operations as notices
from milo_billing.notices.types import Event
from milo_billing.payments.types import Payment

PaymentEvent = Literal["payment.succeeded", "payment.failed", "payment.refunded"]

REASON_MAX: Final = 500
"""What a provider says is told up to so many characters."""


def announce(
    work: Work,
    type: PaymentEvent,
    payment: Payment,
    *,
    invoice: UUID,
    amount: Money,
    once: str,
    reason: str = "",
    next_attempt_on: date | None = None,
) -> None:
    """Tell of it in the transaction that makes it so.

    `once` tells apart what may happen to a payment several times: the attempt, the refund. `amount` is what came, was
    asked for or went back.
    """
    more: dict[str, Any] = {} if type != "payment.failed" else {"reason": reason[:REASON_MAX]}
    if next_attempt_on is not None:
        more["nextAttemptOn"] = next_attempt_on.isoformat()
    account = {"namespace": payment.namespace, "name": payment.account_name}
    event = Event(
        type=type,
        key=f"payment/{payment.uid}/{type}/{once}",
        org=payment.owner_org,
        data={
            "account": account,
            "payment": payment.name,
            "currencyCode": amount.currency,
            "amount": str(minor_to_decimal(amount.minor, amount.currency)),
            "invoices": [invoice_reads.get_invoice_by_uid(work.tx, uid=invoice).number],
            **more,
        },
        account=f"{payment.namespace}/{payment.account_name}",
    )
    notices.send(work.tx, None, event=event, now=work.now)
