"""A control plane with the kinds of directory and access only, over a real database: what access stands on."""

from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

import orjson

from milo_billing.access import jobs
from milo_billing.access import resources as access
from milo_billing.access.operations import TokenAuthorizer, ensure_admin_token, issue_token
from milo_billing.access.reads import find_service_account
from milo_billing.controlplane.api import Request, ResourceApi
from milo_billing.controlplane.doors import Door
from milo_billing.controlplane.engine import Engine
from milo_billing.controlplane.kinds import Registry
from milo_billing.controlplane.statuses import status_of
from milo_billing.controlplane.store import Store
from milo_billing.directory import resources as directory
from milo_billing.directory.operations import OrganizationNamespaces
from milo_billing.infra.crypto import Vault
from milo_billing.infra.database import EVERYWHERE, Databases, Reach, Tx
from milo_billing.kernel.errors import MiloError

IAM = "iam.miloapis.com/v1alpha1"
DIRECTORY = "resourcemanager.miloapis.com/v1alpha1"
START = datetime(2026, 10, 1, tzinfo=UTC)
AUDIT_ID = UUID("00000000-0000-4000-8000-0000000000aa")


@dataclass
class StandingClock:
    """A clock that a test moves."""

    instant: datetime = START

    def now(self) -> datetime:
        return self.instant

    def pass_by(self, **time: float) -> None:
        self.instant += timedelta(**time)


@dataclass(frozen=True)
class Reply:
    """What the API answered."""

    code: int
    body: dict[str, Any]

    @property
    def message(self) -> str:
        return self.body["message"]

    @property
    def fields(self) -> set[str]:
        """The fields that a 422 complains about."""
        return {cause["field"] for cause in self.body["details"]["causes"]}


@dataclass
class Ground:
    """One server's worth of the control plane, and what tests say to it."""

    databases: Databases
    keyfile: Path
    clock: StandingClock = field(default_factory=StandingClock)
    token: str = ""

    def __post_init__(self) -> None:
        registry = Registry(tuple(kind() for kind in (*directory.KINDS, *access.KINDS)))
        self.authorizer = TokenAuthorizer()
        self.engine = Engine(
            registry=registry,
            store=Store(Vault(self.keyfile)),
            namespaces=OrganizationNamespaces(),
            authorizer=self.authorizer,
            clock=self.clock,
        )
        self.door = Door(database=self.databases.app, authorizer=self.authorizer, clock=self.clock)
        self.api = ResourceApi(self.engine, self.door)

    def bootstrap(self) -> None:
        """Make the built-in roles and log in as the administrator."""
        with self.transaction() as tx:
            jobs.bootstrap(self.engine, tx, now=self.clock.now())
        with self.transaction() as tx:
            self.token = ensure_admin_token(tx, now=self.clock.now()) or self.token

    @contextmanager
    def transaction(self, reach: Reach = EVERYWHERE) -> Generator[Tx]:
        with self.databases.app.transaction(reach=reach) as tx:
            yield tx

    def send(self, method: str, path: str, body: Any = None, *, token: str | None = None) -> Reply:
        """One request to a resource, as the edge would pass it on."""
        target = self.api.parse_path(f"/apis/{path}")
        assert target is not None, path
        media = "application/merge-patch+json" if method == "PATCH" else "application/json"
        headers = {"authorization": f"Bearer {token or self.token}", "content-type": media}
        content = b"" if body is None else orjson.dumps(body)
        try:
            answer = self.api.serve(target, Request(method, {}, headers, content, AUDIT_ID))
        except MiloError as error:
            status = status_of(error, kind=target.kind, name=target.name)
            return Reply(status.code, status.body())
        return Reply(answer.code, orjson.loads(answer.body))

    def create(self, manifest: dict[str, Any], *, token: str | None = None) -> Reply:
        metadata = manifest["metadata"]
        scope = f"namespaces/{metadata['namespace']}/" if "namespace" in metadata else ""
        plural = manifest["kind"].lower() + "s"
        return self.send("POST", f"{manifest['apiVersion']}/{scope}{plural}", manifest, token=token)

    def created(self, manifest: dict[str, Any], *, token: str | None = None) -> dict[str, Any]:
        reply = self.create(manifest, token=token)
        assert reply.code == 201, reply.body
        return reply.body

    def log_in(self, *, organization: str, role: str, name: str = "robot") -> str:
        """A token of a new service account of the organization that has the role there."""
        namespace = f"organization-{organization}"
        self.created(service_account(name, namespace=namespace))
        subject = {"kind": "ServiceAccount", "name": name, "namespace": namespace}
        self.created(
            binding(f"{organization}-{name}", role=role, subjects=[subject], organization=organization)
        )
        with self.transaction() as tx:
            account = find_service_account(tx, namespace=namespace, name=name)
            assert account is not None
            return issue_token(
                tx,
                namespace=namespace,
                name=name,
                service_account=account.uid,
                owner_org=account.owner_org,
                expires_at=None,
                now=self.clock.now(),
            )


def manifest(api_version: str, kind: str, name: str, spec: dict[str, Any], **metadata: str) -> dict[str, Any]:
    return {"apiVersion": api_version, "kind": kind, "metadata": {"name": name, **metadata}, "spec": spec}


def organization(name: str) -> dict[str, Any]:
    return manifest(DIRECTORY, "Organization", name, {})


def project(name: str, *, organization: str) -> dict[str, Any]:
    return manifest(DIRECTORY, "Project", name, {"ownerRef": {"kind": "Organization", "name": organization}})


def role(name: str, *permissions: str) -> dict[str, Any]:
    return manifest(IAM, "Role", name, {"includedPermissions": list(permissions)})


def service_account(name: str, *, namespace: str) -> dict[str, Any]:
    return manifest(IAM, "ServiceAccount", name, {}, namespace=namespace)


def binding(
    name: str, *, role: str, subjects: list[dict[str, str]], organization: str | None = None
) -> dict[str, Any]:
    """Everywhere without an organization."""
    selector: dict[str, Any] = {"everything": True}
    if organization is not None:
        selector = {"resourceRef": {"kind": "Organization", "name": organization}}
    spec = {"roleRef": {"name": role}, "resourceSelector": selector, "subjects": subjects}
    return manifest(IAM, "PolicyBinding", name, spec)
