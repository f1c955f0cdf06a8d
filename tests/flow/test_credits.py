"""Credit from the command line against a real server: granted, listed, revoked, and refused where nobody paid."""

from tests.flow.conftest import CommandLine

CUSTOMER = """
apiVersion: resourcemanager.miloapis.com/v1alpha1
kind: Organization
metadata: {name: credited}
spec: {}
---
apiVersion: billing.miloapis.com/v1alpha1
kind: BillingAccount
metadata: {name: main, namespace: organization-credited}
spec: {currencyCode: EUR, paymentProfile: {type: BankTransfer}}
"""
ACCOUNT = "organization-credited/main"


def test_credit_is_granted_listed_and_revoked(milo: CommandLine) -> None:
    assert milo("apply", "-f", "-", stdin=CUSTOMER).returncode == 0
    assert "No credit was ever granted." in milo("credits", "history", ACCOUNT).stdout
    said = ("--currency", "EUR", "--reason", "welcome")
    granted = milo(
        "credits", "grant", ACCOUNT, "--kind", "promotional", "--amount", "100", "--name", "hello", *said
    )
    assert granted.returncode == 0, granted.stderr
    assert "granted hello: 100.00 EUR Promotional (Active)" in granted.stdout
    listed = milo("credits", "list", ACCOUNT).stdout
    assert "an invoice issued now can use 100.00 EUR: 100.00 promotional" in listed

    unpaid = milo("credits", "grant", ACCOUNT, "--kind", "prepaid", "--amount", "10", *said)
    assert unpaid.returncode == 1
    assert "prepaid credit is money that came" in unpaid.stderr or "nobody is declared" in unpaid.stderr

    revoked = milo("credits", "revoke", "organization-credited/hello", "--reason", "the wrong customer")
    assert "hello is Revoked: 100.00 EUR taken back" in revoked.stdout, revoked.stderr
    history = milo.json("credits", "history", ACCOUNT, "--grant", "hello")["items"]
    assert [(one["kind"], one["amount"]) for one in history] == [
        ("Revoked", "-100.00"),
        ("Granted", "100.00"),
    ]
    nowhere = milo("credits", "list", "main")
    assert (nowhere.returncode, "is no billing account" in nowhere.stderr) == (1, True)
