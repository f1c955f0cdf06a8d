"""Burn-down: the order of grants, the charges that each reaches, and that nothing is made or lost."""

from datetime import UTC, datetime, timedelta

from milo_billing.invoicing.rules import grants
from milo_billing.invoicing.rules.grants import Reaching, Usable
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


def test_another_issuers_money_pays_nothing() -> None:
    found = [Reaching(granted("Prepaid", 100))]
    assert grants.settling(draft_of([50]), found, issuer="other").prepaid == ()
