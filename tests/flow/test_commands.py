"""Commands against a running server."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml

from milo_billing.client.errors import ApiError
from milo_billing.client.http import ApiClient
from milo_billing.client.imports import import_file
from milo_billing.client.tables import TableMapping
from milo_billing.client.usage import get_usage
from tests.flow.conftest import CommandLine

METER = "web.flow.example/bytes"


def quiet(stage: str, done: int, total: int) -> None:
    """Nobody looks at the progress."""


MAIN = """\
apiVersion: billing.miloapis.com/v1alpha1
kind: BillingAccount
metadata: {{name: main, namespace: organization-{name}, labels: {{tier: gold}}}}
spec:
  currencyCode: USD
  displayName: {title}
  paymentProfile: {{type: BankTransfer}}
"""


def test_apply_creates_configures_and_leaves_alone(milo: CommandLine, customer: Callable[[str, str], str]):
    customer("applied", "2026-01-01T00:00:00Z")
    first = milo("apply", "-f", "-", stdin=MAIN.format(name="applied", title="One"))
    assert first.stdout == "billingaccount.billing.miloapis.com/main configured\n", first.stderr
    same = milo("apply", "-f", "-", stdin=MAIN.format(name="applied", title="One"))
    assert same.stdout == "billingaccount.billing.miloapis.com/main unchanged\n"
    changed = milo("apply", "-f", "-", stdin=MAIN.format(name="applied", title="Two"))
    assert changed.stdout == "billingaccount.billing.miloapis.com/main configured\n"
    account = milo.json("get", "ba", "main", "-n", "organization-applied")
    assert account["spec"]["displayName"] == "Two"
    assert account["metadata"]["labels"] == {"tier": "gold"}
    assert "contactInfo" not in account["spec"]  # the new manifest does not have it any more


def test_apply_and_get_write_yaml_that_can_be_applied(milo: CommandLine, customer: Callable[[str, str], str]):
    customer("yaml", "2026-01-01T00:00:00Z")
    two = MAIN.format(name="yaml", title="One") + "---\n" + MAIN.format(name="yaml", title="Two")
    applied = yaml.safe_load(milo("apply", "-f", "-", "-o", "yaml", stdin=two).stdout)
    assert [one["spec"]["displayName"] for one in applied] == ["One", "Two"]
    assert milo("apply", "-f", "-", "-o", "yaml", stdin="").stdout == "[]\n"
    got = milo("get", "ba", "main", "-n", "organization-yaml", "-o", "yaml")
    assert yaml.safe_load(got.stdout) == milo.json("get", "ba", "main", "-n", "organization-yaml")
    again = milo("apply", "-f", "-", stdin=got.stdout)
    assert again.stdout == "billingaccount.billing.miloapis.com/main unchanged\n", again.stderr


def test_get_shows_the_columns_that_kubectl_shows(milo: CommandLine, customer: Callable[[str, str], str]):
    customer("columns", "2026-01-01T00:00:00Z")
    one = milo("get", "billingaccounts", "-n", "organization-columns").stdout.splitlines()
    assert one[0].split() == ["NAME", "PHASE", "CURRENCY", "PROJECTS", "AGE"]
    assert one[1].split()[:4] == ["main", "Ready", "USD", "1"]
    everywhere = milo("get", "ba").stdout.splitlines()
    assert everywhere[0].split()[:2] == ["NAMESPACE", "NAME"]
    listed = milo.json("get", "ba", "-n", "organization-columns")
    assert [item["metadata"]["name"] for item in listed["items"]] == ["main"]


def test_an_unknown_kind_names_those_there_are(milo: CommandLine):
    done = milo("get", "unicorns")
    assert done.returncode == 1
    assert "The server has no kind called 'unicorns'." in done.stderr
    assert "billingaccounts" in done.stderr


def test_who_pays_answers_for_an_instant(milo: CommandLine, customer: Callable[[str, str], str]):
    project = customer("payer", "2026-01-01T00:00:00Z")
    answer = milo.json("who-pays", project, "--at", "2026-02-01T00:00:00Z")
    assert answer["account"] == {"namespace": "organization-payer", "name": "main"}
    assert answer["since"].startswith("2026-01-01T00:00:00")


def test_a_service_account_sends_usage_with_its_own_token(
    milo: CommandLine, customer: Callable[[str, str], str], api: ApiClient
):
    project = customer("token", "2026-01-01T00:00:00Z")
    manifests = """\
apiVersion: iam.miloapis.com/v1alpha1
kind: ServiceAccount
metadata: {name: meter, namespace: organization-token}
spec: {}
---
apiVersion: iam.miloapis.com/v1alpha1
kind: Role
metadata: {name: usage-sender}
spec: {includedPermissions: [billing.miloapis.com/usage.ingest]}
---
apiVersion: iam.miloapis.com/v1alpha1
kind: PolicyBinding
metadata: {name: token-meter}
spec:
  roleRef: {name: usage-sender}
  resourceSelector: {resourceRef: {kind: Organization, name: token}}
  subjects: [{kind: ServiceAccount, name: meter, namespace: organization-token}]
