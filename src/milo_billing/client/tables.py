"""Usage in a table file: CSV or JSON lines, with a mapping of its columns to an event.

Owns: reading and checking rows, and the file's identity. Not: sending them (imports).

A file is read twice: once whole, to check every row before anything is sent, and once to send. It is never
held in memory.
"""

import csv
import hashlib
import io
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, Literal, cast

import orjson

from milo_billing.client.errors import UnableToImport
from milo_billing.client.timestamps import format_instant, parse_instant
from milo_billing.kernel.quantity import INT64_MAX, INT64_MIN

Format = Literal["csv", "jsonl"]

BAD_ROWS_SHOWN = 10
_INTEGER = re.compile(r"[+-]?\d{1,19}", re.ASCII)


@dataclass(frozen=True, slots=True)
class TableMapping:
    """How a row becomes an event. With the file's digest this is the identity of an import.

    `dimensions` maps a dimension's name to the column its value comes from; an empty cell leaves the
    dimension out.
    """

    meter: str
    project: str
    time_column: str
    value_column: str
    dimensions: Mapping[str, str]
    format: Format

    def columns(self) -> tuple[str, ...]:
        return (self.time_column, self.value_column, *self.dimensions.values())

    def document(self) -> dict[str, Any]:
        """As it is sent: the server keeps it beside the digest."""
        return {
            "meter": self.meter,
            "project": self.project,
            "timeColumn": self.time_column,
            "valueColumn": self.value_column,
            "dimensions": dict(sorted(self.dimensions.items())),
            "format": self.format,
        }


@dataclass(frozen=True, slots=True)
class BadRow:
    """A row that cannot be an event. `row` counts data rows from 1, as the server does; `line` is the file's
    line.
    """

    row: int
    line: int
    column: str
    expected: str
    got: str

    def __str__(self) -> str:
        at = f"row {self.row} (line {self.line}), column {self.column}"
        return f"{at}: expected {self.expected}, got {self.got}"


@dataclass(frozen=True, slots=True)
class Checked:
    """A file that was read whole and has no bad row."""

    sha256: str
    rows: int
    size: int


class _BadCell(Exception):
    def __init__(self, column: str, expected: str, got: object) -> None:
        super().__init__(column)
        self.column = column
        self.expected = expected
        self.got = "nothing" if got is None or got == "" else repr(got)


class _Digesting(io.RawIOBase):
    """A file that is hashed while it is read, so that checking and identity cost one pass."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self.sha256 = hashlib.sha256()
        self.size = 0

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        block = self._file.read(len(buffer))
        buffer[: len(block)] = block
        self.sha256.update(block)
        self.size += len(block)
        return len(block)


def guess_format(path: Path) -> Format:
    """By the file's name: .jsonl and .ndjson are JSON lines, everything else CSV."""
    return "jsonl" if path.suffix.lower() in (".jsonl", ".ndjson") else "csv"


def check_table(file: BinaryIO, mapping: TableMapping, *, where: str) -> Checked:
    """Read the whole file and say what it is; the position is moved to its end.

    Raises UnableToImport naming missing columns and those that exist, or the first bad rows and how many
    there are.
    """
    digesting = _Digesting(file)
    rows = 0
    bad: list[BadRow] = []
    bad_count = 0
    for event in _read(digesting, mapping, where=where):
        rows += 1
        if isinstance(event, BadRow):
            bad_count += 1
            if len(bad) < BAD_ROWS_SHOWN:
                bad.append(event)
    if bad_count:
        shown = "".join(f"\n  {row}" for row in bad)
        more = f"\n  … and {bad_count - len(bad)} more" if bad_count > len(bad) else ""
        raise UnableToImport(
            f"{bad_count} of {rows} rows cannot be read as usage:{shown}{more}",
            where=where,
            next_step="Nothing was imported. Correct the file and import it again.",
        )
    return Checked(sha256=digesting.sha256.hexdigest(), rows=rows, size=digesting.size)


def read_events(
    file: BinaryIO, mapping: TableMapping, *, where: str, checked: Checked
) -> Iterator[dict[str, Any]]:
    """The events of a file that was checked, from its start, in its order; its digest is compared at the end.

    Raises UnableToImport when the file is not what was checked.
    """
    file.seek(0)
    digesting = _Digesting(file)
    for event in _read(digesting, mapping, where=where):
        if isinstance(event, BadRow):
            raise _changed(where)
        yield event
    if digesting.sha256.hexdigest() != checked.sha256:
        raise _changed(where)


def _changed(where: str) -> UnableToImport:
    return UnableToImport(
        "The file changed while it was being imported; rows sent so far are in, the import stays open.",
        where=where,
        next_step="Import a copy of the original file to finish it: rows that arrived are not billed twice.",
    )


