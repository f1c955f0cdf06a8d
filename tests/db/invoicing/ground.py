"""A provider with one organization, its account, two projects and three Skus, declared through the real engine."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TypeVar
from uuid import UUID

from milo_billing.accounts.reads import accounts as account_reads
from milo_billing.accounts.types import Account
from milo_billing.app.wiring import build_registry
from milo_billing.controlplane.decoding import Draft
from milo_billing.controlplane.engine import Engine
from milo_billing.controlplane.identity import Authorizer, Identity
from milo_billing.controlplane.rows import Row
from milo_billing.controlplane.store import Store
from milo_billing.controlplane.work import Work
from milo_billing.directory.operations import OrganizationNamespaces
from milo_billing.infra.clock import SimulatedClock, new_uid
from milo_billing.infra.crypto import Vault
from milo_billing.infra.database import EVERYWHERE, Databases, Reach, Tx
from milo_billing.invoicing.operations import issuing
from milo_billing.invoicing.operations.office import Office, Pen
from milo_billing.invoicing.types.invoices import Invoice, Issued, IssueOutcome

T = TypeVar("T")

DECLARED = datetime(2026, 9, 1, tzinfo=UTC)
NOVEMBER = datetime(2026, 11, 2, 9, 30, tzinfo=UTC)
ACME = "organization-acme"

ISSUER: dict[str, Any] = {
    "legalName": "Kestrel Cloud Ltd.",
    "address": {"country": "IE", "line1": "3 Grand Canal Plaza", "city": "Dublin", "postalCode": "D04 EE70"},
    "taxIds": [{"type": "eu_vat", "value": "IE3668997OH"}],
    "numberSeries": {"prefix": "KC-"},
    "bankDetails": {
        "accountHolder": "Kestrel Cloud Ltd.",
        "iban": "IE64IRCE92050112345678",
        "bic": "IRCEIE2D",
    },
    "timeZone": "Europe/Dublin",
    "isDefault": True,
}
ACCOUNT: dict[str, Any] = {
    "currencyCode": "USD",
    "paymentProfile": {"type": "BankTransfer"},
    "contactInfo": {
        "email": "zoe@example.com",
        "name": "Zoé Lefèvre",
        "businessName": "Acme Robotics SARL",
        "address": {
            "country": "FR",
            "line1": "12 rue de l’Université",
            "city": "Paris",
            "postalCode": "75007",
        },
    },
    "taxIds": [{"type": "eu_vat", "value": "FR40303265045"}],
}
PRICES: list[dict[str, Any]] = [
    {"skuRef": {"name": "tokens"}, "model": "PerUnit", "unitPrice": "2.50"},
    {
        "skuRef": {"name": "requests"},
        "model": "Graduated",
        "tiers": [{"upTo": "1000", "unitPrice": "0.10"}, {"unitPrice": "0.05", "flatFee": "3"}],
    },
]


@dataclass(frozen=True)
class Ground:
    """The declared world of one test, in a database of its own."""

    databases: Databases
    engine: Engine
    office: Office

    def write(self, do: Callable[[Work], T], *, now: datetime = DECLARED, reach: Reach = EVERYWHERE) -> T:
        """Run a write in a transaction of its own, and commit it as a door does."""
        with self.databases.app.transaction(reach=reach) as tx:
            work = Work(tx, Identity("ann"), reach, new_uid(), now)
            made = do(work)
            self.engine.commit(work)
            return made

    def declare(
        self,
        plural: str,
        name: str,
        spec: dict[str, Any],
        *,
        namespace: str = "",
        now: datetime = DECLARED,
    ) -> UUID:
        kind = next(kind for kind in self.engine.registry.kinds if kind.plural == plural)
        draft = Draft(name, "", "", "", "", {}, {}, spec, {})
        return self.write(
            lambda work: self.engine.create(work, kind, namespace=namespace, draft=draft), now=now
        ).uid

    def change(self, plural: str, name: str, spec: dict[str, Any], *, namespace: str = ACME) -> None:
        """Put these fields into the spec of an object."""

        def changed(row: Row) -> Draft:
            wanted = {**row.spec, **spec}
            return Draft(row.name, row.namespace, "", "", "", row.labels, row.metadata, wanted, row.status)

        kind = next(kind for kind in self.engine.registry.kinds if kind.plural == plural)
        self.write(
            lambda work: self.engine.update(
                work, kind, namespace=namespace, name=name, change=changed, verb="patch"
            )
        )

    def declare_account(self, name: str = "main", **spec: Any) -> Account:
        self.declare("billingaccounts", name, {**ACCOUNT, **spec}, namespace=ACME)
        return self.account(name)

    def declare_world(self) -> None:
        self.declare("organizations", "acme", {})
        for project in ("web", "data"):
            self.declare("projects", project, {"ownerRef": {"kind": "Organization", "name": "acme"}})
        for meter, unit in (("tokens", "{token}"), ("requests", "{request}"), ("bytes", "By")):
            name = f"example.com/{meter}"
            spec = {
                "meterName": name,
                "phase": "Published",
                "measurement": {"aggregation": "Sum", "unit": unit},
            }
            self.declare("meterdefinitions", meter, spec)
        for sku, unit, shown in (("tokens", "10*6.{token}", "Tokens"), ("requests", "{request}", "Requests")):
            meter = {"meterName": f"example.com/{sku}"}
            spec = {"chargeType": "Usage", "meter": meter, "pricingUnit": unit, "displayName": shown}
            self.declare("skus", sku, spec)
        self.publish("USD")

    def act(self, plural: str, name: str, action: str, *, now: datetime = DECLARED) -> None:
        kind = next(kind for kind in self.engine.registry.kinds if kind.plural == plural)
        self.write(
            lambda work: self.engine.act(work, kind, namespace=ACME, name=name, action=action, request={}),
            now=now,
        )

    def promise(self, name: str = "yearly", account: str = "main", **spec: Any) -> None:
        """Offer a commitment from October on, and accept it."""
        wanted = {"billingAccountRef": {"name": account}, "startsOn": "2026-10-01", "termMonths": 12, **spec}
        self.declare("commitments", name, wanted, namespace=ACME)
        self.act("commitments", name, "accept")

    def discount(self, name: str, account: str = "main", **spec: Any) -> None:
        wanted = {"billingAccountRef": {"name": account}, "startsOn": "2026-10-01", **spec}
        self.declare("discounts", name, wanted, namespace=ACME)

    def spend(self, account: Account, day: str, dollars: int, *, project: str = "web") -> None:
        """Use tokens for so many dollars."""
        self.use(account, (day, project, "tokens", dollars * 400_000))

    def publish(self, currency: str, prices: list[dict[str, Any]] = PRICES) -> None:
        name = f"list-{currency.lower()}"
        spec = {
            "bookName": name,
            "effectiveFrom": "2026-01-01",
            "currencyCode": currency,
            "phase": "Published",
        }
        self.declare("pricebooks", name, {**spec, "prices": prices})

    def account(self, name: str = "main") -> Account:
        with self.databases.app.transaction(reach=EVERYWHERE) as tx:
            found = account_reads.find_account(tx, namespace=ACME, name=name)
        assert found is not None
        return found

    def use(self, account: Account, *rows: tuple[str, str, str, int]) -> None:
        """Rolled-up usage: (day, project, meter, sum)."""
        with self.databases.ingest.transaction(reach=EVERYWHERE) as tx:
            for day, project, meter, total in rows:
                tx.execute(
                    "insert into usage.rollups (account, day, project, meter, dimensions, sum, count, min, max, last, "
                    "last_at, last_id) select %s, %s, p.number, m.number, 0, %s, 1, 0, 0, 0, %s, %s "
                    "from directory.projects p, catalog.meters m where p.name = %s and m.meter_name = %s",
                    (account.number, day, total, NOVEMBER, UUID(int=1), project, f"example.com/{meter}"),
                )

    def issue(
        self, account: Account, *, year: int = 2026, month: int = 10, now: datetime = NOVEMBER
    ) -> IssueOutcome:
        return self.write(
            lambda work: issuing.issue_month(
                work, office=self.office, number=account.number, year=year, month=month
            ),
            now=now,
            reach=frozenset({account.owner_org}),  # no more than the account's own organization is needed
        )

    def issued(self, account: Account, *, month: int = 10, now: datetime = NOVEMBER) -> Invoice:
        outcome = self.issue(account, month=month, now=now)
        assert isinstance(outcome, Issued), outcome
        return outcome.invoice

    def read(self, query: str, *values: Any) -> list[tuple[Any, ...]]:
        with self.databases.app.transaction(reach=EVERYWHERE) as tx:
            return tx.execute(query.encode(), values).fetchall()

    def reading(self, do: Callable[[Tx], T]) -> T:
        with self.databases.app.transaction(reach=EVERYWHERE) as tx:
            return do(tx)


class Staff(Authorizer):
    """Everybody is staff: who may do what is not what these tests are about."""

    def authenticate(self, tx: Tx, token: str, now: object) -> Identity:
        return Identity(token)

    def reach(self, tx: Tx, identity: Identity, permission: str) -> Reach:
        return EVERYWHERE


def open_ground(databases: Databases, folder: Path) -> Ground:
    """The ground on these databases, with the keys in the folder; nothing is declared yet."""
    vault = Vault(folder / "keyfile")
    engine = Engine(
        registry=build_registry(pen=Pen(vault)),
        store=Store(vault),
        namespaces=OrganizationNamespaces(),
        authorizer=Staff(),
        clock=SimulatedClock(DECLARED),
    )
    return Ground(databases, engine, Office(engine, vault))
