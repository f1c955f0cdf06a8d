"""Tax from the command line against a real server: rates come in once, a number is checked, a preview is taxed."""

import json
from pathlib import Path

from tests.flow.conftest import CommandLine

RATES = {
    "items": {
        "LU": [
            {"effective_from": "2024-01-01", "rates": {"standard": 17}},
            {"effective_from": "2023-01-01", "rates": {"standard": 16}},
        ]
    }
}


def test_a_list_of_rates_is_brought_in_once_and_never_changes_what_stands_otherwise(
    milo: CommandLine, tmp_path: Path
) -> None:
    file = tmp_path / "rates.json"
    file.write_text(json.dumps(RATES))
    dry = milo.json("tax", "import", str(file), "--dry-run")
    assert [(one["change"], one["name"]) for one in dry["changes"]] == [
        ("added", "vat-lu-standard-2023-01-01"),
        ("added", "vat-lu-standard-2024-01-01"),
    ]
    done = milo("tax", "import", str(file))
    assert (done.returncode, "applied 2 tax rates" in done.stdout) == (0, True), done.stderr
    spec = milo.json("get", "taxrate", "vat-lu-standard-2023-01-01")["spec"]
    assert (spec["percent"], spec["endsOn"]) == ("16", "2024-01-01")
    again = milo("tax", "import", str(file))
    assert "0 added, 0 with another end, 0 in the way, 2 unchanged" in again.stdout

    RATES["items"]["LU"].insert(0, {"effective_from": "2027-01-01", "rates": {"standard": 18}})
    file.write_text(json.dumps(RATES))
    assert "applied 2 tax rates" in milo("tax", "import", str(file)).stdout  # the one before gets its end
    RATES["items"]["LU"][1]["rates"] = {"standard": 15}
    file.write_text(json.dumps(RATES))
    refused = milo("tax", "import", str(file))
    assert refused.returncode == 1
    assert "1 rates stand with another percentage" in refused.stderr


def test_what_a_register_said_of_a_number_is_noted(milo: CommandLine, tmp_path: Path) -> None:
    manifests = tmp_path / "vat.yaml"
    manifests.write_text(
        """
apiVersion: resourcemanager.miloapis.com/v1alpha1
kind: Organization
metadata: {name: vat-customer}
spec: {}
---
apiVersion: billing.miloapis.com/v1alpha1
kind: BillingAccount
metadata: {name: main, namespace: organization-vat-customer}
spec:
  currencyCode: EUR
  paymentProfile: {type: BankTransfer}
  taxIds: [{type: eu_vat, value: "DE 123 456 789"}]
"""
    )
    assert milo("apply", "-f", str(manifests)).returncode == 0
    account = "organization-vat-customer/main"
    unasked = milo("tax", "check", account)
    assert (unasked.returncode, "MILO_BILLING_VIES_URL" in unasked.stderr) == (1, True)
    noted = milo("tax", "check", account, "--valid", "--source", "VIES web page", "--reference", "WAPI1")
    assert noted.returncode == 0, noted.stderr
    assert "the VAT number is valid (VIES web page" in noted.stdout
