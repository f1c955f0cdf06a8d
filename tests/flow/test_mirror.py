"""Two servers: organizations and projects live at the first, and the second, which bills, mirrors them."""

import json
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from demo.server import Running

from milo_billing.client.errors import ApiError
from milo_billing.client.http import ApiClient
from milo_billing.client.manifests import read_manifests
from milo_billing.client.objects import Objects
from tests.flow.conftest import CommandLine, temporary_server

LIMIT_S = 30.0

READER = """\
apiVersion: iam.miloapis.com/v1alpha1
kind: ServiceAccount
metadata: {name: billing, namespace: default}
spec: {displayName: The billing service}
---
apiVersion: iam.miloapis.com/v1alpha1
kind: Role
metadata: {name: directory-reader}
spec:
  includedPermissions:
  - resourcemanager.miloapis.com/organizations.list
  - resourcemanager.miloapis.com/organizations.watch
  - resourcemanager.miloapis.com/projects.list
  - resourcemanager.miloapis.com/projects.watch
---
apiVersion: iam.miloapis.com/v1alpha1
kind: PolicyBinding
metadata: {name: billing-reads-the-directory}
spec:
  roleRef: {name: directory-reader}
  subjects: [{kind: ServiceAccount, name: billing, namespace: default}]
  resourceSelector: {everything: true}
"""

CUSTOMER = """\
apiVersion: resourcemanager.miloapis.com/v1alpha1
kind: Organization
metadata: {name: wingtip}
spec: {displayName: Wingtip Toys}
---
apiVersion: resourcemanager.miloapis.com/v1alpha1
kind: Project
metadata: {name: wingtip-web}
spec: {ownerRef: {kind: Organization, name: wingtip}}
"""

PAYER = """\
apiVersion: billing.miloapis.com/v1alpha1
kind: BillingAccount
metadata: {name: main, namespace: organization-wingtip}
spec: {currencyCode: USD, paymentProfile: {type: BankTransfer}}
---
apiVersion: billing.miloapis.com/v1alpha1
kind: BillingAccountBinding
metadata: {name: wingtip-web, namespace: organization-wingtip}
spec: {billingAccountRef: {name: main}, projectRef: {name: wingtip-web}}
"""

PROJECTS = "/apis/resourcemanager.miloapis.com/v1alpha1/projects"
BINDING = (
    "/apis/billing.miloapis.com/v1alpha1/namespaces/organization-wingtip/billingaccountbindings/wingtip-web"
)


def eventually(true: Callable[[], bool], what: str) -> None:
    until = time.monotonic() + LIMIT_S
    while not true():
        assert time.monotonic() < until, f"not within {LIMIT_S:.0f} s: {what}"
        time.sleep(0.1)


def apply(server: Running, manifests: str) -> None:
    with ApiClient(server.connection()) as api:
        for manifest in read_manifests(manifests, where="test"):
            Objects(api).apply(manifest)


def names(server: Running) -> set[str]:
    with ApiClient(server.connection()) as api:
        found: Any = api.json("GET", PROJECTS)
    return {item["metadata"]["name"] for item in found["items"]}


def delete(server: Running, path: str) -> None:
    with ApiClient(server.connection()) as api:
        api.json("DELETE", path)


@pytest.fixture
def both(tmp_path: Path) -> Iterator[tuple[Running, Running]]:
    """Where customers are declared, and where they are billed."""
    with ExitStack() as stack:
        first = stack.enter_context(temporary_server(PLAIN_NAMESPACES="default"))
        apply(first, READER)
        made = CommandLine(first)("token", "create", "default/billing")
        assert made.returncode == 0, made.stderr
        token = tmp_path / "token"
        token.write_text(made.stdout)
        second = stack.enter_context(
            temporary_server(
                DIRECTORY_URL=str(first.announcement["api"]),
                DIRECTORY_TOKEN_FILE=str(token),
                DIRECTORY_CA_FILE=str(first.announcement["ca"]),
            )
        )
        yield first, second


@pytest.mark.long
def test_customers_declared_at_one_server_are_billed_at_another(both: tuple[Running, Running]):
    first, second = both
    apply(first, CUSTOMER)
    eventually(lambda: "wingtip-web" in names(second), "the project is mirrored")
    apply(second, PAYER)
    billed = CommandLine(second)
    assert billed.json("who-pays", "wingtip-web")["account"]["name"] == "main"

    with pytest.raises(ApiError) as refused:
        apply(second, CUSTOMER.replace("wingtip-web", "sneaked-in"))
    assert f"mirrored from {first.announcement['api']}; change them there" in str(refused.value)

    # it has gone there; here somebody still pays for it, so it waits, and usage of the last days is attributed
    delete(first, f"{PROJECTS}/wingtip-web")
    apply(first, CUSTOMER.replace("wingtip-web", "wingtip-api"))
    eventually(lambda: "wingtip-api" in names(second), "a later project is mirrored")
    assert "wingtip-web" in names(second)
    log = Path(second.announcement["kubeconfig"]).parent.parent / "server.log"
    eventually(lambda: "directory_mirror_change_waits" in log.read_text(), "the log says what waits")
    (waits,) = (json.loads(line) for line in log.read_text().splitlines() if "change_waits" in line)
    assert (waits["resource"], waits["name"]) == ("projects", "wingtip-web")
    assert 'billing account binding "wingtip-web" makes an account pay for it' in waits["why"]

    delete(second, BINDING)
    eventually(lambda: "wingtip-web" not in names(second), "nobody pays for it, so it goes")
    with ApiClient(second.connection()) as api:
        past: Any = api.json("GET", "/v1/projects/wingtip-web/payers")
    assert len(past["items"]) == 1
