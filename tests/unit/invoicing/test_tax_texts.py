"""What a tax treatment says beside its percentage: code, name, place, reason; and what a refusal says."""

from datetime import date, timedelta
from decimal import Decimal

import pytest

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
    TaxTreatment,
)

DAY = date(2026, 11, 2)
ZERO = Decimal(0)
GERMANY, FRANCE, BRITAIN, JAPAN = TaxPlace("DE"), TaxPlace("FR"), TaxPlace("GB"), TaxPlace("JP")
RATES = (
    TaxRateEntry(GERMANY, "VAT", "standard", "S", Decimal(19)),
    TaxRateEntry(GERMANY, "VAT", "lessons", "E", ZERO, "Education", "VATEX-EU-132-1I"),
    TaxRateEntry(JAPAN, "National", "standard", "S", Decimal("7.8")),
    TaxRateEntry(JAPAN, "Local", "standard", "S", Decimal("2.2")),
)


def registered(place: TaxPlace) -> TaxSeller:
    return TaxSeller(place, (TaxRegistration(place),))


def treated(seller: TaxSeller, buyer: TaxBuyer, category: str = "standard") -> tuple[TaxTreatment, ...]:
    return decide(TaxQuestion(seller, buyer, frozenset({category}), DAY), rates=RATES)[category]


@pytest.mark.parametrize(
    ("seller", "buyer", "category", "expected"),
    [
        (
            TaxSeller(GERMANY, ()),
            TaxBuyer(GERMANY),
            "standard",
            TaxTreatment("O", ZERO, "", "", "Not subject to tax", "VATEX-EU-O"),
        ),
        (
            registered(GERMANY),
            TaxBuyer(FRANCE, "FR"),
            "standard",
            TaxTreatment("AE", ZERO, "VAT", "FR", "Reverse charge", "VATEX-EU-AE"),
        ),
        (
            registered(GERMANY),
            TaxBuyer(JAPAN),
            "standard",
            TaxTreatment("G", ZERO, "", "", "Export outside the EU", "VATEX-EU-G"),
        ),
        # the code list is of the Union: nobody else has a code for it
        (registered(BRITAIN), TaxBuyer(JAPAN), "standard", TaxTreatment("G", ZERO, "", "", "Export", "")),
        (
            registered(GERMANY),
            TaxBuyer(GERMANY),
            "lessons",
            TaxTreatment("E", ZERO, "VAT", "DE", "Education", "VATEX-EU-132-1I"),
        ),
        (
            registered(GERMANY),
            TaxBuyer(GERMANY, exemptions=(TaxExemption(GERMANY, "77", "", "VATEX-EU-151"),)),
            "standard",
            TaxTreatment("E", ZERO, "", "DE", "Exempt, certificate 77", "VATEX-EU-151"),
        ),
    ],
)
def test_a_treatment_says_all_that_an_invoice_has_to(
    seller: TaxSeller, buyer: TaxBuyer, category: str, expected: TaxTreatment
) -> None:
    assert treated(seller, buyer, category) == (expected,)


def test_several_taxes_of_a_place_stand_by_name() -> None:
    assert [(one.name, one.percent) for one in treated(registered(JAPAN), TaxBuyer(JAPAN))] == [
        ("Local", Decimal("2.2")),
        ("National", Decimal("7.8")),
    ]


def test_a_certificate_does_not_exempt_before_its_first_day() -> None:
    certificate = TaxExemption(GERMANY, "77", "Resale", "", since=DAY + timedelta(days=1))
    (found,) = treated(registered(GERMANY), TaxBuyer(GERMANY, exemptions=(certificate,)))
    assert (found.code, found.percent) == ("S", Decimal(19))


def test_a_refusal_says_what_to_do() -> None:
    with pytest.raises(UnableToIssue) as nowhere:
        treated(registered(GERMANY), TaxBuyer(None))
    assert str(nowhere.value) == (
        "the tax depends on where the customer is, and the account does not say: set its "
        "spec.contactInfo.address.country, then run the month again"
    )
    with pytest.raises(UnableToIssue) as unknown:
        treated(registered(GERMANY), TaxBuyer(GERMANY), "wine")
    assert str(unknown.value) == (
        'there is no tax rate of DE for tax category "wine" on 2026-11-02, and the issuer is registered there: '
        "declare a TaxRate, zero or exempt if nothing is owed, then run the month again"
    )
