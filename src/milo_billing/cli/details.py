"""The command that writes an invoice in detail."""

import csv
import io
import sys
from pathlib import Path
from typing import Annotated

from cyclopts import App, Parameter

from milo_billing.cli.invoices import find_invoice
from milo_billing.cli.output import write
from milo_billing.cli.target import DEFAULT, Namespace, Target
from milo_billing.client.billing import get_invoice_details
from milo_billing.client.errors import ClientError


def mount(invoices: App) -> None:
    """Add the command to `milo-billing invoices`."""
    invoices.command(
        details,
        help_epilogue="Examples:\n\n"
        "  milo-billing invoices details INV-000001 > details.csv\n\n"
        "  milo-billing invoices details INV-000001 --file details.csv -n organization-acme",
    )


def details(
    name: Annotated[str, Parameter(help="The invoice's name or its number.")],
    /,
    *,
    file: Annotated[Path | None, Parameter(help="Where to write; standard output when not given.")] = None,
    namespace: Namespace = None,
    target: Target = DEFAULT,
) -> None:
    """Write an invoice as CSV: every line by project, dimension set and day, as far as days are known.

    The rows of a line sum to its amount. With `--output json` or `yaml` the rows are objects.
    """
    with target.open() as api:
        place, found, _ = find_invoice(api, name, namespace=namespace)
        pieces = get_invoice_details(api, namespace=place, name=found)
        if target.structured:
            text = io.StringIO(b"".join(pieces).decode(), newline="")
            target.write({"items": list(csv.DictReader(text))})
            return
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
