"""Commands on usage: send events, import a file, read roll-ups."""

import sys
from dataclasses import asdict
from datetime import datetime
from pathlib import Path
from typing import Annotated, Any, cast

import orjson
from cyclopts import App, Parameter

from milo_billing.cli import clock
from milo_billing.cli.output import write, write_table
from milo_billing.cli.progress import Bars
from milo_billing.cli.quarantine import events as show_events
from milo_billing.cli.quarantine import quarantine
from milo_billing.cli.target import DEFAULT, EXIT_FAILED, Target
from milo_billing.client.errors import ClientError
from milo_billing.client.imports import Imported, import_file
from milo_billing.client.tables import Format, TableMapping, guess_format
from milo_billing.client.timestamps import parse_instant
from milo_billing.client.usage import Sent, get_statistics, get_usage, new_event, send_events
from milo_billing.kernel.ids import ulid

SOURCE = "milo-billing-cli"

_Dimensions = Annotated[
    list[str] | None,
    Parameter(name="--dimension", negative=(), help="key=value; repeatable.", metavar="KEY=VALUE"),
]
_DimensionColumns = Annotated[
    list[str] | None,
    Parameter(
        name="--dimension", negative=(), help="Dimension from a column; repeatable.", metavar="KEY=COLUMN"
    ),
]

usage = App(name="usage", help="Send usage, import files, read what was used, mend what could not be billed.")
usage.command(quarantine)
usage.command(
    show_events,
    help_epilogue="Examples:\n\n"
    "  milo-billing usage events --account organization-acme/main --meter llm.acme.example/tokens --from 2026-10-01\n\n"
    "  milo-billing usage events --account organization-acme/main --resource uid=1f0c7d\n\n"
    "  milo-billing usage events order-4711 --source urn:shop:eu",
)


@usage.command(
    help_epilogue="Examples:\n\n"
    "  milo-billing usage send --meter llm.acme.example/tokens --project chat --value 4808\n\n"
    "  milo-billing usage send --file events.json"
)
def send(
    *,
    meter: str | None = None,
    project: str | None = None,
    value: int | None = None,
    time: str | None = None,
    dimension: _Dimensions = None,
    file: Annotated[str | None, Parameter(allow_leading_hyphen=True)] = None,
    target: Target = DEFAULT,
) -> int:
    """Send one event, or the events of a JSON file.

    Parameters
    ----------
    meter
        Name of the meter, as in its MeterDefinition's meterName.
    project
        Name of the project.
    value
        A whole number of the meter's unit.
    time
        When it was used, RFC 3339; now when not given.
    file
        A file with one CloudEvent, an array of them or one a line; - for standard input. Events without an id
        get a ULID, so keep the file's ids if you may send it twice.
    """
    with target.open() as api:
        if file is not None:
            if meter or project or value is not None or time or dimension:
                raise ClientError("--file brings whole events.", next_step="Leave the other options out.")
            events = _read_events(file)
        else:
            if meter is None or project is None or value is None:
                raise ClientError(
                    "An event needs a meter, a project and a value.",
                    next_step="Give --meter, --project and --value, or --file.",
                )
            now = clock.now()
            events = [
                new_event(
                    meter=meter,
                    project=project,
                    value=value,
                    time=_instant(time) if time else now,
                    random80=clock.random_bits(80),
                    source=SOURCE,
                    dimensions=_pairs(dimension, what="--dimension key=value"),
                )
            ]
        sent = send_events(api, events)
    return _print_sent(sent, target=target)


@usage.command(
    name="import",
    help_epilogue="Example:\n\n"
    "  milo-billing usage import trace.csv --meter llm.acme.example/context-tokens --project chat "
    "--time-column TIMESTAMP --value-column ContextTokens",
)
def import_(
    file: Path,
    /,
    *,
    meter: str,
    project: str,
    time_column: str,
    value_column: str,
    dimension: _DimensionColumns = None,
    format: Format | None = None,
    accept_late: Annotated[bool, Parameter(negative=())] = False,
    target: Target = DEFAULT,
) -> int:
    """Import usage from a CSV or JSON lines file.

    The whole file is checked first: if a column is missing or any row is bad, nothing is imported. An import
    is known by the file's digest and these options, so the same import again bills nothing twice, and one
    that was interrupted continues.

    Parameters
    ----------
    file
        The file. Times are RFC 3339, or "2023-11-16 18:17:03.9799600", which is read as UTC.
    meter
        Name of the meter, as in its MeterDefinition's meterName.
    project
        Name of the project that used it.
    time_column
        Column that says when.
    value_column
        Column that says how much, a whole number of the meter's unit.
    format
        csv or jsonl; by the file's name when not given.
    accept_late
        Take rows older than the late window too. Needs its own permission, and is audited.
    """
    with target.open() as api:
        mapping = TableMapping(
            meter=meter,
            project=project,
            time_column=time_column,
            value_column=value_column,
            dimensions=_pairs(dimension, what="--dimension key=column"),
            format=format or guess_format(file),
        )
        with Bars() as bars:

            def report(stage: str, done: int, total: int) -> None:
                bars.show(f"{stage} {file.name}", done, total, unit="rows")

            imported = import_file(api, file, mapping, accept_late=accept_late, report=report)
    return _print_imported(imported, target=target)


