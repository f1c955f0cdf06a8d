"""What an account has on account pays its next invoice: before its card is asked, and where nobody collects."""

from milo_billing.controlplane.decoding import Draft
from milo_billing.invoicing.types.invoices import Invoice
from milo_billing.ledger.types import MONEY_ON_ACCOUNT, RECEIVABLE
from tests.db.invoicing.ground import ACME
from tests.db.invoicing.paying import pay
from tests.db.payments.ground import Till
from tests.hostile_provider import SLOW, money


def credit(till: Till, invoice: Invoice, amount: str) -> None:
    kind = till.ground.engine.registry.get("billing.miloapis.com", "creditnotes")
    spec = {"invoiceRef": {"name": invoice.name}, "amount": amount, "reason": "the outage of 7 October"}
    draft = Draft("note", "", "", "", "", {}, {}, spec, {})
    till.work(lambda work: till.ground.engine.create(work, kind, namespace=ACME, draft=draft))


def of_november(till: Till, *, token: str | None = None) -> Invoice:
    """The account's next invoice, 20 dollars, on the day on which it falls due."""
    account = till.ground.account()
    if token is not None:
        till.card("other", token=token)
        till.pays_with("other")
    till.ground.spend(account, "2026-11-05", 20)
    invoice = till.ground.issued(account, month=11, now=till.clock.now())
    till.days_later(31)
    return invoice


def test_money_on_account_is_used_before_a_card_is_asked(till: Till) -> None:
    first = till.owing(25)
    till.collect()
    till.ask_all()
    credit(till, first, "10.00")
    assert till.balance(MONEY_ON_ACCOUNT) == -1000
    second = of_november(till)
    assert [(one.state, one.amount) for one in till.collect()] == [("opened", money(1000))]
    till.ask_all()
    assert till.invoice(second).phase == "Paid"
    assert till.provider.charged_minor() == 3500
    assert (till.balance(MONEY_ON_ACCOUNT), till.balance(RECEIVABLE)) == (0, 0)


def test_money_on_account_pays_where_nobody_collects(till: Till) -> None:
    account = till.ground.declare_account("main")
    till.ground.spend(account, "2026-10-05", 25)
    first = till.ground.issued(account)
    pay(till.ground, first, 2500, "transfer")
    credit(till, first, "10.00")
    second = of_november(till)
    for _ in range(2):
        assert till.collect() == []
    assert till.invoice(second).amount_due_minor == 1000
    assert (till.balance(MONEY_ON_ACCOUNT), till.balance(RECEIVABLE)) == (0, 1000)


def test_money_on_account_waits_while_a_provider_is_asked(till: Till) -> None:
    first = till.owing(25)
    till.collect()
    till.ask_all()
    second = of_november(till, token=SLOW)
    till.collect()
    till.ask_all()
    credit(till, first, "10.00")
    assert [one.state for one in till.collect()] == ["standing"]
    assert till.invoice(second).amount_due_minor == 2000
    assert till.balance(MONEY_ON_ACCOUNT) == -1000
