"""Commands on SEPA direct debit: mandates, and the file that asks the bank to collect."""

import sys
from functools import partial
from pathlib import Path
from typing import Annotated, Any

from cyclopts import App, Parameter

from milo_billing.cli.bank_files import DryRun, Message, To, check_asked, save_file, write_made
from milo_billing.cli.output import write, write_table
from milo_billing.cli.target import DEFAULT, Target
from milo_billing.client import debits
from milo_billing.client.errors import ClientError
from milo_billing.client.http import JSON

LIMIT = 100

mandates = App(name="mandates", help="SEPA mandates: take down, list, revoke.")


def mount(payments: App) -> None:
    """Add these commands to `payments`."""
    payments.command(mandates)
    payments.command(
        debit_file,
        help_epilogue="Examples:\n\n"
        "  milo-billing payments debit-file --due --dry-run\n\n"
        "  milo-billing payments debit-file --due --to pain008.xml\n\n"
        "  milo-billing payments debit-file MB20261130090000AE9DDEE7DF06 --to pain008.xml",
    )
    payments.command(
        debit_answer, help_epilogue="Example:\n\n  milo-billing payments debit-answer pain002.xml"
    )


@mandates.command(
    help_epilogue="Example:\n\n"
    '  milo-billing payments mandates add --account organization-acme/main --holder "Acme SARL" '
    "--iban FR1420041010050500013M02606 --signed-on 2026-10-01"
)
def add(
    *,
    account: Annotated[str, Parameter(help="Whose invoices are collected, as namespace/name.")],
    holder: Annotated[str, Parameter(help="Whose bank account it is.")],
    iban: Annotated[str, Parameter(help="The bank account that is debited; with or without spaces.")],
    signed_on: Annotated[str, Parameter(help="YYYY-MM-DD, as it stands on the mandate.")],
    reference: Annotated[
        str | None, Parameter(help="The mandate's reference; one is made where none is said.")
    ] = None,
    bic: Annotated[
        str | None, Parameter(help="Needed for accounts outside the European Economic Area only.")
    ] = None,
    scheme: Annotated[str, Parameter(help="CORE, or B2B.")] = "CORE",
    target: Target = DEFAULT,
) -> None:
    """Take down a mandate that a customer has signed. The IBAN is kept sealed and never shown again."""
    fields = {"account": account, "holder": holder, "iban": iban, "signedOn": signed_on, "scheme": scheme}
    optional = {"reference": reference, "bic": bic}
    fields |= {name: value for name, value in optional.items() if value is not None}
    with target.open() as api:
        made = debits.add_mandate(api, **fields)
    _write_mandate(made, target=target)


@mandates.command(name="list", help_epilogue="Example:\n\n  milo-billing payments mandates list")
def list_(
    *, limit: Annotated[int, Parameter(help="At most so many.")] = LIMIT, target: Target = DEFAULT
) -> None:
    """Show mandates, the newest first."""
    with target.open() as api:
        items = debits.list_mandates(api, limit=limit)
    if target.structured:
        target.write({"items": items})
    elif items:
        _write_mandates(items)
    else:
        sys.stderr.write("No mandate was taken down yet.\n")


@mandates.command(
    help_epilogue='Example:\n\n  milo-billing payments mandates revoke M-17 --reason "the customer asked for it"'
)
def revoke(
    reference: Annotated[str, Parameter(help="The mandate's reference.")],
    /,
    *,
    reason: Annotated[str, Parameter(help="Why nothing is debited any more.")],
    target: Target = DEFAULT,
) -> None:
    """Debit nothing under a mandate any more."""
    with target.open() as api:
        _write_mandate(debits.revoke_mandate(api, reference, reason=reason), target=target)


def debit_file(
    message: Message = None,
    /,
    *,
    due: Annotated[bool, Parameter(negative=(), help="Make a file of everything that is due.")] = False,
    collect_on: Annotated[
        str | None, Parameter(help="The day of collection; the first that banks allow where none is said.")
    ] = None,
    pre_notification_days: Annotated[
        int | None,
        Parameter(help="Days between invoice and collection, at least; 14 where nothing else was agreed."),
    ] = None,
    to: To = None,
    dry_run: DryRun = False,
    target: Target = DEFAULT,
) -> None:
    """Make the file (pain.008) that asks the bank to collect what is due, or save one again.

    What is in a file is not asked for again until a bank statement says what became of it.
    """
    check_asked(message, wanted=due, option="--due", to=to, dry_run=dry_run, example="pain008.xml")
    with target.open() as api:
        made: dict[str, Any] = {"messageId": message}
        if due:
            made = debits.make_debit_file(
                api, collect_on=collect_on, pre_notification_days=pre_notification_days, dry_run=dry_run
            )
        save_file(made, get=partial(debits.get_debit_file, api), to=to, dry_run=dry_run)
    if target.structured:
        target.write(made)
    elif due:
        _write_file(made)
    else:
        write(f"{message} saved")


def debit_answer(
    file: Annotated[Path, Parameter(help="pain.002 (XML), as the bank gives it.")],
    /,
    *,
    target: Target = DEFAULT,
) -> None:
    """Bring in a bank's answer to a file of direct debits: what it refused can be asked for again."""
    try:
        content = file.read_bytes()
    except OSError as error:
        raise ClientError(f"The file cannot be read: {error.strerror}.", where=str(file)) from error
    with target.open() as api:
        refused = debits.send_debit_answer(api, content=content)
    if target.structured:
        target.write({"refused": refused})
    else:
        write(f"{len(refused)} debits refused" + (f": {', '.join(refused)}" if refused else ""))


def _write_file(made: dict[str, Any]) -> None:
    if not made["debits"]:
        write(f"Nothing is due for collection on {made['collectOn']}.")
        return
    columns = {
        "endToEndId": "Id",
        "invoice": "Invoice",
        "mandate": "Mandate",
        "sequence": "Sequence",
        "amount": "Amount",
    }
    write_made(made, orders=made["debits"], columns=columns, on=made["collectOn"])


def _write_mandate(mandate: JSON, *, target: Target) -> None:
    if target.structured:
        target.write(mandate)
    else:
        _write_mandates([mandate])


def _write_mandates(items: list[JSON]) -> None:
    keys = ("reference", "account", "signedOn", "scheme", "ibanLast4", "debits", "state", "reason")
    heads = ["Reference", "Account", "Signed on", "Scheme", "IBAN", "Debits", "State", "Reason"]
    write_table(heads, [[one[key] for key in keys] for one in items], right=["Debits"])
