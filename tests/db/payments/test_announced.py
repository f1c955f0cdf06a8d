"""What becomes of payments is told to the channels of the account's organization, once each."""

from milo_billing.payments.operations.refunding import open_refund
from tests.db.invoicing.ground import ACME
from tests.db.payments.ground import Till
from tests.hostile_provider import SOFT


def test_declined_paid_and_given_back(till: Till) -> None:
    spec = {"type": "Email", "email": {"to": ["books@example.com"]}, "events": ["payment.*"]}
    till.ground.declare("notificationchannels", "books", spec, namespace=ACME)
    till.owing(25, token=SOFT)
    till.collect()
    till.ask_all()
    till.card("other")
    till.pays_with("other")
    till.collect()
    till.ask_all()
    till.ask_all()
    (payment,) = till.payments()
    till.work(
        lambda work: open_refund(
            work,
            till.desk,
            namespace=payment.namespace,
            name=payment.name,
            minor=1000,
            reason="too much",
            reopen=True,
        )
    )
    till.give_back_all()
    told = till.ground.read(
        "select type, body::json -> 'data' ->> 'amount', body::json -> 'data' ->> 'nextAttemptOn' "
        "from notices.messages order by occurred_at, type"
    )
    assert told == [
        ("payment.failed", "25.00", "2026-12-05"),
        ("payment.refunded", "10.00", None),
        ("payment.succeeded", "25.00", None),
    ]
