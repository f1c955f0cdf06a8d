"""What the sample provider agrees with single customers: a commitment, a discount, an offer with prices of its own.

Owns: these terms as data, the manifests made of them, and the sample's exchange rates (`sample-rates.csv`, in the
form of the European Central Bank's file; the numbers are made up). Not: what they come to (expected).
"""

from collections.abc import Iterator
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path

from demo.provider import (
    BILLING,
    SERVICE,
    SKUS,
    Account,
    Manifest,
    Tiers,
    book_of,
    find_account,
    new_object,
    tiers_of,
)

RATES = Path(__file__).with_name("sample-rates.csv")


@dataclass(frozen=True, slots=True)
class Promise:
    """A commitment: so much a month and in the whole term, `percent` off the Skus of a family in return."""

    name: str
    account: Account
    term_months: int
    monthly: Decimal
    term: Decimal
    percent: int
    family: str


@dataclass(frozen=True, slots=True)
class Welcome:
    """A discount on a whole invoice."""

    name: str
    account: Account
    title: str
    percent: int
    uses: int


@dataclass(frozen=True, slots=True)
class Taken:
    """An offer that an account took, and the prices that come with it; other Skus keep the list's."""

    offer: str
    title: str
    tier: str
    account: Account
    book: str
    prices: dict[str, Tiers]


PROMISE = Promise(
    name="yearly",
    account=find_account("acme", "main"),
    term_months=12,
    monthly=Decimal("1250.00"),
    term=Decimal("16000.00"),
    percent=15,
    family="inference",
)

WELCOME = Welcome(
    name="welcome",
    account=find_account("initech", "main"),
    title="Welcome to Kestrel",
    percent=10,
    uses=3,
)

TAKEN = Taken(
    offer="inference-pro",
    title="Inference Pro",
    tier="Pro",
    account=find_account("globex", "main"),
    book="inference-pro-eur",
    prices={
        "tokens-swift": tiers_of((None, "2.05")),
        "tokens-sage": tiers_of((50, "8.40"), (None, "6.60")),
    },
)

CONVERTED = find_account("alpenglow", "main")
"""An account in a currency without a price list: the default book prices it, and amounts are converted."""


def manifests(*, first_day: str) -> Iterator[Manifest]:
    """What is declared after the accounts, all of it from `first_day` on; the commitment is still to be accepted."""
    yield _commitment(first_day)
    yield _discount(first_day)
    yield _book(first_day)
    offer: Manifest = {
        "displayName": TAKEN.title,
        "tier": TAKEN.tier,
        "phase": "Published",
        "services": [{"name": SERVICE}],
        "features": {"support": "phone"},
        "priceBookRef": {"name": TAKEN.book},
    }
    yield new_object(BILLING, "Offer", TAKEN.offer, offer)
    entitlement: Manifest = {
        "billingAccountRef": {"name": TAKEN.account.name},
        "offerRef": {"name": TAKEN.offer},
        "startsAt": first_day,
    }
    yield new_object(BILLING, "Entitlement", TAKEN.offer, entitlement, namespace=TAKEN.account.namespace)


def _commitment(first_day: str) -> Manifest:
    account = PROMISE.account
    spec: Manifest = {
        "billingAccountRef": {"name": account.name},
        "startsOn": first_day,
        "termMonths": PROMISE.term_months,
        "minimumSpends": [
            {"amount": str(amount), "currencyCode": account.currency, "interval": interval}
            for amount, interval in ((PROMISE.monthly, "Monthly"), (PROMISE.term, "Term"))
        ],
        "skuDiscounts": [
            {
                "percentage": str(PROMISE.percent),
                "skuSelectors": [
                    {"matchLabels": [{"key": "family", "op": "In", "values": [PROMISE.family]}]}
                ],
            }
        ],
    }
    return new_object(BILLING, "Commitment", PROMISE.name, spec, namespace=account.namespace)


def _discount(first_day: str) -> Manifest:
    spec: Manifest = {
        "billingAccountRef": {"name": WELCOME.account.name},
        "displayName": WELCOME.title,
        "scope": "Invoice",
        "percentage": str(WELCOME.percent),
        "startsOn": first_day,
        "uses": WELCOME.uses,
    }
    return new_object(BILLING, "Discount", WELCOME.name, spec, namespace=WELCOME.account.namespace)


def _book(first_day: str) -> Manifest:
    prices = [(sku, TAKEN.prices[sku.name]) for sku in SKUS if sku.name in TAKEN.prices]
    return book_of(
        TAKEN.book, role="Negotiated", currency=TAKEN.account.currency, first_day=first_day, prices=prices
    )