"""
    applied = milo("apply", "-f", "-", stdin=manifests)
    assert applied.returncode == 0, applied.stderr
    token = milo("token", "create", "organization-token/meter").stdout.strip()
    assert len(token) >= 40
    arguments = ("usage", "send", "--meter", METER, "--project", project, "--value", "7", "--token", token)
    sent = milo(*arguments)
    assert (sent.returncode, sent.stdout) == (0, "accepted 1, rejected 0\n"), sent.stderr
    used = get_usage(api, project=project, **{"from": "2026-01-01", "to": "2100-01-01"}, groupBy="meter")
    assert [row["sum"] for row in used] == ["7"]
    refused = milo("get", "billingaccounts", "-n", "organization-token", "--token", token)
    assert refused.returncode == 1
    assert "PolicyBinding" in refused.stderr


def test_events_of_a_file_are_sent_and_ids_are_kept(
    milo: CommandLine, customer: Callable[[str, str], str], tmp_path: Path, api: ApiClient
):
    project = customer("event-file", "2026-01-01T00:00:00Z")
    milo_event = milo.json("usage", "send", "--meter", METER, "--project", project, "--value", "1")
    assert milo_event == {"accepted": 1, "rejected": []}
    lines = [
        {
            "type": METER,
            "subject": f"projects/{project}",
            "id": f"order-{n}",
            "source": "shop",
            "data": {"value": "2"},
        }
        for n in range(3)
    ]
    file = tmp_path / "events.jsonl"
    time = milo.json("get", "ba", "main", "-n", "organization-event-file")["metadata"]["creationTimestamp"]
    file.write_text("\n".join(json.dumps({**line, "time": time}) for line in lines))
    for _ in range(2):  # twice: the ids are in the file, so nothing counts twice
        sent = milo("usage", "send", "--file", str(file))
        assert sent.returncode == 0, sent.stderr
    used = get_usage(api, project=project, **{"from": "2026-01-01", "to": "2100-01-01"}, groupBy="meter")
    assert [(row["sum"], row["count"]) for row in used] == [("7", 4)]


def test_an_interrupted_import_continues_where_it_stopped(
    api: ApiClient, customer: Callable[[str, str], str], tmp_path: Path
):
    project = customer("resumed", "2026-01-01T00:00:00Z")
    file = tmp_path / "usage.csv"
    file.write_text("time,bytes\n" + "2026-02-01T00:00:00Z,1\n" * 12_000)
    mapping = TableMapping(METER, project, "time", "bytes", {}, "csv")

    class Stopped(Exception):
        pass

    def stop_after_the_first_chunk(stage: str, done: int, total: int) -> None:
        if stage == "sending" and done >= 5_000:
            raise Stopped

    with pytest.raises(Stopped):
        import_file(api, file, mapping, accept_late=True, report=stop_after_the_first_chunk)
    imported = import_file(api, file, mapping, accept_late=True, report=quiet)
    assert (imported.state, imported.rows, imported.accepted) == ("imported", 12_000, 12_000)
    used = get_usage(api, project=project, **{"from": "2026-02-01", "to": "2026-03-01"}, groupBy="meter")
    assert [(row["sum"], row["count"]) for row in used] == [("12000", 12_000)]
    again = import_file(api, file, mapping, accept_late=True, report=quiet)
    assert (again.state, again.id) == ("unchanged", imported.id)


def test_the_audit_chains_verify(milo: CommandLine):
    report = milo.json("audit", "verify")
    assert report["ok"]
    assert all(chain["ok"] and chain["records"] > 0 for chain in report["chains"])


def test_a_month_that_is_not_over_cannot_be_invoiced(milo: CommandLine, customer: Callable[[str, str], str]):
    customer("too-early", "2026-01-01T00:00:00Z")
    done = milo("invoices", "run", "--month", "2999-01", "--account", "organization-too-early/main")
    assert done.returncode == 1
    assert "ends at 2999-02-01" in done.stdout
    assert done.stdout.splitlines()[-1] == "0 issued, 0 unchanged, 0 skipped, 1 failed"


def test_an_unknown_invoice_says_where_it_looked(milo: CommandLine):
    done = milo("invoices", "show", "NO-SUCH")
    assert done.returncode == 1
    assert "There is no invoice 'NO-SUCH'" in done.stderr


def test_deleting_something_that_does_not_exist_is_a_404(api: ApiClient):
    with pytest.raises(ApiError) as caught:
        api.request("DELETE", "/apis/resourcemanager.miloapis.com/v1alpha1/organizations/nobody")
    assert (caught.value.code, caught.value.reason) == (404, "NotFound")
