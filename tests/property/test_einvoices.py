"""Whatever is invoiced, its electronic invoice holds every rule, and says what the invoice says to the cent."""

from collections.abc import Iterator
from dataclasses import replace
from decimal import Decimal
from uuid import UUID

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from milo_billing.adapters.einvoices.checking import RuleChecker
from milo_billing.invoicing.types.drafts import LineDiscount, Part
from milo_billing.invoicing.types.invoices import InvoiceLine
from milo_billing.kernel.money import settle
from tests.contract.einvoices import Case, group, written
from tests.unit.invoicing.builders import document, line

CURRENCIES = ("EUR", "USD", "JPY")
UNITS = ("GiBy", "10*6.{token}", "{request}", "GiBy.h", "h{vCPU}", "1")
RATES = ("23", "19", "13.5", "5.5", "0")


@pytest.fixture(scope="module")
def checker() -> Iterator[RuleChecker]:
    found = RuleChecker()
    yield found
    found.close()


@st.composite
def lines(draw: st.DrawFn, *, number: int, currency: str) -> InvoiceLine:
    """A line of up to three tiers and a fee, with or without a discount, a minimum, an invoice discount."""
    quantities = draw(st.lists(st.decimals("0", "1000000", places=3), min_size=1, max_size=3))
    prices = draw(
        st.lists(st.decimals("0", "50", places=6), min_size=len(quantities), max_size=len(quantities))
    )
    parts = [
        Part("Usage", tier, quantity, price, settle(quantity * price, currency).minor)
        for tier, (quantity, price) in enumerate(zip(quantities, prices, strict=True), 1)
    ]
    if draw(st.booleans()):
        parts.append(Part("FlatFee", 1, None, None, draw(st.integers(-5_000, 5_000))))
    amount = sum(part.amount_minor for part in parts)
    discounts: list[LineDiscount] = []
    if amount > 0 and draw(st.booleans()):
        off = -draw(st.integers(0, amount))
        parts.append(Part("Discount", None, None, None, off))
        discounts.append(LineDiscount("Line", "Discount", UUID(int=1), "a", "Offer", None, off))
    if draw(st.booleans()):
        parts.append(Part("Minimum", None, None, None, draw(st.integers(0, 10_000))))
    made = line(draw(st.text(max_size=60)) or "x", *parts, number=number, unit=draw(st.sampled_from(UNITS)))
    if made.amount_minor > 0 and draw(st.booleans()):
        off = -draw(st.integers(0, made.amount_minor))
        discounts.append(LineDiscount("Invoice", "Discount", UUID(int=2), "b", "Loyal", Decimal(5), off))
    return replace(made, discounts=tuple(discounts))


@st.composite
def cases(draw: st.DrawFn) -> Case:
    currency = draw(st.sampled_from(CURRENCIES))
    made = tuple(
        draw(lines(number=number, currency=currency)) for number in range(1, draw(st.integers(1, 4)) + 1)
    )
    rate_of = {one.line: draw(st.sampled_from(RATES)) for one in made}
    taxes = tuple(
        group(
            tuple(one for one in made if rate_of[one.line] == rate),
            "S" if rate != "0" else "Z",
            rate,
            currency,
        )
        for rate in sorted(set(rate_of.values()))
    )
    invoice = document(*made, currency=currency, language=draw(st.sampled_from(("en", "de", "fr", "ja"))))
    gross = sum(one.base_minor + one.tax_minor for one in taxes)
    paid = draw(st.integers(0, gross)) if gross > 0 else 0
    return Case(invoice, taxes, paid_minor=paid)


@given(case=cases())
@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_random_invoices_hold_every_rule(checker: RuleChecker, case: Case) -> None:
    for xml in written(case):
        assert [one for one in checker.check(xml) if one.severity == "error"] == []
    read = case.read()
    assert read.net_minor == sum(one.net_minor for one in case.document.lines)
