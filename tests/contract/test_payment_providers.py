"""What every provider of payments must do, the hostile one of the tests and the adapters alike."""

from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import pytest

from milo_billing.adapters import sandbox_payments
from milo_billing.kernel.money import Money
from milo_billing.payments.ports import PaymentProvider
from milo_billing.payments.types import (
    CardDetails,
    Declined,
    MethodReady,
    PaymentRequest,
    Processing,
    ProviderConfig,
    Refunded,
    RefundFailed,
    RefundRequest,
    SetupRequest,
    Succeeded,
    Unknown,
    WebhookRefused,
)
from tests import hostile_provider
from tests.hostile_provider import HostileProvider
from tests.local_stripe import LocalStripe

NOW = datetime(2026, 11, 22, 12, 0, tzinfo=UTC)


@dataclass(frozen=True)
class Tried:
    """A provider under test, and how it calls the methods that the suite needs."""

    provider: PaymentProvider
    good: str
    soft: str
    hard: str
    slow: str
    refuses_over_refunds: bool = True


def hostile() -> Tried:
    provider = HostileProvider()
    return Tried(
        provider, hostile_provider.GOOD, hostile_provider.SOFT, hostile_provider.HARD, hostile_provider.SLOW
    )


def stripe(request: pytest.FixtureRequest) -> Tried:
    peer: LocalStripe = request.getfixturevalue("local_stripe")
    peer.answers.clear()  # the tests use the same keys
    return Tried(
        peer.provider(),
        good=peer.card("4242424242424242"),
        soft=peer.card("4000000000000341"),
        hard="",  # every card that it declines has the same code, which is a soft one
        slow=peer.sepa_debit("DE62370400440532013001"),
        refuses_over_refunds=False,
    )


def sandbox(folder: Path) -> Tried:
    config = ProviderConfig("cards", "sandbox", {}, {"webhookSecret": "whsec"})
    return Tried(
        sandbox_payments.connect(config, file=folder / "sandbox.sqlite"),
        good=sandbox_payments.GOOD,
        soft=sandbox_payments.EMPTY,
        hard=sandbox_payments.STOLEN,
        slow=sandbox_payments.SLOW,
    )


@pytest.fixture(params=["hostile", "sandbox", pytest.param("stripe", marks=pytest.mark.long)])
def tried(request: pytest.FixtureRequest, tmp_path: Path) -> Tried:
    match request.param:
        case "hostile":
            return hostile()
        case "sandbox":
            return sandbox(tmp_path)
        case _:
            return stripe(request)


def ready(tried: Tried, token: str) -> MethodReady:
    found = tried.provider.set_up_method(SetupRequest(key=f"method/{token}", account="7", token=token))
    assert isinstance(found, MethodReady), found
    return found


def payment(
    tried: Tried, token: str, *, key: str = "invoice/a/attempt/1", minor: int = 1250
) -> PaymentRequest:
    method = ready(tried, token)
    return PaymentRequest(
        key=key,
        amount=Money(minor, "USD" if isinstance(method.details, CardDetails) else "EUR"),
        customer=method.customer,
        method=method.method,
        method_kind="Card" if isinstance(method.details, CardDetails) else "BankAccount",
        description="KC-2026-000001",
        asked_at=NOW,
    )


def test_a_method_comes_back_with_what_may_be_known_of_it(tried: Tried) -> None:
    method = ready(tried, tried.good)
    assert isinstance(method.details, CardDetails), method
    assert len(method.details.last4) == 4
    assert method.customer and method.method


def test_the_same_key_charges_once(tried: Tried) -> None:
    asked = payment(tried, tried.good)
    first = tried.provider.create_payment(asked)
    assert isinstance(first, Succeeded), first
    assert first.amount == asked.amount
    assert tried.provider.create_payment(asked) == first
    assert tried.provider.find_payment(asked) == first
    assert tried.provider.get_payment(first.reference) == first


def test_a_key_that_was_never_used_is_not_found(tried: Tried) -> None:
    assert tried.provider.find_payment(payment(tried, tried.good, key="invoice/never/attempt/1")) is None


def test_a_decline_says_whether_to_ask_again(tried: Tried) -> None:
    wanted = {tried.soft: False, tried.hard: True}
    for number, token in enumerate(filter(None, wanted)):
        asked = payment(tried, token, key=f"invoice/a/attempt/{number}")
        declined = tried.provider.create_payment(asked)
        assert isinstance(declined, Declined), declined
        assert (declined.hard, declined.code != "", declined.message != "") == (wanted[token], True, True)


def test_what_is_not_decided_yet_is_processing(tried: Tried) -> None:
    asked = payment(tried, tried.slow)
    answer = tried.provider.create_payment(asked)
    assert isinstance(answer, Processing), answer
    later = tried.provider.get_payment(answer.reference)
    assert isinstance(later, Processing | Declined), "the peer declines half a second later"


def test_refunds_come_in_parts_and_never_above_what_was_paid(tried: Tried) -> None:
    paid = tried.provider.create_payment(payment(tried, tried.good))
    assert isinstance(paid, Succeeded)
    first = RefundRequest("payment/a/refund/1", paid.reference, Money(1000, "USD"))
    done = tried.provider.create_refund(first)
    assert isinstance(done, Refunded), done
    assert done.amount == first.amount
    assert tried.provider.create_refund(first) == done
    assert tried.provider.find_refund(first) == done
    rest = tried.provider.create_refund(
        RefundRequest("payment/a/refund/2", paid.reference, Money(250, "USD"))
    )
    assert isinstance(rest, Refunded), rest
    if not tried.refuses_over_refunds:
        return
    over = tried.provider.create_refund(RefundRequest("payment/a/refund/3", paid.reference, Money(1, "USD")))
    assert isinstance(over, RefundFailed), over


def test_a_refund_that_nobody_asked_for_is_not_found(tried: Tried) -> None:
    paid = tried.provider.create_payment(payment(tried, tried.good))
    assert isinstance(paid, Succeeded)
    asked = RefundRequest("payment/a/refund/9", paid.reference, Money(1, "USD"))
    assert tried.provider.find_refund(asked) is None


def test_a_payout_that_never_was_is_unknown(tried: Tried) -> None:
    assert isinstance(tried.provider.get_payout("po_never"), Unknown)


def test_a_webhook_that_is_not_signed_is_refused(tried: Tried) -> None:
    with pytest.raises(WebhookRefused):
        tried.provider.parse_webhook(b'{"id": "evt_1"}', {}, now=NOW)


def test_an_answer_that_was_lost_is_found_again() -> None:
    provider = HostileProvider(lost_after=1.0)
    asked = payment(Tried(provider, "tok_good", "", "", ""), "tok_good")
    assert isinstance(provider.create_payment(asked), Unknown)
    provider.lost_after = 0.0
    assert isinstance(provider.find_payment(asked), Succeeded)
    assert provider.charged_minor() == 1250
