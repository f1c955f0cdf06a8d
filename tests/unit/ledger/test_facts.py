"""Each money fact and its entries, as an accountant would write them; and the chart that the entries name."""

from datetime import date

import pytest

from milo_billing.kernel.money import Money
from milo_billing.ledger import operations as ledger
from milo_billing.ledger import types
from milo_billing.ledger.rules.chart import CHART, account_type, chart_account
from milo_billing.ledger.types import (
    EARLY_PAYMENT_DISCOUNT,
    MONEY_ON_ACCOUNT,
    RECEIVABLE,
    Entry,
    UnableToPost,
    account_name,
    cash,
    clearing,
    revenue,
    tax_payable,
)

OCTOBER = (date(2026, 10, 1), date(2026, 11, 1))
STRIPE, BANK = clearing("stripe"), cash("3000")


def usd(minor: int) -> Money:
    return Money(minor, "USD")


INVOICE = ledger.invoiced(
    [(revenue("Usage"), 10_000, OCTOBER), (tax_payable("DE"), 1_900, None)], currency="USD"
)

FACTS: dict[str, tuple[tuple[Entry, ...], dict[str, int]]] = {
    "an invoice": (
        INVOICE,
        {"Assets:Receivable": 11_900, "Income:Revenue:Usage": -10_000, "Liabilities:TaxPayable:DE": -1_900},
    ),
    "its void": (
        ledger.taken_back(INVOICE),
        {"Assets:Receivable": -11_900, "Income:Revenue:Usage": 10_000, "Liabilities:TaxPayable:DE": 1_900},
    ),
    "a credit note": (
        ledger.credit_noted(
            [(revenue("Usage"), 100, OCTOBER), (tax_payable("DE"), 19, None)], currency="USD"
        ),
        {"Assets:Receivable": -119, "Income:Revenue:Usage": 100, "Liabilities:TaxPayable:DE": 19},
    ),
    "a credit note on a paid invoice": (
        ledger.credit_noted([(revenue("Usage"), 100, OCTOBER)], currency="USD", into=MONEY_ON_ACCOUNT),
        {"Liabilities:MoneyOnAccount": -100, "Income:Revenue:Usage": 100},
    ),
    "an early-payment discount": (
        ledger.credit_noted(
            [(EARLY_PAYMENT_DISCOUNT, 200, None), (tax_payable("DE"), 38, None)], currency="USD"
        ),
        {
            "Assets:Receivable": -238,
            "Income:ContraRevenue:EarlyPaymentDiscount": 200,
            "Liabilities:TaxPayable:DE": 38,
        },
    ),
    "interest": (
        ledger.interest_charged(usd(53), service=OCTOBER),
        {"Assets:Receivable": 53, "Income:Interest": -53},
    ),
    "a write-off": (
        ledger.written_off(usd(11_900)),
        {"Assets:Receivable": -11_900, "Expenses:BadDebt": 11_900},
    ),
    "a write-off with tax given back": (
        ledger.written_off(usd(11_900), tax=[(tax_payable("DE"), 1_900, None)]),
        {"Assets:Receivable": -11_900, "Expenses:BadDebt": 10_000, "Liabilities:TaxPayable:DE": 1_900},
    ),
    "a recovery": (
        ledger.recovered(usd(500)),
        {"Assets:Receivable": 500, "Income:BadDebtRecovery": -500},
    ),
    "a payment": (
        ledger.payment_received(usd(11_900), into=STRIPE),
        {"Assets:Clearing:Stripe": 11_900, "Assets:Receivable": -11_900},
    ),
    "a payout": (
        ledger.settled_to_cash(usd(11_900), fee=usd(375), provider="stripe", bank=BANK),
        {"Assets:Cash:3000": 11_525, "Expenses:PaymentFees:Stripe": 375, "Assets:Clearing:Stripe": -11_900},
    ),
    "a dispute in a payout": (
        ledger.settled_to_cash(usd(-11_900), fee=usd(1_500), provider="stripe", bank=BANK),
        {"Assets:Cash:3000": -13_400, "Expenses:PaymentFees:Stripe": 1_500, "Assets:Clearing:Stripe": 11_900},
    ),
    "a fee alone": (
        ledger.settled_to_cash(usd(0), fee=usd(30), provider="stripe", bank=BANK),
        {"Assets:Cash:3000": -30, "Expenses:PaymentFees:Stripe": 30, "Assets:Clearing:Stripe": 0},
    ),
    "a refund": (
        ledger.refunded(usd(119), out_of=STRIPE),
        {"Assets:Receivable": 119, "Assets:Clearing:Stripe": -119},
    ),
    "money put on account": (
        ledger.put_on_account(usd(5_000), into=BANK),
        {"Assets:Cash:3000": 5_000, "Liabilities:MoneyOnAccount": -5_000},
    ),
    "money used from account": (
        ledger.used_from_account(usd(700)),
        {"Liabilities:MoneyOnAccount": 700, "Assets:Receivable": -700},
    ),
    "unapplied cash": (
        ledger.received_unapplied(usd(42), into=BANK),
        {"Assets:Cash:3000": 42, "Liabilities:UnappliedCash": -42},
    ),
    "unapplied cash applied": (
        ledger.applied(usd(42)),
        {"Liabilities:UnappliedCash": 42, "Assets:Receivable": -42},
    ),
    "unapplied cash kept": (
        ledger.applied(usd(42), to=MONEY_ON_ACCOUNT),
        {"Liabilities:UnappliedCash": 42, "Liabilities:MoneyOnAccount": -42},
    ),
    "an accrual": (
        ledger.accrued([(revenue("Usage"), 10_000, OCTOBER)], currency="USD"),
        {"Assets:Unbilled": 10_000, "Income:Revenue:Usage": -10_000},
    ),
    "its release": (
        ledger.taken_back(ledger.accrued([(revenue("Usage"), 10_000, OCTOBER)], currency="USD")),
        {"Assets:Unbilled": -10_000, "Income:Revenue:Usage": 10_000},
    ),
    "a gain by exchange": (
        ledger.fx_difference(usd(12)),
        {"Equity:Conversion": 12, "Income:FxDifference": -12},
    ),
    "a loss by exchange": (
        ledger.fx_difference(usd(-12)),
        {"Income:FxDifference": 12, "Equity:Conversion": -12},
    ),
    "what another account is invoiced for": (
        ledger.passed_on([(revenue("Usage"), 10_000, OCTOBER)], currency="USD"),
        {"Assets:Transfers": 10_000, "Income:Revenue:Usage": -10_000},
    ),
    "money sent to another account": (
        ledger.sent_to_account(usd(9), out_of=MONEY_ON_ACCOUNT),
        {"Liabilities:MoneyOnAccount": 9, "Assets:Transfers": -9},
    ),
    "money got from another account": (
        ledger.got_from_account(usd(9), into=RECEIVABLE),
        {"Assets:Transfers": 9, "Assets:Receivable": -9},
    ),
}


