"""What the conditions of a channel say, from how its deliveries went."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from milo_billing.notices.types import ChannelType, Health

FAILURES_MAX = 3
"""So many failures in a row, and a channel is not healthy."""


@dataclass(frozen=True, slots=True)
class Said:
    """One condition."""

    type: Literal["Ready", "Verified", "Healthy"]
    status: Literal["True", "False", "Unknown"]
    reason: str
    message: str


def conditions(*, type: ChannelType, paused: bool, signed: bool, health: Health | None) -> Iterator[Said]:
    """Ready, Verified and Healthy, in this order. `signed`: it has a secret; only webhooks need one."""
    if type == "Webhook" and not signed:
        message = "Events are sent once there is a secret to sign them with: `milo-billing notices secret`."
        yield Said("Ready", "False", "SecretMissing", message)
    elif health is not None and health.gone_at is not None:
        message = (
            "The other side answered 410: nothing is sent until the target changes or a test comes through."
        )
        yield Said("Ready", "False", "Gone", message)
    elif paused:
        yield Said("Ready", "False", "Paused", "The channel is paused: events are not sent.")
    else:
        yield Said("Ready", "True", "NotificationChannelReady", "Events are sent.")
    if health is not None and health.delivered_at is not None:
        yield Said("Verified", "True", "Delivered", "The other side has taken an event.")
    else:
        yield Said(
            "Verified", "Unknown", "NothingDelivered", "No event has come through yet: try the action test."
        )
    yield _healthy(health)


def _healthy(health: Health | None) -> Said:
    if health is None or (health.delivered_at is None and health.failures == 0 and health.gone_at is None):
        return Said("Healthy", "Unknown", "NothingSent", "No event was sent yet.")
    if health.gone_at is not None:
        return Said("Healthy", "False", "Gone", "The other side answered 410: it wants no more events.")
    if health.dead > 0:
        message = (
            "Events were given up after the last try; `milo-billing notices deliveries --state Dead` lists them, "
            "and `milo-billing notices replay` sends them again."
        )
        return Said("Healthy", "False", "DeliveriesDead", message)
    if health.failures >= FAILURES_MAX:
        return Said(
            "Healthy",
            "False",
            "DeliveriesFail",
            "The last events did not come through; they are tried again.",
        )
    return Said("Healthy", "True", "DeliveriesSucceed", "Events come through.")
