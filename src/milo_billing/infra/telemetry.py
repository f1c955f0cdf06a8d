"""Logs and metrics of a process: JSON lines on stderr, one registry.

Slices make their counters here at import and count after commit; the supervisor gathers the processes' metrics and
adds which process each came from. Personal data and secrets are never logged.
"""

import logging
import sys
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import structlog
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, ProcessCollector
from prometheus_client.exposition import generate_latest
from prometheus_client.metrics_core import Metric
from prometheus_client.parser import text_string_to_metric_families
from structlog.typing import EventDict

from milo_billing.infra.settings import LogLevel

PREFIX = "milo_billing_"
SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
"""Buckets for what people wait for."""

REGISTRY = CollectorRegistry()
ProcessCollector(registry=REGISTRY)


def counter(name: str, *, about: str, labels: Sequence[str] = (), prefix: str = PREFIX) -> Counter:
    """A count that only grows; `name` without the prefix and without `_total`, which is added."""
    return Counter(prefix + name, about, tuple(labels), registry=REGISTRY)


def gauge(name: str, *, about: str, labels: Sequence[str] = (), prefix: str = PREFIX) -> Gauge:
    """A value that goes up and down; the unit comes last in `name`, such as `delta_age_seconds`."""
    return Gauge(prefix + name, about, tuple(labels), registry=REGISTRY)


def histogram(
    name: str, *, about: str, labels: Sequence[str] = (), buckets: Sequence[float] = SECONDS
) -> Histogram:
    """A distribution; the unit comes last in `name`, such as `commit_lock_wait_seconds`."""
    return Histogram(PREFIX + name, about, tuple(labels), buckets=tuple(buckets), registry=REGISTRY)


def exposition() -> str:
    """The metrics of this process, in Prometheus' text format."""
    return generate_latest(REGISTRY).decode()


class _Gathered:
    """Families of several processes, merged by name, each sample labelled with its process."""

    def __init__(self, texts: Mapping[str, str]) -> None:
        self._texts = texts

    def collect(self) -> Iterable[Metric]:
        merged: dict[str, Metric] = {}
        for process, text in self._texts.items():
            for family in text_string_to_metric_families(text):
                metric = merged.setdefault(
                    family.name, Metric(family.name, family.documentation, family.type)
                )
                for sample in family.samples:
                    labels = {**sample.labels, "process": process}
                    metric.add_sample(sample.name, labels, sample.value, sample.timestamp, sample.exemplar)
        return merged.values()


def gather(texts: Mapping[str, str]) -> bytes:
    """One text of the texts of several processes, by process name."""
    return generate_latest(_Gathered(texts))


def configure_logging(*, level: LogLevel, process: str) -> None:
    """Send every log line of this process, ours and the libraries', to stderr as one JSON object."""
    shared: list[Any] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_logger_name,
        structlog.stdlib.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.format_exc_info,
    ]

    def add_process(_logger: Any, _method: str, event: EventDict) -> EventDict:
        event["process"] = process
        event.pop("color_message", None)  # uvicorn's, the same text for terminals
        return event

    structlog.configure(
        processors=[*shared, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        logger_factory=structlog.stdlib.LoggerFactory(),
        cache_logger_on_first_use=False,
    )
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=[*shared, structlog.stdlib.ExtraAdder()],
            processors=[
                add_process,
                structlog.stdlib.ProcessorFormatter.remove_processors_meta,
                structlog.processors.JSONRenderer(default=str),
            ],
        )
    )
    root = logging.getLogger()
    root.handlers = [handler]
    root.setLevel(level.upper())
    for chatty in ("httpx", "httpcore", "psycopg.pool", "procrastinate", "uvicorn.access"):
        logging.getLogger(chatty).setLevel(max(root.level, logging.WARNING))
