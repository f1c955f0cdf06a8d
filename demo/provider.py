"""The sample provider: who its customers are, what it sells, at which prices.

Owns: names and prices as data, and the manifests made of them.
"""

import base64
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

Manifest = dict[str, Any]

BILLING = "billing.miloapis.com/v1alpha1"
RESOURCES = "resourcemanager.miloapis.com/v1alpha1"
SERVICES = "services.miloapis.com/v1alpha1"

SERVICE = "kestrel-cloud"
DEFAULT_CURRENCY = "USD"
"""The list in this currency also prices accounts whose own has no list."""

VAT_COUNTRY, VAT_PERCENT, VAT_SINCE = "IE", 23, "2021-03-01"
"""Where the sample provider is established and collects tax, and what is taken there."""

Tiers = tuple[tuple[int | None, Decimal], ...]
"""Upper bound (inclusive, None for the last) and unit price of each tier; one tier is a plain price."""


@dataclass(frozen=True, slots=True)
class Account:
    """A billing account of the sample: its organization, currency, zone, and who is written on the
    invoice.
    """

    organization: str
    name: str
    currency: str
    zone: str
    business_name: str
    contact: str
    email: str
    address: tuple[tuple[str, str], ...]
    net_days: int
    payment: str
    language: str
    vat_number: str = ""
    """Confirmed by the register of the European Union, where there is one."""

    @property
    def namespace(self) -> str:
        return f"organization-{self.organization}"

    @property
    def key(self) -> str:
        """As invoice runs name it."""
        return f"{self.namespace}/{self.name}"


@dataclass(frozen=True, slots=True)
class Project:
    """A project of the sample, who pays for it at first, and how busy it is compared with the others."""

    name: str
    title: str
    organization: str
    account: str
    weight: int


@dataclass(frozen=True, slots=True)
class Meter:
    """What the sample measures."""

    name: str
    title: str
    unit: str
    dimension: str
    values: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Sku:
    """What the sample sells: `per` metered units are one pricing unit. `family` is a label that selectors see."""

    name: str
    title: str
    family: str
    meter: str
    match: tuple[str, ...]
    pricing_unit: str
    per: int
    usd: Tiers
    eur: Tiers


def tiers_of(*tiers: tuple[int | None, str]) -> Tiers:
    """Tiers with their prices as text."""
    return tuple((up_to, Decimal(price)) for up_to, price in tiers)


ORGANIZATIONS = {
    "acme": "Acme Robotics",
    "globex": "Globex",
    "initech": "Initech Software",
    "alpenglow": "Alpenglow Analytik",
    "hazelwood": "Hazelwood Press",
}

ACCOUNTS = (
    Account(
        organization="acme",
        name="main",
        currency="USD",
        zone="America/New_York",
        business_name="Acme Robotics, Inc.",
        contact="Dana Whitfield",
        email="ap@acme-robotics.example",
        address=(
            ("country", "US"),
            ("line1", "410 Harbor Street"),
            ("city", "Boston"),
            ("region", "MA"),
            ("postalCode", "02210"),
        ),
        net_days=30,
        payment="BankTransfer",
        language="en",
    ),
    Account(
        organization="acme",
        name="research",
        currency="USD",
        zone="America/New_York",
        business_name="Acme Robotics Research Lab",
        contact="Dr. Ines Okafor",
        email="lab-finance@acme-robotics.example",
        address=(
            ("country", "US"),
            ("line1", "77 Kendall Square"),
            ("city", "Cambridge"),
            ("region", "MA"),
            ("postalCode", "02142"),
        ),
        net_days=30,
        payment="BankTransfer",
        language="en",
    ),
    Account(
        organization="globex",
        name="main",
        currency="EUR",
        zone="Europe/Berlin",
        business_name="Globex Handels GmbH",
        contact="Jürgen Weiß",
        email="rechnung@globex.example",
        address=(
            ("country", "DE"),
            ("line1", "Lindenstraße 12"),
            ("city", "Berlin"),
            ("postalCode", "10969"),
        ),
        net_days=14,
        payment="BankTransfer",
        language="de",
        vat_number="DE123456789",
    ),
    Account(
        organization="initech",
        name="main",
        currency="USD",
        zone="America/Chicago",
        business_name="Initech Software LLC",
        contact="Peter Lindqvist",
        email="billing@initech.example",
        address=(
            ("country", "US"),
            ("line1", "4120 Freidrich Lane"),
            ("city", "Austin"),
            ("region", "TX"),
            ("postalCode", "78744"),
        ),
        net_days=30,
        payment="Card",
        language="en",
    ),
    Account(
        organization="alpenglow",
        name="main",
        currency="CHF",
        zone="Europe/Zurich",
        business_name="Alpenglow Analytik AG",
        contact="Seraina Caduff",
        email="kreditoren@alpenglow.example",
        address=(
            ("country", "CH"),
            ("line1", "Bahnhofplatz 7"),
            ("city", "Chur"),
            ("postalCode", "7000"),
        ),
        net_days=30,
        payment="BankTransfer",
        language="de",
    ),
    Account(
        organization="hazelwood",
        name="main",
        currency="EUR",
        zone="Europe/Dublin",
        business_name="Hazelwood Press Ltd.",
        contact="Aoife Brennan",
        email="accounts@hazelwood.example",
        address=(
            ("country", "IE"),
            ("line1", "12 Quay Lane"),
            ("city", "Cork"),
            ("postalCode", "T12 X000"),
        ),
        net_days=14,
        payment="BankTransfer",
        language="en",
    ),
)

