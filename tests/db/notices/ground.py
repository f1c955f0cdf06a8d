"""An organization with channels, and a postman who carries what is announced to real servers on loopback."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, TypeVar
from uuid import UUID

from milo_billing.access.operations import TokenAuthorizer
from milo_billing.app.wiring import build_registry
from milo_billing.controlplane.decoding import Draft
from milo_billing.controlplane.engine import Engine
from milo_billing.controlplane.identity import Identity
from milo_billing.controlplane.rows import Row
from milo_billing.controlplane.store import Store
from milo_billing.controlplane.work import Work
from milo_billing.directory.operations import OrganizationNamespaces
from milo_billing.infra.clock import new_uid
from milo_billing.infra.crypto import Vault
from milo_billing.infra.database import EVERYWHERE, Databases, Reach, Tx
from milo_billing.notices import operations, reads
from milo_billing.notices.jobs import Postman
from milo_billing.notices.ports import Attachments, Sender
from milo_billing.notices.types import Attachment, ChannelType, Delivery, DeliveryFilter, Event, State

T = TypeVar("T")
ACME = "organization-acme"
PROVIDER = "provider"


@dataclass
class SetClock:
    """A clock that a test moves. It starts at the machine's time, which receivers compare signatures with."""

    instant: datetime

    def now(self) -> datetime:
        return self.instant

    def pass_by(self, **time: float) -> None:
        self.instant += timedelta(**time)


class NoDocuments(Attachments):
    """There are none here."""

    def open(self, tx: Tx, reference: str) -> Attachment:
        raise AssertionError(f"nobody attached {reference}")


@dataclass
class Ground:
    """The world of one test, in a database of its own."""

    databases: Databases
    engine: Engine
    vault: Vault
    clock: SetClock
    postman: Postman

    def write(self, do: Callable[[Work], T], *, reach: Reach = EVERYWHERE) -> T:
        with self.databases.app.transaction(reach=reach) as tx:
            work = Work(tx, Identity("ann"), reach, new_uid(), self.clock.now())
            made = do(work)
            self.engine.commit(work)
            return made

    def declare(self, plural: str, name: str, spec: dict[str, Any], *, namespace: str = "") -> UUID:
        kind = next(kind for kind in self.engine.registry.kinds if kind.plural == plural)
        draft = Draft(name, "", "", "", "", {}, {}, spec, {})
        return self.write(lambda work: self.engine.create(work, kind, namespace=namespace, draft=draft)).uid

    def declare_webhook(
        self, url: str, *, name: str = "hook", namespace: str = ACME, events: list[str] | None = None
    ) -> str:
        """A webhook channel with a secret; the secret."""
        spec = {"type": "Webhook", "webhook": {"url": url}, "events": events or []}
        self.declare("notificationchannels", name, spec, namespace=namespace)
        return self.rotate(name, namespace=namespace)

    def rotate(self, name: str = "hook", *, namespace: str = ACME, given: str | None = None) -> str:
        with self.databases.app.transaction(reach=EVERYWHERE) as tx:
            channel = reads.get_channel(tx, namespace=namespace, name=name)
            return operations.rotate_secret(
                tx,
                self.vault,
                channel=channel,
                given=given,
                overlap=timedelta(hours=24),
                now=self.clock.now(),
            )

    def channel(self, name: str = "hook", *, namespace: str = ACME) -> Row:
        kind = self.engine.registry.get("billing.miloapis.com", "notificationchannels")
        with self.databases.app.transaction(reach=EVERYWHERE) as tx:
            row = self.engine.store.find(tx, kind, namespace=namespace, name=name)
        assert row is not None
        return row

    def conditions(self, name: str = "hook", *, namespace: str = ACME) -> dict[str, tuple[str, str]]:
        stated = self.channel(name, namespace=namespace).status["conditions"]
        return {one["type"]: (one["status"], one["reason"]) for one in stated}

    def change(self, name: str, spec: dict[str, Any]) -> None:
        kind = self.engine.registry.get("billing.miloapis.com", "notificationchannels")

        def changed(row: Row) -> Draft:
            return Draft(name, "", "", "", "", {}, {}, {**row.spec, **spec}, {})

        self.write(
            lambda work: self.engine.update(
                work, kind, namespace=ACME, name=name, change=changed, verb="update"
            )
        )

    @property
    def org(self) -> int:
        ((number,),) = self.read("select number from directory.organizations where name = 'acme'")
        return number

    def announce(self, key: str = "one", **changes: Any) -> int:
        """Announce a payment under this key; how many deliveries that made."""
        event = replace(payment(self.org, key), **changes)
        with self.databases.app.transaction(reach=frozenset({event.org})) as tx:
            return operations.send(tx, self.vault, event=event, now=self.clock.now())

    def deliveries(self, **wanted: Any) -> list[Delivery]:
        with self.databases.app.transaction(reach=EVERYWHERE) as tx:
            return reads.list_deliveries(tx, wanted=DeliveryFilter(**wanted), after=None, limit=1000)

    def deliver(self) -> list[State | None]:
        """Make the next attempt at everything that is due."""
        now = self.clock.now()
        with self.databases.app.transaction(reach=EVERYWHERE) as tx:
            due = reads.list_due(tx, before=now + timedelta(microseconds=1), now=now, limit=1000)
        return [self.postman.deliver(one) for one in due]

    def jobs(self, condition: str) -> list[tuple[Any, ...]]:
        """How many jobs meet the condition."""
        with self.databases.job.transaction(reach=EVERYWHERE) as tx:
            query = f"select count(*) from jobs.procrastinate_jobs where {condition}"
            return tx.execute(query.encode()).fetchall()

    def read(self, query: str, *values: Any) -> list[tuple[Any, ...]]:
        with self.databases.app.transaction(reach=EVERYWHERE) as tx:
            return tx.execute(query.encode(), values).fetchall()


def payment(org: int, key: str) -> Event:
    """A payment that came in."""
    data = {
        "account": {"namespace": ACME, "name": "main"},
        "payment": key,
        "currencyCode": "EUR",
        "amount": "120.50",
    }
    return Event(type="payment.succeeded", key=key, org=org, data=data, account=f"{ACME}/main")


def open_ground(
    databases: Databases,
    folder: Path,
    senders: dict[ChannelType, Sender],
    *,
    attachments: Attachments | None = None,
    claim_s: float = 60.0,
    clock: SetClock | None = None,
) -> Ground:
    """The ground on these databases, with the keys in the folder; nothing is declared yet."""
    vault = Vault(folder / "keyfile")
    clock = clock or SetClock(datetime.now(UTC))
    engine = Engine(
        registry=build_registry(notices_to_loopback=True),
        store=Store(vault),
        namespaces=OrganizationNamespaces(plain=(PROVIDER,)),
        authorizer=TokenAuthorizer(),
        clock=clock,
    )
    postman = Postman(
        engine=engine,
        vault=vault,
        database=databases.app,
        clock=clock,
        senders=senders,
        attachments=attachments or NoDocuments(),
        claim_s=claim_s,
    )
    return Ground(databases, engine, vault, clock, postman)
