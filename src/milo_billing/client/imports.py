"""Import a usage file: check it whole, send it in numbered chunks, complete it; resume where it stopped.

Owns: the conversation with the gateway. Not: reading rows (tables), or what a row counts for (the server).

The import's identity is the file's digest with its mapping: the same import again, after any interruption or
after it was complete, bills nothing twice.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any, Literal, cast

from milo_billing.client.errors import UnableToImport
from milo_billing.client.http import JSON, ApiClient
from milo_billing.client.tables import TableMapping, check_table, read_events

CHUNK_ROWS = 5_000
REFUSALS_SHOWN = 10

Report = Callable[[str, int, int], None]  # stage, rows done, rows in all (0: not known yet)


@dataclass(frozen=True, slots=True)
class Imported:
    """What an import came to. `quarantined` rows are kept with a reason; `duplicate` rows were there before.

    `rejected` rows were not taken; `refusals` has the first of them, as far as this call sent them.
    `state` is `imported` when this call finished it, `unchanged` when the same import was complete already.
    """

    id: str
    state: Literal["imported", "unchanged"]
    rows: int
    accepted: int
    quarantined: int
    duplicate: int
    rejected: int
    refusals: tuple[str, ...]


def import_file(
    api: ApiClient, path: Path, mapping: TableMapping, *, accept_late: bool = False, report: Report
) -> Imported:
    """Import one file. Raises UnableToImport before anything is sent if any row is bad; ApiError from the
    gateway.

    `accept_late` widens the late window for this import (its own permission, audited).
    """
    try:
        file = path.open("rb")
    except OSError as error:
        raise UnableToImport(
            f"The file cannot be read: {error.strerror}.",
            where=str(path),
            next_step="Give a file, not a pipe.",
        ) from error
    with file:
        if not file.seekable():
            raise UnableToImport(
                "The file cannot be read twice.",
                where=str(path),
                next_step="Write it to a file first: an import is checked whole before anything is sent.",
            )
        report("checking", 0, 0)
        checked = check_table(file, mapping, where=str(path))
        report("checked", checked.rows, checked.rows)
        opened = api.repeat(
            "POST",
            "/v1/usage/imports",
            door="gateway",
            body={
                "digest": checked.sha256,
                "mapping": mapping.document(),
                "acceptLate": accept_late,
                "rows": checked.rows,
            },
        )
        identity = str(opened["id"])
        if opened["state"] == "complete":
            return _imported(identity, "unchanged", checked.rows, opened, ())
        events = read_events(file, mapping, where=str(path), checked=checked)
        refusals = _send_chunks(
            api, identity, events, first=int(opened["nextChunk"]), rows=checked.rows, report=report
        )
        totals = api.repeat("POST", f"/v1/usage/imports/{identity}/complete", door="gateway", body={})
        return _imported(identity, "imported", checked.rows, totals, refusals)


def _send_chunks(
    api: ApiClient, identity: str, events: Iterator[dict[str, Any]], *, first: int, rows: int, report: Report
) -> tuple[str, ...]:
    sent = 0
    number = 0
    refusals: list[str] = []
    while chunk := list(islice(events, CHUNK_ROWS)):
        if number >= first:  # chunks below were acknowledged by an earlier call
            path = f"/v1/usage/imports/{identity}/chunks/{number}"
            answer = api.repeat("POST", path, door="gateway", body={"events": chunk})
            for row in cast("list[JSON]", answer.get("rejected") or [])[: REFUSALS_SHOWN - len(refusals)]:
                refusals.append(f"row {row['row']}: {row['reason']}: {row['detail']}")
        number += 1
        sent += len(chunk)
        report("sending", sent, rows)
    return tuple(refusals)


def _imported(
    identity: str,
    state: Literal["imported", "unchanged"],
    rows: int,
    totals: JSON,
    refusals: tuple[str, ...],
) -> Imported:
    return Imported(
        id=identity,
        state=state,
        rows=rows,
        accepted=int(totals["accepted"]),
        quarantined=int(totals["quarantined"]),
        duplicate=int(totals["duplicate"]),
        rejected=int(totals["rejected"]),
        refusals=refusals,
    )
