"""Every verb of kubectl that people use, on real kubectls of several releases, against the real server.

kubectl 1.28, which stands for those that read OpenAPI v2, and whatever is on PATH do a day's work beside them.
"""

import contextlib
import json
import os
import re
import subprocess
import sys
import threading
from collections.abc import Generator, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml
from demo.server import Running

from tests.kubectl import EVERY_VERSION, OLDEST_VERSION, kubectl, kubectl_on_path

TIMEOUT_S = 30
BILLING = "billing.miloapis.com/v1alpha1"
OTHER_KUBECTLS = (OLDEST_VERSION, *(("PATH",) if kubectl_on_path() else ()))


@dataclass(frozen=True, slots=True)
class Kubectl:
    """One kubectl, in a namespace of its own."""

    program: Path
    environment: dict[str, str]
    namespace: str

    def run(self, *arguments: str, stdin: str | None = None) -> subprocess.CompletedProcess[str]:
        """Whatever comes of it."""
        return subprocess.run(
            self._command(arguments),
            input=stdin,
            env=self.environment,
            capture_output=True,
            text=True,
            check=False,
            timeout=TIMEOUT_S,
        )

    def __call__(self, *arguments: str, stdin: str | None = None) -> str:
        """What a command prints that must succeed."""
        done = self.run(*arguments, stdin=stdin)
        assert done.returncode == 0, f"kubectl {' '.join(arguments)}\n{done.stdout}\n{done.stderr}"
        return done.stdout

    def refused(self, *arguments: str, stdin: str | None = None) -> str:
        """What a command complains of that must fail."""
        done = self.run(*arguments, stdin=stdin)
        assert done.returncode != 0, f"kubectl {' '.join(arguments)}\n{done.stdout}\n{done.stderr}"
        return done.stderr

    def get(self, *arguments: str) -> Any:
        return json.loads(self("get", "-o", "json", *arguments))

    @contextlib.contextmanager
    def following(self, *arguments: str) -> Generator[Iterator[str]]:
        """The lines of a command that goes on until the block ends, with what it says on the way."""
        command = self._command(arguments)
        process = subprocess.Popen(
            command, env=self.environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        )
        assert process.stdout is not None
        alarm = threading.Timer(TIMEOUT_S, process.kill)
        alarm.start()
        try:
            yield iter(process.stdout)
        finally:
            alarm.cancel()
            process.terminate()
            process.communicate()

    def _command(self, arguments: tuple[str, ...]) -> list[str]:
        return [str(self.program), "--namespace", self.namespace, *arguments]


@pytest.fixture(scope="module", params=EVERY_VERSION)
def tool(
    request: pytest.FixtureRequest, running: Running, tmp_path_factory: pytest.TempPathFactory
) -> Kubectl:
    """A kubectl with an organization of its own."""
    release: str = request.param
    return _settle(kubectl(release), release, running, tmp_path_factory.mktemp("home"))


@pytest.fixture(params=OTHER_KUBECTLS)
def other_tool(request: pytest.FixtureRequest, running: Running, tmp_path: Path) -> Kubectl:
    """One of those that are tried beside."""
    release: str = request.param
    found = kubectl_on_path() if release == "PATH" else kubectl(release)
    assert found is not None
    made = _settle(found, release, running, tmp_path)
    if release == "PATH":
        _check_release(made)
    return made


def _settle(program: Path, release: str, running: Running, home: Path) -> Kubectl:
    organization = f"kubectl-{release.replace('.', '-').lower()}"
    environment = {
        "PATH": os.environ["PATH"],
        "HOME": str(home),
        "KUBECONFIG": str(running.kubeconfig),
        "EDITOR": str(_editor(home)),
    }
    made = Kubectl(program, environment, f"organization-{organization}")
    manifest = {
        "apiVersion": "resourcemanager.miloapis.com/v1alpha1",
        "kind": "Organization",
        "metadata": {"name": organization},
        "spec": {"displayName": f"For kubectl {release}"},
    }
    made("apply", "-f", "-", stdin=json.dumps(manifest))
    return made


