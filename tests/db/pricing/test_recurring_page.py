"""docs/recurring-charges.md: its manifests are taken as they stand, and its numbers are what is charged."""

import re
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
import yaml

from milo_billing.accounts.reads import accounts as account_reads
from milo_billing.entitlements.resources.entitlements import GRANT, Entitlement
from milo_billing.infra.database import EVERYWHERE
from milo_billing.kernel.periods import billing_month
from milo_billing.pricing.operations import rate_account
from tests.accounts_world import ACME, World

PAGE = (Path(__file__).parents[3] / "docs" / "recurring-charges.md").read_text()
COLUMNS = {"Advance": 2, "Arrears": 3}


def manifests() -> list[dict[str, Any]]:
    blocks = [block.split("```")[0] for block in PAGE.split("```yaml\n")[1:]]
    return [manifest for block in blocks for manifest in yaml.safe_load_all(block)]


def said(column: int) -> list[str]:
    """The amounts of the worked example, in the order of the page."""
    rows = PAGE.split("| invoice of | in advance | in arrears |\n|---|---|---|\n")[1].split("\n\n")[0]
    found = [re.search(r"([−0-9.]+)$", row.split("|")[column].strip()) for row in rows.splitlines()]
    return [one[1].replace("−", "-") for one in found if one is not None]


def declare(world: World, *, billing: str) -> None:
    world.account()
    world.grants.granted[GRANT] = EVERYWHERE
    kinds = {kind.kind: type(kind) for kind in world.engine.registry.kinds}
    for manifest in manifests():
        if manifest["kind"] == "PriceBook":
            manifest["spec"]["prices"][0]["billing"] = billing
        metadata = manifest["metadata"]
        world.create(
            kinds[manifest["kind"]],
            metadata["name"],
            manifest["spec"],
            namespace=metadata.get("namespace", ""),
        )


def charged(world: World, sku: str, *months: tuple[int, int]) -> list[Decimal]:
    with world.databases.app.transaction(reach=EVERYWHERE) as tx:
        account = account_reads.find_account(tx, namespace=ACME, name="main")
        assert account is not None
        periods = [billing_month(year, month, zone="Etc/UTC") for year, month in months]
        rated = [rate_account(tx, account=account.number, period=one, now=one.end) for one in periods]
    return [line.amount.decimal() for one in rated for line in one.lines if line.sku.name == sku]


@pytest.mark.parametrize("billing", ["Advance", "Arrears"])
def test_the_page_is_taken_as_it_stands_and_charged_as_it_says(world: World, billing: str) -> None:
    declare(world, billing=billing)
    assert charged(world, "onboarding", (2026, 10)) == [Decimal("200.00")]
    world.clock.instant = datetime(2027, 2, 15, 12, tzinfo=UTC)
    (patched,) = re.findall(r"--type merge -p '\{\"spec\": (\{\"quantity\": \d+\})\}'", PAGE)
    world.patch(Entitlement, "team", yaml.safe_load(patched), namespace=ACME)
    amounts = charged(world, "seats", (2027, 1), (2027, 2))
    assert [f"{amount:.2f}" for amount in amounts] == said(COLUMNS[billing])
