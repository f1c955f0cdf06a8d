"""From what an account holds by an entitlement to what of it recurs, as it was known day by day."""

from datetime import timedelta

from milo_billing.entitlements.types import HeldSubscription
from milo_billing.pricing.types import QuantitySince, Subscription

_DAY = timedelta(days=1)


def subscription_of(held: HeldSubscription) -> Subscription:
    """The subscription as it is known now, with what was known before.

    What an entitlement says first it has said since it starts; a change acts on the day of the account on which it was
    written, and is known from the next day on. Raises ValueError for one of which nothing was ever said.
    """
    state: Subscription | None = None
    quantities: tuple[QuantitySince, ...] = ()
    for revision in held.revisions:
        since = held.starts_on if state is None else max(revision.day, held.starts_on)
        units = held.quantity * revision.quantity if held.per == "Seat" else held.quantity
        earlier = tuple(one for one in quantities if one.first_day < since)
        quantities = (*earlier, QuantitySince(since, units))
        state = Subscription(
            sku=held.sku,
            start=held.starts_on,
            quantities=quantities,
            end=revision.ends_on,
            trial_end=held.trial_ends_on,
            by=f"entitlement {held.entitlement}",
            known_from=revision.day + _DAY,
            before=state,
        )
    if state is None:
        raise ValueError(f"nothing was ever said of entitlement {held.entitlement}")
    return state
