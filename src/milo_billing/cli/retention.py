"""Commands on usage that was taken: void an event, show what changed after an invoice, archive and verify old days."""

import sys
import time
from typing import Annotated, Any, Final, Literal

from cyclopts import App, Parameter

from milo_billing.cli.output import write, write_table
from milo_billing.cli.progress import Bars
from milo_billing.cli.target import DEFAULT, EXIT_FAILED, Target
from milo_billing.client.errors import ClientError
from milo_billing.client.http import ApiClient
from milo_billing.client.usage import (
    get_archive,
    get_changes,
    run_archive,
    verify_archive,
    void_event,
    void_sent_event,
)

POLL_S: Final = 1.0
SILENT_S_MAX: Final = 600.0
"""How long a day may take before the command stops to wait for it."""

archive = App(
    name="archive", help="Bring old days of raw events into the archive, and check what lies there."
)
_Namespace = Annotated[str, Parameter(name=["--namespace", "-n"])]


def mount(usage: App) -> None:
    """Add these commands to `usage`."""
    usage.command(
        void,
        help_epilogue="Examples:\n\n"
        '  milo-billing usage void 01M6BK41400000000000000001 --reason "sent by a load test"\n\n'
        '  milo-billing usage void order-4711 --source urn:shop:eu --reason "sent by a load test"',
    )
    usage.command(
        changes,
        help_epilogue="Example:\n\n"
        "  milo-billing usage changes --namespace organization-acme --account main --period 2026-10",
    )
    usage.command(archive)


def void(
    id: str,
    /,
    *,
    reason: str,
    source: str | None = None,
    organization: str | None = None,
    target: Target = DEFAULT,
) -> None:
    """Take one event out of what is billed, wherever it lies: among living events, in the archive, in quarantine.

    The event stays, with who voided it and why. Voiding it again changes nothing. It needs the permission
    billing.miloapis.com/usage.void for the provider.

    Parameters
    ----------
    id
        The event's ULID or UUID; with --source any id that it was sent with.
    reason
        Why it does not count.
    source
        The source that the event was sent with, for an id that is neither a ULID nor a UUIDv7.
    organization
        In whose name it was sent, where several have sent an event of this source and id.
    """
    if organization is not None and source is None:
        raise ClientError("--organization goes with --source.", next_step="Give the event's source too.")
    with target.open() as api:
        if source is None:
            voided = void_event(api, id, reason=reason)
        else:
            voided = void_sent_event(api, id, reason=reason, source=source, organization=organization)
    if target.structured:
        target.write(voided)
    else:
        write(f"{voided['state']} {voided['id']} at {voided['at']} by {voided['by']}: {voided['reason']}")


def changes(
    *,
    namespace: _Namespace,
    account: str,
    period: str,
    cause: Literal["late", "void", "correction"] | None = None,
    target: Target = DEFAULT,
) -> None:
    """Show what reached a period after it had been invoiced: late events, voids, corrections.

    Parameters
    ----------
    namespace
        Namespace of the account.
    account
        Name of the account.
    period
        The rating period, YYYY-MM: it begins on the account's invoice day of that month.
    cause
        Only changes of this cause.
    """
    filters = {"namespace": namespace, "account": account, "period": period}
    with target.open() as api:
        items = get_changes(api, **filters, **({} if cause is None else {"cause": cause}))
    if target.structured:
        target.write({"items": items})
    elif items:
        columns = ["day", "project", "meter", "dimensions", "cause", "events", "quantity", "lastChangedAt"]
        write_table(columns, [[item.get(column) for column in columns] for item in items])
    else:
        sys.stderr.write("Nothing has changed since it was invoiced, or it was not invoiced.\n")


@archive.default
def run(
    *,
    until: str | None = None,
    dry_run: Annotated[bool, Parameter(negative=())] = False,
    target: Target = DEFAULT,
) -> int:
    """Archive the days whose time is over now, instead of within the hour, and wait until that is done.

    A worker seals each day, writes it to a Parquet file, verifies that and drops the day from the database.
    Interrupting this command interrupts nothing but the waiting.

    Parameters
    ----------
    until
        No day after this one, YYYY-MM-DD.
    dry_run
        Only say which days that would be.
    """
    with target.open() as api:
        due = run_archive(api, until=until, dry_run=dry_run)
        if due and not dry_run:
            _wait(api, due)
        days = [day for day in get_archive(api) if day["day"] in set(due)]
    if target.structured:
        target.write({"due": due, "days": days})
    elif not due:
        write("no day is due")
    else:
        write_table(
            ["Day", "State", "Events", "Bytes"], [_row(day) for day in days], right=["Events", "Bytes"]
        )
    return 0


@archive.command(help_epilogue="Example:\n\n  milo-billing usage archive verify")
def verify(
    *,
    from_: Annotated[str | None, Parameter(name="--from")] = None,
    to: str | None = None,
    target: Target = DEFAULT,
) -> int:
    """Read every file of the archive again: checksum, size and counts must be those that were recorded.

    Parameters
    ----------
    from_
        First day, YYYY-MM-DD; the oldest when not given.
    to
        Day after the last, YYYY-MM-DD.
    """
    span = {name: day for name, day in (("from", from_), ("to", to)) if day is not None}
    problems: dict[str, str] = {}
    with target.open() as api, Bars() as bars:
        days = [day["day"] for day in get_archive(api, **span) if _kept(day)]
        for done, day in enumerate(days, 1):
            problem = verify_archive(api, day)
            if problem is not None:
                problems[day] = problem
            bars.show("verify", done, len(days), unit="days")
    if target.structured:
        target.write({"verified": len(days), "problems": problems})
    else:
        write(f"{len(days)} days verified, {len(problems)} with a problem")
        for day, problem in problems.items():
            sys.stderr.write(f"  {day}: {problem}\n")
    return EXIT_FAILED if problems else 0


def _wait(api: ApiClient, due: list[str]) -> None:
    """Until the worker has dropped all of these days."""
    first = min(due)
    before, since = -1, time.monotonic()
    with Bars() as bars:
        while True:
            dropped = sum(
                day["state"] == "dropped"
                for day in get_archive(api, **{"from": first})
                if day["day"] in set(due)
            )
            bars.show("archive", dropped, len(due), unit="days")
            if dropped == len(due):
                return
            if dropped != before:
                before, since = dropped, time.monotonic()
            if time.monotonic() - since > SILENT_S_MAX:
                raise ClientError(
                    f"{dropped} of {len(due)} days are archived, and none for {SILENT_S_MAX:.0f} s.",
                    next_step="Look at the worker's log; it goes on by itself within the hour.",
                )
            time.sleep(POLL_S)


def _kept(day: dict[str, Any]) -> bool:
    return "file" in day and day["file"]["expiredAt"] is None


def _row(day: dict[str, Any]) -> list[Any]:
    file: dict[str, Any] = day.get("file", {})
    return [day["day"], day["state"], file.get("events", 0), file.get("bytes", 0)]
