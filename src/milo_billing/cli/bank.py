"""Commands on bank statements and on entries that wait for a person."""

import sys
from pathlib import Path
from typing import Annotated, Any

from cyclopts import App, Parameter

from milo_billing.cli.output import write, write_table
from milo_billing.cli.target import DEFAULT, Target
from milo_billing.client import bank
from milo_billing.client.errors import ClientError
from milo_billing.client.http import JSON

LIMIT = 100

statements = App(name="statements", help="Bank statements: bring them in, list them.")

_Limit = Annotated[int, Parameter(help="At most so many.")]


def mount(payments: App) -> None:
    """Add these commands to `payments`."""
    payments.command(statements)
    payments.command(
        worklist,
        help_epilogue="Examples:\n\n  milo-billing payments worklist\n\n  milo-billing payments worklist --output json",
    )
    payments.command(
        assign,
        help_epilogue="Examples:\n\n"
        "  milo-billing payments assign 0192… --invoice organization-acme/kc-2026-000017\n\n"
        "  milo-billing payments assign 0192… --invoice organization-acme/kc-2026-000017=10.00 "
        "--account organization-acme/main",
    )
    payments.command(
        ignore,
        help_epilogue='Example:\n\n  milo-billing payments ignore 0192… --reason "a loan from the bank"',
    )


@statements.command(
    name="import",
    help_epilogue="Examples:\n\n"
    "  milo-billing payments statements import camt053.xml --dry-run\n\n"
    "  milo-billing payments statements import camt053.xml",
)
def import_(
    file: Annotated[Path, Parameter(help="camt.053 (XML) or MT940 (text), as the bank gives it.")],
    /,
    *,
    dry_run: Annotated[
        bool, Parameter(negative=(), help="Say what would happen, and change nothing.")
    ] = False,
    target: Target = DEFAULT,
) -> None:
    """Bring in a file of bank statements; the same file again changes nothing.

    A transfer that names its invoice pays it. Whatever is in doubt goes to the worklist. A statement whose balances do
    not add up is refused, and so is the whole file.
    """
    try:
        content = file.read_bytes()
    except OSError as error:
        raise ClientError(f"The file cannot be read: {error.strerror}.", where=str(file)) from error
    with target.open() as api:
        done = bank.import_statements(api, content=content, dry_run=dry_run)
    if target.structured:
        target.write(done)
        return
    _write_statements(done["statements"])
    for one in done["statements"]:
        if one["again"]:
            write(f"{_name(one)} was brought in before: nothing was changed")
        if one["gap"]:
            write(f"{_name(one)}: {one['gap']}")
    waiting = sum(one["entries"]["Waiting"] for one in done["statements"] if not one["again"])
    if waiting and not dry_run:
        wait = "1 entry waits" if waiting == 1 else f"{waiting} entries wait"
        write(f"{wait} for a decision: milo-billing payments worklist")
    if dry_run:
        write("This was a dry run: nothing was changed.")


@statements.command(
    name="list", help_epilogue="Example:\n\n  milo-billing payments statements list --limit 10"
)
def list_(*, limit: _Limit = LIMIT, target: Target = DEFAULT) -> None:
    """Show the statements that were brought in last, and what became of their entries."""
    with target.open() as api:
        items = bank.list_statements(api, limit=limit)
    if target.structured:
        target.write({"items": items})
    elif items:
        _write_statements(items)
    else:
        sys.stderr.write("No statement was brought in yet: milo-billing payments statements import FILE\n")


def worklist(*, limit: _Limit = LIMIT, target: Target = DEFAULT) -> None:
    """Show the entries of bank statements that wait for a person, with what they may pay, and why."""
    with target.open() as api:
        items = bank.list_worklist(api, limit=limit)
    if target.structured:
        target.write({"items": items})
        return
    if not items:
        sys.stderr.write("Nothing waits.\n")
    for item in items:
        write(f"{item['uid']}  {item['bookedOn']}  {item['amount']} {item['currencyCode']}  {item['payer']}")
        write(f"  {item['reason']}: {item['detail']}")
        if item["text"]:
            write(f"  “{item['text']}”")
        for one in item["candidates"]:
            _write_candidate(one)


def assign(
    entry: Annotated[str, Parameter(help="The uid that the worklist shows.")],
    /,
    *,
    invoice: Annotated[
        list[str] | None,
        Parameter(negative=(), help="An invoice as namespace/name, or namespace/name=amount; repeatable."),
    ] = None,
    account: Annotated[
        str | None, Parameter(help="Whose money it is, as namespace/name, where no invoice is named.")
    ] = None,
    target: Target = DEFAULT,
) -> None:
    """Say which invoices an entry pays, in their order; what is left is money on account.

    Where only an account is named it is unapplied cash: nobody has said what it is for.
    """
    chosen = [_chosen(text) for text in invoice or ()]
    with target.open() as api:
        _write_entry(bank.assign_entry(api, entry, invoices=chosen, account=account), target=target)


def _chosen(text: str) -> tuple[str, str | None]:
    """The invoice, and how much of the entry is for it where that is said."""
    name, parted, amount = text.partition("=")
    if not name or (parted and not amount):
        raise ClientError(
            f"{text!r} is no invoice with an amount.",
            where="--invoice",
            next_step="Write namespace/name for all that is due, or namespace/name=10.00 for a part of it.",
        )
    return name, amount if parted else None


def ignore(
    entry: Annotated[str, Parameter(help="The uid that the worklist shows.")],
    /,
    *,
    reason: Annotated[str, Parameter(help="Why the entry is not about invoices.")],
    target: Target = DEFAULT,
) -> None:
    """Take an entry off the worklist that is not about invoices."""
    with target.open() as api:
        _write_entry(bank.ignore_entry(api, entry, reason=reason), target=target)


def _write_entry(entry: JSON, *, target: Target) -> None:
    if target.structured:
        target.write(entry)
    else:
        write(f"{entry['uid']} is {entry['state']}" + (f": {entry['detail']}" if entry["detail"] else ""))


def _write_candidate(one: Any) -> None:
    due = f"{one['open']} {one['currencyCode']}"
    write(f"    {one['score']:>3}  {one['invoice']}  {due}  {', '.join(one['why'])}")


def _write_statements(items: list[JSON]) -> None:
    states = ["Applied", "Waiting", "Returned", "Outgoing", "Known", "Ignored"]
    if any(one["entries"]["Payout"] for one in items):
        states.append("Payout")  # of a provider of payments, which not everybody has
    if any(one["entries"]["Transfer"] for one in items):
        states.append("Transfer")  # of money that went back
    heads = ["Account", "Statement", "Closed on", "Opening", "Closing", "Currency", *states]
    keys = ("bankAccount", "statementId", "closedOn", "opening", "closing", "currencyCode")
    rows = [[*(one[key] for key in keys), *(one["entries"][state] for state in states)] for one in items]
    write_table(heads, rows, right=["Opening", "Closing", *states])


def _name(one: JSON) -> str:
    return f"Statement {one['statementId']} of {one['bankAccount']}"
