"""What the engine counts, after the commit. Each has an alert and a runbook."""

from typing import Final

from milo_billing.infra.telemetry import counter, gauge, histogram

EVENTS: Final = counter("usage_events", about="Events by what became of them.", labels=("fate",))
GROUPS: Final = counter("usage_groups", about="Transactions that stored a group of requests.")
GROUP_EVENTS: Final = histogram(
    "usage_group_events",
    about="Events in one ingest transaction.",
    buckets=(1, 10, 100, 500, 1_000, 2_500, 5_000, 7_500, 10_000),
)
ACKNOWLEDGEMENT_SECONDS: Final = histogram(
    "usage_acknowledgement_seconds", about="From a request's arrival in the engine to its answer."
)
FENCE_WAIT_SECONDS: Final = histogram(
    "usage_fence_wait_seconds", about="How long ingest waited for a change of payer to end."
)
QUEUED_EVENTS: Final = gauge("usage_queued_events", about="Events accepted and not answered yet.")
REFUSED: Final = counter("usage_refused_requests", about="Requests answered 429, the queue being full.")
PREPARED_AGAIN: Final = counter(
    "usage_groups_prepared_again", about="Groups whose meters, projects or payers had changed meanwhile."
)
PROBED_AGAIN: Final = counter(
    "usage_groups_probed_again", about="Groups that met an id stored by another process meanwhile."
)
DIVIDED: Final = counter(
    "usage_groups_divided", about="Groups divided to find an event that cannot be stored."
)
FAILED: Final = counter("usage_groups_failed", about="Groups of which nothing is known to be durable.")
RESTARTED: Final = counter("usage_thread_restarts", about="Engine threads that failed and began anew.")
COMPACTED: Final = counter("usage_compacted_deltas", about="Deltas moved into the roll-ups.")
COMPACTION_SECONDS: Final = histogram("usage_compaction_seconds", about="How long a compaction took.")
DELTA_AGE_SECONDS: Final = gauge(
    "usage_delta_age_seconds", about="Time since the deltas were last moved, as of the last attempt."
)
REPLAYED: Final = counter(
    "usage_replayed_events",
    about="Quarantined events that were tried again, by outcome.",
    labels=("outcome",),
)
