"""What Stripe's payouts and balance transactions are taken for (docs.stripe.com/api/balance_transactions/object).

Owns: reading them. Not: asking for them (stripe_payments).
"""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Final, TypeAlias, cast

from milo_billing.kernel.money import Money
from milo_billing.payments.types import Payout, PayoutItem, PayoutItemKind, PayoutState, Unknown

Json: TypeAlias = dict[str, Any]

_STATES: Final[Mapping[str, PayoutState]] = {
    "pending": "Pending",
    "in_transit": "Pending",
    "paid": "Paid",
    "failed": "Failed",
    "canceled": "Failed",
}
_KINDS: Final[Mapping[str, PayoutItemKind]] = {
    "charge": "Payment",
    "payment": "Payment",
    "payment_failure_refund": "Refund",
    "payment_refund": "Refund",
    "payment_reversal": "Dispute",
    "refund": "Refund",
    "refund_failure": "Refund",
    "adjustment": "Dispute",
    "payout_failure": "Payout",
    "payout_cancel": "Payout",
    "stripe_fee": "Fee",
    "stripe_fx_fee": "Fee",
    "tax_fee": "Fee",
    "network_cost": "Fee",
}
"""docs.stripe.com/reports/balance-transaction-types. An adjustment is a dispute's where its source is one."""


def payout(told: Json, items: Sequence[Json]) -> Payout | Unknown:
    """The payout with what it is made of; Unknown where Stripe calls its state otherwise."""
    reference = str(told["id"])
    state = _STATES.get(str(told.get("status")))
    if state is None:
        return Unknown(f"payout {reference} is {told.get('status')}")
    trace = _object(told.get("trace_id"))
    return Payout(
        reference=reference,
        amount=Money(int(told["amount"]), str(told["currency"]).upper()),
        state=state,
        arrives_on=datetime.fromtimestamp(int(told["arrival_date"]), UTC).date(),
        bank_account=str(_object(told.get("destination")).get("last4") or ""),
        trace=str(trace.get("value") or told.get("statement_descriptor") or ""),
        items=tuple(map(_item, items)),
    )


def _item(told: Json) -> PayoutItem:
    currency = str(told["currency"]).upper()
    amount, fee = Money(int(told["amount"]), currency), Money(int(told.get("fee") or 0), currency)
    source = _object(told.get("source"))
    kind: PayoutItemKind = _KINDS.get(str(told.get("type")), "Other")
    if kind == "Dispute" and source.get("object") not in ("dispute", "charge", "payment"):
        kind = "Other"
    if kind == "Fee":
        return PayoutItem(str(told["id"]), kind, "", Money(0, currency), fee - amount)
    name = source.get("id") if kind == "Payout" else source.get("payment_intent")
    return PayoutItem(str(told["id"]), kind, str(name or ""), amount, fee)


def _object(value: Any) -> Json:
    """What stands in a field that is an object only where it was asked for."""
    return cast("Json", value) if isinstance(value, dict) else {}
