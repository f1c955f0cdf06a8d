"""How a draft is taxed: who asks, with what account, issuer and registers say; and the engine of our own."""

from dataclasses import dataclass
from datetime import date

from milo_billing.accounts.types import Account, BillingProfile
from milo_billing.infra.crypto import Vault
from milo_billing.infra.database import Tx
from milo_billing.invoicing.engine import vat_checks
from milo_billing.invoicing.ports import TaxEngine
from milo_billing.invoicing.reads import issuers as issuer_reads
from milo_billing.invoicing.rules import tax_bodies, tax_treatments, taxes
from milo_billing.invoicing.rules.conversions import RATE_PLACES_MAX
from milo_billing.invoicing.types.drafts import Draft
from milo_billing.invoicing.types.errors import UnableToIssue
from milo_billing.invoicing.types.invoices import IssuerVersion
from milo_billing.kernel.money import minor_to_decimal, settle
from milo_billing.kernel.quantity import fraction, shown_decimal
from milo_billing.kernel.taxes import AccountingTax, TaxDecision, TaxQuestion
from milo_billing.pricing import reads as pricing


@dataclass(frozen=True, slots=True)
class DeclaredRates:
    """The engine of our own: the rules of docs/tax.md over the TaxRates that are declared."""

    def decide(self, tx: Tx, question: TaxQuestion) -> TaxDecision:
        """As `TaxEngine.decide`."""
        countries = {one.place.country for one in question.seller.registrations}
        if question.buyer.place is not None:
            countries.add(question.buyer.place.country)
        rates = [
            rate
            for country in sorted(countries)
            for rate in issuer_reads.list_tax_rates(tx, country=country, day=question.day)
        ]
        return tax_treatments.decide(question, rates=rates)


def tax_draft(
    tx: Tx,
    drafted: Draft,
    *,
    engine: TaxEngine,
    vault: Vault,
    account: Account,
    profile: BillingProfile,
    issuer: IssuerVersion,
    day: date,
) -> Draft:
    """The draft with its tax, as of `day`, the issue date in the issuer's zone.

    Raises UnableToIssue where the engine cannot say how a line is taxed.
    """
    question = TaxQuestion(
        seller=tax_bodies.seller_of(issuer.body),
        buyer=tax_bodies.buyer_of(profile, business_in=_business_in(tx, vault, account, profile)),
        categories=frozenset(line.tax_category for line in drafted.lines),
        day=day,
    )
    decision = engine.decide(tx, question)
    unsaid = sorted(category for category in question.categories if not decision.get(category))
    if unsaid:
        raise UnableToIssue(f'the tax engine does not say how tax category "{unsaid[0]}" is taxed')
    return taxes.with_taxes(drafted, decision)


def accounting_tax(tx: Tx, drafted: Draft, *, issuer: IssuerVersion, day: date) -> AccountingTax | None:
    """The draft's tax in the currency of the issuer's books, at the rate last published on the day or before it.

    None where that is the invoice's own currency, or there is no tax. Raises UnableToIssue where no rate is known.
    """
    currency: str = issuer.body["accountingCurrency"]
    if currency == drafted.currency or not any(group.treatment.code == "S" for group in drafted.taxes):
        return None
    rate = pricing.find_rate(tx, from_currency=drafted.currency, to_currency=currency, on=day)
    if rate is None:
        raise UnableToIssue(
            f"the tax is to be told in {currency} too, the accountingCurrency of issuer {issuer.name}, and no exchange "
            f"rate from {drafted.currency} was published on {day} or before: bring in rates (milo-billing rates "
            "import FILE), or say the right currency, then run the month again"
        )
    exact = fraction(minor_to_decimal(drafted.tax_minor, drafted.currency)) * rate.rate
    return AccountingTax(
        currency=currency,
        tax_minor=settle(exact, currency).minor,
        rate=shown_decimal(rate.rate, places_max=RATE_PLACES_MAX),
        day=rate.day,
        source=rate.source,
    )


def _business_in(tx: Tx, vault: Vault, account: Account, profile: BillingProfile) -> str | None:
    """The country of the account's VAT number of the Union, if the register has confirmed just that number."""
    number = vat_checks.union_number_of(profile)
    check = None if number is None else vat_checks.find_check(tx, vault, account=account, number=number)
    return number.country if number is not None and check is not None and check.valid else None
