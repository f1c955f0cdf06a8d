"""What commands on files for the bank have in common: one is made of what waits, or one of before is saved again."""

from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

from cyclopts import Parameter

from milo_billing.cli.output import write, write_table
from milo_billing.client.errors import ClientError

Message = Annotated[str | None, Parameter(help="A file that was made before, to save it again.")]
To = Annotated[Path | None, Parameter(help="Where to save the file for the bank.")]
DryRun = Annotated[bool, Parameter(negative=(), help="Show what would be in it, and change nothing.")]


def check_asked(
    message: str | None, *, wanted: bool, option: str, to: Path | None, dry_run: bool, example: str
) -> None:
    """Raises ClientError where neither or both of the two are asked for, or there is nowhere to save to."""
    if wanted == (message is not None):
        raise ClientError(f"Say {option} to make a file, or which file to save again.")
    if to is None and not dry_run:
        raise ClientError(f"Say where to save the file: --to {example}")


def save_file(made: dict[str, Any], *, get: Callable[[str], bytes], to: Path | None, dry_run: bool) -> None:
    """Save the file that `made` names, if there is one."""
    if to is not None and made["messageId"] and not dry_run:
        try:
            to.write_bytes(get(made["messageId"]))
        except OSError as error:
            raise ClientError(f"The file cannot be written: {error.strerror}.", where=str(to)) from error


def write_made(made: Any, *, orders: list[Any], columns: dict[str, str], on: str) -> None:
    """What is in a file: the columns by their keys, the sum, and the day on which the bank acts."""
    rows = [[one[key] for key in columns] for one in orders]
    write_table(list(columns.values()), rows, right=["Amount"])
    write(f"{made['messageId']}: {made['total']} {made['currencyCode']} on {on}")
    if made["dryRun"]:
        write("This was a dry run: nothing was changed.")
