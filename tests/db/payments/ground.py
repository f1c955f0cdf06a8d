"""Invoices that are due, accounts that pay by card, and the hostile provider behind them."""

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, TypeVar
from uuid import UUID

from milo_billing.app.ledger_ports import above_the_books
from milo_billing.controlplane.work import Work
from milo_billing.infra.clock import new_uid
from milo_billing.infra.database import Databases
from milo_billing.invoicing.reads import invoices as invoice_reads
from milo_billing.invoicing.types.invoices import Invoice
from milo_billing.ledger import operations as ledger
from milo_billing.ledger import reads as books
from milo_billing.ledger.types import AccountName, Difference
from milo_billing.payments import reads
from milo_billing.payments.jobs import Cashier
from milo_billing.payments.operations import telling
from milo_billing.payments.operations.desk import Desk, set_secrets
from milo_billing.payments.ports import PaymentProvider
from milo_billing.payments.types import Collected, Payment, ProviderConfig
from tests.accounts_world import HandClock
from tests.db.invoicing.ground import ACME, ISSUER, Ground, open_ground
from tests.hostile_provider import GOOD, SIGNATURE, HostileProvider, sign

T = TypeVar("T")

DUE = datetime(2026, 12, 2, 12, 0, tzinfo=UTC)
"""Noon of the day on which the invoices of October fall due."""


@dataclass
class Till:
    """One server's payments over a ground, its clock in the test's hand."""

    ground: Ground
    desk: Desk
    provider: HostileProvider
    clock: HandClock
    class_uid: UUID = field(default_factory=new_uid)

    @property
    def cashier(self) -> Cashier:
        return Cashier(self.desk, self.ground.databases.app, self.clock)

    # -- what is declared

    def card(self, name: str = "visa", *, account: str = "main", token: str = GOOD) -> UUID:
        """A card of the account, set up at the provider."""
        spec = {"billingAccountRef": {"name": account}, "providerToken": token}
        uid = self.ground.declare("paymentmethods", name, spec, namespace=ACME)
        self.cashier.set_up_method(method=uid)
        return uid

    def pays_with(self, method: str, *, account: str = "main") -> None:
        """Let the account pay by this card from now on."""
        profile = {"type": "Card", "paymentMethodRef": {"name": method}}
        self.change("billingaccounts", account, {"paymentProfile": profile})

    def change(self, plural: str, name: str, spec: dict[str, Any], *, namespace: str = ACME) -> None:
        """Put these fields into the spec of an object."""
        self.ground.change(plural, name, spec, namespace=namespace)

    def owing(self, dollars: int = 25, *, account: str = "main", token: str = GOOD) -> Invoice:
        """An account that pays by card, and its invoice of October."""
        declared = self.ground.declare_account(account)
        self.card(f"card-{account}", account=account, token=token)
        self.pays_with(f"card-{account}", account=account)
        self.ground.spend(declared, "2026-10-05", dollars)
        return self.ground.issued(declared)

    # -- what happens

    def collect(self) -> list[Collected]:
        """One collection, nobody asked yet."""
        return self.cashier.collect_due()

    def ask_all(self) -> None:
        """Run the jobs that ask providers, each once."""
        for invoice, number in self.ground.read(
            "select invoice, number from payments.attempts where state in ('Open', 'Processing', 'ActionRequired') "
            "order by at, invoice"
        ):
            self.cashier.ask(invoice=invoice, number=number)

    def give_back_all(self) -> None:
        """Run the jobs that ask for refunds, each once."""
        for payment, number in self.ground.read(
            "select payment, number from payments.refunds where state in ('Open', 'Processing') order by at, number"
        ):
            self.cashier.give_back(payment=payment, number=number)

    def deliver(self, bodies: list[bytes]) -> list[bool]:
        """The provider's webhooks arrive and are applied; whether each was new."""
        new = [
            self.work(
                lambda work, body=body: telling.store_event(
                    work, self.desk, class_name="cards", body=body, headers={SIGNATURE: sign(body)}
                )
            )
            for body in bodies
        ]
        for class_uid, id in self.ground.read(
            "select class, id from payments.webhook_events where applied_at is null order by received_at, id"
        ):
            self.cashier.apply_event(class_uid=class_uid, id=id)
        return new

    def work(self, do: Callable[[Work], T]) -> T:
        """A write of a door, at the clock's instant."""
        return self.ground.write(do, now=self.clock.now())

    def days_later(self, days: float) -> None:
        self.clock.instant += timedelta(days=days)

    # -- what stands

    def invoice(self, invoice: Invoice) -> Invoice:
        return self.ground.reading(lambda tx: invoice_reads.get_invoice_by_uid(tx, uid=invoice.uid))

    def payments(self) -> list[Payment]:
        """All payments, the oldest first."""
        uids = self.ground.read("select uid from payments.payments order by created_at, name")
        return [
            self.ground.reading(lambda tx, uid=uid: reads.get_payment_by_uid(tx, uid=uid)) for (uid,) in uids
        ]

    def balance(self, account: AccountName) -> int:
        """Debits less credits of one account of the books, in dollar cents."""
        return self.ground.reading(lambda tx: books.balance(tx, account=account, currency="USD")).minor

    def differences(self) -> list[Difference]:
        """Where the books are not the sum of the invoices and payments behind them."""
        subledgers = above_the_books().subledgers
        return list(self.ground.reading(lambda tx: ledger.verify(tx, subledgers=subledgers, everything=True)))

    def status(self, plural: str, name: str) -> dict[str, Any]:
        """The status of an object as users read it."""
        rows = self.ground.read(
            "select status from controlplane.objects where resource = %s and name = %s", plural, name
        )
        return rows[0][0]


def declare_till(databases: Databases, folder: Path) -> None:
    """Declare a provider with one customer organization and a class of cards."""
    ground = open_ground(databases, folder)
    ground.declare_world()
    ground.declare("issuerprofiles", "kestrel", ISSUER)
    ground.declare("paymentmethodclasses", "cards", {"provider": "stripe", "isDefault": True})
    till = join_till(databases, folder)
    till.work(lambda work: set_secrets(work, till.desk, name="cards", secrets={"apiKey": "k"}))


def open_till(databases: Databases, folder: Path, provider: HostileProvider | None = None) -> Till:
    """The till over what was declared."""
    till = join_till(databases, folder, provider)
    query = "select uid from controlplane.objects where resource = 'paymentmethodclasses' and name = 'cards'"
    ((till.class_uid,),) = till.ground.read(query)
    return till


def join_till(databases: Databases, folder: Path, provider: HostileProvider | None = None) -> Till:
    """Another process over the same database and keys."""
    ground = open_ground(databases, folder)
    hostile = provider or HostileProvider()

    def connect(config: ProviderConfig) -> PaymentProvider:
        assert config.secrets == {"apiKey": "k"}
        return hostile

    desk = Desk(ground.engine, ground.office.vault, {"stripe": connect})
    return Till(ground, desk, hostile, HandClock(DUE))
