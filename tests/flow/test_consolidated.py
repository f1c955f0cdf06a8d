"""Three levels of accounts over HTTP: what each used is on one invoice of the one that pays."""

import time
from collections.abc import Callable

from tests.flow.conftest import CommandLine

METER = "llm.flow.example/context-tokens"
NAMESPACE = "organization-levels"
BELOW = """
apiVersion: resourcemanager.miloapis.com/v1alpha1
kind: Project
metadata: {{name: levels-{name}}}
spec: {{ownerRef: {{kind: Organization, name: levels}}}}
---
apiVersion: billing.miloapis.com/v1alpha1
kind: BillingAccount
metadata: {{name: {name}, namespace: organization-levels}}
spec:
  currencyCode: USD
  parentRef: {{namespace: organization-levels, name: {parent}}}
  billingMode: Parent
---
apiVersion: billing.miloapis.com/v1alpha1
kind: BillingAccountBinding
metadata: {{name: levels-{name}, namespace: organization-levels}}
spec:
  billingAccountRef: {{name: {name}}}
  projectRef: {{name: levels-{name}}}
  effectiveFrom: "2026-01-01T00:00:00Z"
"""


def test_sub_accounts_at_any_depth_are_on_the_invoice_of_who_pays(
    milo: CommandLine, customer: Callable[[str, str], str]
) -> None:
    projects = [customer("levels", "2026-01-01T00:00:00Z"), "levels-team", "levels-squad"]
    for name, parent in (("team", "main"), ("squad", "team")):
        applied = milo("apply", "-f", "-", stdin=BELOW.format(name=name, parent=parent))
        assert applied.returncode == 0, applied.stderr
    for project, value in zip(projects, ("4000000", "8000000", "12000000"), strict=True):
        sent = milo("usage", "send", "--meter", METER, "--project", project, "--value", value)
        assert sent.returncode == 0, sent.stderr
    deadline = time.monotonic() + 20
    while True:
        whole = milo.json("invoices", "preview", "--account", f"{NAMESPACE}/main")
        if whole["total"] == "60.00" or time.monotonic() > deadline:
            break
    assert [(line["subAccount"], line["amount"]) for line in whole["lines"]] == [
        (None, "10.00"),
        ("team", "20.00"),
        ("squad", "30.00"),
    ]
    section = milo.json("invoices", "preview", "--account", f"{NAMESPACE}/squad")
    assert (section["total"], section["invoicedWith"]) == ("30.00", "main")
    shown = milo("invoices", "preview", "--account", f"{NAMESPACE}/squad")
    assert "a section of the invoice of main" in shown.stdout
    refused = milo("invoices", "final", "--account", f"{NAMESPACE}/main")
    assert (refused.returncode, 'sub-accounts "team", "squad" are invoiced with it' in refused.stderr) == (
        1,
        True,
    )