PROJECTS = (
    Project("warehouse-vision", "Warehouse vision", "acme", "main", 12),
    Project("fleet-routing", "Fleet routing", "acme", "main", 10),
    Project("robot-telemetry", "Robot telemetry", "acme", "main", 14),
    Project("parts-catalog", "Parts catalog", "acme", "main", 4),
    Project("gripper-lab", "Gripper lab", "acme", "research", 5),
    Project("webshop", "Webshop", "globex", "main", 15),
    Project("checkout", "Checkout", "globex", "main", 9),
    Project("recommendations", "Recommendations", "globex", "main", 7),
    Project("data-warehouse", "Data warehouse", "globex", "main", 6),
    Project("timesheets", "Timesheets", "initech", "main", 6),
    Project("report-search", "Report search", "initech", "main", 8),
    Project("release-notes", "Release notes", "initech", "main", 4),
    Project("snow-forecast", "Snow forecast", "alpenglow", "main", 7),
    Project("reader-apps", "Reader apps", "hazelwood", "main", 5),
)

REBOUND = "warehouse-vision"
"""The project whose payer changes in mid-month, from acme/main to acme/research."""

METERS = (
    Meter("compute.kestrel.example/cpu-seconds", "CPU time", "s", "region", ("eu-central", "us-east")),
    Meter("network.kestrel.example/egress", "Network egress", "By", "region", ("eu-central", "us-east")),
    Meter("gateway.kestrel.example/requests", "API requests", "{request}", "method", ("GET", "POST")),
    Meter("inference.kestrel.example/tokens", "Inference tokens", "{token}", "model", ("swift", "sage")),
)

SKUS = (
    Sku(
        "cpu-hours", "CPU time", "compute", "compute.kestrel.example/cpu-seconds", (), "h", 3600,
        usd=tiers_of((None, "0.0465")), eur=tiers_of((None, "0.0429")),
    ),
    Sku(
        "network-egress", "Network egress", "network", "network.kestrel.example/egress", (), "GBy", 10**9,
        usd=tiers_of((100, "0.09"), (1_000, "0.07"), (None, "0.05")),
        eur=tiers_of((100, "0.083"), (1_000, "0.0645"), (None, "0.046")),
    ),
    Sku(
        "api-requests", "API requests", "gateway", "gateway.kestrel.example/requests", (), "10*6.{request}", 10**6,
        usd=tiers_of((1, "0"), (10, "0.85"), (None, "0.60")), eur=tiers_of((1, "0"), (10, "0.78"), (None, "0.55")),
    ),
    Sku(
        "tokens-swift", "Tokens, model swift", "inference", "inference.kestrel.example/tokens",
        ("swift",), "10*6.{token}", 10**6,
        usd=tiers_of((None, "2.50")), eur=tiers_of((None, "2.30")),
    ),
    Sku(
        "tokens-sage", "Tokens, model sage", "inference", "inference.kestrel.example/tokens",
        ("sage",), "10*6.{token}", 10**6,
        usd=tiers_of((50, "10.00"), (None, "8.00")), eur=tiers_of((50, "9.20"), (None, "7.40")),
    ),
)  # fmt: skip


