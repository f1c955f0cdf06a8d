"""The books over HTTP: balances, entries, what customers owe and since when, closing, verifying."""

from datetime import date
from typing import Any

import httpx
import pytest

from milo_billing.app.ledger_endpoints import LEDGER
from milo_billing.infra.database import EVERYWHERE
from milo_billing.kernel.money import Money
from milo_billing.ledger import operations, reads
from milo_billing.ledger.types import RECEIVABLE, cash
from tests.db.invoicing.ground import ACME, Ground
from tests.db.ledger.books import Books, post


def get(http: httpx.Client, path: str, **params: str) -> Any:
    answer = http.get(f"/v1/ledger/{path}", params=params)
    assert answer.status_code == 200, answer.text
    return answer.json()


def test_the_trial_balance_shows_every_account_and_is_zero(books: Books, http: httpx.Client) -> None:
    found = get(http, "trial-balance")
    assert [
        (row["account"], row["type"], row["currencyCode"], row["debits"], row["credits"], row["balance"])
        for row in found["items"]
    ] == [
        ("Assets:Cash:Bank", "Assets", "USD", "90.00", "0.00", "90.00"),
        ("Assets:Receivable", "Assets", "JPY", "500", "0", "500"),
        ("Assets:Receivable", "Assets", "USD", "150.00", "90.00", "60.00"),
        ("Income:Revenue:Usage", "Income", "JPY", "0", "500", "-500"),
        ("Income:Revenue:Usage", "Income", "USD", "0.00", "150.00", "-150.00"),
    ]
    assert [(row["currencyCode"], row["balance"]) for row in found["totals"]] == [
        ("JPY", "0"),
        ("USD", "0.00"),
    ]


def test_the_trial_balance_of_a_day_and_of_an_entity(books: Books, http: httpx.Client) -> None:
    assert len(get(http, "trial-balance", at="2026-11-30")["items"]) == 5
    october = get(http, "trial-balance", at="2026-10-31")
    assert (october["items"], october["until"]) == ([], "2026-11-01")
    assert get(http, "trial-balance", entity="nobody")["items"] == []


def test_entries_come_by_day_with_everything_that_they_say(books: Books, http: httpx.Client) -> None:
    first, *_ = get(http, "entries", account=f"{ACME}/main")["items"]
    assert (first["postedOn"], first["entity"], first["account"]) == ("2026-11-02", "kestrel", f"{ACME}/main")
    found = get(http, "entries", ledgerAccount="Income:Revenue", account=f"{ACME}/main")["items"]
    assert [one["description"] for one in found] == ["Invoice KC-2026-000001", "Invoice KC-2026-000003"]
    assert found[0]["entries"] == [
        {
            "ledgerAccount": "Assets:Receivable",
            "currencyCode": "USD",
            "debit": "100.00",
            "credit": None,
            "serviceFrom": None,
            "serviceTo": None,
        },
        {
            "ledgerAccount": "Income:Revenue:Usage",
            "currencyCode": "USD",
            "debit": None,
            "credit": "100.00",
            "serviceFrom": "2026-10-01",
            "serviceTo": "2026-11-01",
        },
    ]


def test_pages_of_entries_hold_each_transaction_once(books: Books, http: httpx.Client) -> None:
    whole = [one["id"] for one in get(http, "entries")["items"]]
    assert len(whole) == len(set(whole)) == 4
    paged: list[str] = []
    page = get(http, "entries", limit="1")
    while True:
        paged += [one["id"] for one in page["items"]]
        after = page["metadata"].get("continue")
        if not after:
            break
        page = get(http, "entries", limit="1", **{"continue": after})
    assert paged == whole


@pytest.mark.parametrize(
    ("params", "count"),
    [
        ({"from": "2026-12-01"}, 1),
        ({"to": "2026-11-30"}, 3),
        ({"ledgerAccount": "Assets"}, 4),
        ({"ledgerAccount": "Assets:Cash"}, 1),
        ({"ledgerAccount": "Assets:Recei"}, 0),
        ({"entity": "kestrel", "account": f"{ACME}/yen"}, 1),
    ],
)
def test_entries_are_found_by_what_they_are(
    books: Books, http: httpx.Client, params: dict[str, str], count: int
) -> None:
    assert len(get(http, "entries", **params)["items"]) == count


