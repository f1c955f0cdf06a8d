"""Commands on customers' money that goes back by bank transfer, and on the files that ask the bank to pay it."""

from pathlib import Path
from typing import Annotated, Any

from cyclopts import App, Parameter

from milo_billing.cli.output import write, write_json, write_table
from milo_billing.cli.target import DEFAULT, Target
from milo_billing.client import transfers as client
from milo_billing.client.errors import ClientError

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
    amount: Annotated[str, Parameter(help="Euro, such as 12.50; all that it has where none is said.")] = "",
    iban: Annotated[str, Parameter(help="Where to; where the money came from when none is said.")] = "",
    holder: Annotated[str, Parameter(help="Whose bank account that is.")] = "",
    bic: Annotated[str, Parameter(help="Needed for accounts outside the European Economic Area only.")] = "",
    target: Target = DEFAULT,
) -> None:
    """Pay back what an account has unapplied, or on account, where over-payments and credit notes put it.

    The money is the account's no more from now on. The next file asks the bank to pay it.
    """
    optional = {"amount": amount, "iban": iban, "holder": holder, "bic": bic}
    fields = {name: value for name, value in optional.items() if value}
    with target.open() as api:
        made = client.request_transfer(api, account=account, reason=reason, **fields)
    _write_transfers([made], json=made if target.json else None)


@transfers.command(name="list", help_epilogue="Example:\n\n  milo-billing payments transfers list")
def list_(
    *, limit: Annotated[int, Parameter(help="At most so many.")] = LIMIT, target: Target = DEFAULT
) -> None:
    """Show transfers and what became of each, the newest first."""
    with target.open() as api:
        items = client.list_transfers(api, limit=limit)
    _write_transfers(items, json={"items": items} if target.json else None)


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
    _write_transfers([made], json=made if target.json else None)


@transfers.command(
    help_epilogue="Examples:\n\n"
    "  milo-billing payments transfers file --wanted --dry-run\n\n"
    "  milo-billing payments transfers file --wanted --to pain001.xml\n\n"
    "  milo-billing payments transfers file MB20261130090000AE9DDEE7DF06 --to pain001.xml"
)
def file(
    message: Annotated[str | None, Parameter(help="A file that was made before, to save it again.")] = None,
    /,
    *,
    wanted: Annotated[
        bool, Parameter(negative=(), help="Make a file of everything that was asked for.")
    ] = False,
    execute_on: Annotated[
        str | None,
        Parameter(help="The day on which the bank pays; today or the next business day where none is said."),
    ] = None,
    to: Annotated[Path | None, Parameter(help="Where to save the file for the bank.")] = None,
    dry_run: Annotated[
        bool, Parameter(negative=(), help="Show what would be in it, and change nothing.")
    ] = False,
    target: Target = DEFAULT,
) -> None:
    """Make the file (pain.001) that asks the bank to pay what was asked for, or save one again.

    Nothing is in two files. A bank statement says what became of each transfer.
    """
    if wanted == (message is not None):
        raise ClientError("Say --wanted to make a file, or which file to save again.")
    if to is None and not dry_run:
        raise ClientError("Say where to save the file: --to pain001.xml")
    with target.open() as api:
        made: dict[str, Any] = {"messageId": message}
        if wanted:
            made = client.make_transfer_file(api, execute_on=execute_on, dry_run=dry_run)
        if to is not None and made["messageId"] and not dry_run:
            _save(to, client.get_transfer_file(api, made["messageId"]))
    if target.json:
        write_json(made)
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
    if target.json:
        write_json({"items": items})
        return
    if not items:
        write("No file was made yet.")
        return
    keys = ("messageId", "issuer", "executeOn", "transfers", "total", "createdAt", "createdBy")
    heads = ["File", "Issuer", "Paid on", "Transfers", "Total", "Made at", "By"]
    write_table(heads, [[one[key] for key in keys] for one in items], right=["Transfers", "Total"])


def _save(to: Path, content: bytes) -> None:
    try:
        to.write_bytes(content)
    except OSError as error:
        raise ClientError(f"The file cannot be written: {error.strerror}.", where=str(to)) from error


def _write_file(made: dict[str, Any]) -> None:
    if not made["transfers"]:
        write("Nothing waits to be paid.")
        return
    keys = ("endToEndId", "account", "ibanLast4", "amount", "reason")
    rows = [[one[key] for key in keys] for one in made["transfers"]]
    write_table(["Id", "Account", "IBAN", "Amount", "Reason"], rows, right=["Amount"])
    write(f"{made['messageId']}: {made['total']} {made['currencyCode']} on {made['executeOn']}")
    if made["dryRun"]:
        write("This was a dry run: nothing was changed.")


def _write_transfers(items: list[Any], *, json: Any) -> None:
    if json is not None:
        write_json(json)
        return
    if not items:
        write("No transfer was asked for yet.")
        return
    keys = ("endToEndId", "account", "amount", "currencyCode", "ibanLast4", "state", "reason", "answer")
    heads = ["Id", "Account", "Amount", "Currency", "IBAN", "State", "Reason", "Answer"]
    write_table(heads, [[one[key] for key in keys] for one in items], right=["Amount"])