def prices_of(sku: Sku, currency: str) -> Tiers:
    """The tiers of a Sku in a currency of the sample that has a list."""
    return {"USD": sku.usd, "EUR": sku.eur}[currency]


def find_account(organization: str, name: str) -> Account:
    """The account of an organization."""
    return next(a for a in ACCOUNTS if (a.organization, a.name) == (organization, name))


def manifests(*, first_day: str, bound_from: dict[str, str]) -> Iterator[Manifest]:
    """Everything the provider declares, in an order in which it can be applied.

    `first_day` is the date from which prices hold; `bound_from` an account's key to the instant from which it
    pays.
    """
    for name, title in ORGANIZATIONS.items():
        yield new_object(RESOURCES, "Organization", name, {"displayName": title})
    for project in PROJECTS:
        owner = {"kind": "Organization", "name": project.organization}
        yield new_object(
            RESOURCES, "Project", project.name, {"ownerRef": owner, "displayName": project.title}
        )
    yield new_object(SERVICES, "Service", SERVICE, {"displayName": "Kestrel Cloud", "phase": "Published"})
    yield from (_meter(meter) for meter in METERS)
    yield from (_sku(sku) for sku in SKUS)
    yield from (_list_book(currency, first_day) for currency in ("USD", "EUR"))
    yield _issuer()
    rate: Manifest = {
        "country": VAT_COUNTRY,
        "tax": "VAT",
        "percent": str(VAT_PERCENT),
        "startsOn": VAT_SINCE,
    }
    yield new_object(BILLING, "TaxRate", "vat-ie", rate)
    yield new_object(BILLING, "PaymentMethodClass", CARDS, {"provider": "sandbox", "isDefault": True})
    for account in ACCOUNTS:
        yield _account(account)
        if account.payment == "Card":
            card: Manifest = {
                "billingAccountRef": {"name": account.name},
                "displayName": "Company card",
                "providerToken": CARD_TOKEN,
            }
            yield new_object(BILLING, "PaymentMethod", card_of(account), card, namespace=account.namespace)
    for project in PROJECTS:
        account = find_account(project.organization, project.account)
        yield binding(project, account, name=project.name, effective_from=bound_from[account.key])


def card_of(account: Account) -> str:
    """The name of the account's payment method."""
    return f"{account.name}-visa"


CARDS = "cards"
"""The class of payment methods. Its provider is the sandbox, which moves no money."""

CARD_TOKEN = "sandbox_visa_empty_once"
"""The sandbox's card that has not enough money the first time that an invoice is asked for, and then pays."""

CARD_SECRETS = {"webhookSecret": "of-the-demo"}


def binding(project: Project, account: Account, *, name: str, effective_from: str | None = None) -> Manifest:
    """That an account pays for a project, from now or from an instant in the past."""
    spec: Manifest = {"billingAccountRef": {"name": account.name}, "projectRef": {"name": project.name}}
    if effective_from is not None:
        spec["effectiveFrom"] = effective_from
    return new_object(BILLING, "BillingAccountBinding", name, spec, namespace=account.namespace)


def new_object(
    api_version: str, kind: str, name: str, spec: Manifest, *, namespace: str | None = None
) -> Manifest:
    """A manifest of any kind."""
    metadata = {"name": name} if namespace is None else {"name": name, "namespace": namespace}
    return {"apiVersion": api_version, "kind": kind, "metadata": metadata, "spec": spec}


def _meter(meter: Meter) -> Manifest:
    spec: Manifest = {
        "meterName": meter.name,
        "phase": "Published",
        "displayName": meter.title,
        "measurement": {"aggregation": "Sum", "unit": meter.unit, "dimensions": [meter.dimension]},
    }
    return new_object(
        BILLING, "MeterDefinition", meter.name.split(".")[0] + "-" + meter.name.split("/")[1], spec
    )


