"""Burn-down: the order of grants, the charges that each reaches, and that nothing is made or lost."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal

from hypothesis import given
from hypothesis import strategies as st

from milo_billing.invoicing.rules import grants
from milo_billing.invoicing.rules.grants import GrantKind, Reaching, Usable
from milo_billing.invoicing.rules.taxes import with_taxes
from tests.unit.invoicing.golden_taxes import taxed
from tests.unit.invoicing.granted import GRANTED, draft_of, granted

SOON = datetime(2026, 12, 1, tzinfo=UTC)


def test_grants_burn_down_by_priority_expiry_age_and_id() -> None:
    wanted = [
        granted("Prepaid", 1, 9, priority=1),
        granted("Prepaid", 1, 8, expires_at=SOON),
        granted("Prepaid", 1, 7, expires_at=SOON + timedelta(days=1)),
        granted("Prepaid", 1, 1),
        granted("Prepaid", 1, 2),
    ]
    assert grants.in_order(reversed(wanted)) == tuple(wanted)


def test_a_grant_holds_from_its_first_instant_up_to_its_expiry() -> None:
    one = granted("Goodwill", 1, expires_at=SOON)
    moments = (GRANTED - timedelta(seconds=1), GRANTED, SOON - timedelta(seconds=1), SOON)
    assert [one.holds_at(at) for at in moments] == [False, True, True, False]


def test_credit_reaches_its_charges_only_and_takes_no_more_than_the_limit() -> None:
    charges = [100, -30, 50]
    assert grants.burn(charges, [Usable(500, frozenset({0})), Usable(500)], limit_minor=120) == (
        {0: 100},
        {2: 20},
    )
    assert grants.burn(charges, [Usable(10)], limit_minor=-5) == ({},)


_charges = st.lists(st.integers(-1_000, 1_000), min_size=1, max_size=6)
_credits = st.lists(st.integers(1, 1_500), max_size=5)


@given(_charges, _credits, st.integers(-500, 3_000))
def test_nothing_is_made_or_lost(charges: list[int], credits: list[int], limit: int) -> None:
    burned = grants.burn(charges, [Usable(minor) for minor in credits], limit_minor=limit)
    by_charge = [sum(uses.get(position, 0) for uses in burned) for position in range(len(charges))]
    assert all(0 <= taken <= max(charge, 0) for taken, charge in zip(by_charge, charges, strict=True))
    assert all(sum(uses.values()) <= minor for uses, minor in zip(burned, credits, strict=True))
    owed = sum(max(charge, 0) for charge in charges)
    assert sum(by_charge) == min(owed, sum(credits), max(limit, 0))


@given(_charges, _credits, _credits, _credits, st.sampled_from(["0", "7.5", "19"]))
def test_an_invoice_is_never_settled_beyond_its_total(
    charges: list[int], promotions: list[int], goodwill: list[int], prepaid: list[int], percent: str
) -> None:
    """Whatever was granted, and whatever lines give back: each amount is within the one before it."""
    if sum(charges) < 0:
        charges = [abs(charge) for charge in charges]
    wanted: dict[GrantKind, list[int]] = {
        "Promotional": promotions,
        "Goodwill": goodwill,
        "Prepaid": prepaid,
    }
    found = [
        Reaching(granted(kind, minor, number))
        for kind, minors in wanted.items()
        for number, minor in enumerate(minors)
    ]
    untaxed = grants.with_promotional(draft_of(charges), found)
    assert 0 <= untaxed.total_minor <= sum(charges)
    drafted = with_taxes(untaxed, {"standard": (taxed(percent),)})
    plan = grants.settling(drafted, found, issuer="kestrel")
    assert 0 <= plan.goodwill_minor <= drafted.total_minor
    assert 0 <= plan.prepaid_minor <= drafted.total_minor - plan.goodwill_minor
    money = sum(prepaid)
    assert plan.prepaid_minor == min(money, drafted.total_minor - plan.goodwill_minor)
    assert Decimal(percent) or plan.goodwill_minor == sum(one.net_minor for one in plan.goodwill)


def test_another_issuers_money_pays_nothing() -> None:
    found = [Reaching(granted("Prepaid", 100))]
    assert grants.settling(draft_of([50]), found, issuer="other").prepaid == ()
