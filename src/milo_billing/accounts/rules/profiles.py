"""The fields of an account's object that a billing profile is made of, as they are stored, in clear."""

from collections.abc import Mapping
from datetime import date
from decimal import Decimal
from typing import Any, Final

from milo_billing.accounts.rules import standing
from milo_billing.accounts.types import Address, BillingProfile, Contact, TaxId
from milo_billing.kernel.taxes import TaxExemption, TaxPlace
from milo_billing.kernel.terms import EARLY_DAYS, TimeTerms

PERSONAL: Final = ("contactInfo", "taxIds", "taxExemptions")
"""The fields of the spec that are stored encrypted."""


def read_profile(account: int, spec: Mapping[str, Any]) -> BillingProfile:
    """The profile that a spec in clear says; a personal field that was erased is None."""
    terms: Mapping[str, Any] = spec["paymentTerms"]
    return BillingProfile(
        account=account,
        net_days=terms["netDays"],
        invoice_day=terms["invoiceDayOfMonth"],
        invoice_frequency=terms["invoiceFrequency"],
        language=spec["language"],
        display_name=spec.get("displayName", ""),
        zero_invoices=spec["zeroInvoices"],
        contact=read_contact(spec["contactInfo"]),
        tax_ids=tuple(TaxId(type=one["type"], value=one["value"]) for one in spec["taxIds"] or ()),
        tax_exemptions=tuple(map(read_exemption, spec["taxExemptions"] or ())),
        time_terms=read_time_terms(terms),
        collected_from=standing.collected_from(spec.get("paymentProfile")),
    )


def read_exemption(body: dict[str, str]) -> TaxExemption:
    """One entry of `spec.taxExemptions`."""
    return TaxExemption(
        place=TaxPlace(body["country"], body.get("region", "")),
        certificate=body["certificate"],
        reason=body.get("reason", ""),
        reason_code=body.get("reasonCode", ""),
        since=date.fromisoformat(body["since"]),
        until=date.fromisoformat(body["until"]) if "until" in body else None,
    )


def read_time_terms(terms: Mapping[str, Any]) -> TimeTerms:
    """What the account's payment terms say of paying early and late. Zero percent is nothing."""
    return TimeTerms(
        early_percent=_percent(terms.get("earlyPaymentDiscountPercent")),
        early_days=terms.get("earlyPaymentDiscountDays") or EARLY_DAYS,
        interest_percent=_percent(terms.get("latePaymentInterestPercent")),
    )


def _percent(text: str | None) -> Decimal | None:
    return (Decimal(text) or None) if text else None


def read_contact(info: Any) -> Contact | None:
    """`spec.contactInfo`; None where there is none, or its subject was erased."""
    if info is None:
        return None
    return Contact(
        email=info["email"],
        name=info.get("name", ""),
        business_name=info.get("businessName", ""),
        invoice_emails=tuple(info.get("invoiceEmails", ())),
        address=_address(info.get("address")),
    )


def _address(info: Any) -> Address | None:
    if info is None:
        return None
    return Address(
        country=info["country"],
        line1=info.get("line1", ""),
        line2=info.get("line2", ""),
        city=info.get("city", ""),
        region=info.get("region", ""),
        postal_code=info.get("postalCode", ""),
    )