@pytest.mark.parametrize(
    ("path", "params", "message"),
    [
        ("entries", {"ledgerAccount": "cash"}, "not a ledger account name"),
        ("entries", {"account": "main"}, "namespace/name"),
        ("entries", {"from": "yesterday"}, "is not a day such as"),
        ("entries", {"limit": "0"}, "from 1 to 1000"),
        ("entries", {"continue": "x"}, "not what a page gave"),
        ("entries", {"color": "red"}, "unknown parameter 'color'"),
        ("trial-balance", {"at": "9999-12-31"}, "end of the calendar"),
        ("export", {"format": "xml"}, "none of ledger, beancount, csv"),
        ("aged-receivables", {"continue": "-1"}, "not what a page gave"),
        (f"accounts/{ACME}/main/statement", {"from": "2027-01-01"}, "is after"),
    ],
)
def test_a_wrong_question_is_answered_with_what_is_wrong(
    books: Books, http: httpx.Client, path: str, params: dict[str, str], message: str
) -> None:
    answer = http.get(f"/v1/ledger/{path}", params=params)
    assert answer.status_code == 400
    assert message in answer.json()["message"]


def test_nobody_has_the_account_that_does_not_exist(books: Books, http: httpx.Client) -> None:
    assert http.get(f"/v1/ledger/accounts/{ACME}/other/statement").status_code == 404
    assert http.get("/v1/ledger/entries", params={"account": f"{ACME}/other"}).status_code == 404


def test_a_statement_runs_from_what_was_owed_to_what_is(books: Books, http: httpx.Client) -> None:
    path = f"accounts/{ACME}/main/statement"
    found = get(http, path)
    assert [(one["amount"], one["balance"]) for one in found["items"]][-1] == ("50.00", "60.00")
    assert found["opening"] == [{"currencyCode": "USD", "balance": "0.00"}]
    december = get(http, path, **{"from": "2026-12-01"})
    assert december["opening"] == [{"currencyCode": "USD", "balance": "10.00"}]
    assert [(one["description"], one["amount"], one["balance"]) for one in december["items"]] == [
        ("Invoice KC-2026-000003", "50.00", "60.00")
    ]


def test_pages_of_a_statement_carry_the_balance_on(books: Books, http: httpx.Client) -> None:
    path = f"accounts/{ACME}/main/statement"
    whole = [one["balance"] for one in get(http, path)["items"]]
    first = get(http, path, limit="1")
    rest = get(http, path, **{"continue": first["metadata"]["continue"]})
    assert [one["balance"] for one in (*first["items"], *rest["items"])] == whole
    assert "continue" not in rest["metadata"]


def test_receivables_age_from_the_day_after_the_due_date(books: Books, http: httpx.Client) -> None:
    # issued on 2 November and 2 December, due 30 days later: on 2 December nothing is overdue yet
    keys = ("notDue", "days1To30", "days31To60", "days61To90", "over90", "total")

    def aged(day: str, account: str) -> list[str]:
        (found,) = [
            one
            for one in get(http, "aged-receivables", at=day)["items"]
            if one["account"] == f"{ACME}/{account}"
        ]
        return [found[key] for key in keys]

    assert aged("2026-12-02", "main") == ["60.00", "0.00", "0.00", "0.00", "0.00", "60.00"]
    assert aged("2026-12-03", "main") == ["50.00", "10.00", "0.00", "0.00", "0.00", "60.00"]
    assert aged("2027-01-01", "main") == ["50.00", "10.00", "0.00", "0.00", "0.00", "60.00"]
    assert aged("2027-01-02", "main") == ["0.00", "50.00", "10.00", "0.00", "0.00", "60.00"]
    assert aged("2027-03-02", "main") == ["0.00", "0.00", "50.00", "10.00", "0.00", "60.00"]
    assert aged("2027-03-03", "yen") == ["0", "0", "0", "0", "500", "500"]
    assert aged("2026-11-02", "main") == ["10.00", "0.00", "0.00", "0.00", "0.00", "10.00"]


