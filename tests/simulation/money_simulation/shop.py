"""The small provider: customers who pay in different ways, two invoiced with a third, and what it sells.

It is driven by the verbs of doors and jobs.
"""

import hashlib
import random
import tempfile
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any, Final, TypeVar
from uuid import UUID

from milo_billing.accounts.types import Account
from milo_billing.adapters.bank_files import read_statements
from milo_billing.adapters.folder_blobs import FolderBlobs
from milo_billing.controlplane.decoding import Draft
from milo_billing.controlplane.doors import repeated
from milo_billing.controlplane.identity import Identity
from milo_billing.controlplane.work import Work
from milo_billing.infra.clock import new_uid
from milo_billing.infra.database import EVERYWHERE
from milo_billing.kernel.ids import ulid_to_int
from milo_billing.payments.engine.bank_importing import Imported, import_statement
from milo_billing.payments.engine.debiting import add_mandate
from milo_billing.payments.operations.desk import set_secrets
from milo_billing.payments.rules.debit_requests import MandateRequest
from milo_billing.payments.types import SetupResult
from milo_billing.usage import operations as usage_operations
from milo_billing.usage.engine.archive import Archive
from tests.accounts_world import Grants, World
from tests.bank_files import IBAN, Told, camt053
from tests.conftest import TestServer
from tests.db.invoicing.ground import ACCOUNT, ACME, ISSUER, PRICES
from tests.db.invoicing.test_other_books import bring_rates
from tests.db.payments.ground import Till, join_till
from tests.hostile_provider import GOOD, SLOW, SOFT, HostileProvider
from tests.simulation.money_simulation.fuse import Fuse, open_mortal
from tests.usage_world import JSON, UsageWorld, make_committer

T = TypeVar("T")

BEGINS: Final = datetime(2026, 10, 1, 9, 0, tzinfo=UTC)
ENTITY: Final = "kestrel"
METER: Final = "example.com/tokens"
MILLION: Final = 1_000_000

CONSUMER: Final[dict[str, Any]] = {
    "contactInfo": {
        **ACCOUNT["contactInfo"],
        "address": {"country": "IE", "line1": "1 Quay", "city": "Cork", "postalCode": "T12"},
    },
    "taxIds": None,
}
OTHER_IBAN: Final = "IE64IRCE92050112345678"
BANKS: Final = {"EUR": IBAN, "USD": OTHER_IBAN}
EXTRA_PRICES: Final[list[dict[str, Any]]] = [
    {"skuRef": {"name": "setup"}, "model": "PerUnit", "unitPrice": "80"},
    {"skuRef": {"name": "seats"}, "model": "PerUnit", "unitPrice": "31"},
]


@dataclass(frozen=True)
class Customer:
    """`token` is what its card does; None pays by bank transfer. With a `parent` it begins as invoiced with it."""

    name: str
    currency: str
    token: str | None
    taxed: bool
    iban: str
    parent: str = ""


CUSTOMERS: Final = (
    Customer("good", "USD", GOOD, True, "FR1420041010050500013M02606"),
    Customer("soft", "USD", SOFT, False, "DE89370400440532013000"),
    Customer("slow", "EUR", SLOW, True, "GB29NWBK60161331926819"),
    Customer("bank", "EUR", None, True, "NL91ABNA0417164300"),
    Customer("wire", "USD", None, False, "BE68539007547034"),
    Customer("team", "USD", None, True, "AT611904300234573201", parent="good"),
    Customer("squad", "USD", SOFT, False, "CH9300762011623852957", parent="team"),
)


@dataclass
class Event:
    """Usage that was acknowledged. `voided` says when it was taken back."""

    customer: str
    sent: JSON
    day: date
    value: int
    voided: bool = False


