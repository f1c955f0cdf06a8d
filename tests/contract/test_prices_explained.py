"""`GET /v1/prices:explain` and the command over it: what is asked, what is refused."""

import pytest

from tests.contract.conftest import Cluster
from tests.contract.examples import EXAMPLES

ASKED = {
    "account": "organization-acme/main",
    "sku": "requests-million",
    "quantity": "2500000",
    "at": "2026-10-15",
}


@pytest.fixture
def sold(cluster: Cluster) -> Cluster:
    """An account, and a published list of prices."""
    book, account = EXAMPLES["pricebooks"], EXAMPLES["billingaccounts"]
    for needed in (*book.needs, *account.needs, account.manifest):
        cluster.created(needed)
    cluster.created({**book.manifest, "spec": {**book.manifest["spec"], "phase": "Published"}})
    return cluster


def test_a_price_is_explained_over_http(sold: Cluster) -> None:
    answer = sold.http.get("/v1/prices:explain", params=ASKED)
    assert answer.status_code == 200, answer.text
    found = answer.json()
    assert (found["amount"], found["currencyCode"], found["day"]) == ("1.00", "USD", "2026-10-15")
    assert found["period"] == {"firstDay": "2026-10-01", "endDay": "2026-11-01"}
    assert [one["priceBook"] for one in found["candidates"]] == ["list-usd"]
    at = {**ASKED, "at": "2026-10-15T12:00:00Z"}
    assert sold.http.get("/v1/prices:explain", params=at).json() == found
    early = sold.http.get("/v1/prices:explain", params={**ASKED, "at": "2020-10-15"})
    assert (early.json()["price"], early.json()["amount"]) == (None, None)


def test_a_question_that_cannot_be_answered_says_why(sold: Cluster) -> None:
    for changed, code, said in (
        ({"account": "main"}, 400, "namespace/name"),
        ({"account": "organization-acme/none"}, 404, "not found"),
        ({"sku": ""}, 400, '"sku"'),
        ({"sku": "none"}, 404, 'no Sku "none"'),
        ({"quantity": "-1"}, 400, "quantity"),
        ({"quantity": "many"}, 400, "quantity"),
        ({"at": "soon"}, 400, "neither a day nor a time"),
        ({"at": "2026-13-01"}, 400, "not a time of the calendar"),
        ({"at": "2026-10-15T25:00:00Z"}, 400, "not a time of the calendar"),
    ):
        answer = sold.http.get("/v1/prices:explain", params={**ASKED, **changed})
        assert (answer.status_code, said in answer.json()["message"]) == (code, True), answer.text
