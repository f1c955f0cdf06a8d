"""Raw events of an archived day, for disputes: those that match, in order of id, whatever the size of its file.

A file is sorted by (account, meter, day, id), a list by id alone. So a page goes through the row groups that may hold
some of it, one at a time, and keeps the least ids that it has seen: memory holds one row group and one page. Row groups
are passed over by the bounds of their columns; of one account and meter they are in order of id. Not: which files
(events), where they lie (archive).
"""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any, Final, TypeAlias
from uuid import UUID

import numpy as np
import orjson
from numpy.typing import NDArray

from milo_billing.usage.engine.parquet import keys, load_arrow, open_file
from milo_billing.usage.types import EventFilter, UsageEvent

Counted: TypeAlias = Callable[[Sequence[UUID], Sequence[datetime]], Collection[UUID]]
"""Of events with these ids and receipts those that counted when the filter says."""

_SIEVE: Final = ("id", "account", "project", "meter", "day", "received_at")
_LABELS: Final = ("dimension_labels", "resource_labels")
_SHOWN: Final = ("event_at", "value", *_LABELS)


@dataclass(frozen=True, slots=True)
class Scan:
    """What of a file is wanted: at most `limit` events with ids between `after` and `below`, neither included.

    `accounts` are those within reach, sorted: a file holds everybody's events.
    """

    wanted: EventFilter
    accounts: NDArray[np.int64]
    after: UUID
    below: UUID
    limit: int
    counted: Counted | None = None


def read_events(path: Path, scan: Scan) -> tuple[list[UsageEvent], int]:
    """The events with the least ids of those that match, in order, and how many row groups were read."""
    least: Any = None
    read = 0
    file: Any
    with open_file(path) as file:
        columns = {file.metadata.schema.column(i).path: i for i in range(file.metadata.num_columns)}
        for index in range(file.num_row_groups):
            below = scan.below.bytes
            if least is not None and len(least) >= scan.limit:
                below = least["id"][-1].as_py().bytes
            if not _may_hold(file.metadata.row_group(index), columns, scan, below):
                continue
            read += 1
            table = file.read_row_group(index, columns=list(_SIEVE))
            where = np.flatnonzero(_sieve(table, scan, below))
            if not len(where):
                continue
            for name in _SHOWN:
                table = table.append_column(name, file.read_row_group(index, columns=[name])[name])
            least = _least(least, _matching(table.take(where), scan), scan.limit)
    return ([] if least is None else [_event(row) for row in least.to_pylist()]), read


def _may_hold(group: Any, columns: Mapping[str, int], scan: Scan, below: bytes) -> bool:
    """Whether the bounds of the row group's columns leave room for what is wanted."""
    wanted = scan.wanted
    chosen: dict[str, Collection[int] | None] = {"project": wanted.projects, "meter": wanted.meters}
    for name, numbers in chosen.items():
        low, high = _bounds(group, columns[name])
        if numbers is not None and low is not None and not any(low <= n <= high for n in numbers):
            return False
    low, high = _bounds(group, columns["account"])
    if low is not None and np.searchsorted(scan.accounts, low) == np.searchsorted(
        scan.accounts, high, side="right"
    ):
        return False
    low, high = _bounds(group, columns["day"])
    if low is not None and (
        (wanted.end is not None and low >= wanted.end) or (wanted.first is not None and high < wanted.first)
    ):
        return False
    low, high = _bounds(group, columns["id"])
    return low is None or (high > scan.after.bytes and low < below)


def _bounds(group: Any, column: int) -> tuple[Any, Any]:
    statistics = group.column(column).statistics
    return (statistics.min, statistics.max) if statistics and statistics.has_min_max else (None, None)


def _sieve(table: Any, scan: Scan, below: bytes) -> NDArray[np.bool_]:
    """The rows that match as far as numbers and instants say."""
    wanted = scan.wanted
    id = _sortable(table["id"])
    chosen = (id > scan.after.bytes) & (id < below) & np.isin(table["account"].to_numpy(), scan.accounts)
    if wanted.projects is not None:
        chosen &= np.isin(table["project"].to_numpy(), list(wanted.projects))
    if wanted.meters is not None:
        chosen &= np.isin(table["meter"].to_numpy(), list(wanted.meters))
    if wanted.first is not None:
        chosen &= table["day"].to_numpy() >= np.datetime64(wanted.first)
    if wanted.end is not None:
        chosen &= table["day"].to_numpy() < np.datetime64(wanted.end)
    if wanted.counted_until is not None:  # a replay only comes later
        until = wanted.counted_until.astimezone(UTC).replace(tzinfo=None)
        chosen &= table["received_at"].to_numpy() <= np.datetime64(until, "us")
    return chosen


def _matching(table: Any, scan: Scan) -> Any:
    """Those of the rows whose labels match, and that counted when the filter says."""
    wanted = scan.wanted
    if wanted.match:
        table = table.filter(load_arrow().array(_labelled(table["dimension_labels"], wanted.match)))
    if wanted.resource:
        parts = {name: (value,) for name, value in wanted.resource.items()}
        table = table.filter(load_arrow().array(_labelled(table["resource_labels"], parts)))
    if scan.counted is not None and len(table):
        ids: list[UUID] = table["id"].to_pylist()
        counted = scan.counted(ids, table["received_at"].to_pylist())
        table = table.filter(load_arrow().array([id in counted for id in ids]))
    return table


def _labelled(column: Any, parts: Mapping[str, Collection[str]]) -> NDArray[np.bool_]:
    """Whether each named part of the labels has one of its values; decided once for each spelling that occurs."""
    spelled = column.combine_chunks()
    verdicts = [_has_parts(text, parts) for text in spelled.dictionary.to_pylist()]
    codes = spelled.indices.fill_null(len(verdicts)).to_numpy()
    return np.array([*verdicts, False], np.bool_)[codes]


def _has_parts(text: str | None, parts: Mapping[str, Collection[str]]) -> bool:
    labels: dict[str, Any] = {} if text is None else orjson.loads(text)
    return all(labels.get(name) in values for name, values in parts.items())


def _least(least: Any, more: Any, limit: int) -> Any:
    """The rows with the least ids of both, in order of id."""
    if not len(more):
        return least
    more = more.take(np.argsort(_sortable(more["id"]), kind="stable")[:limit])
    for place, name in enumerate(more.column_names):
        if name in _LABELS:  # a page keeps its own labels, not the dictionary of the row group
            more = more.set_column(place, name, more[name].cast(load_arrow().string()))
    if least is None:
        return more
    both = load_arrow().concat_tables([least, more])
    return both.take(np.argsort(_sortable(both["id"]), kind="stable")[:limit])


def _sortable(column: Any) -> NDArray[np.bytes_]:
    return keys(column.combine_chunks()).view("S16")


def _event(row: Mapping[str, Any]) -> UsageEvent:
    resource: str | None = row["resource_labels"]
    day: date = row["day"]
    return UsageEvent(
        id=row["id"],
        event_at=row["event_at"],
        received_at=row["received_at"],
        replayed_at=None,
        account=row["account"],
        project=row["project"],
        meter=row["meter"],
        day=day,
        value=row["value"],
        dimensions=orjson.loads(row["dimension_labels"] or "{}"),
        resource=None if resource is None else orjson.loads(resource),
    )
