"""An invoice in detail: what each project used on each day, to the cent of its lines."""

import csv
import io
from collections import defaultdict
from decimal import Decimal

from milo_billing.invoicing.operations import details
from milo_billing.invoicing.reads import lines as line_reads
from milo_billing.invoicing.types.invoices import Invoice
from milo_billing.kernel.money import minor_to_decimal
from tests.db.invoicing.ground import Ground

TOKENS = (
    ("2026-10-01", "web", "tokens", 1_000_001),
    ("2026-10-31", "web", "tokens", 2_333_333),
    ("2026-10-09", "data", "tokens", 7_000_000),
)


def told(ground: Ground, invoice: Invoice) -> list[dict[str, str]]:
    text = ground.reading(lambda tx: "".join(details.write_details(tx, invoice=invoice)))
    return list(csv.DictReader(io.StringIO(text, newline="")))


def assert_sums(ground: Ground, invoice: Invoice, rows: list[dict[str, str]]) -> None:
    sums: dict[int, Decimal] = defaultdict(Decimal)
    for row in rows:
        sums[int(row["line"])] += Decimal(row["amount"])
    lines = ground.reading(lambda tx: line_reads.list_lines(tx, invoice=invoice.uid, limit=100))
    expected = {one.line: minor_to_decimal(one.amount_minor, invoice.currency) for one in lines}
    assert dict(sums) == expected
    for line in lines:
        quantities = [Decimal(row["quantity"]) for row in rows if int(row["line"]) == line.line]
        if line.kind == "Usage":
            assert sum(quantities) == line.quantity


def test_every_project_and_day_of_a_tiered_line_sums_to_it(ground: Ground) -> None:
    account = ground.declare_account()
    requests = [(f"2026-10-{day:02}", "web", "requests", 37 * day) for day in range(1, 31)]
    ground.use(account, *TOKENS, *requests, ("2026-10-05", "data", "requests", 1))
    invoice = ground.issued(account)
    rows = told(ground, invoice)
    assert_sums(ground, invoice, rows)
    assert len(rows) == 3 + 31
    tokens = [row for row in rows if row["sku"] == "tokens"]
    assert [(row["project"], row["day"], row["metered"], row["quantity"]) for row in tokens] == [
        ("web", "2026-10-01", "1000001", "1.000001"),
        ("web", "2026-10-31", "2333333", "2.333333"),
        ("data", "2026-10-09", "7000000", "7"),
    ]
    assert (tokens[0]["firstDay"], tokens[0]["lastDay"], tokens[0]["currency"]) == (
        "2026-10-01",
        "2026-10-31",
        "USD",
    )


def test_what_comes_late_takes_the_days_of_its_project_and_not_the_amount(ground: Ground) -> None:
    account = ground.declare_account()
    ground.use(account, *TOKENS)
    invoice = ground.issued(account)
    ground.use(account, ("2026-10-20", "web", "tokens", 5))
    rows = told(ground, invoice)
    assert_sums(ground, invoice, rows)
    assert [(row["project"], row["day"]) for row in rows] == [("web", ""), ("data", "2026-10-09")]


def test_what_a_commitment_charges_is_the_accounts_own(ground: Ground) -> None:
    account = ground.declare_account()
    ground.promise(minimumSpends=[{"amount": "100", "interval": "Monthly", "currencyCode": "USD"}])
    ground.use(account, *TOKENS)
    invoice = ground.issued(account)
    rows = told(ground, invoice)
    assert_sums(ground, invoice, rows)
    (shortfall,) = [row for row in rows if row["kind"] == "Shortfall"]
    assert (shortfall["project"], shortfall["day"], shortfall["sku"]) == ("", "", "")
