"""A provider whose customer Acme uses GPUs and disks, and short words for what it promises."""

from dataclasses import dataclass
from datetime import UTC, date, datetime
from typing import Any
from uuid import UUID

from milo_billing.accounts.reads import accounts as account_reads
from milo_billing.commitments import operations, reads
from milo_billing.commitments.resources.commitments import CommitmentKind
from milo_billing.commitments.resources.discounts import DiscountKind
from milo_billing.commitments.types import ComposedPeriod, Progress
from milo_billing.infra.database import EVERYWHERE
from milo_billing.kernel.periods import billing_month
from tests.accounts_world import ACME, World
from tests.usage_world import meter_spec

LATER = datetime(2028, 1, 1, tzinfo=UTC)


def gpu_only() -> list[dict[str, Any]]:
    return [{"matchLabels": [{"key": "family", "op": "In", "values": ["gpu"]}]}]


@dataclass
class Ground:
    """One account, two Skus at 1 USD a unit; `gpu` has the label family=gpu."""

    world: World

    def declare(self) -> None:
        kinds = {kind.plural: type(kind) for kind in self.world.engine.registry.kinds}
        self.world.account()
        self.world.project("web")
        for name in ("gpu", "disk"):
            meter = f"example.com/{name}"
            self.world.create(kinds["meterdefinitions"], name, meter_spec(meter))
            self.world.create(
                kinds["skus"],
                name,
                {"meter": {"meterName": meter}, "pricingUnit": "1", "labels": {"family": name}},
            )
        prices = [
            {"skuRef": {"name": name}, "model": "PerUnit", "unitPrice": "1"} for name in ("gpu", "disk")
        ]
        self.world.create(
            kinds["pricebooks"],
            "list",
            {
                "bookName": "list",
                "effectiveFrom": "2026-01-01",
                "currencyCode": "USD",
                "phase": "Published",
                "prices": prices,
            },
        )

    def use(self, day: str, name: str, units: int) -> None:
        """Rolled-up usage of the account."""
        with self.world.databases.ingest.transaction(reach=EVERYWHERE) as tx:
            tx.execute(
                "insert into usage.rollups (account, day, project, meter, dimensions, sum, count, min, max, last, "
                "last_at, last_id) select a.number, %s, p.number, m.number, 0, %s, 1, 0, 0, 0, %s, %s "
                "from accounts.accounts a, directory.projects p, catalog.meters m where m.meter_name = %s "
                "on conflict (account, day, project, meter, dimensions) do update set sum = rollups.sum + excluded.sum",
                (date.fromisoformat(day), units, LATER, UUID(int=1), f"example.com/{name}"),
            )

    def offer(self, name: str = "yearly", **spec: Any) -> None:
        wanted = {"billingAccountRef": {"name": "main"}, "startsOn": "2026-11-01", "termMonths": 12, **spec}
        self.world.create(CommitmentKind, name, wanted, namespace=ACME)

    def promise(self, name: str = "yearly", **spec: Any) -> dict[str, Any]:
        """Offer and accept; the status then."""
        self.offer(name, **spec)
        return self.accept(name)

    def accept(self, name: str = "yearly") -> dict[str, Any]:
        return self.world.act(CommitmentKind, name, "accept").status

    def discount(self, name: str = "launch", **spec: Any) -> None:
        wanted = {"billingAccountRef": {"name": "main"}, "startsOn": "2026-11-01", **spec}
        self.world.create(DiscountKind, name, wanted, namespace=ACME)

    def status(self, name: str = "yearly") -> dict[str, Any]:
        return self.world.status(CommitmentKind, name, namespace=ACME)

    def rated(self, year: int, month: int, *, now: datetime = LATER) -> ComposedPeriod:
        with self.world.databases.app.transaction(reach=EVERYWHERE) as tx:
            account = account_reads.find_account(tx, namespace=ACME, name="main")
            assert account is not None
            period = billing_month(year, month, zone=account.time_zone, invoice_day=account.invoice_day)
            return operations.rate_period(tx, account=account.number, period=period, now=now)

    def charges(self, year: int, month: int) -> list[tuple[str, int]]:
        """What commitments add in a month: (kind, amount) in order."""
        return [(one.kind, one.amount_minor) for one in self.rated(year, month).charges]

    def nets(self, year: int, month: int) -> dict[str, int]:
        """What each Sku comes to after every discount."""
        return {line.line.sku.name: line.net_minor for line in self.rated(year, month).lines}

    def progress(self, name: str = "yearly", *, now: datetime) -> tuple[Progress, ...]:
        with self.world.databases.app.transaction(reach=EVERYWHERE) as tx:
            commitment, _ = reads.get_commitment(tx, namespace=ACME, name=name)
            return operations.show_progress(tx, commitment=commitment, now=now)


def minimum(amount: str, interval: str, **more: Any) -> dict[str, Any]:
    return {"amount": amount, "currencyCode": "USD", "interval": interval, **more}
