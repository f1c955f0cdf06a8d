"""Tax as it is asked for and as it is told: seller and buyer from what was declared, groups and rates as JSON."""

from collections.abc import Mapping, Sequence
from datetime import date
from decimal import Decimal
from typing import Any

from milo_billing.accounts.types import BillingProfile
from milo_billing.invoicing.rules.tax_territories import tax_place
from milo_billing.kernel.money import Currency, minor_to_decimal
from milo_billing.kernel.taxes import (
    AccountingTax,
    TaxBuyer,
    TaxGroup,
    TaxPlace,
    TaxRegistration,
    TaxSeller,
)


def seller_of(issuer: Mapping[str, Any]) -> TaxSeller:
    """Who sells, from the spec of an IssuerProfile."""
    address: Mapping[str, Any] = issuer["address"]
    return TaxSeller(
        tax_place(
            address["country"], region=address.get("region", ""), postal_code=address.get("postalCode", "")
        ),
        tuple(
            TaxRegistration(
                TaxPlace(one["country"], one.get("region", "")),
                one_stop=one.get("oneStopShop", False),
                since=_day(one.get("since")),
                until=_day(one.get("until")),
            )
            for one in issuer.get("taxRegistrations", ())
        ),
    )


def buyer_of(profile: BillingProfile, *, business_in: str | None) -> TaxBuyer:
    """Who is invoiced. `business_in` is the country of the VAT number that was confirmed, if one was."""
    address = None if profile.contact is None else profile.contact.address
    return TaxBuyer(
        place=None
        if address is None
        else tax_place(address.country, region=address.region, postal_code=address.postal_code),
        business_in=business_in,
        exemptions=profile.tax_exemptions,
    )


def tax_body(number: int, group: TaxGroup, *, currency: Currency) -> dict[str, Any]:
    """A tax group as invoices and previews tell it; decimals are strings."""
    treatment = group.treatment
    return {
        "tax": number,
        "category": treatment.code,
        "name": treatment.name,
        "place": treatment.place,
        "percent": plain(treatment.percent),
        "basis": str(minor_to_decimal(group.basis_minor, currency)),
        "amount": str(minor_to_decimal(group.tax_minor, currency)),
        "reason": treatment.reason,
        "reasonCode": treatment.reason_code,
    }


def tax_bodies(groups: Sequence[TaxGroup], *, currency: Currency) -> list[dict[str, Any]]:
    """All groups, by their number."""
    return [tax_body(number, group, currency=currency) for number, group in enumerate(groups, start=1)]


def line_tax_bodies(numbers: Sequence[int], groups: Sequence[TaxGroup]) -> list[dict[str, Any]]:
    """How one line is taxed: the groups it belongs to, without their amounts, which are not the line's."""
    return [
        {
            "tax": number,
            "category": groups[number - 1].treatment.code,
            "name": groups[number - 1].treatment.name,
            "percent": plain(groups[number - 1].treatment.percent),
        }
        for number in numbers
    ]


def plain(number: Decimal) -> str:
    """Without exponent and without zeros at the end."""
    text = f"{number:f}"
    return text.rstrip("0").rstrip(".") if "." in text else text


def accounting_tax_body(found: AccountingTax | None) -> dict[str, Any] | None:
    """The tax in the issuer's accounting currency as it is frozen and told."""
    if found is None:
        return None
    return {
        "currencyCode": found.currency,
        "amount": str(minor_to_decimal(found.tax_minor, found.currency)),
        "amountMinor": found.tax_minor,
        "rate": f"{found.rate:f}",
        "day": found.day.isoformat(),
        "source": found.source,
    }


def read_accounting_tax(body: Mapping[str, Any] | None) -> AccountingTax | None:
    """The same as it was frozen."""
    if body is None:
        return None
    return AccountingTax(
        currency=body["currencyCode"],
        tax_minor=body["amountMinor"],
        rate=Decimal(body["rate"]),
        day=date.fromisoformat(body["day"]),
        source=body["source"],
    )


def _day(text: str | None) -> date | None:
    return None if text is None else date.fromisoformat(text)