@usage.command(
    help_epilogue="Examples:\n\n"
    "  milo-billing usage show --project chat --from 2026-10-01 --to 2026-11-01\n\n"
    "  milo-billing usage show --meter llm.acme.example/tokens --group-by project --group-by dimension:model\n\n"
    "  milo-billing usage show --account main --group-by day"
)
def show(
    *,
    namespace: Annotated[str | None, Parameter(name=["--namespace", "-n"])] = None,
    account: str | None = None,
    project: str | None = None,
    meter: str | None = None,
    from_: Annotated[str | None, Parameter(name="--from")] = None,
    to: str | None = None,
    group_by: Annotated[list[str] | None, Parameter(negative=())] = None,
    target: Target = DEFAULT,
) -> None:
    """Show what was used, by the aggregation of each meter: over a billing month, what is billed.

    The quantity is in the meter's unit. Sum, count, min and max are of the values of the events.

    Parameters
    ----------
    namespace
        Namespace of the account.
    account
        Name of the paying account.
    project
        Name of the project.
    meter
        Name of the meter.
    from_
        First day, YYYY-MM-DD.
    to
        Day after the last, YYYY-MM-DD.
    group_by
        project, meter, day or dimension:NAME; repeatable. Account and meter are always told apart.
    """
    filters = {
        "namespace": namespace,
        "account": account,
        "project": project,
        "meter": meter,
        "from": from_,
        "to": to,
        "groupBy": ",".join(group_by) if group_by else None,
    }
    with target.open() as api:
        items = get_usage(api, **{key: value for key, value in filters.items() if value is not None})
    if target.structured:
        target.write({"items": items})
    elif items:
        flat = [_flattened(item) for item in items]
        write_table(list(flat[0]), [list(item.values()) for item in flat])
    else:
        sys.stderr.write("No usage found.\n")


def _flattened(item: dict[str, Any]) -> dict[str, Any]:
    """The item with a column for each dimension; empty where events did not have it."""
    dimensions: dict[str, str | None] = item.get("dimensions") or {}
    flat: dict[str, Any] = {}
    for column, shown in item.items():
        if column == "dimensions":
            flat |= {f"dimension:{name}": value or "" for name, value in dimensions.items()}
        else:
            flat[column] = shown
    return flat


@usage.command(help_epilogue="Example:\n\n  milo-billing usage statistics")
def statistics(*, target: Target = DEFAULT) -> None:
    """Show what became of everything that was sent: accepted, late, duplicate, waiting in quarantine and why."""
    with target.open() as api:
        found = get_statistics(api)
    if target.structured:
        target.write(found)
        return
    rows: list[tuple[str, Any]] = []
    for fate, events in found.items():
        if isinstance(events, dict):
            rows += [(f"{fate}: {reason}", count) for reason, count in cast("dict[str, Any]", events).items()]
        else:
            rows.append((fate, events))
    write_table(["What", "Events"], rows, right=["Events"])


def _read_events(file: str) -> list[dict[str, Any]]:
    try:
        content = sys.stdin.buffer.read() if file == "-" else Path(file).read_bytes()
    except OSError as error:
        raise ClientError(f"The file cannot be read: {error.strerror}.", where=file) from error
    where = "standard input" if file == "-" else file
    try:
        loaded: object = orjson.loads(content)
    except orjson.JSONDecodeError as whole:
        try:
            loaded = [orjson.loads(line) for line in content.splitlines() if line.strip()]
        except orjson.JSONDecodeError:
            raise ClientError(
                f"This is neither JSON nor JSON lines: {whole}", where=where, next_step="Nothing was sent."
            ) from whole
    events = cast("list[object]", loaded) if isinstance(loaded, list) else [loaded]
    if not all(isinstance(event, dict) for event in events):
        raise ClientError(
            "Events are JSON objects.",
            where=where,
            next_step="Nothing was sent. See docs/tutorial-first-invoice.md.",
        )
    named: list[dict[str, Any]] = []
    for event in cast("list[dict[str, Any]]", events):
        defaults = {"specversion": "1.0", "source": SOURCE}
        if not event.get("id"):
            when = _instant(str(event["time"])) if event.get("time") else clock.now()
            defaults["id"] = ulid(int(when.timestamp() * 1000), clock.random_bits(80))
        named.append({**defaults, **event})
    return named


def _print_sent(sent: Sent, *, target: Target) -> int:
    if target.structured:
        rejected = [{"id": item.id, "reason": item.reason, "detail": item.detail} for item in sent.rejected]
        target.write({"accepted": sent.accepted, "rejected": rejected})
    else:
        write(f"accepted {sent.accepted}, rejected {len(sent.rejected)}")
        for item in sent.rejected:
            sys.stderr.write(f"  {item.id or '(no id)'}: {item.reason}: {item.detail}\n")
    return EXIT_FAILED if sent.rejected else 0


def _print_imported(imported: Imported, *, target: Target) -> int:
    counts = f"{imported.accepted:,} accepted, {imported.quarantined:,} quarantined"
    counts += f", {imported.duplicate:,} there before, {imported.rejected:,} rejected"
    if target.structured:
        target.write(asdict(imported))
    elif imported.state == "unchanged":
        write(f"{imported.rows:,} rows: imported before, nothing changed ({counts}; import {imported.id})")
    else:
        write(f"{imported.rows:,} rows: {counts} (import {imported.id})")
    for refusal in imported.refusals:
        sys.stderr.write(f"  {refusal}\n")
    return EXIT_FAILED if imported.rejected else 0


def _pairs(texts: list[str] | None, *, what: str) -> dict[str, str]:
    pairs: dict[str, str] = {}
    for text in texts or ():
        key, equals, value = text.partition("=")
        if not key or not equals or not value:
            raise ClientError(f"{text!r} is no pair.", next_step=f"Write {what}.")
        if key in pairs:
            raise ClientError(f"The dimension {key!r} is given twice.", next_step="Give each dimension once.")
        pairs[key] = value
    return pairs


def _instant(text: str) -> datetime:
    try:
        return parse_instant(text)
    except ValueError as error:
        raise ClientError(f"{text!r} is no time: {error}.") from error
