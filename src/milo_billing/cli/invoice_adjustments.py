"""Commands on what came late for an invoice: what was charged and given back for it, and doing it at once."""

from typing import Annotated

from cyclopts import App, Parameter

from milo_billing.cli.invoices import find_invoice
from milo_billing.cli.output import write, write_table
from milo_billing.cli.target import DEFAULT, Namespace, Target
from milo_billing.client.invoice_life import adjust_invoice, list_adjustments

_Name = Annotated[str, Parameter(help="The invoice's name or its number.")]


def mount(invoices: App) -> None:
    """Put the commands below `milo-billing invoices`."""
    invoices.command(
        adjustments, help_epilogue="Example:\n\n  milo-billing invoices adjustments INV-2026-000001"
    )
    invoices.command(adjust, help_epilogue="Example:\n\n  milo-billing invoices adjust INV-2026-000001")


def adjustments(name: _Name, /, *, namespace: Namespace = None, target: Target = DEFAULT) -> None:
    """Show what an invoice came to since it was issued, because usage came late, was voided or corrected."""
    with target.open() as api:
        place, found, _ = find_invoice(api, name, namespace=namespace)
        answer = list_adjustments(api, namespace=place, name=found)
    if target.structured:
        target.write(answer)
        return
    if answer["items"]:
        write_table(
            ["At", "Document", "Number", "Amount"],
            [
                [
                    one["at"],
                    one["document"]["kind"] + (" (void)" if one["document"]["void"] else ""),
                    one["document"]["number"],
                    one["amount"],
                ]
                for one in answer["items"]
            ],
            right=["Amount"],
        )
    waiting = answer["open"]
    if not waiting["charged"] and not waiting["givenBack"]:
        write("Nothing has changed since." if answer["items"] else "It stands as it was issued.")
        return
    write(f"Still to be charged or given back: {waiting['amount']}, before tax")
    write_table(
        ["Kind", "Of", "From", "Up to", "Before", "Now", "Change"],
        [
            [one[key] for key in ("kind", "of", "firstDay", "endDay", "before", "now", "amount")]
            for one in waiting["charged"]
        ]
        + [
            [one["kind"], one["of"], one["firstDay"], one["endDay"], "", "", one["amount"]]
            for one in waiting["givenBack"]
        ],
        right=["Before", "Now", "Change"],
    )


def adjust(name: _Name, /, *, namespace: Namespace = None, target: Target = DEFAULT) -> None:
    """Charge and give back at once what an invoice came to since; else the account's next invoice does it.

    What is more is charged by an invoice of kind Adjustment, what is less is given back by a credit note. Safe to
    repeat.
    """
    with target.open() as api:
        place, found, _ = find_invoice(api, name, namespace=namespace)
        done = adjust_invoice(api, namespace=place, name=found)
    if target.structured:
        target.write(done)
        return
    if done["invoice"] is not None:
        write(f"invoice {done['invoice']['number']} charges {done['invoice']['total']}")
    for note in done["creditNotes"]:
        write(f"credit note {note['number']} gives back {note['total']}")
    if done["invoice"] is None and not done["creditNotes"]:
        write("Nothing has changed since: nothing was done.")
