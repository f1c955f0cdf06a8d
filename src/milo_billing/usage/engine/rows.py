"""Rows in PostgreSQL's binary COPY format, made of whole columns, and the aggregates of a group.

Each row is a field count, then a length and a value for each field, all big-endian: a numpy record with the lengths
filled in once is exactly that.
"""

from typing import Any, Final, TypeAlias

import numpy as np
from numpy.typing import NDArray

from milo_billing.usage.engine.identifiers import halves
from milo_billing.usage.engine.prepared import Rows

Records: TypeAlias = NDArray[np.void]
I64: TypeAlias = NDArray[np.int64]

_UUID: Final = "V16"
_INT8: Final = ">i8"
_INT4: Final = ">i4"
_POSTGRES_EPOCH_US: Final = 946_684_800_000_000
"""Timestamps count from 2000-01-01, in microseconds."""

_POSTGRES_EPOCH_DAYS: Final = 10_957
_SUM_SAFE: Final = float(2**62)

_EVENT: Final = (
    ("id", _UUID),
    ("event_at", _INT8),
    ("received_at", _INT8),
    ("account", _INT4),
    ("project", _INT4),
    ("meter", _INT4),
    ("day", _INT4),
    ("dimensions", _INT8),
    ("value", _INT8),
    ("resource", _INT8),
    ("digest", _INT8),
)
_DELTA: Final = (
    ("account", _INT4),
    ("day", _INT4),
    ("project", _INT4),
    ("meter", _INT4),
    ("dimensions", _INT8),
    ("sum", _INT8),
    ("count", _INT8),
    ("min", _INT8),
    ("max", _INT8),
    ("last", _INT8),
    ("last_at", _INT8),
    ("last_id", _UUID),
)
_KEYED_EVENT: Final = (*_EVENT, ("distinct_key", _UUID))
_DISTINCT_KEY: Final = (*_DELTA[:5], ("key", _UUID), ("events", _INT8))
_FOREIGN: Final = (("hash", _UUID), ("event", _UUID), ("digest", _INT8))
_ELEMENT: Final = np.dtype([("length", _INT4), ("id", _UUID)])


class _Format:
    """A record type whose first field is the field count and in which each field follows its length."""

    def __init__(self, fields: tuple[tuple[str, str], ...]) -> None:
        layout: list[tuple[str, Any]] = [("fields", ">i2")]
        for name, kind in fields:
            layout += [(f"{name}_length", _INT4), (name, kind)]
        dtype = np.dtype(layout)
        self._empty = np.zeros(1, dtype)
        self._empty["fields"] = len(fields)
        for name, kind in fields:
            self._empty[f"{name}_length"] = np.dtype(kind).itemsize

    def records(self, n: int) -> Records:
        """`n` rows with everything but the values."""
        return np.repeat(self._empty, n)


_EVENTS: Final = _Format(_EVENT)
_KEYED_EVENTS: Final = _Format(_KEYED_EVENT)
_DELTAS: Final = _Format(_DELTA)
_DISTINCT_KEYS: Final = _Format(_DISTINCT_KEY)
_FOREIGN_IDS: Final = _Format(_FOREIGN)


def array_elements(keys: NDArray[np.bytes_]) -> bytes:
    """Keys as elements of a binary uuid[]."""
    elements = np.empty(len(keys), _ELEMENT)
    elements["length"] = 16
    elements["id"] = keys.view(_UUID)
    return elements.tobytes()


def pack_events(rows: Rows) -> bytes:
    """Rows of store.EVENT_COLUMNS."""
    return _event_records(rows, _EVENTS).tobytes()


def pack_keyed_events(rows: Rows) -> bytes:
    """Rows of store.KEYED_EVENT_COLUMNS, of events that count towards a distinct key."""
    records = _event_records(rows, _KEYED_EVENTS)
    records["distinct_key"] = rows.distinct.view(_UUID)
    return records.tobytes()


def _event_records(rows: Rows, form: _Format) -> Records:
    records = form.records(len(rows))
    records["id"] = rows.id.view(_UUID)
    records["event_at"] = rows.event_at - _POSTGRES_EPOCH_US
    records["received_at"] = rows.received_at - _POSTGRES_EPOCH_US
    records["account"] = rows.account
    records["project"] = rows.project
    records["meter"] = rows.meter
    records["day"] = rows.day - _POSTGRES_EPOCH_DAYS
    records["dimensions"] = rows.dimensions.view(np.int64)
    records["value"] = rows.value
    records["resource"] = rows.resource.view(np.int64)
    records["digest"] = rows.digest.view(np.int64)
    return records


def pack_foreign_ids(rows: Rows) -> bytes:
    """Rows of store.FOREIGN_COLUMNS, of foreign events."""
    records = _FOREIGN_IDS.records(len(rows))
    records["hash"] = rows.key.view(_UUID)
    records["event"] = rows.id.view(_UUID)
    records["digest"] = rows.digest.view(np.int64)
    return records.tobytes()


def pack_deltas(rows: Rows) -> bytes:
    """Aggregates of these rows, of store.DELTA_COLUMNS; more than one for a series whose sum might not fit an int64."""
    if not len(rows):
        return b""
    if rows.foreign.any():
        high, low = halves(rows.id)
        order = np.lexsort((low, high, rows.event_at, rows.series))
    else:  # in order of id already, and the sort is stable: of the same time, the greater id is the later
        order = np.lexsort((rows.event_at, rows.series))
    series, values = rows.series[order], rows.value[order]
    starts = np.empty(len(order), np.bool_)
    starts[0] = True
    starts[1:] = series[1:] != series[:-1]
    if float(np.abs(values.astype(np.float64)).sum()) > _SUM_SAFE:
        starts[:] = True
    first = np.flatnonzero(starts)
    last = np.append(first[1:], len(order)) - 1
    newest = order[last]
    records = _DELTAS.records(len(first))
    records["account"] = rows.account[newest]
    records["day"] = rows.day[newest] - _POSTGRES_EPOCH_DAYS
    records["project"] = rows.project[newest]
    records["meter"] = rows.meter[newest]
    records["dimensions"] = rows.dimensions[newest].view(np.int64)
    records["sum"] = np.add.reduceat(values, first)
    records["count"] = last - first + 1
    records["min"] = np.minimum.reduceat(values, first)
    records["max"] = np.maximum.reduceat(values, first)
    records["last"] = values[last]
    records["last_at"] = rows.event_at[newest] - _POSTGRES_EPOCH_US
    records["last_id"] = rows.id[newest].view(_UUID)
    return records.tobytes()


def pack_distinct_keys(rows: Rows) -> bytes:
    """How many of these rows, all keyed, count towards each key of each series, of store.DISTINCT_KEY_COLUMNS."""
    high, low = halves(rows.distinct)
    order = np.lexsort((low, high, rows.series))
    high, low, series = high[order], low[order], rows.series[order]
    starts = np.ones(len(order), np.bool_)
    starts[1:] = (series[1:] != series[:-1]) | (high[1:] != high[:-1]) | (low[1:] != low[:-1])
    first = np.flatnonzero(starts)
    chosen = order[first]
    records = _DISTINCT_KEYS.records(len(first))
    records["account"] = rows.account[chosen]
    records["day"] = rows.day[chosen] - _POSTGRES_EPOCH_DAYS
    records["project"] = rows.project[chosen]
    records["meter"] = rows.meter[chosen]
    records["dimensions"] = rows.dimensions[chosen].view(np.int64)
    records["key"] = rows.distinct[chosen].view(_UUID)
    records["events"] = np.diff(np.append(first, len(order)))
    return records.tobytes()
