"""Commands on what becomes of an invoice: what settled it, taking it back in part or as a whole, giving it up."""

from typing import Annotated, Any, cast

from cyclopts import App, Parameter

from milo_billing.cli.invoices import find_invoice
from milo_billing.cli.output import write, write_table
from milo_billing.cli.target import DEFAULT, Namespace, Target
from milo_billing.client.errors import ClientError
from milo_billing.client.http import JSON
from milo_billing.client.invoice_life import act_on_invoice, issue_credit_note, list_settlements

_Name = Annotated[str, Parameter(help="The invoice's name or its number.")]
_Reason = Annotated[str, Parameter(help="Why, for whoever asks: it is kept with the invoice, and audited.")]


def mount(invoices: App) -> None:
    """Put the commands below `milo-billing invoices`."""
    invoices.command(
        settlements, help_epilogue="Example:\n\n  milo-billing invoices settlements INV-2026-000001"
    )
    invoices.command(
        void,
        help_epilogue='Example:\n\n  milo-billing invoices void INV-2026-000001 --reason "wrong addressee"',
    )
    invoices.command(
        write_off,
        help_epilogue='Example:\n\n  milo-billing invoices write-off INV-2026-000001 --reason "insolvent"',
    )
    invoices.command(
        credit,
        help_epilogue="Examples:\n\n"
        '  milo-billing invoices credit INV-2026-000001 --amount 10.00 --reason "the outage of 7 October"\n\n'
        '  milo-billing invoices credit INV-2026-000001 --line 2 --line 3=4.50 --reason "charged twice"\n\n'
        '  milo-billing invoices credit INV-2026-000001 --reason "all of it"',
    )


def settlements(name: _Name, /, *, namespace: Namespace = None, target: Target = DEFAULT) -> None:
    """Show what became of an invoice: payments, credit notes, write-offs, and its phase after each."""
    with target.open() as api:
        place, found, invoice = find_invoice(api, name, namespace=namespace)
        items = list_settlements(api, namespace=place, name=found)
    if target.structured:
        target.write({"items": items})
        return
    if not items:
        write("Nothing has settled it yet.")
        return
    currency = cast("JSON", invoice.get("status", {})).get("currencyCode", "")
    write_table(
        ["Step", "At", "Kind", "Amount", "Currency", "Phase", "Document", "Reason"],
        [
            [
                one["step"],
                one["at"],
                one["kind"],
                one["amount"],
                currency,
                one["phase"],
                cast("JSON", one["document"] or {}).get("name", ""),
                one["reason"] or "",
            ]
            for one in items
        ],
        right=["Step", "Amount"],
    )


def void(name: _Name, /, *, reason: _Reason, namespace: Namespace = None, target: Target = DEFAULT) -> None:
    """Take an unpaid invoice back as a whole, by a credit note; running its month again issues one that replaces it."""
    with target.open() as api:
        place, found, _ = find_invoice(api, name, namespace=namespace)
        after = act_on_invoice(api, namespace=place, name=found, action="void", reason=reason)
    _write_after(after, target=target)


def write_off(
    name: _Name, /, *, reason: _Reason, namespace: Namespace = None, target: Target = DEFAULT
) -> None:
    """Give up what is due of an invoice: it becomes bad debt. A later payment recovers it."""
    with target.open() as api:
        place, found, _ = find_invoice(api, name, namespace=namespace)
        after = act_on_invoice(api, namespace=place, name=found, action="writeOff", reason=reason)
    _write_after(after, target=target)


def credit(
    name: _Name,
    /,
    *,
    reason: _Reason,
    amount: Annotated[
        str | None, Parameter(help="Before tax, spread over all lines by what is left of them.")
    ] = None,
    line: Annotated[
        list[str] | None,
        Parameter(help="A line by its number, or number=amount for a part of it; repeatable.", negative=()),
    ] = None,
    namespace: Namespace = None,
    target: Target = DEFAULT,
) -> None:
    """Issue a credit note over an invoice: over some lines, an amount, or all that is left. It cannot be taken back."""
    if amount is not None and line:
        raise ClientError(
            "Say --amount or --line.", where=name, next_step="An amount is spread over all lines."
        )
    lines = [_line(one) for one in line or ()]
    with target.open() as api:
        place, found, _ = find_invoice(api, name, namespace=namespace)
        spec: dict[str, Any] = {"invoiceRef": {"name": found}, "reason": reason}
        if amount is not None:
            spec["amount"] = amount
        if lines:
            spec["lines"] = lines
        note = issue_credit_note(api, namespace=place, spec=spec)
    if target.structured:
        target.write(note)
        return
    status = note["status"]
    currency = status["currencyCode"]
    write(
        f"issued {status['number']} over {status['total']} {currency}: {status['settled']} {currency} less due"
    )
    if status["onAccount"].strip("0."):
        write(f"{status['onAccount']} {currency} had been paid and is money on account now")


def _line(text: str) -> dict[str, Any]:
    number, parted, amount = text.partition("=")
    if not number.isdecimal() or (parted and not amount):
        raise ClientError(
            f"{text!r} is no line.", where="--line", next_step="Write 2, or 2=4.50 for a part of it."
        )
    return {"line": int(number), **({"amount": amount} if amount else {})}


def _write_after(invoice: dict[str, Any], *, target: Target) -> None:
    if target.structured:
        target.write(invoice)
        return
    status = invoice["status"]
    write(f"{status['number']} is {status['phase']}; due: {status['amountDue']} {status['currencyCode']}")
