"""A provider of payments that does everything a real one may do to us, and counts what it charged.

It keeps its promises: one charge for each key (unless it is told to forget keys), signed webhooks, a payment
that can be read again. Around that it is hostile: answers are lost after the charge, requests before it, webhooks come
twice, in any order, or never.
"""

import hmac
import json
import random
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import date, datetime
from hashlib import sha256
from threading import Lock
from typing import Any

from milo_billing.kernel.money import Money
from milo_billing.payments.types import (
    ActionRequired,
    CardDetails,
    Declined,
    Dispute,
    DisputeState,
    MethodAwaiting,
    MethodFailed,
    MethodReady,
    PaymentRequest,
    PaymentResult,
    Payout,
    PayoutItem,
    PayoutState,
    Processing,
    ProviderEvent,
    Refunded,
    RefundFailed,
    RefundProcessing,
    RefundRequest,
    RefundResult,
    SetupRequest,
    SetupResult,
    Subject,
    Succeeded,
    Unknown,
    UnreadableWebhook,
    WebhookRefused,
)

SECRET = "whsec_hostile"
SIGNATURE = "hostile-signature"

GOOD, SOFT, HARD, SLOW, CONFIRM, BROKEN = (
    "tok_good",
    "tok_soft",
    "tok_hard",
    "tok_slow",
    "tok_confirm",
    "tok_broken",
)
"""Methods: what each does is its name. A slow one is processing until `decide`, a broken one cannot be set up."""


@dataclass
class Charge:
    """One payment as the provider has it."""

    reference: str
    request: PaymentRequest
    result: PaymentResult
    refunds: dict[str, tuple[RefundRequest, RefundResult]] = field(
        default_factory=dict[str, tuple[RefundRequest, RefundResult]]
    )


