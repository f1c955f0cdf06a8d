"""How a line is taxed: place of supply, registrations, reverse charge, export, exemption (docs/tax.md).

For services supplied electronically the place of supply is the buyer's, for businesses (directive 2006/112/EC, article
44) and for consumers (article 58). What cannot be decided is refused with a reason: nothing is untaxed silently.
"""

from collections.abc import Iterable
from datetime import date
from decimal import Decimal
from typing import Final

from milo_billing.invoicing.rules.tax_territories import is_told_by_postcode
from milo_billing.invoicing.types.errors import UnableToIssue
from milo_billing.kernel.taxes import (
    VATEX_EXPORT,
    VATEX_OUT_OF_SCOPE,
    VATEX_REVERSE_CHARGE,
    TaxDecision,
    TaxExemption,
    TaxPlace,
    TaxQuestion,
    TaxRateEntry,
    TaxRegistration,
    TaxTreatment,
)

ZERO: Final = Decimal(0)

UNTAXED: Final = TaxTreatment("O", ZERO, "", "", "Not subject to tax", VATEX_OUT_OF_SCOPE)
"""The issuer collects no tax in the buyer's place."""


def decide(question: TaxQuestion, *, rates: Iterable[TaxRateEntry]) -> TaxDecision:
    """The treatments of each tax category, with the rates in force on the question's day, of whatever place.

    Raises UnableToIssue where nobody knows the buyer's place, or its region where the tax of one is collected, and
    where the issuer is registered in a place that has no rate for a category.
    """
    seller, buyer, day = question.seller, question.buyer, question.day
    held = [one for one in seller.registrations if _holds_on(one.since, one.until, day)]
    if not held:
        return dict.fromkeys(question.categories, (UNTAXED,))
    if buyer.place is None:
        raise UnableToIssue(
            "the tax depends on where the customer is, and the account does not say: set its "
            "spec.contactInfo.address.country, then run the month again"
        )
    if _is_reverse_charged(question):
        treatment = TaxTreatment(
            "AE", ZERO, "VAT", buyer.place.country, "Reverse charge", VATEX_REVERSE_CHARGE
        )
        return dict.fromkeys(question.categories, (treatment,))
    _assert_region_known(buyer.place, held)
    places = _taxed_places(question, held)
    if not places:
        return dict.fromkeys(question.categories, (_abroad(question, held),))
    known = list(rates)
    return {
        category: tuple(
            treatment for place in places for treatment in _in_place(question, place, category, known)
        )
        for category in question.categories
    }


def _is_reverse_charged(question: TaxQuestion) -> bool:
    """A business in another member state than the seller's owes the tax itself (article 196)."""
    seller, buyer = question.seller.place, question.buyer
    return (
        buyer.place is not None
        and buyer.business_in == buyer.place.country
        and buyer.business_in != seller.country
        and seller.in_union
        and buyer.place.in_union
    )


def _assert_region_known(place: TaxPlace, held: Iterable[TaxRegistration]) -> None:
    """Raise UnableToIssue for a customer of whom no region is known, where the seller collects the tax of some."""
    regions = sorted(
        one.place.region
        for one in held
        if one.place.country == place.country and one.place.region and not is_told_by_postcode(one.place)
    )
    if regions and not place.region:
        raise UnableToIssue(
            f"the tax depends on where in {place.country} the customer is, for the issuer collects tax in "
            f"{', '.join(regions)}, and the account does not say: set its spec.contactInfo.address.region, then run "
            "the month again"
        )


def _taxed_places(question: TaxQuestion, held: list[TaxRegistration]) -> list[TaxPlace]:
    """The places whose tax the seller collects from the buyer, the country before its region.

    Within the Union a seller without a registration there taxes as at home, unless it uses the one-stop shop.
    """
    seller, place = question.seller.place, question.buyer.place
    assert place is not None, "who has no place was refused"
    found = sorted({one.place for one in held if one.place.holds(place)})
    if found or place.country == seller.country or not (seller.in_union and place.in_union):
        return found
    if any(one.one_stop for one in held):
        return [TaxPlace(place.country)]
    return [one.place for one in held if one.place == TaxPlace(seller.country)]


def _abroad(question: TaxQuestion, held: list[TaxRegistration]) -> TaxTreatment:
    """Out of the country of a seller that taxes all over it, or of its tax; anything else is out of scope."""
    seller = question.seller.place
    at_home = not seller.outside and any(one.place == TaxPlace(seller.country) for one in held)
    if not at_home:
        return UNTAXED
    within = seller.in_union
    reason = "Export outside the EU" if within else "Export"
    return TaxTreatment("G", ZERO, "", "", reason, VATEX_EXPORT if within else "")


def _in_place(
    question: TaxQuestion, place: TaxPlace, category: str, rates: list[TaxRateEntry]
) -> tuple[TaxTreatment, ...]:
    """What one place takes. Raises UnableToIssue where it has no rate."""
    exemption = _exemption(question, place)
    if exemption is not None:
        reason = exemption.reason or "Exempt"
        text = f"{reason}, certificate {exemption.certificate}"
        return (TaxTreatment("E", ZERO, "", str(place), text, exemption.reason_code),)
    found = sorted(
        (one for one in rates if one.place == place and one.category == category), key=lambda one: one.name
    )
    if not found:
        raise UnableToIssue(
            f'there is no tax rate of {place} for tax category "{category}" on {question.day}, and the issuer is '
            "registered there: declare a TaxRate, zero or exempt if nothing is owed, then run the month again"
        )
    return tuple(
        TaxTreatment(one.code, one.percent, one.name, str(place), one.reason, one.reason_code)
        for one in found
    )


def _exemption(question: TaxQuestion, place: TaxPlace) -> TaxExemption | None:
    return next(
        (
            one
            for one in question.buyer.exemptions
            if one.place.holds(place) and _holds_on(one.since, one.until, question.day)
        ),
        None,
    )


def _holds_on(since: date | None, until: date | None, day: date) -> bool:
    return (since is None or since <= day) and (until is None or day < until)
