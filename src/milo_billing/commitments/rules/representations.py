"""How promises are shown: amounts as decimal strings of the account's currency, days as dates."""

from collections.abc import Sequence
from typing import Any

from milo_billing.commitments.types import Commitment, Progress
from milo_billing.kernel.money import Money


def summary_body(
    commitment: Commitment, progress: Sequence[Progress], *, accepted: bool, at: str
) -> dict[str, Any]:
    """The answer of …/commitments/<name>/summary."""
    return {
        "commitment": {"namespace": commitment.namespace, "name": commitment.name},
        "at": at,
        "currencyCode": commitment.currency,
        "accepted": accepted,
        "items": [_progress_body(one, commitment) for one in progress],
    }


def _progress_body(one: Progress, commitment: Commitment) -> dict[str, Any]:
    def shown(minor: int) -> str:
        return str(Money(minor, commitment.currency).decimal())

    return {
        "minimum": one.minimum,
        "interval": one.interval,
        "start": one.days.start.isoformat(),
        "end": one.days.end.isoformat(),
        "minimumSpend": shown(one.minimum_minor),
        "spent": shown(one.spent_minor),
        "remaining": shown(one.remaining_minor),
        "percent": one.percent,
        "daysLeft": one.days_left,
        "projectedSpend": shown(one.projected_spend_minor),
        "projectedShortfall": shown(one.projected_shortfall_minor),
    }
