"""Exchange rates over HTTP: brought in by staff, read by whoever may."""

import httpx

from tests.contract.conftest import Cluster
from tests.serving import client_of

RATES = b"Date,USD,CHF\n2026-04-10,1.1711,0.9241\n"


def send(client: httpx.Client, content: bytes) -> httpx.Response:
    return client.post(
        "/v1/rates/imports", content=content, headers={"Content-Type": "application/octet-stream"}
    )


def test_rates_are_brought_in_and_looked_up(cluster: Cluster) -> None:
    done = send(cluster.http, RATES)
    assert done.status_code == 200, done.text
    assert done.json() == {
        "source": "ECB",
        "firstDay": "2026-04-10",
        "lastDay": "2026-04-10",
        "added": 2,
        "known": 0,
    }
    found = cluster.http.get("/v1/rates", params={"from": "USD", "to": "CHF", "at": "2026-04-12"})
    assert found.json() == {
        "from": "USD",
        "to": "CHF",
        "rate": "0.789087182990",  # 0.9241 / 1.1711 = 0.789087182990…
        "day": "2026-04-10",
        "source": "ECB",
        "perEuro": {"from": "1.1711", "to": "0.9241"},
    }
    differing = send(cluster.http, RATES.replace(b"0.9241", b"0.9242"))
    assert (differing.status_code, differing.json()["reason"]) == (409, "Conflict")


def test_a_question_without_an_answer_says_why(cluster: Cluster) -> None:
    for query, code, said in (
        ({"from": "USD"}, 400, "parameter \"to\": '' is not a currency"),
        ({"from": "usd", "to": "CHF"}, 400, 'parameter "from"'),
        ({"from": "USD", "to": "CHF", "at": "yesterday"}, 400, 'parameter "at"'),
        ({"from": "USD", "to": "CHF", "at": "2026-02-30"}, 400, "not a day of the calendar"),
        ({"from": "USD", "to": "CHF", "at": "2026-04-12"}, 404, "no exchange rate from USD to CHF"),
    ):
        answer = cluster.http.get("/v1/rates", params=query)
        assert (answer.status_code, said in answer.json()["message"]) == (code, True), answer.text


def test_a_file_that_cannot_be_read_and_a_stranger_are_refused(cluster: Cluster) -> None:
    unreadable = send(cluster.http, b"Date,USD\nnever,1\n")
    assert (unreadable.status_code, "line 2" in unreadable.json()["message"]) == (400, True)
    with client_of(cluster.url) as nobody:
        assert send(nobody, RATES).status_code in (401, 403)
        assert nobody.get("/v1/rates", params={"from": "USD", "to": "CHF"}).status_code in (401, 403)
