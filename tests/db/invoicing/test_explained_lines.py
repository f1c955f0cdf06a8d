"""Every amount of an invoice back to what was metered, and the same again from what was frozen."""

from pathlib import Path
from typing import Any

import pytest

from milo_billing.cli.previews import write_explanation
from milo_billing.cli.target import Target
from milo_billing.infra.database import EVERYWHERE, connect
from milo_billing.invoicing.operations import explaining
from milo_billing.invoicing.reads import lines as line_reads
from milo_billing.invoicing.rules.explaining import explanation_body
from milo_billing.invoicing.types.errors import LineNotFound
from milo_billing.invoicing.types.invoices import Invoice
from tests.db.invoicing.ground import Ground
from tests.db.invoicing.late_ground import DECEMBER, JANUARY, spend_late
from tests.db.invoicing.test_previews import promised


def explained(ground: Ground, invoice: Invoice) -> list[dict[str, Any]]:
    lines = ground.reading(lambda tx: line_reads.list_lines(tx, invoice=invoice.uid, limit=100))
    return [
        ground.reading(
            lambda tx, line=line: explanation_body(
                explaining.explain_line(tx, invoice=invoice, line=line.line)
            )
        )
        for line in lines
    ]


def texts(found: dict[str, Any]) -> list[str]:
    return [step["text"] for step in found["steps"]]


def test_a_line_is_explained_from_what_each_project_used_to_what_is_owed(ground: Ground) -> None:
    invoice = ground.issued(promised(ground))
    requests, tokens, missing = explained(ground, invoice)
    assert texts(requests) == [
        "1833 {request} metered by 2 projects",
        "1833 {request} × 1 = 1833 {request}",
        "tier 1, usage: 1000 × 0.1 = 100 USD, rounded 100.00 USD",
        "tier 2, fee: 3.00 USD",
        "tier 2, usage: 833 × 0.05 = 41.65 USD, rounded 41.65 USD",
        "commitment yearly: 20 % off 144.65 USD: -28.93 USD",
        "discount fixed: off 115.72 USD: -0.49 USD",  # its part of 1 USD over 115.72 and 120
        "the line comes to 115.23 USD",
        "discount all: 10 % off the invoice, this line's share: -11.52 USD",
        "owed for it are 103.71 USD",
    ]
    page = (Path(__file__).parents[3] / "docs/previews-and-simulations.md").read_text()
    assert [text for text in texts(requests) if text not in page] == []
    assert texts(tokens)[1] == "60000000 {token} × 1/1000000 = 60 10*6.{token}"
    assert texts(missing)[:2] == ["committed: 500.00 USD", "spent: -211.25 USD"]
    assert [one["recomputed"] for one in (requests, tokens, missing)] == ["same"] * 3
    assert {(s["project"], s["metered"]) for s in requests["shares"]} == {("web", "1500"), ("data", "333")}
    assert [one["recomputedAmount"] for one in (requests, tokens)] == [requests["amount"], tokens["amount"]]


TIERS = [{"upTo": "10", "unitPrice": "3"}, {"unitPrice": "2", "flatFee": "1.5"}]
MODELS: list[dict[str, Any]] = [
    {"model": "PerUnit", "unitPrice": "0.333", "includedQuantity": "1.5"},
    {"model": "PerUnit", "unitPrice": "2", "minimum": "50"},
    {"model": "PerUnit", "unitPrice": "9", "maximum": "40.50"},
    {"model": "Graduated", "tiers": TIERS, "maximum": "30", "minimum": "29"},
    {"model": "Volume", "tiers": TIERS},
    {"model": "Package", "unitPrice": "7.77", "packageSize": "5"},
    {"model": "Stairstep", "tiers": [{"upTo": "10", "flatFee": "20"}, {"flatFee": "25"}]},
    {"model": "Flat", "unitPrice": "12.34"},
]


@pytest.mark.parametrize("price", MODELS, ids=lambda one: f"{one['model']}-{len(one)}")
@pytest.mark.parametrize("currency", ["EUR", "GBP"])
def test_every_price_model_comes_out_the_same_again_in_either_currency(
    ground: Ground, price: dict[str, Any], currency: str
) -> None:
    book = {
        "bookName": "default",
        "effectiveFrom": "2026-01-01",
        "currencyCode": "EUR",
        "phase": "Published",
        "isDefault": True,
        "prices": [{"skuRef": {"name": "tokens"}, **price}],
    }
    ground.declare("pricebooks", "default", book)
    with ground.databases.app.transaction(reach=EVERYWHERE) as tx:
        tx.execute(
            "insert into pricing.exchange_rates (source, day, currency, rate, imported_at) "
            "values ('ECB', '2026-10-14', 'GBP', 0.8677, now())"
        )
    account = ground.declare_account(currencyCode=currency)
    ground.promise(skuDiscounts=[{"percentage": "12.5"}])
    ground.discount("fixed", scope="Line", amount="0.99", currencyCode=currency)
    ground.use(
        account, ("2026-10-05", "web", "tokens", 7_654_321), ("2026-10-06", "data", "tokens", 6_123_457)
    )
    (found,) = explained(ground, ground.issued(account))
    assert found["recomputed"] == "same", found
    steps = [step["step"] for step in found["steps"]]
    assert ("exchanged" in steps) == (currency == "GBP")
    assert steps[-1] == "line"