@dataclass
class Shop:
    """One provider in one database, and everything that it was told and has acknowledged of usage."""

    till: Till
    usage: UsageWorld
    fuse: Fuse
    chance: random.Random
    archive: Archive
    accounts: dict[str, Account] = field(default_factory=dict[str, Account])
    events: list[Event] = field(default_factory=list[Event])
    closing: dict[str, int] = field(default_factory=lambda: dict.fromkeys(BANKS, 0))
    """What the bank has said last, by currency."""

    parents: dict[str, str] = field(
        default_factory=lambda: {one.name: one.parent for one in CUSTOMERS if one.parent}
    )
    modes: dict[str, str] = field(
        default_factory=lambda: {one.name: "Parent" if one.parent else "Self" for one in CUSTOMERS}
    )
    """Who is above whom, and whether it is invoiced for itself."""

    @property
    def provider(self) -> HostileProvider:
        return self.till.provider

    @property
    def now(self) -> datetime:
        return self.till.clock.now()

    def write(self, do: Callable[[Work], T]) -> T:
        """A door's transaction, again where it lost a deadlock."""
        return repeated(lambda: self.till.ground.write(do, now=self.now))

    def declare(self, plural: str, name: str, spec: dict[str, Any], *, namespace: str = "") -> UUID:
        kind = self.till.ground.engine.registry.get("billing.miloapis.com", plural)
        draft = Draft(name, "", "", "", "", {}, {}, spec, {})
        return self.write(
            lambda work: self.till.ground.engine.create(work, kind, namespace=namespace, draft=draft)
        ).uid

    def act(self, plural: str, name: str, action: str, **request: Any) -> None:
        engine = self.till.ground.engine
        kind = engine.registry.get("billing.miloapis.com", plural)
        self.write(
            lambda work: engine.act(
                work, kind, namespace=ACME, name=name, action=action, request=dict(request)
            )
        )

    def pass_time(self, *, hours: float) -> None:
        """Time goes by, and the partitions of usage follow it as the gateway has it."""
        self.till.clock.forward(hours=hours)
        with self.till.ground.databases.ingest.transaction(reach=EVERYWHERE) as tx:
            usage_operations.ensure_partitions(tx, now=self.now)

    def use(self, customer: str, *, at: datetime, value: int) -> bool:
        """Send one event; whether it counts."""
        event = self.usage.event(f"p-{customer}", METER, str(value), at=at)
        (answer,) = self.usage.ingest([event])
        if answer.accepted:
            self.events.append(Event(customer, event, min(at, self.now).date(), value))
        return bool(answer.accepted)

    def void(self, event: Event) -> None:
        """Take an event back."""
        id = UUID(int=ulid_to_int(event.sent["id"]))

        def voided(work: Work) -> None:
            usage_operations.void_event(
                work.tx,
                id=id,
                reason="sent by mistake",
                archive=self.archive,
                identity=Identity("ann"),
                audit_id=new_uid(),
                now=work.now,
            )

        self.write(voided)
        event.voided = True

    def used(self, customer: str, *, first: date, end: date) -> int:
        """What counts of these days, of all that was acknowledged."""
        return sum(
            one.value
            for one in self.events
            if one.customer == customer and first <= one.day < end and not one.voided
        )

    def payer(self, customer: str) -> str:
        """Who is invoiced for a customer."""
        while self.modes[customer] == "Parent":
            customer = self.parents[customer]
        return customer

    def invoiced_with(self, payer: str) -> list[str]:
        """Everyone whom this one is invoiced for, itself first."""
        return [payer, *(name for name in self.parents if name != payer and self.payer(name) == payer)]

    def statement(self, told: tuple[Told, ...], *, currency: str, number: int) -> bytes:
        """A file of the bank's, which goes on where the one before it ended."""
        opening = self.closing[currency]
        self.closing[currency] = opening + sum(one.minor for one in told)
        return camt053(
            *told,
            opening=opening,
            currency=currency,
            account=BANKS[currency],
            statement=f"S-{number}",
            on=self.now.date(),
        )

    def receive(self, content: bytes) -> list[Imported]:
        """Import a file of the bank's, each statement a transaction."""
        digest = hashlib.sha256(content).digest()
        return [
            self.write(
                lambda work, one=one, ordinal=ordinal: import_statement(
                    work, self.till.ground.office, one, digest=digest, ordinal=ordinal
                )
            )
            for ordinal, one in enumerate(read_statements(content), start=1)
        ]


@dataclass(frozen=True)
class Declared:
    """The provider on its first day: all is declared, nothing was used. Each seed begins with a copy of it.

    `database` is a template, `keyfile` the key that it is sealed with; the rest is what stands outside of it.
    """

    database: str
    keyfile: bytes
    setups: dict[str, SetupResult]
    class_uid: UUID
    accounts: dict[str, Account]
    now: datetime


