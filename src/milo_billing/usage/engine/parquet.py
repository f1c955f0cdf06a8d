"""The file that a sealed day becomes: its columns, how it is written from a binary COPY, and how it is read again.

A file stands alone: names and labels are in it beside the numbers, so that any tool reads it, long after this database.
Rows are sorted by (account, meter, day, id) in row groups of ROWS_PER_GROUP, so that a roll-up row is found without
reading the rest. Not: where files are kept (ports), nor when (archive). pyarrow is loaded on first use.
"""

from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, TypeAlias
from uuid import UUID

import numpy as np
from numpy.typing import NDArray

from milo_billing.usage.types import RowKey, StoredEvent

Records: TypeAlias = NDArray[np.void]

ROWS_PER_GROUP: Final = 65_536

_POSTGRES_EPOCH_US: Final = 946_684_800_000_000
_POSTGRES_EPOCH_DAYS: Final = 10_957
_HEADER_BYTES: Final = 19
_FIELDS: Final = (
    ("id", "V16"),
    ("event_at", ">i8"),
    ("received_at", ">i8"),
    ("account", ">i4"),
    ("project", ">i4"),
    ("meter", ">i4"),
    ("day", ">i4"),
    ("dimensions", ">i8"),
    ("value", ">i8"),
    ("resource", ">i8"),
    ("digest", ">i8"),
    ("distinct_key", "V16"),
)
SELECTED: Final = (
    "id, event_at, received_at, account, project, meter, day, dimensions, value, resource, digest, "
    "coalesce(distinct_key, '00000000-0000-0000-0000-000000000000')"
)
"""What to COPY: no field of it is null, so that all rows have one length."""

_FIGURES: Final = (
    "id",
    "event_at",
    "received_at",
    "account",
    "project",
    "meter",
    "day",
    "dimensions",
    "value",
    "distinct_key",
)
_LAYOUT: Final = np.dtype(
    [
        ("fields", ">i2"),
        *(entry for name, kind in _FIELDS for entry in ((f"{name}_length", ">i4"), (name, kind))),
    ]
)


@dataclass(frozen=True, slots=True)
class MeterTotal:
    """How many events of a meter, and the sum of their values, which may exceed int64."""

    events: int
    sum: int


Totals: TypeAlias = Mapping[int, MeterTotal]
"""By meter number."""


@dataclass(frozen=True, slots=True)
class Names:
    """What numbers and hashes stand for; one that is unknown is written as null."""

    accounts: Mapping[int, str]
    projects: Mapping[int, str]
    meters: Mapping[int, str]
    dimensions: Mapping[int, str]
    resources: Mapping[int, str]


def records(chunks: Iterable[bytes]) -> Iterator[Records]:
    """Rows of SELECTED from the chunks of a binary COPY, ROWS_PER_GROUP at a time; only the last may be shorter."""
    size = _LAYOUT.itemsize
    whole = ROWS_PER_GROUP * size
    buffer = bytearray()
    begun = False
    for chunk in chunks:
        buffer += chunk
        if not begun and len(buffer) >= _HEADER_BYTES:
            del buffer[:_HEADER_BYTES]
            begun = True
        while begun and len(buffer) >= whole:
            yield np.frombuffer(bytes(buffer[:whole]), _LAYOUT)
            del buffer[:whole]
    count, rest = divmod(len(buffer), size)
    if rest != 2:  # the mark at the end of a COPY
        raise ValueError(f"a COPY of events ends with {rest} bytes more than whole rows have")
    if count:
        yield np.frombuffer(bytes(buffer[: count * size]), _LAYOUT)


def write(path: Path, groups: Iterable[tuple[Records, Names]]) -> None:
    """Write a file of these row groups, in their order."""
    pq = load_parquet()
    writer: Any = None
    try:
        for rows, names in groups:
            table = _table(rows, names)
            if writer is None:
                writer = pq.ParquetWriter(path, table.schema, compression="zstd", write_page_checksum=True)
            writer.write_table(table)
    finally:
        if writer is not None:
            writer.close()


