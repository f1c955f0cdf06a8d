"""What the declarative engine counts. What needs somebody has an alert and a runbook (deploy/alerts)."""

from typing import Final, Literal, get_args

from milo_billing.infra.telemetry import counter, gauge, histogram

ExpiredReason = Literal["pruned", "backlog", "overrun"]
"""Why a watch ended with 410: its start was pruned, it had missed too much, or it did not keep up."""

COMMIT_LOCK_WAIT_SECONDS: Final = histogram(
    "commit_lock_wait_seconds", about="How long a write waited for its turn to be given a resource version."
)
WATCHERS: Final = gauge("watchers", about="Watches that are open.")
WATCHES_EXPIRED: Final = counter(
    "watches_expired",
    about="Watches that were told 410, to list again, by reason: pruned, backlog or overrun.",
    labels=("reason",),
)

for _reason in get_args(ExpiredReason):  # a series that begins at its first event hides it from rate()
    WATCHES_EXPIRED.labels(_reason)
