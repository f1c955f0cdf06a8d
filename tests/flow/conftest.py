"""A real server for the flows: `milo-billing serve` as a process of its own, driven from outside."""

import contextlib
import json
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Generator, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from demo.server import Running, start_server

from milo_billing.client.http import ApiClient
from milo_billing.client.manifests import read_manifests
from milo_billing.client.objects import Objects

CATALOG = """\
apiVersion: billing.miloapis.com/v1alpha1
kind: MeterDefinition
metadata: {name: llm-context-tokens}
spec:
  meterName: llm.flow.example/context-tokens
  phase: Published
  measurement: {aggregation: Sum, unit: "{token}"}
---
apiVersion: billing.miloapis.com/v1alpha1
kind: MeterDefinition
metadata: {name: llm-generated-tokens}
spec:
  meterName: llm.flow.example/generated-tokens
  phase: Published
  measurement: {aggregation: Sum, unit: "{token}"}
---
apiVersion: billing.miloapis.com/v1alpha1
kind: MeterDefinition
metadata: {name: web-bytes}
spec:
  meterName: web.flow.example/bytes
  phase: Published
  measurement: {aggregation: Sum, unit: By, dimensions: [method, status]}
---
apiVersion: billing.miloapis.com/v1alpha1
kind: Sku
metadata: {name: llm-context}
spec:
  displayName: Context tokens
  meter: {meterName: llm.flow.example/context-tokens}
  pricingUnit: "10*6.{token}"
---
apiVersion: billing.miloapis.com/v1alpha1
kind: Sku
metadata: {name: llm-generated}
spec:
  displayName: Generated tokens
  meter: {meterName: llm.flow.example/generated-tokens}
  pricingUnit: "10*6.{token}"
---
apiVersion: billing.miloapis.com/v1alpha1
kind: PriceBook
metadata: {name: flow-2015}
spec:
  bookName: flow
  effectiveFrom: "2015-01-01"
  currencyCode: USD
  phase: Published
  prices:
  - {skuRef: {name: llm-context}, model: PerUnit, unitPrice: "2.50"}
  - {skuRef: {name: llm-generated}, model: PerUnit, unitPrice: "10.00"}
---
apiVersion: billing.miloapis.com/v1alpha1
kind: IssuerProfile
metadata: {name: flow}
spec:
  legalName: Flow Cloud Ltd.
  address: {country: GB, line1: 1 Example Street, city: London, postalCode: EC1A 1AA}
  numberSeries: {prefix: FLOW-}
  isDefault: true
"""

CUSTOMER = """\
apiVersion: resourcemanager.miloapis.com/v1alpha1
kind: Organization
metadata: {{name: {name}}}
spec: {{displayName: {name}}}
---
apiVersion: resourcemanager.miloapis.com/v1alpha1
kind: Project
metadata: {{name: {name}-app}}
spec: {{ownerRef: {{kind: Organization, name: {name}}}}}
---
apiVersion: billing.miloapis.com/v1alpha1
kind: BillingAccount
metadata: {{name: main, namespace: organization-{name}}}
spec:
  currencyCode: USD
  paymentProfile: {{type: BankTransfer}}
  contactInfo: {{email: ap@{name}.example, businessName: "{name} Ltd."}}
---
apiVersion: billing.miloapis.com/v1alpha1
kind: BillingAccountBinding
metadata: {{name: {name}-app, namespace: organization-{name}}}
spec:
  billingAccountRef: {{name: main}}
  projectRef: {{name: {name}-app}}
  effectiveFrom: "{since}"
"""


@contextlib.contextmanager
def temporary_server(**settings: str) -> Generator[Running]:
    """A server on a new data folder, which goes away with it. PostgreSQL's user must be able to pass through."""
    folder = Path(tempfile.mkdtemp(prefix="milo-billing-flow-"))
    folder.chmod(0o711)
    log = folder / "server.log"
    try:
        server = start_server(folder / "data", log=log, settings={"POSTGRES_FSYNC": "false", **settings})
        try:
            yield server
        finally:
            server.stop()
    finally:
        shutil.rmtree(folder)


@dataclass(frozen=True, slots=True)
class CommandLine:
    """`milo-billing` as a user types it, against one server."""

    server: Running

    def __call__(self, *arguments: str, stdin: str | None = None) -> subprocess.CompletedProcess[str]:
        """Run one command; its exit code is the caller's to check."""
        program = Path(sys.executable).with_name("milo-billing")
        return subprocess.run(
            [str(program), *arguments, "--kubeconfig", str(self.server.kubeconfig)],
            input=stdin,
            capture_output=True,
            text=True,
            check=False,
            timeout=120,
        )

    def json(self, *arguments: str) -> Any:
        """Run one command that must succeed, and its JSON."""
        done = self(*arguments, "--output", "json")
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)


@pytest.fixture(scope="session")
def server() -> Iterator[Running]:
    """One server for all flows of this worker, with a catalog; tests bring organizations of their own."""
    with temporary_server() as server:
        with ApiClient(server.connection()) as api:
            objects = Objects(api)
            for manifest in read_manifests(CATALOG, where="catalog"):
                objects.apply(manifest)
        yield server


@pytest.fixture
def api(server: Running) -> Iterator[ApiClient]:
    """A client of the server, as its administrator."""
    with ApiClient(server.connection()) as api:
        yield api


@pytest.fixture
def milo(server: Running) -> CommandLine:
    """The command line, against the server."""
    return CommandLine(server)


@pytest.fixture
def customer(api: ApiClient) -> Callable[[str, str], str]:
    """Declares an organization with a project, an account and a binding since an instant; the project's name."""

    def declare(name: str, since: str) -> str:
        objects = Objects(api)
        for manifest in read_manifests(CUSTOMER.format(name=name, since=since), where=name):
            objects.apply(manifest)
        return f"{name}-app"

    return declare
