"""Commands on customers' money that goes back by bank transfer, and on the files that ask the bank to pay it."""

from functools import partial
from typing import Annotated, Any

from cyclopts import App, Parameter

from milo_billing.cli.bank_files import DryRun, Message, To, check_asked, save_file, write_made
from milo_billing.cli.output import write, write_table
from milo_billing.cli.target import DEFAULT, Target
from milo_billing.client import transfers as client
from milo_billing.client.http import JSON

LIMIT = 100

transfers = App(
    name="transfers", help="Money that goes back by bank transfer: ask for it, make the file for the bank."
)


@transfers.command(
    help_epilogue="Examples:\n\n"
    '  milo-billing payments transfers request --account organization-acme/main --reason "paid twice"\n\n'
    "  milo-billing payments transfers request --account organization-acme/main --amount 12.50 --reason overcharged "
    '--iban FR1420041010050500013M02606 --holder "Acme SARL"'
)
def request(
    *,
    account: Annotated[str, Parameter(help="Whose money goes back, as namespace/name.")],
    reason: Annotated[str, Parameter(help="Why; kept with the transfer.")],
    amount: Annotated[
        str | None, Parameter(help="Euro, such as 12.50; all that it has where none is said.")
    ] = None,
    iban: Annotated[
        str | None, Parameter(help="Where to; where the money came from when none is said.")
    ] = None,
    holder: Annotated[str | None, Parameter(help="Whose bank account that is.")] = None,
    bic: Annotated[
        str | None, Parameter(help="Needed for accounts outside the European Economic Area only.")
    ] = None,
    issuer: Annotated[
        str | None, Parameter(help="Who pays; whoever holds the money when none is said.")
    ] = None,
    target: Target = DEFAULT,
) -> None:
    """Pay back what an account has unapplied, or on account, where over-payments and credit notes put it.

    The money is the account's no more from now on. The next file asks the bank to pay it.
    """
    optional = {"amount": amount, "iban": iban, "holder": holder, "bic": bic, "issuer": issuer}
    fields = {name: value for name, value in optional.items() if value is not None}
    with target.open() as api:
        made = client.request_transfer(api, account=account, reason=reason, **fields)
    _write_transfers([made], whole=made, target=target)


@transfers.command(name="list", help_epilogue="Example:\n\n  milo-billing payments transfers list")
def list_(
    *, limit: Annotated[int, Parameter(help="At most so many.")] = LIMIT, target: Target = DEFAULT
) -> None:
    """Show transfers and what became of each, the newest first."""
    with target.open() as api:
        items = client.list_transfers(api, limit=limit)
    _write_transfers(items, whole={"items": items}, target=target)


@transfers.command(
    help_epilogue="Example:\n\n"
    "  milo-billing payments transfers cancel MB019AAE64C1D27D41A0C3B1A1D2E3F405 "
    '--reason "the customer keeps it for the next invoice"'
)
def cancel(
    transfer: Annotated[str, Parameter(help="Its id, as the list shows it.")],
    /,
    *,
    reason: Annotated[str, Parameter(help="Why nothing is paid.")],
    target: Target = DEFAULT,
) -> None:
    """Pay nothing of what was asked for, as long as it is in no file: the account has it again."""
    with target.open() as api:
        made = client.cancel_transfer(api, transfer, reason=reason)
    _write_transfers([made], whole=made, target=target)


@transfers.command(
    help_epilogue="Example:\n\n"
    "  milo-billing payments transfers not-executed MB019AAE64C1D27D41A0C3B1A1D2E3F405 "
    '--reason "the bank has found no trace of the file"'
)
def not_executed(
    transfer: Annotated[str, Parameter(help="Its id, as the list shows it.")],
    /,
    *,
    reason: Annotated[str, Parameter(help="How it is known that the bank has not paid.")],
    target: Target = DEFAULT,
) -> None:
    """Say that the bank has not paid what a file asked for, after its day: the account has it again.

    Ask the bank first. What it pays all the same is paid twice once it is asked for again.
    """
    with target.open() as api:
        made = client.note_not_executed(api, transfer, reason=reason)
    _write_transfers([made], whole=made, target=target)


@transfers.command(
    help_epilogue="Examples:\n\n"
    "  milo-billing payments transfers file --wanted --dry-run\n\n"
    "  milo-billing payments transfers file --wanted --to pain001.xml\n\n"
    "  milo-billing payments transfers file MB20261130090000AE9DDEE7DF06 --to pain001.xml"
)
def file(
    message: Message = None,
    /,
    *,
    wanted: Annotated[
        bool, Parameter(negative=(), help="Make a file of everything that was asked for.")
    ] = False,
    execute_on: Annotated[
        str | None,
        Parameter(help="The day on which the bank pays; today or the next business day where none is said."),
    ] = None,
    issuer: Annotated[
        str | None, Parameter(help="Whose transfers; needed where those of several issuers are wanted.")
    ] = None,
    to: To = None,
    dry_run: DryRun = False,
    target: Target = DEFAULT,
) -> None:
    """Make the file (pain.001) that asks the bank to pay what was asked for, or save one again.

    Nothing is in two files. A bank statement says what became of each transfer.
    """
    check_asked(message, wanted=wanted, option="--wanted", to=to, dry_run=dry_run, example="pain001.xml")
    with target.open() as api:
        made: dict[str, Any] = {"messageId": message}
        if wanted:
            made = client.make_transfer_file(api, execute_on=execute_on, issuer=issuer, dry_run=dry_run)
        save_file(made, get=partial(client.get_transfer_file, api), to=to, dry_run=dry_run)
    if target.structured:
        target.write(made)
    elif wanted:
        _write_file(made)
    else:
        write(f"{message} saved")


@transfers.command(help_epilogue="Example:\n\n  milo-billing payments transfers files")
def files(
    *, limit: Annotated[int, Parameter(help="At most so many.")] = LIMIT, target: Target = DEFAULT
) -> None:
    """Show the files that were made last."""
    with target.open() as api:
        items = client.list_transfer_files(api, limit=limit)
    if target.structured:
        target.write({"items": items})
        return
    if not items:
        write("No file was made yet.")
        return
    keys = ("messageId", "issuer", "executeOn", "transfers", "total", "createdAt", "createdBy")
    heads = ["File", "Issuer", "Paid on", "Transfers", "Total", "Made at", "By"]
    write_table(heads, [[one[key] for key in keys] for one in items], right=["Transfers", "Total"])


def _write_file(made: dict[str, Any]) -> None:
    if not made["transfers"]:
        write("Nothing waits to be paid.")
        return
    columns = {
        "endToEndId": "Id",
        "account": "Account",
        "ibanLast4": "IBAN",
        "amount": "Amount",
        "reason": "Reason",
    }
    write_made(made, orders=made["transfers"], columns=columns, on=made["executeOn"])


def _write_transfers(items: list[JSON], *, whole: JSON, target: Target) -> None:
    if target.structured:
        target.write(whole)
        return
    if not items:
        write("No transfer was asked for yet.")
        return
    keys = (
        "endToEndId",
        "account",
        "amount",
        "currencyCode",
        "ibanLast4",
        "state",
        "reason",
        "answer",
        "answeredBy",
    )
    heads = ["Id", "Account", "Amount", "Currency", "IBAN", "State", "Reason", "Answer", "Said by"]
    write_table(heads, [[one[key] for key in keys] for one in items], right=["Amount"])