def _read(raw: io.RawIOBase, mapping: TableMapping, *, where: str) -> Iterator[dict[str, Any] | BadRow]:
    text = io.TextIOWrapper(io.BufferedReader(raw, 1 << 20), encoding="utf-8-sig", newline="")
    try:
        yield from (
            _read_csv(text, mapping, where) if mapping.format == "csv" else _read_jsonl(text, mapping, where)
        )
    except UnicodeDecodeError as error:
        raise UnableToImport(
            f"The file is not UTF-8 text: {error.reason} at byte {error.start} of the current block.",
            where=where,
            next_step="Nothing was imported. Convert it to UTF-8 first.",
        ) from error
    finally:
        text.detach()


def _read_csv(text: io.TextIOWrapper, mapping: TableMapping, where: str) -> Iterator[dict[str, Any] | BadRow]:
    reader = csv.reader(text, strict=True)
    try:
        header = next(reader, None)
        if header is None:
            raise UnableToImport(
                "The file is empty.", where=where, next_step="A CSV begins with its column names."
            )
        names = [name.strip() for name in header]
        _require_columns(mapping, names, where)
        place = {name: names.index(name) for name in mapping.columns()}
        row = 0
        for cells in reader:
            if not cells:
                continue  # a blank line, most often the last one
            row += 1
            if len(cells) != len(names):
                got = f"{len(cells)} cells"
                yield BadRow(row, reader.line_num, "(all)", f"{len(names)} cells, as in the header", got)
                continue
            yield _event(row, reader.line_num, {name: cells[index] for name, index in place.items()}, mapping)
    except csv.Error as error:
        raise UnableToImport(
            f"Line {reader.line_num} is not CSV: {error}.",
            where=where,
            next_step="Nothing was imported. Commas separate cells; a quote inside quotes is doubled.",
        ) from error


def _read_jsonl(
    text: io.TextIOWrapper, mapping: TableMapping, where: str
) -> Iterator[dict[str, Any] | BadRow]:
    row = 0
    for line, content in enumerate(text, start=1):
        if not content.strip():
            continue
        row += 1
        try:
            loaded: object = orjson.loads(content)
        except orjson.JSONDecodeError as error:
            yield BadRow(row, line, "(all)", "a JSON object", f"{content.strip()[:60]!r}: {error}")
            continue
        if not isinstance(loaded, dict):
            yield BadRow(row, line, "(all)", "a JSON object", f"{content.strip()[:60]!r}")
            continue
        values = cast("dict[str, Any]", loaded)
        if row == 1:
            required = [mapping.time_column, mapping.value_column]
            if any(name not in values for name in required):
                _require_columns(mapping, list(values), where)
        yield _event(row, line, values, mapping)


def _require_columns(mapping: TableMapping, names: list[str], where: str) -> None:
    missing = [name for name in dict.fromkeys(mapping.columns()) if name not in names]
    if missing:
        columns = "column" if len(missing) == 1 else "columns"
        raise UnableToImport(
            f"The file has no {columns} {', '.join(missing)}.",
            where=where,
            next_step=f"Its columns are: {', '.join(names)}. Nothing was imported.",
        )


def _event(row: int, line: int, cells: Mapping[str, Any], mapping: TableMapping) -> dict[str, Any] | BadRow:
    try:
        return {
            "row": row,
            "project": mapping.project,
            "meter": mapping.meter,
            "time": _time(mapping.time_column, cells.get(mapping.time_column)),
            "value": _value(mapping.value_column, cells.get(mapping.value_column)),
            "dimensions": _dimensions(mapping.dimensions, cells),
        }
    except _BadCell as bad:
        return BadRow(row, line, bad.column, bad.expected, bad.got)


def _time(column: str, cell: object) -> str:
    if not isinstance(cell, str):
        raise _BadCell(column, 'a time such as "2023-11-16T18:17:03Z"', cell)
    try:
        return format_instant(parse_instant(cell))
    except ValueError as error:
        raise _BadCell(column, str(error).removeprefix("expected "), cell) from error


def _value(column: str, cell: object) -> str:
    expected = "a whole number from -9223372036854775808 to 9223372036854775807"
    if isinstance(cell, bool) or not isinstance(cell, (str, int)):
        raise _BadCell(column, expected, cell)
    text = str(cell).strip()
    if not _INTEGER.fullmatch(text) or not INT64_MIN <= int(text) <= INT64_MAX:
        raise _BadCell(column, expected, cell)
    return str(int(text))


def _dimensions(columns: Mapping[str, str], cells: Mapping[str, Any]) -> dict[str, str]:
    found: dict[str, str] = {}
    for key, column in columns.items():
        cell: object = cells.get(column)
        if cell is None or cell == "":
            continue
        if isinstance(cell, bool):
            found[key] = "true" if cell else "false"
        elif isinstance(cell, (str, int)):
            found[key] = str(cell)
        else:
            raise _BadCell(column, "text or a whole number", cell)
    return found
