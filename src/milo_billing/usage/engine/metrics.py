"""What the engine counts, after the commit. What needs somebody has an alert and a runbook (deploy/alerts).

Those that Milo's own pipeline has bear its names, `billing_…`; the others begin with `milo_billing_`.
"""

from collections.abc import Mapping
from typing import Final, get_args

from milo_billing.infra.telemetry import counter, gauge, histogram
from milo_billing.usage.types import QuarantineReason, RejectReason

PIPELINE: Final = "billing_"
"""What the names of Milo's pipeline begin with."""

BACK_PRESSURE: Final = "BACK_PRESSURE"
"""A reason of INGESTION_REJECTIONS beside those of the wire contract: a whole request that was answered 429."""

INGESTION_EVENTS: Final = counter(
    "ingestion_events",
    about="Events that were acknowledged, by outcome: accepted, quarantined or duplicate.",
    labels=("outcome",),
    prefix=PIPELINE,
)
INGESTION_REJECTIONS: Final = counter(
    "ingestion_rejections",
    about="Events that were not taken, by reason of the wire contract; and requests refused for BACK_PRESSURE.",
    labels=("reason",),
    prefix=PIPELINE,
)
VALIDATION_REJECTIONS: Final = counter(
    "validation_rejections",
    about="Events that were acknowledged and cannot be billed as they are, by reason of their quarantine.",
    labels=("reason",),
    prefix=PIPELINE,
)
BACKLOG_DEPTH: Final = gauge(
    "pipeline_backlog_depth", about="Events that were received and are not durable yet.", prefix=PIPELINE
)
QUARANTINE_DEPTH: Final = gauge(
    "quarantine_depth",
    about="Events that wait in quarantine, by reason.",
    labels=("reason",),
    prefix=PIPELINE,
)
QUARANTINE_OLDEST_SECONDS: Final = gauge(
    "quarantine_oldest_seconds",
    about="How long the event that was received first has waited in quarantine, by reason.",
    labels=("reason",),
    prefix=PIPELINE,
)
REPLAYS_RUNNING: Final = gauge("usage_replays_running", about="Replays that are not finished.")
REPLAY_AGE_SECONDS: Final = gauge(
    "usage_replay_age_seconds",
    about="Time since the running replay that is slowest came further; 0 without one.",
)
LATE_EVENTS: Final = counter(
    "usage_late_events", about="Accepted events that happened more than an hour before their id was made."
)
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
REFUSED: Final = counter("usage_refused_requests", about="Requests answered 429, the queue being full.")
PREPARED_BESIDE: Final = counter(
    "usage_groups_prepared_beside", about="Groups that the process beside the gateway's prepared."
)
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


def count_fates(fates: Mapping[str, int]) -> None:
    """Count what became of the events of a committed group, by fate as in usage.tallies."""
    for fate, events in fates.items():
        kind, _, reason = fate.partition(":")
        match kind:
            case "rejected":
                INGESTION_REJECTIONS.labels(reason).inc(events)
            case "quarantined":
                INGESTION_EVENTS.labels(kind).inc(events)
                VALIDATION_REJECTIONS.labels(reason).inc(events)
            case "late":
                LATE_EVENTS.inc(events)
            case _:
                INGESTION_EVENTS.labels(kind).inc(events)


def _show_from_the_start() -> None:
    """A series that begins at its first event hides that event from rate(): all begin at zero."""
    for outcome in ("accepted", "quarantined", "duplicate"):
        INGESTION_EVENTS.labels(outcome)
    for reason in (*get_args(RejectReason), BACK_PRESSURE):
        INGESTION_REJECTIONS.labels(reason)
    for reason in get_args(QuarantineReason):
        VALIDATION_REJECTIONS.labels(reason)
    for outcome in ("replayed", "kept", "duplicate"):
        REPLAYED.labels(outcome)


_show_from_the_start()
