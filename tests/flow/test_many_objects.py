"""A load of 20,000 projects and 20,000 bindings through the command line, and what a list says of it afterwards."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from milo_billing.client.http import ApiClient, next_page
from tests.flow.conftest import temporary_server

PROJECTS = 20_000
PROJECTS_A_ACCOUNT = 100
ORGANIZATIONS = 20
TIMEOUT_S = 1_500

DIRECTORY = "resourcemanager.miloapis.com/v1alpha1"
BILLING = "billing.miloapis.com/v1alpha1"


def write_yaml(file: Path) -> None:
    """Organizations, projects and accounts, in the order in which they need each other."""
    with file.open("w") as out:
        for n in range(ORGANIZATIONS):
            out.write(
                f"---\napiVersion: {DIRECTORY}\nkind: Organization\nmetadata: {{name: load-{n}}}\nspec: {{}}\n"
            )
        for n in range(PROJECTS):
            tier = "gold" if n % 200 == 0 else "free"
            out.write(
                f"---\napiVersion: {DIRECTORY}\nkind: Project\n"
                f"metadata: {{name: load-p-{n}, labels: {{tier: {tier}}}}}\n"
                f"spec: {{ownerRef: {{kind: Organization, name: load-{organization(n)}}}}}\n"
            )
        for n in range(0, PROJECTS, PROJECTS_A_ACCOUNT):
            out.write(
                f"---\napiVersion: {BILLING}\nkind: BillingAccount\n"
                f"metadata: {{name: a-{n}, namespace: organization-load-{organization(n)}}}\n"
                "spec: {currencyCode: USD, paymentProfile: {type: BankTransfer}}\n"
            )


def write_lines(file: Path) -> None:
    """A binding for each project."""
    with file.open("w") as out:
        for n in range(PROJECTS):
            binding = {
                "apiVersion": BILLING,
                "kind": "BillingAccountBinding",
                "metadata": {"name": f"b-{n}", "namespace": f"organization-load-{organization(n)}"},
                "spec": {
                    "billingAccountRef": {"name": f"a-{n - n % PROJECTS_A_ACCOUNT}"},
                    "projectRef": {"name": f"load-p-{n}"},
                },
            }
            out.write(json.dumps(binding) + "\n")


def organization(n: int) -> int:
    return n * ORGANIZATIONS // PROJECTS


def count(api: ApiClient, path: str, **query: str) -> int:
    """How many objects a list has, page by page, no name twice."""
    names: set[tuple[str, str]] = set()
    after = ""
    while True:
        page = api.json(
            "GET", path, params={"limit": "500", **query, **({"continue": after} if after else {})}
        )
        found = [(i["metadata"].get("namespace", ""), i["metadata"]["name"]) for i in page["items"]]
        assert names.isdisjoint(found)
        names.update(found)
        if not (after := next_page(page)):
            return len(names)


@pytest.mark.long
def test_many_objects_load_over_one_connection_and_are_found_by_page_label_and_field(tmp_path: Path):
    first, second = tmp_path / "first.yaml", tmp_path / "second.jsonl"
    write_yaml(first)
    write_lines(second)
    accounts = PROJECTS // PROJECTS_A_ACCOUNT
    everything = ORGANIZATIONS + accounts + 2 * PROJECTS
    with temporary_server() as server, ApiClient(server.connection()) as api:

        def apply() -> subprocess.CompletedProcess[str]:
            program = str(Path(sys.executable).with_name("milo-billing"))
            files = ["-f", str(first), "-f", str(second)]
            command = [program, "apply", *files, "--kubeconfig", str(server.kubeconfig)]
            return subprocess.run(command, capture_output=True, text=True, check=False, timeout=TIMEOUT_S)

        done = apply()
        assert done.returncode == 0, done.stderr[-2_000:]
        lines = done.stdout.splitlines()
        assert len(lines) == everything
        assert all(line.endswith(" created") for line in lines)
        assert "a second" in done.stderr  # progress

        projects = f"/apis/{DIRECTORY}/projects"
        bindings = f"/apis/{BILLING}/billingaccountbindings"
        assert count(api, projects) == PROJECTS
        assert count(api, bindings) == PROJECTS
        assert count(api, projects, labelSelector="tier=gold") == PROJECTS // 200
        assert count(api, projects, labelSelector="tier!=gold") == PROJECTS - PROJECTS // 200
        assert count(api, projects, fieldSelector="spec.ownerRef.name=load-7") == PROJECTS // ORGANIZATIONS
        assert count(api, projects, fieldSelector="metadata.name=load-p-77") == 1
        assert count(api, bindings, fieldSelector="spec.billingAccountRef.name=a-500") == PROJECTS_A_ACCOUNT
        assert count(api, bindings, fieldSelector="status.phase=Superseded") == 0
        table = api.json(
            "GET", f"/apis/{BILLING}/namespaces/organization-load-0/billingaccounts", params={"limit": "500"}
        )
        assert {item["status"]["linkedProjectsCount"] for item in table["items"]} == {PROJECTS_A_ACCOUNT}

        again = apply()
        assert again.returncode == 0, again.stderr[-2_000:]
        assert len(again.stdout.splitlines()) == everything
        assert all(line.endswith(" unchanged") for line in again.stdout.splitlines())
