"""The books as text: programs that this project did not write read it, and come to the same balances."""

import csv
import io
import shutil
import subprocess
import sys
from collections import defaultdict
from datetime import date
from decimal import Decimal
from pathlib import Path

import httpx
import pytest

from milo_billing.infra.database import EVERYWHERE
from milo_billing.kernel.money import Money
from milo_billing.ledger import operations, reads
from milo_billing.ledger.types import cash
from tests.db.invoicing.ground import ACME, Ground
from tests.db.ledger.books import Books, hostile_description, post

BEANCOUNT = """
import sys
from beancount import loader
from beancount.core import realization
entries, errors, _ = loader.load_file(sys.argv[1])
assert not errors, errors
for account in realization.iter_children(realization.realize(entries)):
    for position in account.balance:
        print(account.account, position.units.currency, position.units.number)
"""
"""What beancount makes of a file; in a process of its own, since its licence is another."""

Balances = dict[tuple[str, str], Decimal]


@pytest.fixture
def all_kinds(ground: Ground, books: Books) -> Ground:
    """Books with everything that text could stumble over."""
    hostile_description(ground, books.main)
    exchange = operations.exchanged(Money(1_234_567, "KWD"), into=cash("3000"), worth=Money(1, "USD"))
    post(ground, books.main, "=1+1", exchange, on=date(2026, 12, 1))
    return ground


def ours(ground: Ground) -> Balances:
    with ground.databases.app.transaction(reach=EVERYWHERE) as tx:
        return {
            (row.account, row.balance.currency): row.balance.decimal()
            for row in reads.trial_balance(tx)
            if row.balance
        }


def exported(http: httpx.Client, format: str, **params: str) -> str:
    answer = http.get("/v1/ledger/export", params={"format": format, **params})
    assert answer.status_code == 200, answer.text
    assert f'filename="books.{format}"' in answer.headers["content-disposition"]
    return answer.text


def run(*command: str | Path) -> str:
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_beancount_finds_no_error_and_the_same_balances(
    all_kinds: Ground, http: httpx.Client, tmp_path: Path
) -> None:
    file = tmp_path / "books.beancount"
    file.write_text(exported(http, "beancount"))
    assert run(Path(sys.executable).with_name("bean-check"), file) == ""
    found = [line.split() for line in run(sys.executable, "-c", BEANCOUNT, file).splitlines()]
    assert {(account, currency): Decimal(number) for account, currency, number in found} == ours(all_kinds)


def test_beancount_would_notice_a_cent(books: Books, http: httpx.Client, tmp_path: Path) -> None:
    file = tmp_path / "books.beancount"
    file.write_text(exported(http, "beancount").replace(" 100.00 USD", " 100.01 USD", 1))
    done = subprocess.run(
        [Path(sys.executable).with_name("bean-check"), file], capture_output=True, text=True, check=False
    )
    assert done.returncode == 1
    assert "does not balance" in done.stderr


@pytest.mark.long
def test_ledger_finds_the_same_balances(all_kinds: Ground, http: httpx.Client, tmp_path: Path) -> None:
    program = shutil.which("ledger")
    assert program is not None, "the long tests need Ledger: apt-get install ledger"
    file = tmp_path / "books.ledger"
    file.write_text(exported(http, "ledger"))
    found: defaultdict[tuple[str, str], Decimal] = defaultdict(Decimal)
    for line in run(
        program, "--init-file", "/dev/null", "--args-only", "--strict", "--pedantic", "-f", file, "csv",
        "--csv-format", "%(account)|%(commodity)|%(quantity(scrub(display_amount)))\n",
    ).splitlines():  # fmt: skip
        account, currency, number = line.split("|")
        found[account, currency] += Decimal(number)
    assert {key: number for key, number in found.items() if number} == ours(all_kinds)


def test_csv_has_a_row_an_entry_and_adds_up(all_kinds: Ground, http: httpx.Client) -> None:
    rows = list(csv.DictReader(io.StringIO(exported(http, "csv"))))
    found: defaultdict[tuple[str, str], Decimal] = defaultdict(Decimal)
    for row in rows:
        amount = Decimal(row["debit"] or 0) - Decimal(row["credit"] or 0)
        found[row["account"], row["currency"]] += amount
    assert {key: number for key, number in found.items() if number} == ours(all_kinds)
    served = [row for row in rows if row["account"] == "Income:Revenue:Usage" and row["currency"] == "JPY"]
    assert [(row["service_from"], row["service_to"], row["credit"], row["debit"]) for row in served] == [
        ("2026-10-01", "2026-11-01", "500", "")
    ]
    assert {row["billing_account"] for row in rows} == {f"{ACME}/main", f"{ACME}/yen"}


def test_a_spreadsheet_takes_no_text_for_a_formula(all_kinds: Ground, http: httpx.Client) -> None:
    rows = csv.DictReader(io.StringIO(exported(http, "csv")))
    assert "'=1+1" in {row["key"] for row in rows}


def test_an_export_is_of_what_was_asked(books: Books, http: httpx.Client) -> None:
    rows = list(csv.DictReader(io.StringIO(exported(http, "csv", **{"from": "2026-12-01"}))))
    assert [(row["posted_on"], row["account"]) for row in rows] == [
        ("2026-12-02", "Assets:Receivable"),
        ("2026-12-02", "Income:Revenue:Usage"),
    ]
    assert exported(http, "csv", entity="nobody").count("\n") == 1


def test_an_export_of_more_than_is_read_at_once_is_whole(
    books: Books, http: httpx.Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = exported(http, "ledger")
    monkeypatch.setattr("milo_billing.ledger.routes.EXPORTED_AT_ONCE", 1)
    assert exported(http, "ledger") == whole
