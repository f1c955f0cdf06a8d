"""Real usage, from a file to an invoice."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from milo_billing.client.http import ApiClient
from milo_billing.client.usage import get_usage
from tests.flow.conftest import CommandLine

pytestmark = pytest.mark.shared

TRACE = "llm/AzureLLMInferenceTrace_code.csv"
ACCESS_LOG = "usage/web_access_log_10k.csv"


def import_trace(milo: CommandLine, data: Path, project: str, *, meter: str, column: str) -> Any:
    return milo.json(
        "usage",
        "import",
        str(data / TRACE),
        *("--meter", f"llm.flow.example/{meter}", "--project", project),
        *("--time-column", "TIMESTAMP", "--value-column", column, "--accept-late"),
    )


def test_a_token_trace_of_2023_becomes_an_invoice_of_two_lines(
    milo: CommandLine, api: ApiClient, customer: Callable[[str, str], str], shared_data: Path
):
    project = customer("azure-trace", "2023-11-01T00:00:00Z")
    context = import_trace(milo, shared_data, project, meter="context-tokens", column="ContextTokens")
    generated = import_trace(milo, shared_data, project, meter="generated-tokens", column="GeneratedTokens")
    for imported in (context, generated):
        assert (imported["state"], imported["rows"], imported["accepted"]) == ("imported", 8_819, 8_819)
        assert (imported["quarantined"], imported["duplicate"]) == (0, 0)
    assert context["id"] != generated["id"]  # another column of the same file is another import

    run = milo.json("invoices", "run", "--month", "2023-11", "--account", "organization-azure-trace/main")
    assert (run["issued"], run["failed"]) == (1, 0)
    issued = run["accounts"][0]
    assert (issued["total"], issued["currency"]) == ("47.61", "USD")

    invoice = milo.json("invoices", "show", issued["number"], "-n", "organization-azure-trace")
    assert invoice["status"]["total"] == "47.61"
    lines = {line["sku"]: (line["quantity"], line["amount"]) for line in invoice["lines"]}
    assert len(invoice["lines"]) == 2
    assert lines == {"llm-context": ("18.059974", "45.15"), "llm-generated": ("0.245896", "2.46")}

    again = import_trace(milo, shared_data, project, meter="context-tokens", column="ContextTokens")
    assert (again["state"], again["id"]) == ("unchanged", context["id"])
    used = get_usage(api, project=project, **{"from": "2023-11-01", "to": "2023-12-01"}, groupBy="meter")
    assert sorted((row["meter"], row["sum"], row["count"]) for row in used) == [
        ("llm.flow.example/context-tokens", "18059974", 8_819),
        ("llm.flow.example/generated-tokens", "245896", 8_819),
    ]
    rerun = milo.json("invoices", "run", "--month", "2023-11", "--account", "organization-azure-trace/main")
    assert (rerun["issued"], rerun["unchanged"]) == (0, 1)
    assert rerun["accounts"][0]["number"] == issued["number"]


def test_an_access_log_out_of_order_sums_to_its_bytes(
    milo: CommandLine, api: ApiClient, customer: Callable[[str, str], str], shared_data: Path
):
    project = customer("web-log", "2015-05-01T00:00:00Z")
    imported = milo.json(
        "usage",
        "import",
        str(shared_data / ACCESS_LOG),
        *("--meter", "web.flow.example/bytes", "--project", project),
        *("--time-column", "time_utc", "--value-column", "bytes"),
        *("--dimension", "method=method", "--dimension", "status=status", "--accept-late"),
    )
    assert (imported["rows"], imported["accepted"], imported["quarantined"]) == (10_000, 10_000, 0)
    used = get_usage(api, project=project, **{"from": "2015-05-01", "to": "2015-06-01"}, groupBy="meter")
    assert [(row["sum"], row["count"]) for row in used] == [("2747282740", 10_000)]
    days = get_usage(api, project=project, **{"from": "2015-05-01", "to": "2015-06-01"}, groupBy="day")
    assert len(days) == 4
    assert sum(int(row["sum"]) for row in days) == 2_747_282_740


def test_without_accept_late_old_rows_wait_in_quarantine(
    milo: CommandLine, api: ApiClient, customer: Callable[[str, str], str], shared_data: Path
):
    project = customer("late-log", "2015-05-01T00:00:00Z")
    imported = milo.json(
        "usage",
        "import",
        str(shared_data / ACCESS_LOG),
        *("--meter", "web.flow.example/bytes", "--project", project),
        *("--time-column", "time_utc", "--value-column", "bytes"),
    )
    assert (imported["rows"], imported["quarantined"]) == (10_000, 10_000)
    assert (
        get_usage(api, project=project, **{"from": "2015-05-01", "to": "2015-06-01"}, groupBy="meter") == []
    )
