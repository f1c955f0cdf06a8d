"""How answers and errors look: aligned columns as kubectl prints them, JSON and YAML, and errors in three lines.

Owns: formatting. Not: what is printed (the commands).
"""

import sys
from collections.abc import Iterable, Sequence
from typing import Any, Literal, cast

import orjson
import yaml

from milo_billing.client.errors import ApiError, ClientError
from milo_billing.client.http import JSON

Output = Literal["table", "json", "yaml"]
GAP = "   "
_YAML_WIDTH = 1 << 20
"""Texts are not folded: a line is what it says."""


def write(text: str) -> None:
    """Write a line of an answer."""
    sys.stdout.write(text + "\n")


def write_whole(value: object, *, output: Output) -> None:
    """Write a value as YAML where that is wanted, and as indented JSON otherwise; both hold the same, in its order."""
    if output != "yaml":
        write(orjson.dumps(value, option=orjson.OPT_INDENT_2).decode())
        return
    plain = orjson.loads(orjson.dumps(value))
    written = yaml.safe_dump(plain, sort_keys=False, allow_unicode=True, width=_YAML_WIDTH)
    write(written.removesuffix("\n").removesuffix("\n..."))


def write_table(
    columns: Sequence[str], rows: Iterable[Sequence[object]], *, right: Sequence[str] = ()
) -> None:
    """Write rows under capital headings; the columns named in `right` are aligned to the right (amounts)."""
    cells = [[_cell(value) for value in row] for row in rows]
    heads = [column.upper() for column in columns]
    widths = [max(len(row[index]) for row in [heads, *cells]) for index in range(len(heads))]
    flush = [column in right for column in columns]
    for row in [heads, *cells]:
        parts = [
            cell.rjust(width) if aligned else cell.ljust(width)
            for cell, width, aligned in zip(row, widths, flush, strict=True)
        ]
        write(GAP.join(parts).rstrip())


def write_server_table(table: JSON, *, namespaces: bool) -> None:
    """Write a table that the server laid out; `namespaces` puts the objects' namespace in front."""
    definitions = cast("list[JSON]", table.get("columnDefinitions") or [])
    shown = [index for index, column in enumerate(definitions) if not column.get("priority")]
    heads = [str(definitions[index]["name"]) for index in shown]
    rows: list[list[object]] = []
    for row in cast("list[JSON]", table.get("rows") or []):
        values = [row["cells"][index] for index in shown]
        if namespaces:
            metadata: Any = row.get("object", {}).get("metadata", {})
            values = [metadata.get("namespace", ""), *values]
        rows.append(values)
    if not rows:
        sys.stderr.write("No resources found.\n")
        return
    write_table(["Namespace", *heads] if namespaces else heads, rows)


def format_error(error: ClientError) -> str:
    """What was wrong, where, and what to do: a line each, for standard error."""
    what = error.what
    if isinstance(error, ApiError) and error.causes:
        what, said, _ = what.partition(" is invalid: ")  # each cause has a line of its own below
        what += said.rstrip(": ")
    lines = [f"error: {what}"]
    if isinstance(error, ApiError):
        lines += [f"  - {cause.field}: {cause.message}" for cause in error.causes]
    if error.where:
        lines.append(f"  at: {error.where}")
    if error.next_step:
        lines.append(f"  next: {error.next_step}")
    if isinstance(error, ApiError) and error.audit_id and error.code >= 500:
        lines.append(f"  audit id: {error.audit_id}")
    return "\n".join(lines) + "\n"


def _cell(value: object) -> str:
    if value is None:
        return "<none>"
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value)


def count_of(number: int, noun: str) -> str:
    """A number of things in words: `1 invoice`, `1,204 invoices`."""
    return f"{number:,} {noun}" if number == 1 else f"{number:,} {noun}s"
