"""Who owes which tax: place of supply, registrations, reverse charge, export, exemption."""

from dataclasses import replace
from datetime import date
from decimal import Decimal

import pytest

from milo_billing.invoicing.rules.tax_territories import tax_place
from milo_billing.invoicing.rules.tax_treatments import decide
from milo_billing.invoicing.types.errors import UnableToIssue
from milo_billing.kernel.taxes import (
    TaxBuyer,
    TaxExemption,
    TaxPlace,
    TaxQuestion,
    TaxRateEntry,
    TaxRegistration,
    TaxSeller,
)

DAY = date(2026, 11, 2)


def place(text: str) -> TaxPlace:
    country, _, region = text.partition("-")
    return TaxPlace(country, region)


def rate(where: str, percent: str, *, name: str = "VAT", category: str = "standard") -> TaxRateEntry:
    return TaxRateEntry(place(where), name, category, "S" if Decimal(percent) else "Z", Decimal(percent))


RATES = (
    rate("DE", "19"),
    rate("DE", "7", category="books"),
    rate("FR", "20"),
    rate("IE", "23"),
    rate("GB", "20"),
    rate("CA", "5", name="GST"),
    rate("CA-QC", "9.975", name="QST"),
    rate("US-TX", "6.25", name="Sales tax"),
)


def seller(where: str, *registered: str, shop: bool = False) -> TaxSeller:
    return TaxSeller(
        place(where), tuple(TaxRegistration(place(one), one_stop=shop and one == where) for one in registered)
    )


def treated(who: TaxSeller, buyer: TaxBuyer, *, category: str = "standard", day: date = DAY) -> list[str]:
    """Code, percentage and place of every tax."""
    found = decide(TaxQuestion(who, buyer, frozenset({category}), day), rates=RATES)[category]
    return [f"{one.code} {one.percent} {one.place}".strip() for one in found]


@pytest.mark.parametrize(
    ("who", "where", "business_in", "taxed"),
    [
        # nobody is registered anywhere: as before there were taxes
        (seller("IE"), "FR", "FR", ["O 0"]),
        # at home, businesses too
        (seller("DE", "DE"), "DE", None, ["S 19 DE"]),
        (seller("DE", "DE"), "DE", "DE", ["S 19 DE"]),
        # another member state: the business owes the tax, whoever is not known to be one pays as at home
        (seller("DE", "DE"), "FR", "FR", ["AE 0 FR"]),
        (seller("DE", "DE"), "FR", None, ["S 19 DE"]),
        # a number of a third member state says nothing of the customer in France
        (seller("DE", "DE"), "FR", "IE", ["S 19 DE"]),
        # registered there, or taxing by the one-stop shop: the consumer's rate
        (seller("DE", "DE", "FR"), "FR", None, ["S 20 FR"]),
        (seller("DE", "DE", shop=True), "FR", None, ["S 20 FR"]),
        # even then the business owes the tax itself
        (seller("DE", "DE", "FR"), "FR", "FR", ["AE 0 FR"]),
        # out of the Union, and into it
        (seller("DE", "DE"), "US-TX", None, ["G 0"]),
        (seller("DE", "DE"), "GB", None, ["G 0"]),
        (seller("GB", "GB"), "DE", "DE", ["G 0"]),
        (seller("US-TX", "US-TX"), "DE", "DE", ["O 0"]),
        # a federal tax and a region's; only where each is collected
        (seller("CA-ON", "CA", "CA-QC"), "CA-QC", None, ["S 5 CA", "S 9.975 CA-QC"]),
        (seller("CA-ON", "CA", "CA-QC"), "CA-ON", None, ["S 5 CA"]),
        (seller("CA-ON", "CA"), "CA-QC", None, ["S 5 CA"]),
        # a state without a registration takes nothing
        (seller("US-TX", "US-TX"), "US-TX", None, ["S 6.25 US-TX"]),
        (seller("US-TX", "US-TX"), "US-CA", None, ["O 0"]),
    ],
)
def test_who_owes_which_tax(who: TaxSeller, where: str, business_in: str | None, taxed: list[str]) -> None:
    assert treated(who, TaxBuyer(place(where), business_in)) == taxed


def test_each_tax_category_has_its_rate() -> None:
    assert treated(seller("DE", "DE"), TaxBuyer(place("DE")), category="books") == ["S 7 DE"]


def test_a_registered_issuer_never_leaves_a_line_untaxed_for_want_of_a_rate() -> None:
    with pytest.raises(UnableToIssue, match='no tax rate of DE for tax category "wine" on 2026-11-02'):
        treated(seller("DE", "DE"), TaxBuyer(place("DE")), category="wine")
    with pytest.raises(UnableToIssue, match="no tax rate of BE"):
        treated(seller("DE", "DE", shop=True), TaxBuyer(place("BE")))


def test_a_customer_who_is_nowhere_cannot_be_taxed() -> None:
    with pytest.raises(UnableToIssue, match=r"spec\.contactInfo\.address\.country"):
        treated(seller("DE", "DE"), TaxBuyer(None))
    assert treated(seller("DE"), TaxBuyer(None)) == ["O 0"]


