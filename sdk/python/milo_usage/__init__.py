"""Record usage for Milo Billing: each event on disk before `record` returns, and billed exactly once.

The names here are the whole public interface; everything else may change.
"""

from milo_usage.asynchronous import AsyncRecorder
from milo_usage.errors import (
    InvalidEvent,
    RecorderClosed,
    SpoolFull,
    UnableToRecord,
    UnreadableSpool,
    UsageError,
)
from milo_usage.events import Usage
from milo_usage.metrics import Metrics
from milo_usage.recorder import Recorder

__all__ = [
    "AsyncRecorder",
    "InvalidEvent",
    "Metrics",
    "Recorder",
    "RecorderClosed",
    "SpoolFull",
    "UnableToRecord",
    "UnreadableSpool",
    "Usage",
    "UsageError",
]
