"""What a Discount may say, and that what was invoiced keeps its discount."""

from typing import Any

import pytest

from milo_billing.commitments.resources.discounts import DiscountKind
from milo_billing.infra.database import EVERYWHERE
from milo_billing.kernel.errors import Conflict
from tests.accounts_world import ACME
from tests.db.commitments.ground import Ground, gpu_only


@pytest.mark.parametrize(
    ("spec", "said"),
    [
        ({}, "spec: Required value: a discount has either a percentage or an amount"),
        ({"percentage": "5", "amount": "5", "currencyCode": "USD"}, "either a percentage or an amount"),
        ({"percentage": "0"}, "must be above 0 and at most 100"),
        ({"amount": "5"}, 'spec.currencyCode: Invalid value: "": billing account "main" is in USD'),
        ({"percentage": "5", "currencyCode": "USD"}, "only an amount has a currency"),
        ({"percentage": "5", "scope": "Invoice", "skuSelectors": gpu_only()}, "acts on every line"),
        ({"percentage": "5", "endsOn": "2026-10-31"}, "is before startsOn"),
        ({"percentage": "5", "startsOn": "0001-01-01"}, "must lie in the years 2000 to 2200"),
        ({"percentage": "5", "skuSelectors": [{"cel": "1"}]}, "must say true or false"),
    ],
)
def test_what_cannot_be_taken_off_is_refused_at_its_field(
    ground: Ground, spec: dict[str, Any], said: str
) -> None:
    wanted = {"billingAccountRef": {"name": "main"}, "startsOn": "2026-11-01", **spec}
    refused = ground.world.refusals(DiscountKind, "launch", wanted, namespace=ACME)
    assert any(said in one for one in refused), refused


def test_it_holds_until_its_end_which_can_be_set_later(ground: Ground) -> None:
    ground.discount(percentage="50")
    for day in ("2026-11-05", "2026-11-20", "2026-12-05"):
        ground.use(day, "gpu", 100)
    assert [ground.nets(2026, month)["gpu"] for month in (11, 12)] == [10000, 5000]
    ground.world.patch(DiscountKind, "launch", {"endsOn": "2026-11-16"}, namespace=ACME)
    assert [ground.nets(2026, month)["gpu"] for month in (11, 12)] == [15000, 10000]
    (said,) = ground.world.changes_refused(DiscountKind, "launch", {"percentage": "60"}, namespace=ACME)
    assert "immutable but for endsOn and displayName" in said


def test_what_was_invoiced_keeps_its_discount(ground: Ground) -> None:
    ground.discount(percentage="50")
    with ground.world.databases.app.transaction(reach=EVERYWHERE) as tx:
        tx.execute("insert into accounts.billed select number, '2026-12-01Z', 1 from accounts.accounts")
    with pytest.raises(Conflict, match="stands in an invoiced period"):
        ground.world.delete(DiscountKind, "launch", namespace=ACME)
    (said,) = ground.world.changes_refused(DiscountKind, "launch", {"endsOn": "2026-11-16"}, namespace=ACME)
    assert "keeps its discount" in said
    ground.world.patch(DiscountKind, "launch", {"endsOn": "2026-12-01"}, namespace=ACME)
    late = {"billingAccountRef": {"name": "main"}, "startsOn": "2026-11-30", "percentage": "5"}
    (said,) = ground.world.refusals(DiscountKind, "late", late, namespace=ACME)
    assert "lies in an invoiced period" in said
