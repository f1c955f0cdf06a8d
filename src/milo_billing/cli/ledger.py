"""Commands on the books: read them, close a month, export them, verify them."""

import sys
from datetime import date, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Annotated, Literal, cast

from cyclopts import App, Parameter

from milo_billing.cli.names import split_name
from milo_billing.cli.output import write, write_table
from milo_billing.cli.progress import Rate
from milo_billing.cli.target import DEFAULT, EXIT_FAILED, Target
from milo_billing.client import ledger as books
from milo_billing.client.errors import ClientError
from milo_billing.client.http import JSON, ApiClient

ledger = App(name="ledger", help="The books: balances, entries, statements, closing a month, export, verify.")

_Entity = Annotated[str | None, Parameter(help="Of one legal entity: the name of an IssuerProfile.")]
_BookAccount = Annotated[
    str | None,
    Parameter(help="With an entry on this account of the books or below it, such as Income:Revenue."),
]
_Account = Annotated[str | None, Parameter(help="Of one billing account, as namespace/name.")]
_First = Annotated[str | None, Parameter(name="--from", help="YYYY-MM-DD, the first day.")]
_Last = Annotated[str | None, Parameter(name="--to", help="YYYY-MM-DD, the last day.")]
_At = Annotated[str | None, Parameter(help="YYYY-MM-DD, the last day that counts.")]

_NOTHING = "Nothing is posted there: `milo-billing ledger trial-balance` without filters shows what is.\n"


@ledger.command(help_epilogue="Example:\n\n  milo-billing ledger chart")
def chart(*, target: Target = DEFAULT) -> None:
    """List every account of the books, and what it is for."""
    with target.open() as api:
        found = books.get_chart(api)
    if target.structured:
        target.write({"items": found})
        return
    rows = [[_spelled(one), one["type"], one["about"]] for one in found]
    write_table(["Account", "Type", "What it is for"], rows)


def _spelled(account: JSON) -> str:
    return f"{account['account']}:<{account['per']}>" if account["per"] else str(account["account"])


@ledger.command(
    help_epilogue="Examples:\n\n  milo-billing ledger trial-balance\n\n"
    "  milo-billing ledger trial-balance --entity kestrel --at 2026-10-31"
)
def trial_balance(*, entity: _Entity = None, at: _At = None, target: Target = DEFAULT) -> None:
    """Show debits and credits of every account. Their totals are equal, or the books are wrong."""
    with target.open() as api:
        found = books.get_trial_balance(api, entity=entity, at=at)
    if target.structured:
        target.write(found)
        return
    items, totals = cast("list[JSON]", found["items"]), cast("list[JSON]", found["totals"])
    if not items:
        sys.stderr.write(_NOTHING)
        return
    keys = ("entity", "account", "currencyCode", "debits", "credits", "balance")
    rows = [[one[key] for key in keys] for one in items]
    rows += [[one["entity"], "Total", *(one[key] for key in keys[2:])] for one in totals]
    write_table(
        ["Entity", "Account", "Currency", "Debits", "Credits", "Balance"],
        rows,
        right=["Debits", "Credits", "Balance"],
    )


@ledger.command(
    help_epilogue="Examples:\n\n  milo-billing ledger entries --account organization-acme/main\n\n"
    "  milo-billing ledger entries --ledger-account Income:Revenue --from 2026-10-01 --to 2026-10-31"
)
def entries(
    *,
    entity: _Entity = None,
    ledger_account: _BookAccount = None,
    account: _Account = None,
    first: _First = None,
    last: _Last = None,
    target: Target = DEFAULT,
) -> None:
    """List transactions with their entries, by day."""
    filters = _filters(entity, ledger_account, account, first, last)
    with target.open() as api:
        found = list(books.list_entries(api, filters))
    if target.structured:
        target.write({"items": found})
        return
    if not found:
        sys.stderr.write(_NOTHING)
        return
    columns = ["Day", "Account", "Transaction", "Entry", "Currency", "Debit", "Credit", "Service"]
    write_table(columns, [row for one in found for row in _rows(one)], right=["Debit", "Credit"])


def service_days(first: str, after: str) -> str:
    """Days as accountants say them, the last one included; `after` is the first day that is not among them."""
    last = str(date.fromisoformat(after) - timedelta(days=1))
    return first if first == last else f"{first} to {last}"


