"""What an entitlement says, day by day, as a subscription: what was known of it when."""

from datetime import date
from decimal import Decimal

import pytest

from milo_billing.entitlements.types import HeldSubscription, Revision
from milo_billing.pricing.rules.subscriptions import subscription_of
from milo_billing.pricing.types import QuantitySince, Subscription


def day(text: str) -> date:
    return date.fromisoformat(f"2026-{text}")


def held(*revisions: Revision, per_seat: bool = True) -> HeldSubscription:
    per = "Seat" if per_seat else "Entitlement"
    return HeldSubscription("pro", "seats", Decimal("2.5"), per, day("02-01"), day("02-10"), revisions)


def test_what_is_said_first_has_been_said_since_the_start_and_changes_act_on_their_day() -> None:
    found = subscription_of(
        held(
            Revision(day("02-05"), 4, None),
            Revision(day("02-20"), 6, None),
            Revision(day("03-03"), 6, day("04-01")),
        )
    )
    first = Subscription(
        sku="seats",
        start=day("02-01"),
        quantities=(QuantitySince(day("02-01"), Decimal(10)),),
        end=None,
        trial_end=day("02-10"),
        by="entitlement pro",
        known_from=day("02-06"),
        before=None,
    )
    more = (*first.quantities, QuantitySince(day("02-20"), Decimal(15)))
    second = Subscription(
        "seats", day("02-01"), more, None, day("02-10"), "entitlement pro", day("02-21"), first
    )
    last = (*more, QuantitySince(day("03-03"), Decimal(15)))
    assert found == Subscription(
        "seats", day("02-01"), last, day("04-01"), day("02-10"), "entitlement pro", day("03-04"), second
    )


def test_what_is_said_before_the_start_or_on_it_replaces_what_was_to_begin() -> None:
    found = subscription_of(held(Revision(day("01-05"), 4, None), Revision(day("02-01"), 8, None)))
    assert found.quantities == (QuantitySince(day("02-01"), Decimal(20)),)
    earlier = subscription_of(held(Revision(day("01-05"), 4, None), Revision(day("01-20"), 8, None)))
    assert earlier.quantities == (QuantitySince(day("02-01"), Decimal(20)),)


def test_a_quantity_of_the_entitlement_is_the_same_for_any_number_of_seats() -> None:
    found = subscription_of(held(Revision(day("01-05"), 4, None), per_seat=False))
    assert found.quantities == (QuantitySince(day("02-01"), Decimal("2.5")),)


def test_an_entitlement_of_which_nothing_was_said_is_named() -> None:
    with pytest.raises(ValueError, match=r"^nothing was ever said of entitlement pro$"):
        subscription_of(held())
