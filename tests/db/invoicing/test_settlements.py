"""What became of an invoice, told by the numbers and names that people know, and why."""

from milo_billing.invoicing.operations import settlements
from milo_billing.invoicing.rules.representations import settlement_body
from tests.db.invoicing.ground import Ground
from tests.db.invoicing.paying import pay
from tests.db.invoicing.test_credit_grants import act, credit, grant, issued


def test_each_settlement_names_its_document_and_its_reason(ground: Ground) -> None:
    account = ground.declare_account()
    grant(ground, "top-up", "Prepaid", "60.00", reason="order 4711")
    grant(ground, "sorry", "Goodwill", "5.00", reason="the outage of May")
    invoice = issued(ground, account)
    credit(ground, invoice, amount="10.00")
    pay(ground, invoice, 500, "p1")
    act(ground, "invoices", invoice.name, "writeOff")
    found = ground.reading(
        lambda tx: settlements.list_settlements(tx, ground.engine.store, invoice=invoice.uid, limit=50)
    )
    notes = dict(ground.read("select reason, number from invoicing.credit_notes"))
    told = [settlement_body(one, by, currency="USD") for one, by in found]
    assert [(one["kind"], one["amount"], one["document"], one["reason"]) for one in told] == [
        (
            "CreditNote",
            "5.00",
            {"kind": "CreditNote", "name": notes["the outage of May"]},
            "the outage of May",
        ),
        ("Credit", "60.00", {"kind": "CreditGrant", "name": "top-up"}, "order 4711"),
        ("CreditNote", "10.00", {"kind": "CreditNote", "name": notes["an outage"]}, "an outage"),
        ("Payment", "5.00", None, "Money from Acme"),
        ("WriteOff", "20.00", None, "a mistake"),
    ]
