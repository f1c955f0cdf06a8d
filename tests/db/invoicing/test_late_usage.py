"""What becomes of usage that reaches a period after its invoice (domain.md §4): Δ on the next invoice, or given back."""

from datetime import date

from milo_billing.invoicing.types import Part
from tests.db.invoicing.ground import Ground
from tests.db.invoicing.late_ground import DECEMBER, JANUARY, amounts, lines_of, notes, spend_late, use_late


def test_what_came_late_is_charged_by_a_line_of_the_next_invoice(ground: Ground) -> None:
    account = ground.declare_account()
    ground.spend(account, "2026-10-05", 100)
    october = ground.issued(account)
    spend_late(ground, account, "2026-10-30", 20)
    ground.spend(account, "2026-11-05", 50)
    november = ground.issued(account, month=11, now=DECEMBER)
    own, late = lines_of(ground, november)
    assert (own.kind, own.amount_minor, own.adjusts) == ("Usage", 5_000, None)
    assert (late.kind, late.sku, late.amount_minor) == ("Adjustment", "tokens", 2_000)
    assert late.adjusts is not None
    assert (late.adjusts.number, late.adjusts.kind) == (october.number, "Usage")
    assert (late.first_day, late.end_day) == (date(2026, 10, 1), date(2026, 11, 1))
    assert late.parts == (
        Part("Rerated", None, None, None, 12_000),
        Part("Charged", None, None, None, -10_000),
    )
    assert [(one.project, one.amount_minor) for one in late.projects] == [("web", 2_000)]
    assert november.total_minor == 7_000
    assert ("Income:Revenue:Usage", -2_000, date(2026, 10, 1), date(2026, 11, 1)) in ground.read(
        "select e.account, e.amount_minor, e.service_from, e.service_to from ledger.entries e "
        "join ledger.transactions t on t.id = e.transaction where t.key = %s",
        f"invoice/{november.uid}/issue",
    )
    ground.spend(account, "2026-12-05", 50)
    december = ground.issued(account, month=12, now=JANUARY)
    assert amounts(ground, december) == [("Usage", "tokens", 5_000)]


def test_a_higher_tier_that_late_usage_reaches_prices_the_whole_period_again(ground: Ground) -> None:
    account = ground.declare_account()
    ground.use(account, ("2026-10-05", "web", "requests", 900))
    october = ground.issued(account)
    use_late(ground, account, "2026-10-30", 300, meter="requests")
    november = ground.issued(account, month=11, now=DECEMBER)
    # 1,000 at 0.10 and 200 at 0.05 with the tier's fee of 3.00, less 90.00
    assert amounts(ground, november) == [("Adjustment", "requests", 2_300)]
    assert november.kind == "Adjustment"
    assert november.period == october.period


def test_what_was_voided_is_given_back_by_a_credit_note_against_the_original(ground: Ground) -> None:
    account = ground.declare_account()
    ground.spend(account, "2026-10-05", 100)
    october = ground.issued(account)
    spend_late(ground, account, "2026-10-05", -30)
    ground.spend(account, "2026-11-05", 50)
    november = ground.issued(account, month=11, now=DECEMBER)
    assert amounts(ground, november) == [("Usage", "tokens", 5_000)]
    assert notes(ground) == [(october.number, 3_000)]
