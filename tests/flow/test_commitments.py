"""A commitment over HTTP: offered, accepted, and how it stands as soon as usage was acknowledged."""

import time
from collections.abc import Callable
from datetime import UTC, datetime

from milo_billing.client.commitments import get_commitment_summary
from milo_billing.client.http import ApiClient
from tests.flow.conftest import CommandLine

OFFER = """\
apiVersion: billing.miloapis.com/v1alpha1
kind: Commitment
metadata: {{name: yearly, namespace: organization-promise}}
spec:
  billingAccountRef: {{name: main}}
  startsOn: "{start}"
  termMonths: 12
  minimumSpends:
  - {{amount: "1000", currencyCode: USD, interval: Term}}
  skuDiscounts:
  - {{percentage: "20", skuSelectors: [{{cel: "meter.endsWith('/context-tokens')", matchLabels: []}}], priority: 1}}
  resources:
  - {{type: resourcemanager.miloapis.com/projects, name: promise-app}}
"""
METER = "llm.flow.example/context-tokens"
FRESH_S_MAX = 2


def test_progress_follows_usage_at_once(
    milo: CommandLine, customer: Callable[[str, str], str], api: ApiClient
):
    project = customer("promise", "2026-01-01T00:00:00Z")
    start = datetime.now(UTC).date().replace(day=1)  # the term goes on for months, whenever this runs
    offered = milo("apply", "-f", "-", stdin=OFFER.format(start=start))
    assert offered.returncode == 0, offered.stderr
    accepted = milo("commitment", "accept", "yearly", "-n", "organization-promise")
    assert accepted.stdout.startswith("accepted by system:admin at "), accepted.stderr
    send = ("usage", "send", "--meter", METER, "--project", project, "--value", "50000000")
    # 50 units at 2.50, less 20 %
    for sent, (spent, remaining) in enumerate((("100.00", "900.00"), ("200.00", "800.00")), start=1):
        assert milo(*send).returncode == 0, sent
        acknowledged = time.monotonic()
        summary = get_commitment_summary(api, namespace="organization-promise", name="yearly")
        fresh_s = time.monotonic() - acknowledged
        (term,) = summary["items"]
        assert (term["interval"], term["spent"], term["percent"]) == ("Term", spent, sent * 10)
        assert term["remaining"] == remaining
        assert fresh_s < FRESH_S_MAX
    shown = milo("commitment", "show", "yearly", "-n", "organization-promise").stdout
    assert "Phase:      Active" in shown
    assert "800.00" in shown
    refused = milo("delete", "project", project)
    assert refused.returncode == 1
    assert "protects it during its term" in refused.stderr
    assert "yearly" in milo("commitment", "list").stdout
    unknown = milo("commitment", "show", "nothing")
    assert (unknown.returncode, "There is no commitment 'nothing'" in unknown.stderr) == (1, True)