def _sku(sku: Sku) -> Manifest:
    meter: Manifest = {"meterName": sku.meter}
    if sku.match:
        dimension = next(meter.dimension for meter in METERS if meter.name == sku.meter)
        meter["match"] = {dimension: list(sku.match)}
    spec: Manifest = {
        "serviceRef": {"name": SERVICE},
        "displayName": sku.title,
        "chargeType": "Usage",
        "meter": meter,
        "pricingUnit": sku.pricing_unit,
        "labels": {"family": sku.family},
    }
    return new_object(BILLING, "Sku", sku.name, spec)


def _list_book(currency: str, first_day: str) -> Manifest:
    prices = [(sku, prices_of(sku, currency)) for sku in SKUS]
    book = book_of(
        f"list-{currency.lower()}", role="List", currency=currency, first_day=first_day, prices=prices
    )
    book["spec"]["isDefault"] = currency == DEFAULT_CURRENCY
    return book


def book_of(
    name: str, *, role: str, currency: str, first_day: str, prices: Iterable[tuple[Sku, Tiers]]
) -> Manifest:
    """The version of a price book that begins on a day."""
    spec: Manifest = {
        "bookName": name,
        "effectiveFrom": first_day,
        "role": role,
        "currencyCode": currency,
        "phase": "Published",
        "prices": [_price(sku, tiers) for sku, tiers in prices],
    }
    return new_object(BILLING, "PriceBook", f"{name}-{first_day}", spec)


def _price(sku: Sku, tiers: Tiers) -> Manifest:
    price: Manifest = {"skuRef": {"name": sku.name}}
    if len(tiers) == 1:
        return {**price, "model": "PerUnit", "unitPrice": str(tiers[0][1])}
    listed: list[Manifest] = []
    for up_to, unit_price in tiers:
        tier: Manifest = {"unitPrice": str(unit_price)}
        listed.append(tier if up_to is None else {"upTo": str(up_to), **tier})
    return {**price, "model": "Graduated", "tiers": listed}


def _issuer() -> Manifest:
    spec: Manifest = {
        "legalName": "Kestrel Cloud Ltd.",
        "address": {
            "country": "IE",
            "line1": "3 Grand Canal Plaza",
            "city": "Dublin",
            "postalCode": "D04 EE70",
        },
        "taxIds": [{"type": "eu_vat", "value": "IE3668997OH"}],
        "taxRegistrations": [{"country": VAT_COUNTRY}],
        "accountingCurrency": "EUR",
        "numberSeries": {"prefix": "KC-"},
        "brand": {"color": "#0f5e8c", "logo": _logo()},
        "bankDetails": {
            "accountHolder": "Kestrel Cloud Ltd.",
            "iban": "IE64IRCE92050112345678",
            "bic": "IRCEIE2D",
            "bankName": "Sample Bank of Ireland",
        },
        "legalText": "Kestrel Cloud Ltd. is a sample company. Registered in Dublin, no. 000000.",
        "timeZone": "Europe/Dublin",
        "isDefault": True,
    }
    return new_object(BILLING, "IssuerProfile", "kestrel", spec)


def _logo() -> str:
    """A kestrel, more or less, as a data URI."""
    picture = (
        '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 64 64">'
        '<path fill="#0f5e8c" d="M4 22 30 34 60 8 40 40 44 56 32 44 18 58 22 40Z"/></svg>'
    )
    return "data:image/svg+xml;base64," + base64.b64encode(picture.encode()).decode()


def _account(account: Account) -> Manifest:
    profile: Manifest = {"type": account.payment}
    if account.payment == "Card":
        profile["paymentMethodRef"] = {"name": card_of(account)}
    spec: Manifest = {
        "currencyCode": account.currency,
        "displayName": account.business_name,
        "timeZone": account.zone,
        "language": account.language,
        "paymentTerms": {"netDays": account.net_days},
        "paymentProfile": profile,
        "contactInfo": {
            "email": account.email,
            "name": account.contact,
            "businessName": account.business_name,
            "address": dict(account.address),
        },
    }
    if account.vat_number:
        spec["taxIds"] = [{"type": "eu_vat", "value": account.vat_number}]
    return new_object(BILLING, "BillingAccount", account.name, spec, namespace=account.namespace)