def declare_shop(server: TestServer, database: str) -> Declared:
    """Declare everything in a database of that name. It costs as much as forty turns, so it is done once."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        shop = _connect(server.clone(database), folder, seed=0)
        try:
            shop.till.clock.instant = BEGINS
            _declare(shop)
            keyfile = (folder / "keyfile").read_bytes()
        finally:
            shop.till.ground.databases.close()
        setups = dict(shop.provider.setups)
    return Declared(database, keyfile, setups, shop.till.class_uid, shop.accounts, shop.now)


def open_shop(declared: Declared, conninfo: str, folder: Path, *, seed: int) -> Shop:
    """A copy of the provider on its first day, of which `conninfo` is the database."""
    (folder / "keyfile").touch(mode=0o600)
    (folder / "keyfile").write_bytes(declared.keyfile)
    shop = _connect(conninfo, folder, seed=seed)
    shop.provider.setups.update(declared.setups)
    shop.till.class_uid = declared.class_uid
    shop.till.clock.instant = declared.now
    shop.accounts.update(declared.accounts)
    return shop


def _connect(conninfo: str, folder: Path, *, seed: int) -> Shop:
    chance, fuse = random.Random(seed), Fuse()
    databases = open_mortal(conninfo, pool_max=6, fuse=fuse)
    provider = HostileProvider(seed=seed, soft_declines=chance.randrange(2, 9))
    till = join_till(databases, folder, provider)
    world = World(databases, till.ground.engine, till.clock, Grants(), till.ground.office.vault)
    return Shop(
        till=till,
        usage=UsageWorld(world, make_committer(databases)),
        fuse=fuse,
        chance=chance,
        archive=Archive(FolderBlobs(folder)),
    )


def _declare(shop: Shop) -> None:
    ground = shop.till.ground
    ground.declare_world()
    ground.publish("EUR")
    bring_rates(ground)  # the tax of invoices in euro is told in dollars, too
    ground.declare("skus", "setup", {"chargeType": "OneTime", "pricingUnit": "h", "displayName": "Set-up"})
    ground.declare(
        "skus", "seats", {"chargeType": "Recurring", "pricingUnit": "{seat}", "displayName": "Seats"}
    )
    ground.declare("services", "llm", {"phase": "Published"})
    offer = {"tier": "Pro", "phase": "Published", "services": [{"name": "llm"}]}
    ground.declare("offers", "seats", {**offer, "recurring": [{"skuRef": {"name": "seats"}}]})
    for currency in BANKS:
        publish(shop, currency, on="2026-09-15", price="2.5", number=0)
    for percent, starts, ends in (("23", "2021-03-01", "2027-01-01"), ("21", "2027-01-01", None)):
        spec = {"country": "IE", "percent": percent, "startsOn": starts}
        ground.declare("taxrates", f"ie-{percent}", spec if ends is None else {**spec, "endsOn": ends})
    details = {**ISSUER["bankDetails"], "iban": BANKS["EUR"], "sepaCreditorId": "DE98ZZZ09999999999"}
    issuer = {**ISSUER, "bankDetails": details, "taxRegistrations": [{"country": "IE"}]}
    ground.declare("issuerprofiles", ENTITY, issuer)
    shop.till.class_uid = ground.declare(
        "paymentmethodclasses", "cards", {"provider": "stripe", "isDefault": True}
    )
    shop.till.work(lambda work: set_secrets(work, shop.till.desk, name="cards", secrets={"apiKey": "k"}))
    for customer in CUSTOMERS:
        _declare_customer(shop, customer)
    shop.pass_time(hours=1)


def _declare_customer(shop: Shop, customer: Customer) -> None:
    ground = shop.till.ground
    terms: dict[str, Any] = {"netDays": 10, "invoiceFrequency": "Monthly", "invoiceDayOfMonth": 1}
    if customer.name in ("good", "bank", "wire"):
        terms |= {"earlyPaymentDiscountPercent": "2", "earlyPaymentDiscountDays": 8}
        terms["latePaymentInterestPercent"] = "9"
    spec = {
        "currencyCode": customer.currency,
        "paymentTerms": terms,
        **(CONSUMER if customer.taxed else {}),
    }
    if customer.parent:
        spec |= {"parentRef": {"namespace": ACME, "name": customer.parent}, "billingMode": "Parent"}
    shop.accounts[customer.name] = ground.declare_account(customer.name, **spec)
    project = f"p-{customer.name}"
    ground.declare("projects", project, {"ownerRef": {"kind": "Organization", "name": "acme"}})
    bound = {"billingAccountRef": {"name": customer.name}, "projectRef": {"name": project}}
    ground.declare("billingaccountbindings", project, bound, namespace=ACME)
    if customer.token is not None:
        shop.till.card(f"card-{customer.name}", account=customer.name, token=customer.token)
        shop.till.pays_with(f"card-{customer.name}", account=customer.name)
    if customer.name == "bank":
        signed = MandateRequest(
            (ACME, "bank"), "M-1", BEGINS.date(), "CORE", "Zoe Lefevre", customer.iban, ""
        )
        shop.write(lambda work: add_mandate(work, ground.office.vault, signed))
    if customer.name == "wire":
        ground.promise(
            "promise-wire",
            "wire",
            termMonths=6,
            minimumSpends=[{"amount": "60", "currencyCode": "USD", "interval": "Monthly"}],
            skuDiscounts=[{"percentage": "10"}],
            prepayment={"amount": "150"},
        )
    if customer.name == "good":
        ground.discount("off-good", "good", scope="Invoice", percentage="7.5")
        ground.discount("gift-good", "good", scope="Line", amount="3", currencyCode="USD", uses=2)


def publish(shop: Shop, currency: str, *, on: str, price: str, number: int) -> None:
    """A new version of the list from a day on: tokens at that price a million."""
    spec = {
        "bookName": f"list-{currency.lower()}",
        "effectiveFrom": on,
        "currencyCode": currency,
        "phase": "Published",
        "prices": [{**PRICES[0], "unitPrice": price}, PRICES[1], *EXTRA_PRICES],
    }
    shop.declare("pricebooks", f"list-{currency.lower()}-{number}", spec)