def test_what_was_sold_once_and_what_no_line_is(ground: Ground) -> None:
    ground.declare("skus", "setup", {"chargeType": "OneTime", "pricingUnit": "1"})
    prices = [{"skuRef": {"name": "setup"}, "model": "PerUnit", "unitPrice": "49.99"}]
    ground.declare(
        "pricebooks",
        "list-chf",
        {
            "bookName": "list-chf",
            "effectiveFrom": "2026-01-01",
            "currencyCode": "CHF",
            "phase": "Published",
            "prices": prices,
        },
    )
    account = ground.declare_account(currencyCode="CHF")
    charge = {
        "billingAccountRef": {"name": "main"},
        "skuRef": {"name": "setup"},
        "date": "2026-10-03",
        "quantity": "2",
    }
    ground.declare("charges", "setup", charge, namespace="organization-acme")
    invoice = ground.issued(account)
    (found,) = explained(ground, invoice)
    assert (found["recomputed"], found["amount"]) == ("same", "99.98")
    with pytest.raises(LineNotFound):
        ground.reading(lambda tx: explaining.explain_line(tx, invoice=invoice, line=2))


def test_a_book_that_says_something_else_now_is_told(ground: Ground, clean_database: str) -> None:
    account = ground.declare_account()
    ground.spend(account, "2026-10-05", 30)
    invoice = ground.issued(account)
    with connect(clean_database, role="milo_owner") as tx:
        tx.execute(
            "update catalog.price_books set body = jsonb_set(body, '{prices,0,unitPrice}', '\"2.60\"') "
            "where book_name = 'list-usd'"
        )
    (found,) = explained(ground, invoice)
    assert (found["recomputed"], found["amount"], found["recomputedAmount"]) == ("differs", "30.00", "31.20")


def test_the_command_writes_the_steps_and_exits_by_what_was_found(
    ground: Ground, capsys: pytest.CaptureFixture[str]
) -> None:
    found, *_ = explained(ground, ground.issued(promised(ground)))
    assert write_explanation(found, target=Target()) == 0
    printed = capsys.readouterr().out
    assert "  1. 1833 {request} metered by 2 projects" in printed
    assert "recomputed from what was frozen: the same amount" in printed
    assert write_explanation({**found, "recomputed": "differs"}, target=Target(output="json")) == 1
    assert (
        write_explanation({**found, "recomputed": "differs", "recomputedAmount": None}, target=Target()) == 1
    )
    assert "nothing, which differs" in capsys.readouterr().out


def test_an_adjustment_is_explained_by_what_was_charged_before_and_what_came_since(ground: Ground) -> None:
    account = ground.declare_account()
    ground.spend(account, "2026-10-05", 100)
    october = ground.issued(account)
    spend_late(ground, account, "2026-10-30", 20)
    november = ground.issued(account, month=11, now=DECEMBER)
    assert texts(explained(ground, november)[0]) == [
        f"invoice {october.number} charged 100.00 USD in line 1, from 2026-10-01 up to 2026-11-01",
        "since then usage changed by 8000000 metered, late: 1 event",
        "the period comes to, rated again as the invoice was: 120.00 USD",
        "less what was charged before: -100.00 USD",
        "the line comes to 20.00 USD",
    ]
    spend_late(ground, account, "2026-10-30", 5)
    (found,) = explained(ground, ground.issued(account, month=12, now=JANUARY))
    assert texts(found)[1] == f"{november.number} charged 20.00 USD of it"
    assert (found["recomputed"], found["recomputedAmount"], found["amount"]) == ("same", "5.00", "5.00")


def test_a_shortfall_that_late_usage_made_smaller_is_explained(ground: Ground) -> None:
    account = ground.declare_account()
    ground.promise(
        minimumSpends=[{"amount": "100", "currencyCode": "USD", "interval": "Monthly"}], termMonths=1
    )
    ground.spend(account, "2026-10-05", 60)
    ground.issued(account)
    spend_late(ground, account, "2026-10-30", 60)
    found = explained(ground, ground.issued(account, month=11, now=DECEMBER))
    assert [(one["recomputed"], one["amount"]) for one in found] == [("same", "-40.00"), ("same", "60.00")]
    assert texts(found[0])[-3:] == [
        "the period comes to, rated again as the invoice was: 0.00 USD",
        "less what was charged before: -40.00 USD",
        "the line comes to -40.00 USD",
    ]
