"""The demo, as `./task demo` runs it."""

import subprocess
import sys
from pathlib import Path

from demo import month
from demo.expected import expected_invoices

ROOT = Path(__file__).parents[2]


def test_the_demo_runs_from_nothing_to_invoices_and_its_totals_are_right():
    done = subprocess.run(
        [sys.executable, "-m", "demo"], cwd=ROOT, capture_output=True, text=True, check=False, timeout=300
    )
    assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"
    for heading in ("Invoices", "Usage", "What to do next"):
        assert heading in done.stdout
    for reason in ("too_late", "unknown_meter", "attribution_failure", "invalid_dimensions"):
        assert reason in done.stdout
    documents = sorted((ROOT / "demo-output").glob("*.pdf"))
    assert len(documents) == 7  # a credit note is among them
    assert all(document.read_bytes().startswith(b"%PDF-") for document in documents)
    bills = expected_invoices(month.generate_month().counted)
    assert {bill.category for bill in bills.values()} == {"S", "AE", "G"}
    for bill in bills.values():
        assert f"{bill.tax:,.2f} {bill.category}" in done.stdout
        assert f"{bill.total:,.2f}" in done.stdout
    assert "Liabilities:TaxPayable:IE" in done.stdout
    for shown in (
        "commitment show",
        "yearly",
        "price explain",
        "published 2026-10-30 by ECB",
        "payments collect",
        "the next try is on 2026-12-04",
        "Assets:Clearing:Sandbox",
        "trial-balance",
    ):
        assert shown in done.stdout
    assert "\x1b[" not in done.stdout + done.stderr  # plain lines where there is no terminal
