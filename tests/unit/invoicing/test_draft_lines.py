"""What a draft keeps of what was rated: every field of a line, its parts, discounts and shares."""

from dataclasses import replace
from datetime import date
from decimal import Decimal
from fractions import Fraction
from uuid import UUID

import pytest

from milo_billing.commitments.types import ComposedLine, TakenOff
from milo_billing.invoicing.rules.drafts import draft, provisional
from milo_billing.invoicing.rules.taxes import with_taxes
from milo_billing.invoicing.types.drafts import (
    Adjusts,
    DraftLine,
    DraftShare,
    LineConversion,
    LineDiscount,
    Part,
)
from milo_billing.invoicing.types.errors import UnableToIssue
from milo_billing.kernel.quantity import INT64_MAX
from milo_billing.kernel.taxes import TaxTreatment
from milo_billing.pricing.types import Conversion, ExchangeRate, SubLine, UnpricedSku
from tests.unit.invoicing.builders import rated, rated_line

GIFT = UUID(int=2)
POUNDS = ExchangeRate("ECB", date(2026, 10, 14), "GBP", "USD", Decimal("0.86"), Decimal("1.29"))


def sold() -> ComposedLine:
    """Two thirds of a million tokens, of which 0.1 were free, in pounds at a dollar and a half."""
    line = rated_line(
        "tokens",
        SubLine("Usage", 100, Fraction(2, 3), Decimal("1.5")),
        SubLine("Package", 20, Fraction(2), Decimal("0.1")),
        SubLine("Percentage", 7, Fraction(7, 2), Decimal("0.02")),
        SubLine("FlatFee", 3, Fraction(9), Decimal("0.03"), tier=2),
        SubLine("Discount", -13),
        shares={5: (600_000, 100), 6: (66_667, 10)},
        own_minor=7,
    )
    sku = replace(line.sku, number=42, display_name="Tokens, swift", service="ai", invoice_group="AI")
    off = TakenOff(GIFT, "gift", Decimal(10), Fraction(1), -13)
    return ComposedLine(
        replace(
            line,
            sku=replace(sku, tax_category="cloud"),
            price=replace(line.price, billing="Advance"),
            book=9,
            quantity=Fraction(2, 3),
            included=Fraction(1, 10),
            conversion=Conversion(POUNDS, (), 78),
        ),
        (off,),
        (replace(off, percent=None, scope="Invoice", by="Commitment", title="A gift", amount_minor=-17),),
    )


def test_a_line_of_a_draft_has_all_that_was_rated() -> None:
    (line,) = draft([rated(sold())]).lines
    none = Decimal(0)
    assert line == DraftLine(
        kind="Usage",
        sku="tokens",
        sku_number=42,
        description="Tokens, swift",
        service="ai",
        invoice_group="AI",
        tax_category="cloud",
        book=9,
        commitment=None,
        first_day=date(2026, 10, 1),
        end_day=date(2026, 11, 1),
        quantity=Decimal("0.666666666667"),
        included=Decimal("0.1"),
        pricing_unit="10*6.{token}",
        amount_minor=117,
        parts=(
            Part("Usage", None, Decimal("0.666666666667"), Decimal("1.5"), 100),
            Part("Package", None, Decimal(2), Decimal("0.1"), 20),
            Part("Percentage", None, Decimal("3.5"), Decimal("0.02"), 7),
            Part("FlatFee", 2, None, Decimal("0.03"), 3),
            Part("Discount", None, None, None, -13),
        ),
        shares=(
            DraftShare(5, (("model", "swift"),), Decimal(600_000), Decimal("0.6"), 100),
            DraftShare(6, (("model", "swift"),), Decimal(66_667), Decimal("0.066667"), 10),
            DraftShare(None, (), none, none, 7),
        ),
        conversion=LineConversion(
            "GBP", 78, Decimal("1.5"), date(2026, 10, 14), "ECB", Decimal("0.86"), Decimal("1.29")
        ),
        discounts=(
            LineDiscount("Line", "Discount", GIFT, "gift", "gift", Decimal(10), -13),
            LineDiscount("Invoice", "Commitment", GIFT, "gift", "A gift", None, -17),
        ),
        in_advance=True,
        used_by=1,
    )