def _check_release(tool: Kubectl) -> None:
    version = json.loads(tool("version", "--client", "-o", "json"))["clientVersion"]
    minor = int(re.sub(r"\D", "", version["minor"]))
    if minor < int(OLDEST_VERSION.removeprefix("1.")):
        pytest.skip(f"kubectl on PATH is of 1.{minor}: {OLDEST_VERSION} is the oldest that is supported")


def _editor(folder: Path) -> Path:
    """An editor that changes the days of payment to 14."""
    script = folder / "editor"
    script.write_text('#!/bin/sh\nsed -i "s/netDays: 30/netDays: 14/" "$1"\n')
    script.chmod(0o755)
    return script


def account(name: str, *, labels: dict[str, str] | None = None, **spec: Any) -> str:
    """A billing account as a user writes it down."""
    manifest = {
        "apiVersion": BILLING,
        "kind": "BillingAccount",
        "metadata": {"name": name, **({"labels": labels} if labels else {})},
        "spec": {"currencyCode": "USD", "paymentProfile": {"type": "BankTransfer"}, **spec},
    }
    return yaml.safe_dump(manifest)


@pytest.fixture
def standing(tool: Kubectl, request: pytest.FixtureRequest) -> Iterator[str]:
    """The name of an account that stands, and goes with the test."""
    test = request.function.__name__.removeprefix("test_").replace("_", "-")
    name = test[:50].strip("-")
    tool("create", "-f", "-", stdin=account(name, labels={"of": name}))
    yield name
    tool("delete", "ba", name, "--ignore-not-found")


def test_apply_creates_leaves_alone_and_changes(tool: Kubectl) -> None:
    assert "created" in tool("apply", "-f", "-", stdin=account("applied"))
    assert "unchanged" in tool("apply", "-f", "-", stdin=account("applied"))
    assert "configured" in tool("apply", "-f", "-", stdin=account("applied", displayName="Applied"))
    # what the file no longer says goes
    assert "configured" in tool("apply", "-f", "-", stdin=account("applied"))
    assert "displayName" not in tool.get("ba", "applied")["spec"]


def test_apply_refuses_what_the_schema_does_not_know(tool: Kubectl) -> None:
    strange = account("strange", colour="red")
    assert 'unknown field "spec.colour"' in tool.refused("apply", "-f", "-", stdin=strange)
    warned = tool.run("apply", "--validate=warn", "--dry-run=server", "-f", "-", stdin=strange)
    assert warned.returncode == 0 and 'unknown field "spec.colour"' in warned.stderr


def test_apply_says_every_error_of_a_field(tool: Kubectl) -> None:
    complaint = tool.refused("apply", "-f", "-", stdin=account("broken", currencyCode="XXQ", displayName=7))
    assert "spec.displayName" in complaint


def test_apply_server_side_shares_and_defends_fields(tool: Kubectl) -> None:
    ours = ("apply", "--server-side", "--field-manager", "ours", "-f", "-")
    theirs = ("apply", "--server-side", "--field-manager", "theirs", "-f", "-")
    assert "serverside-applied" in tool(*ours, stdin=account("shared", displayName="Ours"))
    assert "serverside-applied" in tool(*ours, stdin=account("shared", displayName="Ours"))
    complaint = tool.refused(*theirs, stdin=account("shared", displayName="Theirs"))
    assert "conflict with" in complaint and ".spec.displayName" in complaint
    tool(*theirs, "--force-conflicts", stdin=account("shared", displayName="Theirs"))
    assert tool.get("ba", "shared")["spec"]["displayName"] == "Theirs"
    tool(*theirs, stdin=account("shared"))
    assert "displayName" not in tool.get("ba", "shared")["spec"]


