"""What reaches a period after its invoice uses granted credit as every other charge does (domain.md §7)."""

from typing import Any

from tests.db.invoicing.ground import ACME, Ground
from tests.db.invoicing.late_ground import DECEMBER, adjust, amounts, spend_late


def grant(ground: Ground, name: str, kind: str, amount: str) -> None:
    spec: dict[str, Any] = {
        "billingAccountRef": {"name": "main"},
        "kind": kind,
        "amount": amount,
        "currencyCode": "USD",
        "reason": "agreed",
        **({"receivedInto": "bank"} if kind == "Prepaid" else {}),
    }
    ground.declare("creditgrants", name, spec, namespace=ACME)


def left(ground: Ground) -> dict[str, int]:
    """What is left of each grant."""
    return dict(ground.read("select name, remaining_minor from invoicing.credit_grants"))


def shown(ground: Ground) -> dict[str, str]:
    """What the grants' objects say is left."""
    rows = ground.read(
        "select name, status ->> 'remaining' from controlplane.objects where resource = 'creditgrants'"
    )
    return dict(rows)


def test_a_month_that_usage_reaches_late_uses_credit_before_the_month_that_comes_with_it(
    ground: Ground,
) -> None:
    """October had nothing to invoice: its 20 dollars come with November's 50, each on an invoice of its own."""
    account = ground.declare_account()
    ground.issue(account)
    grant(ground, "paid", "Prepaid", "40")
    grant(ground, "promo", "Promotional", "5")
    spend_late(ground, account, "2026-10-30", 20)
    ground.spend(account, "2026-11-05", 50)
    ground.issued(account, month=11, now=DECEMBER)
    assert ground.read(
        "select subtotal_minor, total_minor, total_minor - amount_paid_minor, phase from invoicing.invoices "
        "order by sequence"
    ) == [(2_000, 1_500, 0, "Paid"), (5_000, 5_000, 2_500, "PartiallyPaid")]
    assert left(ground) == {"paid": 0, "promo": 0}


def test_an_adjustment_uses_credit_and_gives_it_back(ground: Ground) -> None:
    account = ground.declare_account()
    ground.spend(account, "2026-10-05", 100)
    october = ground.issued(account)
    grant(ground, "paid", "Prepaid", "40")
    grant(ground, "promo", "Promotional", "5")
    spend_late(ground, account, "2026-10-30", 20)
    carrier = adjust(ground, october).invoice
    assert carrier is not None
    assert (carrier.kind, carrier.total_minor, carrier.phase) == ("Adjustment", 1_500, "Paid")
    assert amounts(ground, carrier) == [("Adjustment", "tokens", 2_000)]
    assert left(ground) == {"paid": 2_500, "promo": 0}
    spend_late(ground, account, "2026-10-30", -20)
    adjust(ground, october)
    assert left(ground) == {"paid": 4_000, "promo": 500}
    assert shown(ground) == {"paid": "40.00", "promo": "5.00"}