def _table(rows: Records, names: Names) -> Any:
    pa = load_arrow()

    def integers(name: str, kind: Any, *, epoch: int = 0) -> Any:
        native = rows[name].astype(rows[name].dtype.newbyteorder("="))
        return pa.array(native + native.dtype.type(epoch)).cast(kind)

    def uuids(name: str, *, zero_is_null: bool = False) -> Any:
        data = np.ascontiguousarray(rows[name])
        filled = data.view("u1").reshape(-1, 16).any(axis=1)
        bits = pa.py_buffer(np.packbits(filled, bitorder="little").tobytes()) if zero_is_null else None
        stored = pa.FixedSizeBinaryArray.from_buffers(
            pa.binary(16), len(data), [bits, pa.py_buffer(data.tobytes())]
        )
        return pa.ExtensionArray.from_storage(pa.uuid(), stored)

    def labels(name: str, spelled: Mapping[int, str]) -> Any:
        distinct, inverse = np.unique(rows[name].astype("i8"), return_inverse=True)
        values = pa.array([spelled.get(number) for number in distinct.tolist()], pa.string())
        return values.take(pa.array(inverse.astype(np.int32))).dictionary_encode()

    instant = pa.timestamp("us", "UTC")
    return pa.table(
        {
            "id": uuids("id"),
            "event_at": integers("event_at", instant, epoch=_POSTGRES_EPOCH_US),
            "received_at": integers("received_at", instant, epoch=_POSTGRES_EPOCH_US),
            "account": integers("account", pa.int32()),
            "account_name": labels("account", names.accounts),
            "project": integers("project", pa.int32()),
            "project_name": labels("project", names.projects),
            "meter": integers("meter", pa.int32()),
            "meter_name": labels("meter", names.meters),
            "day": integers("day", pa.date32(), epoch=_POSTGRES_EPOCH_DAYS),
            "dimensions": integers("dimensions", pa.int64()),
            "dimension_labels": labels("dimensions", names.dimensions),
            "value": integers("value", pa.int64()),
            "resource": integers("resource", pa.int64()),
            "resource_labels": labels("resource", names.resources),
            "digest": integers("digest", pa.int64()),
            "distinct_key": uuids("distinct_key", zero_is_null=True),
        }
    )


def open_file(path: Path) -> Any:
    """The file as pyarrow's ParquetFile. Reading what was changed or lost raises what `unreadable` names."""
    return load_parquet().ParquetFile(path, page_checksum_verification=True)


def unreadable() -> tuple[type[Exception], ...]:
    """What reading a damaged file raises."""
    return (OSError, load_arrow().ArrowException)


def read_totals(path: Path) -> dict[int, MeterTotal]:
    """Totals as the file has them, read row group by row group."""
    events: Counter[int] = Counter()
    sums: Counter[int] = Counter()
    file: Any
    with open_file(path) as file:
        for index in range(file.num_row_groups):
            table = file.read_row_group(index, columns=["meter", "value"])
            meters, values = table["meter"].to_numpy(), table["value"].to_numpy()
            for meter in np.unique(meters).tolist():
                chosen = values[meters == meter]
                events[meter] += len(chosen)
                # in two halves: a sum of 65,536 whole int64 would overflow
                sums[meter] += (int((chosen >> 32).sum()) << 32) + int((chosen & 0xFFFFFFFF).sum())
    return {meter: MeterTotal(events[meter], sums[meter]) for meter in sorted(events)}


def find_event(path: Path, id: UUID) -> StoredEvent | None:
    """The event of that id in the file."""
    file: Any
    with open_file(path) as file:
        for index in range(file.num_row_groups):
            column = file.read_row_group(index, columns=["id"])["id"].combine_chunks()
            found = np.flatnonzero(keys(column) == np.void(id.bytes))
            if len(found):
                row = file.read_row_group(index, columns=list(_FIGURES)).slice(int(found[0]), 1)
                return _events(row)[0]
    return None


def read_row(path: Path, key: RowKey, *, but: Collection[UUID] = ()) -> tuple[StoredEvent, ...]:
    """The events of a roll-up row that lie in the file, but for those that were voided."""
    pq = load_parquet()
    wanted = [
        ("account", "==", key.account),
        ("meter", "==", key.meter),
        ("day", "==", key.day),
        ("project", "==", key.project),
        ("dimensions", "==", key.dimensions),
    ]
    table: Any = pq.read_table(path, columns=list(_FIGURES), filters=wanted, page_checksum_verification=True)
    return tuple(event for event in _events(table) if event.id not in but)


def keys(column: Any) -> NDArray[np.void]:
    """The 16 bytes of each id of a column."""
    storage = getattr(column, "storage", column)
    data = np.frombuffer(storage.buffers()[1], np.uint8)[
        storage.offset * 16 : (storage.offset + len(storage)) * 16
    ]
    return data.view("V16")


def _events(table: Any) -> list[StoredEvent]:
    return [
        StoredEvent(
            id=row["id"],
            event_at=row["event_at"],
            received_at=row["received_at"],
            key=RowKey(
                account=row["account"],
                day=row["day"],
                project=row["project"],
                meter=row["meter"],
                dimensions=row["dimensions"],
            ),
            value=row["value"],
            distinct_key=row["distinct_key"],
        )
        for row in table.to_pylist()
    ]


def load_arrow() -> Any:
    """pyarrow, loaded on first use."""
    import pyarrow

    return pyarrow


def load_parquet() -> Any:
    """pyarrow.parquet, loaded on first use."""
    import pyarrow.parquet

    return pyarrow.parquet
