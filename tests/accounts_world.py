"""A provider with one customer organization, driven through the declarative engine: for tests of accounts and catalog.

Writes go the whole way (defaults, admission, locks, reconcile, projections, seal) on a real database; only who may
do what is decided by the test.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from milo_billing.accounts.resources.accounts import BillingAccount
from milo_billing.accounts.resources.bindings import BillingAccountBinding
from milo_billing.accounts.resources.payment_methods import PaymentMethod, PaymentMethodClass
from milo_billing.accounts.types import Rebinding
from milo_billing.catalog.resources import kinds as catalog
from milo_billing.commitments.resources import kinds as commitments
from milo_billing.controlplane.decoding import Draft
from milo_billing.controlplane.engine import Engine
from milo_billing.controlplane.identity import EVERYWHERE, Authorizer, Identity, Reach
from milo_billing.controlplane.kinds import AnyKind, Registry
from milo_billing.controlplane.patches import merge_patch
from milo_billing.controlplane.rows import Row
from milo_billing.controlplane.store import Store
from milo_billing.controlplane.work import Preconditions, Work
from milo_billing.directory import operations as directory_operations
from milo_billing.directory import resources as directory
from milo_billing.entitlements.resources import kinds as entitlements
from milo_billing.infra.clock import new_uid
from milo_billing.infra.crypto import Vault
from milo_billing.infra.database import Databases, Tx
from milo_billing.kernel.errors import Invalid
from milo_billing.pricing import resources as pricing
from milo_billing.usage import resources as usage

ACME = "organization-acme"
START = datetime(2026, 10, 1, 12, 0, tzinfo=UTC)


@dataclass
class HandClock:
    """Stands still until the test moves it."""

    instant: datetime = START

    def now(self) -> datetime:
        return self.instant

    def forward(self, **by: float) -> datetime:
        self.instant += timedelta(**by)
        return self.instant


@dataclass
class Grants(Authorizer):
    """Who may do what: permission to reach; everything else is refused."""

    granted: dict[str, Reach] = field(default_factory=dict[str, Reach])

    def authenticate(self, tx: Tx, token: str, now: datetime) -> Identity:
        return Identity(token)

    def reach(self, tx: Tx, identity: Identity, permission: str) -> Reach:
        return self.granted.get(permission, frozenset())


@dataclass
class World:
    """The engine over one database, and short words for what tests say to it."""

    databases: Databases
    engine: Engine
    clock: HandClock
    grants: Grants
    vault: Vault

    def create(
        self, kind: type[AnyKind], name: str, spec: dict[str, Any], *, namespace: str = "", **metadata: Any
    ) -> Row:
        """Write a new object and commit; returns it as it stands then."""
        draft = Draft(name, namespace, "", "", "", labels={}, metadata=metadata, spec=spec, status={})
        return self._written(
            lambda work: self.engine.create(work, self._served(kind), namespace=namespace, draft=draft)
        )

    def patch(self, kind: type[AnyKind], name: str, spec: dict[str, Any], *, namespace: str = "") -> Row:
        """Merge into the spec and commit."""

        def change(row: Row) -> Draft:
            merged = merge_patch(row.spec, spec)
            return Draft(name, namespace, "", "", "", row.labels, row.metadata, merged, row.status)

        return self._written(
            lambda work: self.engine.update(
                work, self._served(kind), namespace=namespace, name=name, change=change, verb="patch"
            )
        )

    def delete(self, kind: type[AnyKind], name: str, *, namespace: str = "") -> Row:
        """Delete and commit; returns the object as it was last."""
        return self._written(
            lambda work: self.engine.delete(
                work, self._served(kind), namespace=namespace, name=name, preconditions=Preconditions()
            )[0]
        )

    def status(self, kind: type[AnyKind], name: str, *, namespace: str = "") -> dict[str, Any]:
        """The status of an object as it is stored."""
        with self.databases.app.transaction(reach=EVERYWHERE) as tx:
            row = self.engine.store.find(tx, self._served(kind), namespace=namespace, name=name)
        assert row is not None, f"{kind.__name__} {name} does not exist"
        return row.status

    def act(
        self,
        kind: type[AnyKind],
        name: str,
        action: str,
        request: dict[str, Any] | None = None,
        *,
        namespace: str = ACME,
    ) -> Row:
        """Do what the action says and commit."""
        return self._written(
            lambda work: self.engine.act(
                work, self._served(kind), namespace=namespace, name=name, action=action, request=request or {}
            )
        )

    def set_status(
        self, kind: type[AnyKind], name: str, status: dict[str, Any], *, namespace: str = ACME
    ) -> Row:
        """Merge into the status, as whoever holds `updateStatus`, and commit."""

        def change(row: Row) -> Draft:
            merged = merge_patch(row.status, status)
            return Draft(name, namespace, "", "", "", row.labels, row.metadata, row.spec, merged)

        return self._written(
            lambda work: self.engine.update(
                work,
                self._served(kind),
                namespace=namespace,
                name=name,
                change=change,
                verb="patchStatus",
                subresource="status",
            )
        )

    def refusals(
        self, kind: type[AnyKind], name: str, spec: dict[str, Any], *, namespace: str = ""
    ) -> list[str]:
        """What is said against creating this, as `field: message`; fails if nothing is."""
        try:
            self.create(kind, name, spec, namespace=namespace)
        except Invalid as refused:
            return [str(error) for error in refused.errors]
        raise AssertionError(f"{kind.__name__} {name} was accepted")

    def changes_refused(
        self, kind: type[AnyKind], name: str, spec: dict[str, Any], *, namespace: str = ""
    ) -> list[str]:
        """What is said against merging this into the spec, as `field: message`; fails if nothing is."""
        try:
            self.patch(kind, name, spec, namespace=namespace)
        except Invalid as refused:
            return [str(error) for error in refused.errors]
        raise AssertionError(f"{kind.__name__} {name} was changed")

    def account(self, name: str = "main", **spec: Any) -> Row:
        """A billing account of Acme that is ready, unless the spec says otherwise."""
        wanted = {"currencyCode": "USD", "paymentProfile": {"type": "BankTransfer"}, **spec}
        return self.create(BillingAccount, name, wanted, namespace=ACME)

    def method_class(self, name: str = "manual", **spec: Any) -> Row:
        """A payment method class, the default one unless the spec says otherwise."""
        return self.create(PaymentMethodClass, name, {"provider": "manual", "isDefault": True, **spec})

    def method(self, name: str = "visa", *, account: str = "main", phase: str = "Active", **spec: Any) -> Row:
        """A payment method of an account, of the default class, brought into a phase."""
        wanted = {"billingAccountRef": {"name": account}, **spec}
        made = self.create(PaymentMethod, name, wanted, namespace=ACME)
        if phase == "Pending":
            return made
        return self.set_status(PaymentMethod, name, {"phase": phase, "failureReason": "card declined"})

    def project(self, name: str, *, organization: str = "acme") -> Row:
        """A project."""
        return self.create(
            directory.Project, name, {"ownerRef": {"kind": "Organization", "name": organization}}
        )

    def bind(self, name: str, *, project: str, account: str = "main", **spec: Any) -> Row:
        """Let an account pay for a project, from now on."""
        return self.create(
            BillingAccountBinding, name, binding_spec(project, account, **spec), namespace=ACME
        )

    def unbind(self, name: str) -> Row:
        """Delete a binding."""
        return self.delete(BillingAccountBinding, name, namespace=ACME)

    def _served(self, kind: type[AnyKind]) -> AnyKind:
        return self.engine.registry.instance(kind)

    def _written(self, write: Callable[[Work], Row]) -> Row:
        with self.databases.app.transaction(reach=EVERYWHERE) as tx:
            work = Work(tx, Identity("ann"), EVERYWHERE, audit_id=new_uid(), now=self.clock.now())
            row = write(work)
            self.engine.commit(work)
        return row


def binding_spec(project: str, account: str = "main", **spec: Any) -> dict[str, Any]:
    """The spec of a binding."""
    return {"billingAccountRef": {"name": account}, "projectRef": {"name": project}, **spec}


def make_world(
    databases: Databases,
    folder: Path,
    *,
    require_payment_profile: bool = True,
    rebinding: Rebinding = "supersede",
    mirrored: bool = False,
) -> World:
    """An empty provider with the organizations acme and rival; a mirror of another one has none yet."""
    world = open_world(
        databases,
        folder,
        require_payment_profile=require_payment_profile,
        rebinding=rebinding,
        mirrored=mirrored,
    )
    for name in () if mirrored else ("acme", "rival"):
        world.create(directory.Organization, name, {"displayName": name.capitalize()})
    return world


def open_world(
    databases: Databases,
    folder: Path,
    *,
    require_payment_profile: bool = True,
    rebinding: Rebinding = "supersede",
    mirrored: bool = False,
) -> World:
    """The provider over what was declared, if anything was, with the keys in the folder."""
    clock, grants, vault = HandClock(), Grants(), Vault(folder / "keyfile")
    kinds: tuple[AnyKind, ...] = (
        directory.Organization(mirrored_from="https://milo.example" if mirrored else None),
        directory.Project(mirrored_from="https://milo.example" if mirrored else None),
        BillingAccount(require_payment_profile=require_payment_profile),
        BillingAccountBinding(rebinding=rebinding),
        PaymentMethodClass(),
        PaymentMethod(),
        *(kind() for kind in catalog.KINDS),
        *(kind() for kind in entitlements.KINDS),
        *(kind() for kind in usage.KINDS),
        *(kind() for kind in commitments.KINDS),
        *(kind() for kind in pricing.KINDS),
    )
    engine = Engine(
        registry=Registry(kinds),
        store=Store(vault),
        namespaces=directory_operations.OrganizationNamespaces(),
        authorizer=grants,
        clock=clock,
    )
    return World(databases, engine, clock, grants, vault)