@pytest.mark.parametrize("fact", FACTS)
def test_a_fact_moves_these_amounts_and_balances(fact: str) -> None:
    entries, expected = FACTS[fact]
    moved: dict[str, int] = {}
    for entry in entries:
        moved[entry.account] = moved.get(entry.account, 0) + entry.amount.minor
    assert moved == expected
    assert sum(moved.values()) == 0


@pytest.mark.parametrize("fact", FACTS)
def test_every_account_of_a_fact_is_in_the_chart(fact: str) -> None:
    assert [entry.account for entry in FACTS[fact][0] if chart_account(entry.account) is None] == []


def test_an_exchange_balances_in_each_currency() -> None:
    entries = ledger.exchanged(usd(10_800), into=BANK, worth=Money(10_000, "EUR"))
    assert [(entry.account, str(entry.amount)) for entry in entries] == [
        ("Assets:Cash:3000", "108.00 USD"),
        ("Equity:Conversion", "-108.00 USD"),
        ("Equity:Conversion", "100.00 EUR"),
        ("Assets:Receivable", "-100.00 EUR"),
    ]


def test_facts_of_zero_have_no_entries() -> None:
    zero = usd(0)
    assert ledger.payment_received(zero, into=STRIPE) == ()
    assert ledger.written_off(zero) == ()
    assert ledger.interest_charged(zero, service=OCTOBER) == ()
    assert ledger.fx_difference(zero) == ()


def test_what_was_earned_keeps_its_days() -> None:
    assert [entry.service for entry in INVOICE] == [None, OCTOBER, None]
    assert ledger.interest_charged(usd(53), service=OCTOBER)[1].service == OCTOBER


def test_a_negative_amount_is_refused_with_what_to_do() -> None:
    with pytest.raises(UnableToPost, match=r"-0\.01 USD .* mirror the entries"):
        ledger.payment_received(usd(-1), into=STRIPE)
    with pytest.raises(UnableToPost, match="take the entries back"):
        ledger.written_off(usd(-1))
    with pytest.raises(UnableToPost, match="take the entries back"):
        ledger.interest_charged(usd(-1), service=OCTOBER)


def test_every_account_that_has_a_name_is_in_the_chart_and_stands_there_once() -> None:
    named = {
        value
        for name, value in vars(types).items()
        if name.isupper()
        and isinstance(value, str)
        and ":" in value
        and name not in {"CONTRA_REVENUE", "UNDER_WAY"}  # what the chart has by the account above or below it
    }
    assert {account.name for account in CHART} == named
    assert len(CHART) == len(named)


def test_the_chart_knows_an_account_below_one_of_its_own_and_no_other() -> None:
    found = chart_account(STRIPE)
    assert found is not None
    assert (found.name, found.type, found.per) == ("Assets:Clearing", "Assets", "provider")
    assert chart_account(RECEIVABLE) is not None
    assert chart_account(account_name("Assets", "Clearing")) is None
    assert chart_account(account_name("Assets", "Receivable", "X")) is None
    assert chart_account(account_name("Assets", "ReceivableX")) is None
    assert account_type(tax_payable("US-CA")) == "Liabilities"