@dataclass
class HostileProvider:
    """`lost_before`, `lost_after`: chances that a call dies before or after it was carried out."""

    seed: int = 0
    lost_before: float = 0.0
    lost_after: float = 0.0
    forgets_keys: bool = False
    slow_refunds: bool = False
    soft_declines: int = 10**9
    """How often the soft method is declined before it is good."""
    charges: list[Charge] = field(default_factory=list[Charge])
    by_key: dict[str, Charge] = field(default_factory=dict[str, Charge])
    webhooks: list[bytes] = field(default_factory=list[bytes])
    setups: dict[str, SetupResult] = field(default_factory=dict[str, SetupResult])
    disputes: dict[str, Dispute] = field(default_factory=dict[str, Dispute])
    payouts: dict[str, Payout] = field(default_factory=dict[str, Payout])
    paid_out: set[str] = field(default_factory=set[str])
    """References of charges, refunds and disputes that stand in a payout."""
    taken_minor: dict[str, int] = field(default_factory=dict[str, int])
    """What payouts have taken for disputes, less what they gave back of it, by payment."""
    calls: int = 0

    def __post_init__(self) -> None:
        self._chance = random.Random(self.seed)
        self._lock = Lock()

    # -- the port

    def create_payment(self, request: PaymentRequest) -> PaymentResult:
        with self._lock:
            self.calls += 1
            if self._chance.random() < self.lost_before:
                return Unknown("the connection broke before the request was sent")
            known = self.by_key.get(request.key)
            if known is not None and not self.forgets_keys:
                if replace(known.request, asked_at=None) != replace(request, asked_at=None):
                    raise AssertionError(f"{request.key} says something else the second time")
                return self._answered(known.result)
            charge = Charge(f"pay_{len(self.charges) + 1}", request, Unknown(""))
            charge.result = self._decided(charge.reference, request)
            self.charges.append(charge)
            self.by_key[request.key] = charge
            self._tell("payment", charge.reference, request.key)
            return self._answered(charge.result)

    def find_payment(self, request: PaymentRequest) -> PaymentResult | None:
        with self._lock:
            self.calls += 1
            if self._chance.random() < self.lost_before:
                return Unknown("the connection broke")
            found = self.by_key.get(request.key)
            return None if found is None else self._answered(found.result)

    def get_payment(self, reference: str) -> PaymentResult:
        with self._lock:
            self.calls += 1
            if self._chance.random() < self.lost_before:
                return Unknown("the connection broke")
            found = next((one for one in self.charges if one.reference == reference), None)
            return Unknown(f"there is no payment {reference}") if found is None else found.result

    def get_dispute(self, reference: str) -> Dispute | Unknown:
        with self._lock:
            if self._chance.random() < self.lost_before:
                return Unknown("the connection broke")
            return self.disputes.get(reference) or Unknown(f"there is no dispute {reference}")

    def get_payout(self, reference: str) -> Payout | Unknown:
        with self._lock:
            if self._chance.random() < self.lost_before:
                return Unknown("the connection broke")
            return self.payouts.get(reference) or Unknown(f"there is no payout {reference}")

    def list_payouts(self, *, since: datetime) -> tuple[str, ...] | Unknown:
        with self._lock:
            if self._chance.random() < self.lost_before:
                return Unknown("the connection broke")
            return tuple(self.payouts)

    def create_refund(self, request: RefundRequest) -> RefundResult:
        with self._lock:
            if self._chance.random() < self.lost_before:
                return Unknown("the connection broke before the request was sent")
            charge = next(one for one in self.charges if one.reference == request.payment)
            if request.key in charge.refunds:
                return self._refund_answered(charge.refunds[request.key][1])
            reference = f"{charge.reference}_refund_{len(charge.refunds) + 1}"
            given = _given_back(charge) + sum(
                one.amount.minor
                for one in self.disputes.values()
                if one.payment == charge.reference and one.state in ("Open", "Lost")
            )
            result: RefundResult
            if (
                not isinstance(charge.result, Succeeded)
                or given + request.amount.minor > charge.result.amount.minor
            ):
                result = RefundFailed(reference, "charge_already_refunded", "More than what was charged.")
            elif self.slow_refunds:
                result = RefundProcessing(reference)
            else:
                result = Refunded(reference, request.amount)
            charge.refunds[request.key] = (request, result)
            self._tell("refund", reference, request.key)
            return self._refund_answered(result)

    def find_refund(self, request: RefundRequest) -> RefundResult | None:
        with self._lock:
            if self._chance.random() < self.lost_before:
                return Unknown("the connection broke")
            for charge in self.charges:
                if request.key in charge.refunds:
                    return charge.refunds[request.key][1]
            return None

    def set_up_method(self, request: SetupRequest) -> SetupResult:
        with self._lock:
            if self._chance.random() < self.lost_before:
                return Unknown("the connection broke")
            customer = request.customer or f"cus_{sha256(request.account.encode()).hexdigest()[:8]}"
            if request.token == BROKEN:
                return MethodFailed(customer, "card_declined", "Your card was declined.")
            if not request.token:
                done = self.setups.get(f"setup_{request.key}")
                return done or MethodAwaiting(customer, f"setup_{request.key}", f"setup_{request.key}_secret")
            return MethodReady(customer, request.token, CardDetails("visa", "4242", "2030-08"))

    def parse_webhook(self, body: bytes, headers: Mapping[str, str], *, now: datetime) -> ProviderEvent:
        if not hmac.compare_digest(headers.get(SIGNATURE, ""), sign(body)):
            raise WebhookRefused("the signature is not the provider's")
        try:
            said: dict[str, Any] = json.loads(body)
            return ProviderEvent(said["id"], said["type"], said["subject"], said["reference"], said["key"])
        except (ValueError, KeyError) as error:
            raise UnreadableWebhook(f"not an event: {error}") from error

    # -- what happens at the provider

    def decide(self, reference: str, result: PaymentResult) -> None:
        """A payment that was processing, or waited for its owner, is decided."""
        with self._lock:
            charge = next(one for one in self.charges if one.reference == reference)
            charge.result = result
            self._tell("payment", reference, charge.request.key)

    def decide_refund(self, key: str, result: RefundResult) -> None:
        """A refund that was processing is decided."""
        with self._lock:
            charge = next(one for one in self.charges if key in one.refunds)
            charge.refunds[key] = (charge.refunds[key][0], result)
            self._tell("refund", "" if isinstance(result, Unknown) else result.reference, key)

    def dispute(self, reference: str, state: DisputeState, *, minor: int | None = None) -> str:
        """Whoever paid disputes the payment, or the case goes on; what the provider calls it."""
        with self._lock:
            charge = next(one for one in self.charges if one.reference == reference)
            name = f"dispute_{reference}"
            whole = charge.request.amount
            amount = whole if minor is None else Money(minor, whole.currency)
            self.disputes[name] = Dispute(name, reference, amount, state, "fraudulent")
            self._tell("dispute", name, "")
            return name

    def pay_out(
        self,
        *,
        arrives_on: date,
        state: PayoutState = "Paid",
        fee_minor: int = 30,
        more: tuple[PayoutItem, ...] = (),
        bank_account: str = "3000",
        short_minor: int = 0,
        currency: str = "USD",
    ) -> Payout:
        """Everything that lies here in the currency goes to the bank.

        `fee_minor` is kept of each charge, half as much of a dispute; `short_minor` less arrives than the items say.
        """
        with self._lock:
            items = [*self._movements(fee_minor, currency=currency), *more]
            self.paid_out.update(one.reference for one in items)
            for one in items:
                if one.kind == "Dispute":
                    self.taken_minor[one.payment] = self.taken_minor.get(one.payment, 0) - one.amount.minor
            minor = sum(one.amount.minor - one.fee.minor for one in items) - short_minor
            name = f"po_{len(self.payouts) + 1}"
            payout = Payout(
                name, Money(minor, currency), state, arrives_on, bank_account, f"HOSTILE {name}", tuple(items)
            )
            self.payouts[name] = payout
            self._tell("payout", name, "")
            return payout

    def disputable_minor(self, reference: str) -> int:
        """What of a payment was not given back, nor is about to be."""
        with self._lock:
            charge = next(one for one in self.charges if one.reference == reference)
            return charge.request.amount.minor - _given_back(charge)

    def lying_minor(self, currency: str) -> int:
        """What lies here, in no payout yet."""
        with self._lock:
            return sum(one.amount.minor for one in self._movements(0, currency=currency))

    def _movements(self, fee_minor: int, *, currency: str) -> list[PayoutItem]:
        found: list[PayoutItem] = []
        for charge in self.charges:
            name = charge.reference
            if isinstance(charge.result, Succeeded):
                amount, fee = charge.result.amount, Money(fee_minor, charge.result.amount.currency)
                found.append(PayoutItem(f"txn_{name}", "Payment", name, amount, fee))
            for _, result in charge.refunds.values():
                if isinstance(result, Refunded):
                    nothing = Money(0, result.amount.currency)
                    found.append(
                        PayoutItem(f"txn_{result.reference}", "Refund", name, -result.amount, nothing)
                    )
        found += [item for one in self.disputes.values() if (item := self._disputed(one, fee_minor))]
        return [
            one for one in found if one.reference not in self.paid_out and one.amount.currency == currency
        ]

    def _disputed(self, dispute: Dispute, fee_minor: int) -> PayoutItem | None:
        """What is taken for a dispute besides what payouts have taken already, or given back once it is won."""
        taken = self.taken_minor.get(dispute.payment, 0)
        wanted = dispute.amount.minor if dispute.state in ("Open", "Lost") else 0
        if wanted == taken:
            return None
        currency = dispute.amount.currency
        fee = Money(fee_minor // 2 if wanted > taken else 0, currency)
        number = sum(one.startswith(f"txn_{dispute.reference}") for one in self.paid_out)
        name = f"txn_{dispute.reference}" + (f"_{number + 1}" if number else "")
        return PayoutItem(name, "Dispute", dispute.payment, Money(taken - wanted, currency), fee)

    def turn(self, name: str, state: PayoutState) -> None:
        """A payout arrives, or comes back; what came back stands in the next one."""
        with self._lock:
            self.payouts[name] = replace(self.payouts[name], state=state)
            self._tell("payout", name, "")

    def confirm(self, key: str, *, customer: str) -> None:
        """The owner of a method enters it at the provider."""
        with self._lock:
            self.setups[f"setup_{key}"] = MethodReady(customer, GOOD, CardDetails("visa", "4242", "2030-08"))
            self._tell("method", f"setup_{key}", key)

    def charged_minor(self) -> int:
        """Everything that was ever charged."""
        with self._lock:
            return sum(one.result.amount.minor for one in self.charges if isinstance(one.result, Succeeded))

    def charged_twice(self) -> list[str]:
        """Keys for which money was taken more than once; of which there must be none."""
        with self._lock:
            good = [one.request.key for one in self.charges if isinstance(one.result, Succeeded)]
            return sorted({key for key in good if good.count(key) > 1})

    def _decided(self, reference: str, request: PaymentRequest) -> PaymentResult:
        match request.method:
            case "tok_soft" if self.soft_declines > 0:
                self.soft_declines -= 1
                return Declined(reference, "insufficient_funds", "Not enough money.", hard=False)
            case "tok_hard":
                return Declined(reference, "stolen_card", "The card was reported stolen.", hard=True)
            case "tok_slow":
                return Processing(reference)
            case "tok_confirm":
                return ActionRequired(reference)
            case _:
                return Succeeded(reference, request.amount)

    def _answered(self, result: PaymentResult) -> PaymentResult:
        lost = self._chance.random() < self.lost_after
        return Unknown("the connection broke before the answer came") if lost else result

    def _refund_answered(self, result: RefundResult) -> RefundResult:
        lost = self._chance.random() < self.lost_after
        return Unknown("the connection broke before the answer came") if lost else result

    def _tell(self, subject: Subject, reference: str, key: str) -> None:
        event = {
            "id": f"evt_{len(self.webhooks) + 1}",
            "type": f"{subject}.changed",
            "subject": subject,
            "reference": reference,
            "key": key,
        }
        self.webhooks.append(json.dumps(event).encode())

    def delivered(self) -> list[bytes]:
        """The webhooks so far as they arrive: every one, some of them twice, in any order."""
        with self._lock:
            arriving = [*self.webhooks, *(one for one in self.webhooks if self._chance.random() < 0.5)]
            self._chance.shuffle(arriving)
            return arriving


def _given_back(charge: Charge) -> int:
    return sum(
        asked.amount.minor
        for asked, result in charge.refunds.values()
        if not isinstance(result, RefundFailed)
    )


def sign(body: bytes) -> str:
    """The signature of a webhook."""
    return hmac.new(SECRET.encode(), body, sha256).hexdigest()


def money(minor: int) -> Money:
    """Dollars, of which the tests are made."""
    return Money(minor, "USD")