def test_aged_receivables_come_in_pages_of_whole_accounts(books: Books, http: httpx.Client) -> None:
    first = get(http, "aged-receivables", limit="1")
    second = get(http, "aged-receivables", limit="1", **{"continue": first["metadata"]["continue"]})
    assert [one["account"] for one in (*first["items"], *second["items"])] == [f"{ACME}/main", f"{ACME}/yen"]
    assert "continue" not in second["metadata"]


def test_books_that_are_right_are_verified(books: Books, http: httpx.Client) -> None:
    found = get(http, "verify")
    assert (found["ok"], found["differences"]) == (True, [])
    assert "Assets:Receivable" in found["checked"]


def test_verify_names_what_differs_from_the_invoices(
    ground: Ground, books: Books, http: httpx.Client
) -> None:
    stray = operations.payment_received(Money(500, "USD"), into=cash("3000"))
    post(ground, books.main, "stray", stray, on=date(2026, 12, 1))
    found = get(http, "verify")
    assert not found["ok"]
    assert found["differences"] == [
        {
            "check": "documents",
            "entity": "kestrel",
            "ledgerAccount": "Assets:Receivable",
            "account": f"{ACME}/main",
            "currencyCode": "USD",
            "expected": "60.00",
            "found": "55.00",
            "difference": "-5.00",
        }
    ]


def test_verify_names_money_that_left_one_account_and_reached_no_other(
    ground: Ground, books: Books, http: httpx.Client
) -> None:
    half = operations.sent_to_account(Money(9, "USD"), out_of=cash("3000"))
    post(ground, books.main, "half", half, on=date(2026, 12, 1))
    assert [(one["check"], one["found"]) for one in get(http, "verify")["differences"]] == [
        ("transfers", "-0.09")
    ]
    with ground.databases.app.transaction(reach=frozenset({books.main.owner_org})) as tx:
        found = operations.verify(tx, subledgers=(), everything=False)
    assert found == ()


def test_verify_looks_for_what_no_constraint_let_in(ground: Ground, books: Books) -> None:
    with ground.databases.app.transaction(reach=EVERYWHERE) as tx:
        assert reads.list_unbalanced(tx) == ()
        assert [one.amount.minor for one in reads.list_balances(tx, account=RECEIVABLE)] == [6_000, 500]


def test_a_month_is_closed_once_and_for_good(books: Books, http: httpx.Client) -> None:
    wanted = {"entity": "kestrel", "month": "2026-10"}
    answer = http.post("/v1/ledger/closings", json=wanted)
    assert answer.status_code == 200, answer.text
    body = answer.json()
    assert (body["closed"], body["entity"], body["month"], body["closedBy"]) == (
        True,
        "kestrel",
        "2026-10",
        "ann",
    )
    assert http.post("/v1/ledger/closings", json=wanted).json()["closed"] is False
    assert [one["month"] for one in get(http, "closings")["items"]] == ["2026-10"]


@pytest.mark.parametrize(
    ("body", "code", "message"),
    [
        ({"entity": "kestrel", "month": "2026-12"}, 409, "not over everywhere"),
        ({"entity": "nobody", "month": "2026-10"}, 404, "nothing stands in the books of 'nobody'"),
        ({"entity": "kestrel", "month": "2026-13"}, 400, "month"),
        ({"entity": "", "month": "2026-10"}, 400, "IssuerProfile"),
        ({"month": "2026-10"}, 400, "such as"),
        ([], 400, "such as"),
    ],
)
def test_a_month_that_cannot_be_closed_says_why(
    books: Books, http: httpx.Client, body: object, code: int, message: str
) -> None:
    answer = http.post("/v1/ledger/closings", json=body)
    assert answer.status_code == code, answer.text
    assert message in answer.json()["message"]


def test_the_chart_is_served(http: httpx.Client) -> None:
    items = {one["account"]: one for one in get(http, "chart")["items"]}
    assert items["Assets:Clearing"]["per"] == "provider"
    assert items["Expenses:BadDebt"]["type"] == "Expenses"


def test_answers_have_what_the_document_says(books: Books, http: httpx.Client) -> None:
    for endpoint in LEDGER:
        if endpoint.method != "get" or endpoint.media_type != "application/json":
            continue
        path = endpoint.path.replace("{namespace}", ACME).replace("{name}", "main")
        assert http.get(path).json().keys() == endpoint.answer["properties"].keys(), path
