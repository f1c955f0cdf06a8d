"""The running invoice as soon as usage was acknowledged, and what it would be under other prices."""

import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import orjson

from milo_billing.client.http import ApiClient
from milo_billing.client.previews import preview_invoice
from tests.flow.conftest import CommandLine

METER = "llm.flow.example/context-tokens"
ACCOUNT = "organization-preview/main"
FRESH_S_MAX = 2


def test_the_preview_follows_usage_at_once_and_a_simulation_compares(
    milo: CommandLine, customer: Callable[[str, str], str], api: ApiClient, tmp_path: Path
) -> None:
    project = customer("preview", "2026-01-01T00:00:00Z")
    month = datetime.now(UTC).strftime("%Y-%m")  # usage may fall into the next one: then it is asked for
    for total in ("125.00", "250.00"):  # 50 units at 2.50 each time
        sent = milo("usage", "send", "--meter", METER, "--project", project, "--value", "50000000")
        assert sent.returncode == 0, sent.stderr
        acknowledged = time.monotonic()
        found = preview_invoice(api, account=ACCOUNT, month=month, by="project")
        assert time.monotonic() - acknowledged < FRESH_S_MAX
        assert (found["total"], found["provisional"], found["by"]) == (total, True, "project")
        assert [group["project"] for group in found["shares"]["items"]] == [project]
    (sku,) = [line["sku"] for line in found["lines"]]
    shown = milo("invoices", "preview", "--account", ACCOUNT, "--month", month)
    assert ["Total", "250.00", "USD"] in [line.split() for line in shown.stdout.splitlines()], shown.stderr
    book = {"prices": [{"skuRef": {"name": sku}, "model": "PerUnit", "unitPrice": "2"}]}
    file = tmp_path / "book.yaml"
    file.write_bytes(orjson.dumps(book))
    asked = ("simulate", "--account", ACCOUNT, "--month", month, "--book-file", str(file), "--output", "json")
    answer = milo(*asked)
    assert answer.returncode == 0, answer.stderr
    assert orjson.loads(answer.stdout)["total"] == {
        "today": "250.00",
        "simulated": "200.00",
        "difference": "-50.00",
    }