def test_a_sku_without_a_title_is_called_by_its_name() -> None:
    (line,) = draft([rated(rated_line("tokens", SubLine("Usage", 1)))]).lines
    assert line.description == "tokens"


def test_a_draft_is_of_its_account_and_kind() -> None:
    periods = [rated(sold())]
    made = draft(periods)
    assert (made.account, made.kind, made.currency) == (1, "Periodic", "USD")
    assert draft(periods, kind="Final").kind == "Final"
    assert (provisional(periods).kind, provisional(periods, kind="Final").kind) == ("Periodic", "Final")


def test_a_subtotal_beyond_64_bits_is_refused_whatever_is_taken_off_it() -> None:
    huge = rated_line("tokens", SubLine("Usage", INT64_MAX))
    off = TakenOff(GIFT, "gift", None, Fraction(1), -1000, scope="Invoice")
    lines = [ComposedLine(huge, (), (off,)), ComposedLine(rated_line("more", SubLine("Usage", 1)), (), ())]
    with pytest.raises(UnableToIssue, match=r" 92233720368547748\.08 USD: check the prices and the usage$"):
        draft([rated(*lines)])


@pytest.mark.parametrize(("count", "named"), [(10, "m08, m09 has"), (11, "m08, m09, … has")])
def test_ten_meters_without_a_price_are_named(count: int, named: str) -> None:
    with pytest.raises(UnableToIssue) as caught:
        draft([rated(unpriced=tuple(f"m{n:02}" for n in range(count)))])
    assert named in str(caught.value)
    assert str(caught.value).startswith("usage of m00, m01, m02, m03,")
    assert str(caught.value).endswith("a Sku that matches it, then run the month again")


def test_what_to_do_about_a_declared_quantity_without_a_price_is_told() -> None:
    unpriced = replace(rated(), unpriced_skus=tuple(UnpricedSku("setup", date(2026, 10, n)) for n in (3, 4)))
    with pytest.raises(UnableToIssue) as caught:
        draft([unpriced])
    assert str(caught.value) == (
        "there is no price for setup from 2026-10-03 on, which a Charge or an Entitlement has (2 such): "
        "publish a price book that has it, or take back what was declared, then run the month again"
    )


# -------------------------------------------------------------------------------------------------- its tax

VAT_19 = TaxTreatment("S", Decimal(19), "VAT", "DE")
VAT_16 = TaxTreatment("S", Decimal(16), "VAT", "DE")


def test_a_taxed_draft_has_its_groups_on_its_lines_and_in_its_total() -> None:
    lines = rated(sold(), rated_line("requests", SubLine("Usage", 1000)))
    taxed = with_taxes(draft([lines]), {"cloud": (VAT_19,), "standard": (VAT_16,)})
    assert [(group.treatment, group.basis_minor, group.tax_minor) for group in taxed.taxes] == [
        (VAT_19, 100, 19),
        (VAT_16, 1000, 160),
    ]
    assert [line.taxes for line in taxed.lines] == [(1,), (2,)]
    assert (taxed.subtotal_minor, taxed.discounts_minor, taxed.tax_minor, taxed.total_minor) == (
        1117,
        -17,
        179,
        1279,
    )


def test_what_adjusts_an_issued_line_is_taxed_as_that_was() -> None:
    made = draft([rated(rated_line("requests", SubLine("Usage", 1000)))])
    (line,) = made.lines
    adjusting = replace(made, lines=(replace(line, adjusts=Adjusts(GIFT, "KC-1", "Usage", (VAT_19,))),))
    assert with_taxes(adjusting, {"standard": (VAT_16,)}).tax_minor == 190
    bare = replace(made, lines=(replace(line, adjusts=Adjusts(GIFT, "KC-1", "Usage")),))
    assert with_taxes(bare, {"standard": (VAT_16,)}).tax_minor == 160


def test_a_total_beyond_64_bits_is_refused_with_its_tax() -> None:
    made = draft([rated(rated_line("requests", SubLine("Usage", INT64_MAX)))])
    with pytest.raises(
        UnableToIssue, match=r"^an invoice cannot total .* USD with its tax: check the prices and the usage$"
    ):
        with_taxes(made, {"standard": (VAT_19,)})