def _rows(transaction: JSON) -> list[list[object]]:
    """A row an entry; what the transaction says stands in the first."""
    said: list[object] = [
        transaction["postedOn"],
        transaction["account"],
        transaction["description"] or transaction["key"],
    ]
    rows: list[list[object]] = []
    for entry in cast("list[JSON]", transaction["entries"]):
        days = service_days(entry["serviceFrom"], entry["serviceTo"]) if entry["serviceFrom"] else ""
        amounts = [entry["currencyCode"], entry["debit"] or "", entry["credit"] or "", days]
        rows.append([*(said if not rows else ["", "", ""]), entry["ledgerAccount"], *amounts])
    return rows


@ledger.command(
    help_epilogue="Example:\n\n  milo-billing ledger statement organization-acme/main --from 2026-10-01"
)
def statement(
    account: Annotated[str, Parameter(help="namespace/name of the billing account.")],
    *,
    first: _First = None,
    last: _Last = None,
    target: Target = DEFAULT,
) -> None:
    """Show what a billing account owed, what moved it, and what it owed after each; the last 91 days unless said."""
    with target.open() as api:
        namespace, name = split_name(account)
        found = books.get_statement(api, namespace=namespace, name=name, first=first, last=last)
    if target.structured:
        target.write(found)
        return
    rows: list[list[object]] = [
        [found["firstDay"], "Balance brought forward", one["currencyCode"], "", one["balance"]]
        for one in cast("list[JSON]", found["opening"])
    ]
    rows += [
        [
            one["postedOn"],
            one["description"] or one["key"],
            one["currencyCode"],
            one["amount"],
            one["balance"],
        ]
        for one in cast("list[JSON]", found["items"])
    ]
    write_table(["Day", "What", "Currency", "Amount", "Balance"], rows, right=["Amount", "Balance"])


@ledger.command(help_epilogue="Example:\n\n  milo-billing ledger aged --at 2026-12-31")
def aged(*, at: _At = None, target: Target = DEFAULT) -> None:
    """Show what each billing account owes, by how many days it is overdue."""
    with target.open() as api:
        found = list(books.list_aged(api, at=at))
    if target.structured:
        target.write({"items": found})
        return
    if not found:
        sys.stderr.write("Nobody owes anything.\n")
        return
    keys = ("notDue", "days1To30", "days31To60", "days61To90", "over90", "total")
    rows: list[list[object]] = [
        [one["account"], one["currencyCode"], *(one[key] for key in keys)] for one in found
    ]
    for currency in sorted({str(one["currencyCode"]) for one in found}):
        of_it = [one for one in found if one["currencyCode"] == currency]
        rows.append(["Total", currency, *(sum(Decimal(str(one[key])) for one in of_it) for key in keys)])
    columns = ["Account", "Currency", "Not due", "1-30 days", "31-60", "61-90", "Over 90", "Total"]
    write_table(columns, rows, right=columns[2:])


@ledger.command(
    help_epilogue="Examples:\n\n  milo-billing ledger export --format beancount --file books.beancount\n\n"
    "  milo-billing ledger export --format csv --from 2026-10-01 --to 2026-10-31 > october.csv"
)
def export(
    *,
    format: Annotated[
        Literal["ledger", "beancount", "csv"],
        Parameter(help="For ledger-cli.org, for Beancount, or a table."),
    ] = "ledger",
    entity: _Entity = None,
    ledger_account: _BookAccount = None,
    account: _Account = None,
    first: _First = None,
    last: _Last = None,
    file: Annotated[Path | None, Parameter(help="Where to write; standard output when not given.")] = None,
    target: Target = DEFAULT,
) -> None:
    """Write the books as text that other bookkeeping programs read."""
    filters = {"format": format, **_filters(entity, ledger_account, account, first, last)}
    with target.open() as api:
        pieces = books.export_books(api, filters)
        if file is None:
            sys.stdout.buffer.writelines(pieces)
            sys.stdout.buffer.flush()
            return
        try:
            with file.open("wb") as out:
                out.writelines(pieces)
        except OSError as error:
            raise ClientError(f"The file cannot be written: {error.strerror}.", where=str(file)) from error
    write(f"wrote {file}")