def test_a_customer_in_no_region_cannot_be_taxed_where_regions_take_tax() -> None:
    """Such a customer once paid no sales tax in Texas, and no QST in Quebec."""
    for who, where in ((seller("US-TX", "US-TX"), "US"), (seller("CA-ON", "CA", "CA-QC"), "CA")):
        with pytest.raises(
            UnableToIssue, match=r"collects tax in (TX|QC).*spec\.contactInfo\.address\.region"
        ):
            treated(who, TaxBuyer(place(where)))
    assert treated(seller("CA-ON", "CA"), TaxBuyer(place("CA"))) == ["S 5 CA"]
    assert treated(seller("US-TX", "US-TX"), TaxBuyer(place("MX"))) == ["O 0"]


def test_a_region_is_the_same_in_small_letters() -> None:
    assert treated(seller("US-TX", "US-TX"), TaxBuyer(place("US-tx"))) == ["S 6.25 US-TX"]


@pytest.mark.parametrize(
    ("where", "postal_code", "business_in", "taxed"),
    [
        # outside the Union's VAT (directive 2006/112/EC, article 6): an export, for businesses too
        ("ES", "35001", None, ["G 0"]),  # Las Palmas
        ("ES", "38 001", "ES", ["G 0"]),
        ("ES", "51001", None, ["G 0"]),
        ("FI", "AX-22100", None, ["G 0"]),
        ("FR", "97400", None, ["G 0"]),
        ("IT", "23041", "IT", ["G 0"]),
        ("DE", "D-78266", None, ["G 0"]),  # at home, and yet not
        # as if it were the rest
        ("FR", "75001", None, ["S 20 FR"]),
        ("FR", "", None, ["S 20 FR"]),
        ("DE", "78267", None, ["S 19 DE"]),
        # Monaco is France's (article 7), and its businesses have French numbers
        ("MC", "98000", None, ["S 20 FR"]),
        ("MC", "98000", "FR", ["AE 0 FR"]),
        ("IM", "IM1 1AA", None, ["G 0"]),
    ],
)
def test_parts_of_a_country_outside_its_tax_are_abroad(
    where: str, postal_code: str, business_in: str | None, taxed: list[str]
) -> None:
    """They were once taxed like the rest of the country."""
    buyer = TaxBuyer(tax_place(where, region="", postal_code=postal_code), business_in)
    assert treated(seller("DE", "DE", shop=True), buyer) == taxed


def test_a_part_of_a_country_can_have_a_tax_of_its_own() -> None:
    """The islands' IGIC, from one who is there: not in the Union, so not reversed to a German business either."""
    igic = TaxRateEntry(place("ES-Canary Islands"), "IGIC", "standard", "S", Decimal(7))
    islander = TaxSeller(
        tax_place("ES", region="Las Palmas", postal_code="35001"),
        (TaxRegistration(place("ES-Canary Islands")),),
    )
    for buyer, code in (
        (TaxBuyer(tax_place("ES", region="", postal_code="35600")), "S"),
        (TaxBuyer(tax_place("ES", region="", postal_code="28001")), "O"),
        (TaxBuyer(place("DE"), "DE"), "O"),
    ):
        (found,) = decide(TaxQuestion(islander, buyer, frozenset({"standard"}), DAY), rates=[igic])[
            "standard"
        ]
        assert found.code == code


def test_a_registration_holds_from_its_first_day_up_to_its_end() -> None:
    held = TaxRegistration(place("DE"), since=DAY, until=date(2026, 12, 1))
    who = TaxSeller(place("DE"), (held,))
    buyer = TaxBuyer(place("DE"))
    assert treated(who, buyer) == ["S 19 DE"]
    assert treated(who, buyer, day=date(2026, 11, 1)) == ["O 0"]
    assert treated(who, buyer, day=date(2026, 12, 1)) == ["O 0"]


def test_a_certificate_exempts_in_its_place_on_its_days() -> None:
    certificate = TaxExemption(place("CA-QC"), "QC-77", "Resale", since=DAY, until=date(2027, 1, 1))
    buyer = TaxBuyer(place("CA-QC"), exemptions=(certificate,))
    who = seller("CA", "CA", "CA-QC")
    assert treated(who, buyer) == ["S 5 CA", "E 0 CA-QC"]
    assert treated(who, buyer, day=date(2027, 1, 1)) == ["S 5 CA", "S 9.975 CA-QC"]
    everywhere = replace(buyer, exemptions=(replace(certificate, place=place("CA")),))
    (found, _) = decide(TaxQuestion(who, everywhere, frozenset({"standard"}), DAY), rates=RATES)["standard"]
    assert (found.code, found.reason) == ("E", "Resale, certificate QC-77")


def test_the_reasons_are_those_of_the_code_list() -> None:
    who = seller("DE", "DE")
    reasons = {
        one.code: (one.reason, one.reason_code)
        for buyer in (TaxBuyer(place("FR"), "FR"), TaxBuyer(place("JP")))
        for one in decide(TaxQuestion(who, buyer, frozenset({"x"}), DAY), rates=())["x"]
    }
    assert reasons == {
        "AE": ("Reverse charge", "VATEX-EU-AE"),
        "G": ("Export outside the EU", "VATEX-EU-G"),
    }
