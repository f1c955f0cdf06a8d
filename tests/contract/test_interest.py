"""Interest over HTTP and on the command line: what stands, charging it, waiving it; who may."""

from copy import deepcopy

import pytest

from milo_billing.app import wiring
from milo_billing.cli.commands import app
from milo_billing.infra.runtime import Runtime
from milo_billing.invoicing import jobs
from milo_billing.invoicing.operations.office import Office
from tests.contract.conftest import Cluster
from tests.contract.examples import ACCOUNT, ACME, BILLING, EXAMPLES, IAM, manifest
from tests.contract.invoiced import stand_invoice

INTEREST = "/v1/invoicing/interest"
CHARGE = f"/apis/{BILLING}/namespaces/{ACME}/billingaccounts/main/chargeInterest"
MINE = {"namespace": ACME, "account": "main"}


@pytest.fixture
def overdue(cluster: Cluster, runtime: Runtime) -> str:
    """40.00 USD at 8 % a year, overdue since the spring; its name."""
    account = deepcopy(ACCOUNT)
    account["spec"]["paymentTerms"] = {"latePaymentInterestPercent": "8"}
    for needed in EXAMPLES["creditnotes"].needs:
        cluster.created(account if needed["kind"] == "BillingAccount" else needed)
    name = stand_invoice(runtime)
    office = Office(wiring.build_declarative(runtime).engine, runtime.vault)
    jobs.mark_past_due(office, runtime.databases.app, runtime.clock)
    return name


@pytest.fixture
def command_line(cluster: Cluster, monkeypatch: pytest.MonkeyPatch) -> None:
    """Commands speak to this cluster."""
    monkeypatch.setenv("MILO_BILLING_SERVER", cluster.url)
    monkeypatch.setenv("MILO_BILLING_TOKEN", cluster.token)


def said(capsys: pytest.CaptureFixture[str], *command: str) -> str:
    app(("invoices", *command), exit_on_error=False, result_action="return_value")
    return capsys.readouterr().out


def test_what_accrued_is_listed_and_whole_months_of_it_are_charged_once(
    cluster: Cluster, overdue: str
) -> None:
    (before,) = cluster.http.get(INTEREST, params=MINE).json()["items"]
    assert (before["invoice"], before["percent"], before["amountDue"]) == (overdue, "8", "40.00")
    assert (before["charged"], before["chargedUntil"], before["open"]) == ("0.00", None, before["accrued"])
    assert before["days"] > 0
    charged = cluster.http.post(CHARGE)
    assert charged.status_code == 200, charged.text
    (made,) = charged.json()["invoices"]
    assert (made["total"], made["currencyCode"]) == (before["chargeable"], "USD")
    (after,) = cluster.http.get(INTEREST).json()["items"]
    assert (after["charged"], after["chargeable"]) == (made["total"], "0.00")
    assert cluster.http.post(CHARGE).json() == {"account": f"{ACME}/main", "invoices": [], "givenBack": []}
    unknown = cluster.http.get(INTEREST, params={**MINE, "account": "nobody"})
    assert (unknown.status_code, unknown.json()["reason"]) == (404, "NotFound")


@pytest.mark.usefixtures("overdue")
def test_a_customer_sees_its_interest_and_charges_none(cluster: Cluster) -> None:
    program = manifest(IAM, "ServiceAccount", "owner", {}, namespace=ACME)
    cluster.created(program)
    spec = {
        "roleRef": {"name": "admin"},
        "subjects": [{"kind": "ServiceAccount", "name": "owner", "namespace": ACME}],
        "resourceSelector": {"resourceRef": {"kind": "Organization", "name": "acme"}},
    }
    cluster.created(manifest(IAM, "PolicyBinding", "owner", spec))
    token = cluster.http.post(cluster.path(program) + "/token", json={}).json()["token"]
    customer = cluster.client(token)
    assert len(customer.get(INTEREST).json()["items"]) == 1
    assert customer.post(CHARGE).status_code == 403


@pytest.mark.usefixtures("command_line")
def test_the_command_line_lists_charges_and_waives(overdue: str, capsys: pytest.CaptureFixture[str]) -> None:
    where = ("--account", f"{ACME}/main")
    assert overdue in said(capsys, "interest", "list").lower()
    charged = said(capsys, "interest", "charge", *where)
    assert "charges interest of" in charged
    number = charged.split()[1]
    assert "less due" in said(capsys, "credit", number, "-n", ACME, "--reason", "waived: paid when asked")
    assert "There is no interest to charge" in said(capsys, "interest", "charge", *where)
    listed = said(capsys, "interest", "list", *where)
    assert "ACCRUED" in listed and "TO CHARGE" in listed


@pytest.mark.usefixtures("command_line", "cluster")
def test_where_nothing_is_overdue_the_command_line_says_so(capsys: pytest.CaptureFixture[str]) -> None:
    assert said(capsys, "interest", "list") == "No overdue invoice bears interest.\n"
