"""`milo-billing ledger …`: what it prints, what it writes, and with which code it ends."""

from pathlib import Path

import httpx
import orjson
import pytest

from milo_billing.cli import ledger as commands
from milo_billing.cli.target import Target
from milo_billing.kernel.money import Money
from milo_billing.ledger import operations
from milo_billing.ledger.types import cash
from tests.db.invoicing.ground import ACME, Ground
from tests.db.ledger.books import DECEMBER, Books, post


@pytest.fixture
def target(http: httpx.Client, books: Books) -> Target:
    """The server of this test, with books in it."""
    return Target(server=str(http.base_url).rstrip("/"), token="ann")


def printed(capsys: pytest.CaptureFixture[str]) -> list[list[str]]:
    return [line.split() for line in capsys.readouterr().out.splitlines()]


def test_the_trial_balance_ends_with_totals(target: Target, capsys: pytest.CaptureFixture[str]) -> None:
    commands.trial_balance(target=target)
    lines = printed(capsys)
    assert lines[0] == ["ENTITY", "ACCOUNT", "CURRENCY", "DEBITS", "CREDITS", "BALANCE"]
    assert ["kestrel", "Assets:Receivable", "USD", "150.00", "90.00", "60.00"] in lines
    assert lines[-2:] == [
        ["kestrel", "Total", "JPY", "500", "500", "0"],
        ["kestrel", "Total", "USD", "240.00", "240.00", "0.00"],
    ]


def test_entries_say_who_and_what_once(target: Target, capsys: pytest.CaptureFixture[str]) -> None:
    commands.entries(ledger_account="Income", account=f"{ACME}/main", last="2026-11-30", target=target)
    lines = printed(capsys)
    assert lines[1][:4] == ["2026-11-02", f"{ACME}/main", "Invoice", "KC-2026-000001"]
    assert lines[2] == ["Income:Revenue:Usage", "USD", "100.00", "2026-10-01", "to", "2026-10-31"]
    assert len(lines) == 3


def test_a_statement_begins_with_what_was_owed(target: Target, capsys: pytest.CaptureFixture[str]) -> None:
    commands.statement(f"{ACME}/main", first="2026-12-01", target=target)
    assert printed(capsys)[1:] == [
        ["2026-12-01", "Balance", "brought", "forward", "USD", "10.00"],
        ["2026-12-02", "Invoice", "KC-2026-000003", "USD", "50.00", "60.00"],
    ]
    with pytest.raises(SystemExit):
        commands.statement("main", target=target)
    assert "namespace/name" in capsys.readouterr().err


def test_receivables_are_totalled_by_currency(target: Target, capsys: pytest.CaptureFixture[str]) -> None:
    commands.aged(at="2027-01-02", target=target)
    assert printed(capsys)[1:] == [
        [f"{ACME}/main", "USD", "0.00", "50.00", "10.00", "0.00", "0.00", "60.00"],
        [f"{ACME}/yen", "JPY", "0", "0", "500", "0", "0", "500"],
        ["Total", "JPY", "0", "0", "500", "0", "0", "500"],
        ["Total", "USD", "0.00", "50.00", "10.00", "0.00", "0.00", "60.00"],
    ]


def test_where_no_month_is_closed_it_is_said(target: Target, capsys: pytest.CaptureFixture[str]) -> None:
    commands.closings(target=target)
    assert capsys.readouterr() == ("", "No month is closed yet.\n")


def test_an_export_goes_to_a_file_or_to_standard_output(
    target: Target, tmp_path: Path, capfdbinary: pytest.CaptureFixture[bytes]
) -> None:
    file = tmp_path / "books.csv"
    commands.export(format="csv", file=file, target=target)
    assert capfdbinary.readouterr().out == f"wrote {file}\n".encode()
    commands.export(format="csv", target=target)
    assert capfdbinary.readouterr().out == file.read_bytes()
    assert file.read_bytes().count(b"\n") == 9
    with pytest.raises(SystemExit):
        commands.export(file=tmp_path / "none" / "books", target=target)
    assert b"cannot be written" in capfdbinary.readouterr().err


def test_verify_ends_with_1_and_names_what_differs(
    ground: Ground, books: Books, target: Target, capsys: pytest.CaptureFixture[str]
) -> None:
    assert commands.verify(target=target) == 0
    assert (
        capsys.readouterr().out
        == "the books are right: transactions, trial balance, Assets:Receivable, Assets:Clearing, "
        "Liabilities:TaxPayable, Liabilities:UnappliedCash, Liabilities:MoneyOnAccount, "
        "Liabilities:MoneyOnAccount:Prepaid\n"
    )
    stray = operations.payment_received(Money(500, "USD"), into=cash("3000"))
    post(ground, books.main, "stray", stray, on=DECEMBER.date())
    assert commands.verify(target=target) == 1
    found = capsys.readouterr()
    assert found.out.splitlines()[1].split() == [
        "documents", "kestrel", "Assets:Receivable", f"{ACME}/main", "USD", "60.00", "55.00", "-5.00"
    ]  # fmt: skip
    assert "LedgerImbalance.md" in found.err


def test_a_month_is_accrued_and_closed_by_one_command(
    target: Target, capsys: pytest.CaptureFixture[str]
) -> None:
    assert commands.close(entity="kestrel", month="2026-10", target=target) == 0
    assert capsys.readouterr().out.splitlines() == [
        "2 accruals posted, 0 stood already",
        "the books of kestrel are closed to the end of 2026-10",
    ]
    assert commands.close(entity="kestrel", month="2026-10", target=target) == 0
    assert capsys.readouterr().out == "2026-10 was closed before: by ann to the end of 2026-10\n"
    commands.closings(target=target)
    assert printed(capsys)[1][:2] == ["kestrel", "2026-10"]


def test_a_month_stays_open_where_an_account_cannot_be_accrued(
    ground: Ground, books: Books, target: Target, capsys: pytest.CaptureFixture[str], http: httpx.Client
) -> None:
    other = ground.declare_account("other")
    ground.use(other, ("2026-10-05", "web", "bytes", 5))
    assert commands.close(entity="kestrel", month="2026-10", target=target) == 1
    found = capsys.readouterr()
    assert f"{ACME}/other   usage of example.com/bytes has no price" in found.out
    assert "2026-10 stays open" in found.err
    assert http.get("/v1/ledger/closings").json() == {"items": []}
    assert commands.close(entity="kestrel", month="2026-10", accrue=False, target=target) == 0


def test_everything_is_there_for_programs(target: Target, capsys: pytest.CaptureFixture[str]) -> None:
    told = Target(server=target.server, token=target.token, output="json")
    commands.chart(target=told)
    assert orjson.loads(capsys.readouterr().out)["items"][0]["account"] == "Assets:Cash"
    commands.chart(target=target)
    assert "Assets:Clearing:<provider>" in capsys.readouterr().out
    commands.trial_balance(target=told)
    assert orjson.loads(capsys.readouterr().out)["totals"][1]["balance"] == "0.00"
    for command in (commands.entries, commands.aged, commands.closings):
        command(target=told)
        assert orjson.loads(capsys.readouterr().out).keys() == {"items"}
    commands.statement(f"{ACME}/main", target=told)
    assert orjson.loads(capsys.readouterr().out)["opening"]
    assert commands.verify(target=told) == 0
    assert orjson.loads(capsys.readouterr().out)["ok"]
    assert commands.close(entity="kestrel", month="2026-10", target=told) == 0
    assert orjson.loads(capsys.readouterr().out)["accruals"]["posted"] == 2