@ledger.command(help_epilogue="Example:\n\n  milo-billing ledger verify")
def verify(*, target: Target = DEFAULT) -> int:
    """Recompute the books from their entries and compare them with the invoices; exit code 1 where they differ."""
    with target.open() as api:
        found = books.verify_books(api)
    differences = cast("list[JSON]", found["differences"])
    if target.structured:
        target.write(found)
    elif differences:
        columns = ["Check", "Entity", "Books", "Account", "Currency", "Expected", "Found", "Difference"]
        keys = (
            "check",
            "entity",
            "ledgerAccount",
            "account",
            "currencyCode",
            "expected",
            "found",
            "difference",
        )
        write_table(columns, [[one[key] or "" for key in keys] for one in differences], right=columns[5:])
        sys.stderr.write(
            f"{len(differences)} differences: docs/runbooks/LedgerImbalance.md says what to do\n"
        )
    else:
        write("the books are right: " + ", ".join(cast("list[str]", found["checked"])))
    return 0 if found["ok"] else EXIT_FAILED


@ledger.command(
    help_epilogue="Examples:\n\n  milo-billing ledger close --entity kestrel --month 2026-10\n\n"
    "  milo-billing ledger close --entity kestrel --month 2026-10 --no-accrue"
)
def close(
    *,
    entity: Annotated[str, Parameter(help="Whose books: the name of an IssuerProfile.")],
    month: Annotated[str, Parameter(help="YYYY-MM; closes every month before it, too.")],
    accrue: Annotated[
        bool, Parameter(help="Accrue before what was earned and is not invoiced yet, as contract asset.")
    ] = True,
    target: Target = DEFAULT,
) -> int:
    """Close a month of the books for good: nothing is posted into it any more, late facts go to the next one.

    Where an account cannot be accrued, the month stays open, and the command says what the account lacks.
    """
    counts = {"posted": 0, "unchanged": 0, "nothing": 0}
    failed: list[JSON] = []
    with target.open() as api:
        accrue = accrue and not any(
            one["entity"] == entity and str(one["month"]) >= month for one in books.list_closings(api)
        )
        if accrue:
            _accrued(api, entity=entity, month=month, counts=counts, failed=failed, silent=target.structured)
        done = None if failed else books.close_month(api, entity=entity, month=month)
    if target.structured:
        target.write({**(done or {"closed": False}), "accruals": {**counts, "failed": failed}})
    elif done is None:
        write_table(["Account", "Reason"], [[one["account"], one["reason"]] for one in failed])
        sys.stderr.write(
            f"{month} stays open: mend these, then close it again, or close it with --no-accrue\n"
        )
    else:
        if accrue:
            write(f"{counts['posted']} accruals posted, {counts['unchanged']} stood already")
        _write_closed(done, entity=entity, month=month)
    return EXIT_FAILED if failed else 0


def _accrued(
    api: ApiClient, *, entity: str, month: str, counts: dict[str, int], failed: list[JSON], silent: bool
) -> None:
    with Rate(verb="went over", unit="accounts", silent=silent) as rate:
        for part in books.accrue_month(api, entity=entity, month=month):
            for name in counts:
                counts[name] += int(part[name])
            failed += cast("list[JSON]", part["failed"])
            rate.show(sum(counts.values()) + len(failed), part=None)


def _write_closed(done: JSON, *, entity: str, month: str) -> None:
    if done["closed"]:
        write(f"the books of {entity} are closed to the end of {done['month']}")
    else:
        write(f"{month} was closed before: by {done['closedBy']} to the end of {done['month']}")


@ledger.command(help_epilogue="Example:\n\n  milo-billing ledger closings")
def closings(*, target: Target = DEFAULT) -> None:
    """List the months that are closed, the last one first."""
    with target.open() as api:
        found = books.list_closings(api)
    if target.structured:
        target.write({"items": found})
        return
    if not found:
        sys.stderr.write("No month is closed yet.\n")
        return
    keys = ("entity", "month", "closedAt", "closedBy")
    write_table(["Entity", "Month", "Closed", "By"], [[one[key] for key in keys] for one in found])


def _filters(
    entity: str | None, ledger_account: str | None, account: str | None, first: str | None, last: str | None
) -> dict[str, str]:
    given = {"entity": entity, "ledgerAccount": ledger_account, "account": account, "from": first, "to": last}
    return {name: value for name, value in given.items() if value}
