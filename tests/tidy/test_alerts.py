"""Alert rules: well-formed, each with a runbook, each about metrics that the code has."""

import re
from pathlib import Path
from typing import Any

import yaml

from milo_billing.controlplane import metrics as declared
from milo_billing.infra import jobs
from milo_billing.infra.telemetry import REGISTRY
from milo_billing.invoicing import routes
from milo_billing.invoicing.jobs import daily, runs
from milo_billing.ledger import jobs as books
from milo_billing.notices import jobs as notices
from milo_billing.payments import jobs as payments
from milo_billing.pricing import jobs as rates
from milo_billing.usage.engine import metrics

ROOT = Path(__file__).parents[2]
METRIC = re.compile(r"\b(?:milo_billing|billing)_[a-z_]+")
SEVERITIES = {"warning", "critical"}
MEASURED_IN = (declared, jobs, routes, daily, runs, books, notices, payments, rates, metrics)
"""Modules that make metrics when they are imported."""


def rules() -> list[dict[str, Any]]:
    """Every rule of every file."""
    return [
        rule
        for file in sorted((ROOT / "deploy" / "alerts").glob("*.yaml"))
        for group in yaml.safe_load(file.read_text())["groups"]
        for rule in group["rules"]
    ]


def metrics_of(expression: str) -> set[str]:
    """The metrics that an expression names."""
    return set(METRIC.findall(expression))


def test_every_alert_has_a_runbook_and_every_runbook_an_alert():
    found = rules()
    assert len(found) == len({rule["alert"] for rule in found}) > 5
    for rule in found:
        assert rule["annotations"]["runbook"] == f"docs/runbooks/{rule['alert']}.md"
        assert rule["annotations"]["summary"].endswith(".")
        assert rule["labels"]["severity"] in SEVERITIES
        assert rule.get("for", "5m")[-1] in "smh"
        text = (ROOT / rule["annotations"]["runbook"]).read_text()
        assert text.startswith(f"# {rule['alert']}\n")
        for part in ("**What it means.**", "**Look at**", "**Do**"):
            assert part in text, rule["alert"]
    pages = {path.stem for path in (ROOT / "docs" / "runbooks").glob("*.md")} - {"README"}
    assert pages == {rule["alert"] for rule in found}
    index = (ROOT / "docs" / "runbooks" / "README.md").read_text()
    assert [page for page in sorted(pages) if f"]({page}.md)" not in index] == []


def test_every_expression_is_balanced_and_names_metrics_that_there_are():
    known = {sample for family in REGISTRY.collect() for sample in names_of(family.name, family.type)}
    for rule in rules():
        expression = rule["expr"]
        for opening, closing in ("()", "[]", "{}"):
            assert expression.count(opening) == expression.count(closing), rule["alert"]
        named = metrics_of(expression)
        assert named, rule["alert"]
        assert named <= known, rule["alert"]


def names_of(family: str, kind: str) -> set[str]:
    """The names that a family's samples bear."""
    match kind:
        case "counter":
            return {f"{family}_total"}
        case "histogram":
            return {f"{family}_bucket", f"{family}_sum", f"{family}_count"}
        case _:
            return {family}
