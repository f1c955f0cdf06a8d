"""`POST /v1/simulations` and the command over it: what is answered, what is refused, who may ask."""

from pathlib import Path
from typing import Any

import orjson
import pytest

from milo_billing.app.endpoints import api_document
from milo_billing.cli.simulations import Supposed, simulate
from milo_billing.cli.target import Target
from tests.contract.conftest import Cluster
from tests.contract.examples import EXAMPLES

ACCOUNT = {"namespace": "organization-acme", "name": "main"}
ASKED: dict[str, Any] = {"billingAccountRef": ACCOUNT, "month": "2026-10"}
BOOK = {"prices": [{"skuRef": {"name": "requests-million"}, "model": "PerUnit", "unitPrice": "0.3"}]}


@pytest.fixture
def sold(cluster: Cluster) -> Cluster:
    """An account, and a published list of prices; nothing used."""
    book, account = EXAMPLES["pricebooks"], EXAMPLES["billingaccounts"]
    for needed in (*book.needs, *account.needs, account.manifest):
        cluster.created(needed)
    cluster.created({**book.manifest, "spec": {**book.manifest["spec"], "phase": "Published"}})
    return cluster


def test_a_simulation_is_answered_in_the_form_that_the_document_says(sold: Cluster) -> None:
    discount = {"spec": {"startsOn": "2026-10-01", "percentage": "10"}}
    commitment = {
        "name": "planned",
        "spec": {
            "startsOn": "2026-10-01",
            "termMonths": 1,
            "minimumSpends": [{"amount": "20", "currencyCode": "USD", "interval": "Monthly"}],
        },
    }
    asked = {**ASKED, "priceBook": BOOK, "discounts": [discount], "commitments": [commitment]}
    answer = sold.http.post("/v1/simulations", json=asked)
    assert answer.status_code == 200, answer.text
    found = answer.json()
    form = api_document()["paths"]["/v1/simulations"]["post"]["responses"]["200"]["content"]
    assert set(form["application/json"]["schema"]["required"]) == set(found)
    assert found["total"] == {"today": "0.00", "simulated": "20.00", "difference": "20.00"}
    assert found["charges"] == [{"kind": "Shortfall", "commitment": "planned", **found["total"]}]
    assert found["periods"] == [{"firstDay": "2026-10-01", "endDay": "2026-11-01", **found["total"]}]


def test_what_is_wrong_is_said_with_its_field_and_code(sold: Cluster) -> None:
    refused: tuple[tuple[dict[str, Any], int, str], ...] = (
        ({"month": "soon"}, 422, "month"),
        ({"colour": "red"}, 422, "colour"),
        ({"billingAccountRef": {**ACCOUNT, "name": "none"}}, 404, "not found"),
        (
            {"priceBook": {"prices": [{"skuRef": {"name": "none"}, "model": "Flat", "unitPrice": "1"}]}},
            422,
            "none",
        ),
        ({"commitments": [{"name": str(number)} for number in range(21)]}, 422, "at most 20"),
    )
    for changed, code, said in refused:
        answer = sold.http.post("/v1/simulations", json={**ASKED, **changed})
        assert (answer.status_code, said in answer.json()["message"]) == (code, True), answer.text
    assert sold.http.post("/v1/simulations", content=b"{").status_code == 400
    assert sold.client("nobody").post("/v1/simulations", json=ASKED).status_code in (401, 403)


def test_the_command_reads_manifests_and_prints_a_table(
    sold: Cluster, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    token = sold.http.headers["Authorization"].removeprefix("Bearer ")
    target = Target(server=sold.url, token=token)
    file = tmp_path / "book.json"
    file.write_bytes(orjson.dumps({"kind": "PriceBook", "metadata": {"name": "new"}, "spec": BOOK}))
    simulate(
        account="organization-acme/main", month="2026-10", supposed=Supposed(book_file=file), target=target
    )
    printed = capsys.readouterr().out.splitlines()
    assert printed[0].startswith("organization-acme/main from 2026-10-01 up to 2026-11-01, in USD")
    assert printed[-1].split() == ["Total", "0.00", "0.00", "0.00"]
    file.write_text("kind: Commitment")
    refused: tuple[dict[str, Any], ...] = (
        {"book_file": file},
        {"book_file": tmp_path / "none"},
        {"without": ["launch"]},
    )
    for wrong in refused:
        with pytest.raises(SystemExit):
            simulate(
                account="organization-acme/main", month="2026-10", supposed=Supposed(**wrong), target=target
            )
        assert capsys.readouterr().err.startswith("error: ")