def test_apply_server_side_takes_over_from_client_side(tool: Kubectl) -> None:
    tool("apply", "-f", "-", stdin=account("moved", displayName="Before"))
    tool("apply", "--server-side", "-f", "-", stdin=account("moved"))
    moved = tool.get("ba", "moved", "--show-managed-fields")
    assert "displayName" not in moved["spec"]
    assert {"kubectl"} <= {entry["manager"] for entry in moved["metadata"]["managedFields"]}


def test_kubectl_and_our_apply_may_be_used_on_one_object(tool: Kubectl, running: Running) -> None:
    def ours(text: str) -> str:
        program = str(Path(sys.executable).with_name("milo-billing"))
        options = ["-f", "-", "-n", tool.namespace, "--kubeconfig", str(running.kubeconfig)]
        done = subprocess.run(
            [program, "apply", *options], input=text, capture_output=True, text=True, check=False, timeout=60
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    tool("apply", "-f", "-", stdin=account("both", displayName="Kubectl's", language="de"))
    assert "unchanged" in ours(account("both", displayName="Kubectl's", language="de"))
    assert "configured" in ours(account("both", displayName="Ours"))
    assert tool.get("ba", "both")["spec"]["language"] != "de"  # the new file does not have it any more
    assert "configured" in tool("apply", "-f", "-", stdin=account("both", displayName="Kubectl's again"))
    assert "configured" in ours(account("both"))
    assert "displayName" not in tool.get("ba", "both")["spec"]
    assert "configured" in tool("apply", "-f", "-", stdin=account("both", displayName="Last"))
    assert tool.get("ba", "both")["spec"]["displayName"] == "Last"


def test_apply_prunes_nothing_else_in_a_file_of_many_documents(tool: Kubectl) -> None:
    many = "---\n".join(account(f"many-{n}", labels={"many": "yes"}) for n in range(3))
    assert tool("apply", "-f", "-", stdin=many).count("created") == 3
    assert tool("delete", "ba", "-l", "many=yes").count("deleted") == 3


def test_get_prints_columns_and_every_other_form(tool: Kubectl, standing: str) -> None:
    header, row = tool("get", "ba", standing).splitlines()
    assert header.split() == ["NAME", "PHASE", "CURRENCY", "PROJECTS", "AGE"]
    assert row.split()[:4] == [standing, "Ready", "USD", "0"]
    assert (
        tool("get", "ba", standing, "-o", "name").strip() == f"billingaccount.billing.miloapis.com/{standing}"
    )
    shown = yaml.safe_load(tool("get", "ba", standing, "-o", "yaml"))
    assert shown["kind"] == "BillingAccount" and shown["spec"]["currencyCode"] == "USD"
    assert tool("get", "ba", standing, "-o", "jsonpath={.status.phase}") == "Ready"
    assert tool("get", "ba", standing, "-o", "custom-columns=P:.status.phase").split() == ["P", "Ready"]
    assert tool("get", "ba", standing, "--subresource=status", "-o", "jsonpath={.status.phase}") == "Ready"
    assert "NotFound" in tool.refused("get", "ba", "nobody")


def test_get_selects_by_label_and_field_and_namespace(tool: Kubectl, standing: str) -> None:
    assert tool("get", "ba", "-l", f"of={standing}", "-o", "name").count("/") == 1
    assert tool("get", "ba", "-l", f"of in ({standing}),!nothing", "-o", "name").count("/") == 1
    assert tool("get", "ba", "-l", "of=nobody", "-o", "name") == ""
    chosen = tool(
        "get", "ba", "--field-selector", f"status.phase=Ready,metadata.name={standing}", "-o", "name"
    )
    assert chosen.endswith(f"/{standing}\n")
    complaint = tool.refused("get", "ba", "--field-selector", "spec.displayName=x")
    assert "field label not supported: spec.displayName" in complaint
    everywhere = tool("get", "ba", "-A", "--chunk-size=1").splitlines()
    assert everywhere[0].split()[0] == "NAMESPACE"
    assert any(line.split()[:2] == [tool.namespace, standing] for line in everywhere[1:])
    assert tool("get", "milo", "-o", "name").count("/") >= 1


def test_get_watch_shows_changes_as_they_come(tool: Kubectl, standing: str) -> None:
    watch = ("get", "ba", "-l", f"of={standing}", "--watch", "--output-watch-events")
    with tool.following(*watch) as lines:
        assert next(lines).split()[:3] == ["EVENT", "NAME", "PHASE"]
        assert next(lines).split()[:3] == ["ADDED", standing, "Ready"]
        tool("annotate", "ba", standing, "seen=1")
        assert next(lines).split()[:3] == ["MODIFIED", standing, "Ready"]
        tool("delete", "ba", standing)
        assert next(lines).split()[:2] == ["DELETED", standing]


def test_wait_for_a_condition_a_value_and_deletion(tool: Kubectl, standing: str) -> None:
    assert "condition met" in tool("wait", "--for=condition=Ready", f"ba/{standing}", "--timeout=10s")
    tool("wait", "--for=jsonpath={.status.phase}=Ready", f"ba/{standing}", "--timeout=10s")
    complaint = tool.refused("wait", "--for=condition=Nonsense", f"ba/{standing}", "--timeout=1s")
    assert "timed out waiting" in complaint
    # with -v=6 it says when its watch has begun: an object that went before is no matter for wait
    with tool.following("wait", "--for=delete", f"ba/{standing}", "--timeout=20s", "-v=6") as lines:
        next(line for line in lines if "watch=true" in line)
        tool("delete", "ba", standing, "--wait=false")
        assert any("condition met" in line for line in lines)


def test_wait_goes_on_until_the_condition_comes(tool: Kubectl) -> None:
    tool("create", "-f", "-", stdin=account("waiting", paymentProfile=None))
    with tool.following("wait", "--for=condition=Ready", "ba/waiting", "--timeout=20s") as lines:
        tool(
            "patch",
            "ba",
            "waiting",
            "--type=merge",
            "-p",
            '{"spec":{"paymentProfile":{"type":"BankTransfer"}}}',
        )
        assert "condition met" in next(lines)


def test_explain_knows_every_field(tool: Kubectl) -> None:
    field = tool("explain", "ba.spec.paymentProfile")
    assert "FIELD: paymentProfile" in field and "How the account pays." in field
    everything = tool("explain", "billingaccounts", "--recursive")
    assert "currencyCode" in everything and "lastTransitionTime" in everything
    older = tool("explain", "ba.spec", "--output=plaintext-openapiv2")
    assert "RESOURCE: spec" in older and "currencyCode" in older
    assert "does not exist" in tool.refused("explain", "ba.spec.nothing")


def test_delete_waits_until_it_is_gone(tool: Kubectl) -> None:
    manifest = account("leaving")
    tool("create", "-f", "-", stdin=manifest)
    assert "deleted" in tool("delete", "-f", "-", stdin=manifest)
    assert "NotFound" in tool.refused("get", "ba", "leaving")
    assert "NotFound" in tool.refused("delete", "ba", "leaving")


def test_delete_waits_for_finalizers(tool: Kubectl, standing: str) -> None:
    tool("patch", "ba", standing, "--type=merge", "-p", '{"metadata":{"finalizers":["example.com/last"]}}')
    complaint = tool.refused("delete", "ba", standing, "--timeout=1s")
    assert "timed out waiting" in complaint
    assert tool.get("ba", standing)["metadata"]["deletionTimestamp"]
    tool("patch", "ba", standing, "--type=json", "-p", '[{"op":"remove","path":"/metadata/finalizers"}]')
    assert "NotFound" in tool.refused("get", "ba", standing)


def test_edit_saves_what_the_editor_leaves(tool: Kubectl) -> None:
    tool("create", "-f", "-", stdin=account("edited", paymentTerms={"netDays": 30}))
    assert "edited" in tool("edit", "ba", "edited")
    assert tool.get("ba", "edited")["spec"]["paymentTerms"]["netDays"] == 14
    assert "no changes" in tool.run("edit", "ba", "edited").stderr.lower()


def test_patch_merges_and_takes_operations(tool: Kubectl, standing: str) -> None:
    merge = '{"spec":{"displayName":"Merged"}}'
    assert "patched" in tool("patch", "ba", standing, "--type=merge", "-p", merge)
    assert "no change" in tool("patch", "ba", standing, "--type=merge", "-p", merge)
    remove = {"op": "remove", "path": "/spec/displayName"}
    operations = json.dumps([{"op": "test", "path": "/spec/displayName", "value": "Merged"}, remove])
    assert "patched" in tool("patch", "ba", standing, "--type=json", "-p", operations)
    assert "displayName" not in tool.get("ba", standing)["spec"]
    tool.refused("patch", "ba", standing, "--type=json", "-p", operations)


def test_a_strategic_patch_is_refused_with_what_there_is(tool: Kubectl, standing: str) -> None:
    complaint = tool.refused("patch", "ba", standing, "-p", '{"spec":{"displayName":"x"}}')
    assert "application/strategic-merge-patch+json is not supported" in complaint
    assert "application/merge-patch+json" in complaint


def test_label_and_annotate_add_change_and_remove(tool: Kubectl, standing: str) -> None:
    for verb, part in (("label", "labels"), ("annotate", "annotations")):
        tool(verb, "ba", standing, "team=blue")
        assert tool.get("ba", standing)["metadata"][part]["team"] == "blue"
        tool.refused(verb, "ba", standing, "team=red")
        tool(verb, "ba", standing, "team=red", "--overwrite")
        assert tool.get("ba", standing)["metadata"][part]["team"] == "red"
        tool(verb, "ba", standing, "team-")
        assert "team" not in tool.get("ba", standing)["metadata"].get(part, {})


def test_replace_takes_the_version_it_was_shown_and_no_other(tool: Kubectl, standing: str) -> None:
    shown = tool.get("ba", standing)
    shown["spec"]["displayName"] = "Replaced"
    assert "replaced" in tool("replace", "-f", "-", stdin=json.dumps(shown))
    assert "the object has been modified" in tool.refused("replace", "-f", "-", stdin=json.dumps(shown))
    assert "replaced" in tool("replace", "-f", "-", stdin=account(standing))


def test_diff_shows_what_apply_would_change(tool: Kubectl) -> None:
    tool("apply", "-f", "-", stdin=account("compared"))
    same = tool.run("diff", "-f", "-", stdin=account("compared"))
    assert (same.returncode, same.stdout) == (0, "")
    different = tool.run("diff", "-f", "-", stdin=account("compared", displayName="New"))
    assert different.returncode == 1, different.stderr
    assert "+  displayName: New" in different.stdout
    made = tool.run("diff", "-f", "-", stdin=account("compared-and-not-there"))
    assert made.returncode == 1 and "+  name: compared-and-not-there" in made.stdout


def test_a_dry_run_changes_nothing(tool: Kubectl, standing: str) -> None:
    assert "dry run" in tool("create", "--dry-run=server", "-f", "-", stdin=account("imagined"))
    assert "NotFound" in tool.refused("get", "ba", "imagined")
    assert "dry run" in tool("delete", "--dry-run=server", "ba", standing)
    assert "dry run" in tool("label", "--dry-run=server", "ba", standing, "team=blue")
    assert "team" not in tool.get("ba", standing)["metadata"]["labels"]


def test_auth_says_who_one_is_and_what_one_may(tool: Kubectl) -> None:
    assert tool("auth", "can-i", "create", "billingaccounts").strip() == "yes"
    assert "*.*" in tool("auth", "can-i", "--list")
    assert "system:admin" in tool("auth", "whoami")
    no = tool.run("--as", "ann", "auth", "can-i", "create", "billingaccounts")
    assert no.returncode == 1 and no.stdout.startswith("no")
    assert tool("--as", "ann", "auth", "can-i", "list", "services").strip() == "yes"
    listed = tool("--as", "ann", "auth", "can-i", "--list")
    assert "services.services.miloapis.com" in listed and "billingaccounts" not in listed


def test_acting_as_somebody_else_gives_what_they_may(tool: Kubectl, standing: str) -> None:
    complaint = tool.refused("--as", "ann", "get", "ba", standing)
    assert 'User "ann" cannot get resource "billingaccounts"' in complaint
    who = json.loads(
        tool("--as", "ann", "--as-group", "staff", "--as-uid", "7", "auth", "whoami", "-o", "json")
    )
    user = who["status"]["userInfo"]
    assert (user["username"], user["uid"]) == ("ann", "7")
    assert user["groups"] == ["staff", "system:authenticated"]
    complaint = tool.refused("--as", "ann", "--as-group", "system:masters", "get", "ba")
    assert 'cannot impersonate resource "groups"' in complaint


def test_discovery_lists_every_resource(tool: Kubectl) -> None:
    resources = tool("api-resources", "-o", "name").split()
    assert {"billingaccounts.billing.miloapis.com", "projects.resourcemanager.miloapis.com"} <= set(resources)
    assert "selfsubjectaccessreviews.authorization.k8s.io" in resources
    assert BILLING in tool("api-versions").split()
    assert "BillingAccount" in tool("api-resources", "--api-group=billing.miloapis.com")
    assert "Server Version" in tool("version")


def test_describe_shows_the_object(tool: Kubectl, standing: str) -> None:
    described = tool("describe", "ba", standing)
    assert re.search(r"Currency Code: +USD", described) and re.search(r"Phase: +Ready", described)


def test_what_the_kinds_do_not_have_fails_clearly(tool: Kubectl, standing: str) -> None:
    assert "NotFound" in tool.refused("scale", "--replicas=2", f"ba/{standing}")
    assert "doesn't have a resource type" in tool.refused("get", "pods")


def test_other_kubectls_do_a_days_work(other_tool: Kubectl) -> None:
    tool, wanted = other_tool, account("daily", displayName="Daily")
    assert "created" in tool("apply", "-f", "-", stdin=account("daily"))
    assert "+  displayName: Daily" in tool.run("diff", "-f", "-", stdin=wanted).stdout
    assert "configured" in tool("apply", "-f", "-", stdin=wanted)
    assert 'unknown field "spec.x"' in tool.refused("apply", "-f", "-", stdin=account("daily", x=1))
    assert "serverside-applied" in tool("apply", "--server-side", "-f", "-", stdin=account("daily-too"))
    assert tool("get", "ba", "daily").splitlines()[1].split()[:3] == ["daily", "Ready", "USD"]
    assert "condition met" in tool("wait", "--for=condition=Ready", "ba/daily", "--timeout=10s")
    assert "paymentProfile" in tool("explain", "ba.spec")
    assert "RESOURCE: spec" in tool("explain", "ba.spec", "--output=plaintext-openapiv2")
    assert "patched" in tool("patch", "ba", "daily", "--type=merge", "-p", '{"spec":{"displayName":"New"}}')
    assert "labeled" in tool("label", "ba", "daily", "team=blue")
    assert tool("get", "ba", "-l", "team=blue", "-o", "name").count("/") == 1
    assert tool("auth", "can-i", "delete", "billingaccounts").strip() == "yes"
    assert "system:admin" in tool("auth", "whoami")
    assert tool("delete", "ba", "daily", "daily-too").count("deleted") == 2
