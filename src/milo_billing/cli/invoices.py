"""Commands on invoices: run a month, list, show, save as PDF."""

import sys
import time
from collections.abc import Iterator
from dataclasses import asdict
from decimal import Decimal
from pathlib import Path
from typing import Annotated, Any, cast

from cyclopts import App, ArgumentCollection, Group, Parameter

from milo_billing.cli.output import write, write_server_table, write_table
from milo_billing.cli.previews import described, tax_name, write_explanation
from milo_billing.cli.progress import Rate
from milo_billing.cli.quarantine import write_events
from milo_billing.cli.target import DEFAULT, EXIT_FAILED, Namespace, Target
from milo_billing.client.billing import (
    ASK_AGAIN_S,
    RunLine,
    get_invoice_lines,
    get_invoice_pdf,
    get_run,
    list_run_accounts,
    list_runs,
    open_run,
    totals_of,
)
from milo_billing.client.errors import ClientError
from milo_billing.client.generated import Invoice
from milo_billing.client.http import JSON, ApiClient
from milo_billing.client.objects import Objects
from milo_billing.client.previews import explain_line
from milo_billing.client.quarantine import list_line_events

invoices = App(name="invoices", help="Issue the invoices of a month, read them, save them as PDF.")

STILL_S = 30.0
"""A run that stands still for so long may have no worker."""

SHOWN_MAX = 200
"""A run over more accounts shows only those that failed; --output json or yaml has all of them."""


def _one_run(arguments: ArgumentCollection) -> None:
    if len(arguments.filter_by(value_set=True)) != 1:
        raise ValueError("say --month for a new run, or --resume for one that was opened before")


_WHICH = Group("A new run, or one that was opened before", validator=_one_run)
_Name = Annotated[str, Parameter(help="The invoice's name or its number.")]


@invoices.command(
    help_epilogue="Examples:\n\n"
    "  milo-billing invoices run --month 2026-10\n\n"
    "  milo-billing invoices run --month 2026-10 --account organization-acme/main\n\n"
    "  milo-billing invoices run --resume 0b0f6b3e-7c1e-4f55-9a52-0d0c9f1f9d11"
)
def run(
    *,
    month: Annotated[str | None, Parameter(group=_WHICH)] = None,
    account: Annotated[list[str] | None, Parameter(negative=())] = None,
    wait: Annotated[bool, Parameter(help="Show how far it is until it is finished.")] = True,
    resume: Annotated[
        str | None, Parameter(group=_WHICH, help="Watch this run, which was opened before.")
    ] = None,
    target: Target = DEFAULT,
) -> int:
    """Issue the invoices of a month; safe to repeat, what is issued stays as it is.

    The server does the work: interrupting this command does not stop it, and a server that is killed goes on where it
    was. Where accounts change who is invoiced for them meanwhile, another run follows, which is waited for as well.
    `milo-billing invoices runs` lists the runs.

    Parameters
    ----------
    month
        YYYY-MM, the month in which the billing period starts.
    account
        Only this account, as namespace/name; repeatable.
    """
    with target.open() as api:
        if month is None:
            found = get_run(api, resume or "")
        else:
            found = open_run(api, month=month, accounts=account or ())
        gone_over = list(_with_following(api, found, wait=wait, every=target.structured))
    if target.structured:
        first, *following = (
            {**one, "accounts": [asdict(line) for line in lines]} for one, lines in gone_over
        )
        target.write({**first, "followingRuns": following})
    else:
        for one, lines in gone_over:
            _write_run(one, lines)
    return EXIT_FAILED if any(one["failed"] for one, _ in gone_over) else 0


def _with_following(
    api: ApiClient, found: JSON, *, wait: bool, every: bool
) -> Iterator[tuple[JSON, list[RunLine]]]:
    """The run, and each that follows, with its accounts: once it is finished where `wait`, else as far as it is.

    Of a run over many accounts those that failed, unless `every` one is asked for; then nothing is shown meanwhile.
    """
    while True:
        found = _watched(api, found, silent=every) if wait else found
        state = None if every or found["done"] <= SHOWN_MAX else "failed"
        yield found, list(list_run_accounts(api, found["id"], state=state))
        if found["followedBy"] is None:
            return
        found = get_run(api, found["followedBy"])


def _watched(api: ApiClient, found: JSON, *, silent: bool) -> JSON:
    """The run once it is finished; shows how far it is, and says so where nobody works on it."""
    moved_s, last, said = time.monotonic(), -1, False
    with Rate(verb="went over", unit="accounts", silent=silent) as rate:
        while found["state"] != "finished":
            done, total = int(found["done"]), int(found["total"])
            if done != last:
                moved_s, last = time.monotonic(), done
            elif not said and time.monotonic() - moved_s > STILL_S:
                said = True
                sys.stderr.write(
                    f"no account was done for {STILL_S:.0f} s: is a worker running? "
                    "(milo-billing serve, or serve --role worker); the run goes on as soon as one is\n"
                )
            rate.show(done, part=done / total if total else None)
            time.sleep(ASK_AGAIN_S)
            found = get_run(api, found["id"])
    return found


def _write_run(found: JSON, lines: list[RunLine]) -> None:
    if found["follows"] is not None:
        write("")
        write(
            f"Accounts changed who is invoiced for them meanwhile; run {found['id']} followed, over who is now:"
        )
    if lines:
        write_table(
            ["Account", "State", "Number", "Total", "Currency", "Reason"],
            [
                [line.account, line.state, line.number, line.total, line.currency, line.reason]
                for line in lines
            ],
            right=["Total"],
        )
    totals = totals_of(found)
    write(
        f"{totals.issued:,} issued, {totals.unchanged:,} unchanged, "
        f"{totals.skipped:,} skipped, {totals.failed:,} failed"
    )
    if found["state"] != "finished":
        write(
            f"{found['done']:,} of {found['total']:,} accounts so far: milo-billing invoices run --resume {found['id']}"
        )


@invoices.command(help_epilogue="Example:\n\n  milo-billing invoices runs")
def runs(*, target: Target = DEFAULT) -> None:
    """List the runs that were opened last, and how far each is."""
    with target.open() as api:
        found = list_runs(api)
    if target.structured:
        target.write({"items": found})
        return
    keys = ("id", "month", "state", "openedAt", "done", "total", "issued", "unchanged", "skipped", "failed")
    columns = ["Run", "Month", "State", "Opened", "Done", "Of", "Issued", "Unchanged", "Skipped", "Failed"]
    write_table(columns, [[one[key] for key in keys] for one in found], right=columns[4:])


@invoices.command(name="list", help_epilogue="Example:\n\n  milo-billing invoices list -n organization-acme")
def list_(*, namespace: Namespace = None, target: Target = DEFAULT) -> None:
    """List invoices."""
    with target.open() as api:
        objects = Objects(api)
        kind = objects.find_kind("invoices")
        if target.structured:
            target.write({"items": list(objects.list(kind, namespace=namespace))})
        else:
            write_server_table(objects.table(kind, namespace=namespace), namespaces=namespace is None)


@invoices.command(help_epilogue="Example:\n\n  milo-billing invoices show INV-000001 -n organization-acme")
def show(name: _Name, /, *, namespace: Namespace = None, target: Target = DEFAULT) -> None:
    """Show an invoice with its lines."""
    with target.open() as api:
        place, found, invoice = find_invoice(api, name, namespace=namespace)
        lines = get_invoice_lines(api, namespace=place, name=found)
    if target.structured:
        target.write({**invoice, "lines": lines})
        return
    heading = _heading(invoice)
    width = max(len(label) for label, _ in heading) + 3
    for label, value in heading:
        write(f"{label + ':':<{width}}{value}")
    write("")
    write_lines(lines)


@invoices.command(
    help_epilogue="Example:\n\n  milo-billing invoices events INV-000001 2 -n organization-acme"
)
def events(
    name: _Name,
    line: Annotated[int, Parameter(help="The number of the line, from 1.")],
    /,
    *,
    namespace: Namespace = None,
    later: Annotated[
        bool, Parameter(negative=(), help="What has reached the line's days since the invoice was issued.")
    ] = False,
    limit: Annotated[int, Parameter(help="At most so many.")] = 100,
    target: Target = DEFAULT,
) -> int:
    """Show the events that make up a line, archived ones too; their sum is the line's quantity, in the meter's unit."""
    with target.open() as api:
        place, found, _ = find_invoice(api, name, namespace=namespace)
        listed = list_line_events(api, namespace=place, name=found, line=line, limit=limit, later=later)
    return write_events(listed, target=target)


@invoices.command(
    help_epilogue="Example:\n\n  milo-billing invoices explain INV-000001 2 -n organization-acme"
)
def explain(
    name: _Name,
    line: Annotated[int, Parameter(help="The number of the line, from 1.")],
    /,
    *,
    namespace: Namespace = None,
    target: Target = DEFAULT,
) -> int:
    """Show how the amount of a line came about, from what was metered to what is owed.

    Exits 1 where the frozen version of the price book does not give the same amount again.
    """
    with target.open() as api:
        place, found, _ = find_invoice(api, name, namespace=namespace)
        explained = explain_line(api, namespace=place, name=found, line=line)
    return write_explanation(explained, target=target)


@invoices.command(help_epilogue="Example:\n\n  milo-billing invoices pdf INV-000001 --to invoice.pdf")
def pdf(
    name: _Name,
    /,
    *,
    namespace: Namespace = None,
    to: Annotated[
        str | None,
        Parameter(
            help="File to write, - for standard output; <number>.pdf when not given.",
            allow_leading_hyphen=True,
        ),
    ] = None,
    target: Target = DEFAULT,
) -> None:
    """Save an invoice as PDF."""
    with target.open() as api:
        place, found, invoice = find_invoice(api, name, namespace=namespace)
        content = get_invoice_pdf(api, namespace=place, name=found)
        if to == "-":
            sys.stdout.buffer.write(content)
            return
        path = Path(to or f"{number_of(invoice)}.pdf".replace("/", "-"))
        try:
            path.write_bytes(content)
        except OSError as error:
            raise ClientError(f"The PDF cannot be written: {error.strerror}.", where=str(path)) from error
    if target.structured:
        target.write({"invoice": found, "file": str(path), "bytes": len(content)})
    else:
        write(f"wrote {path}")


def write_lines(lines: list[JSON]) -> None:
    """Write the lines of an invoice as a table, and who took what off them as another."""
    write_table(
        ["Line", "Kind", "Description", "Quantity", "Unit", "Unit price", "Amount"],
        [_row(line) for line in lines],
        right=["Line", "Quantity", "Unit price", "Amount"],
    )
    if discounts := [(line, one) for line in lines for one in line["discounts"]]:
        write("")
        write_table(
            ["Line", "Discount", "Of", "Off", "Percentage", "Amount"],
            [
                [
                    line["line"],
                    one["title"],
                    f"{one['givenBy']['kind']} {one['givenBy']['name']}",
                    "the line" if one["scope"] == "Line" else "the invoice",
                    one["percentage"] or "",
                    one["amount"],
                ]
                for line, one in discounts
            ],
            right=["Line", "Percentage", "Amount"],
        )
        write("What is off the line is inside the line's amount already.")


def _row(line: JSON) -> list[Any]:
    """What a commitment charges has no quantity and no price."""
    sold = line["sku"] is not None
    return [
        line["line"],
        line["kind"],
        described(line),
        line["quantity"] if sold else "",
        line["pricingUnit"],
        _unit_price(line) if sold else "",
        line["amount"],
    ]


def _unit_price(line: JSON) -> str:
    """With its currency where the price book has another one than the invoice."""
    price, conversion = line.get("unitPrice"), line.get("conversion")
    if price is None:
        return "tiers"
    return price if conversion is None else f"{price} {conversion['currencyCode']}"


def find_invoice(api: ApiClient, name: str, *, namespace: str | None) -> tuple[str, str, Invoice]:
    """The one invoice of this name or number: its namespace, its name, itself."""
    objects = Objects(api)
    kind = objects.find_kind("invoices")
    found = objects.find(kind, name, namespace=namespace) if namespace is not None else None
    matches = [cast("Invoice", found)] if found is not None else []
    if not matches:
        listed = (cast("Invoice", invoice) for invoice in objects.list(kind, namespace=namespace))
        matches = [invoice for invoice in listed if name in (identity_of(invoice)[1], number_of(invoice))]
    if len(matches) == 1:
        return (*identity_of(matches[0]), matches[0])
    if not matches:
        raise ClientError(
            f"There is no invoice {name!r}.",
            where=namespace or "every namespace you may read",
            next_step="`milo-billing invoices list` shows what there is.",
        )
    places = ", ".join(identity_of(match)[0] for match in matches)
    raise ClientError(f"{name!r} is the name of {len(matches)} invoices.", where=places, next_step="Give -n.")


def identity_of(invoice: Invoice) -> tuple[str, str]:
    """Namespace and name."""
    metadata = invoice.get("metadata", {})
    return metadata.get("namespace", ""), metadata.get("name", "")


def number_of(invoice: Invoice) -> str:
    """Its number, which customers know it by."""
    return invoice.get("status", {}).get("number") or identity_of(invoice)[1]


def _heading(invoice: Invoice) -> list[tuple[str, str]]:
    spec, status = invoice["spec"], cast("JSON", invoice.get("status", {}))
    currency = status.get("currencyCode", "")
    settled = (
        ("Paid", "amountPaid"),
        ("Credited", "amountCredited"),
        ("Written off", "amountWrittenOff"),
        ("By granted credit", "credits"),
    )
    return [
        ("Number", number_of(invoice)),
        ("Account", f"{identity_of(invoice)[0]}/{spec['billingAccountRef']['name']}"),
        ("Period", f"{spec['period']['start']} to {spec['period']['end']}"),
        ("Phase", status.get("phase", "")),
        ("Issued", status.get("issuedOn", "")),
        ("Due", status.get("dueDate", "")),
        ("Lines", f"{status.get('subtotal', '')} {currency}"),
        ("Discounts", f"{status.get('discounts', '')} {currency}"),
        *((tax_name(tax), f"{tax['amount']} {currency} on {tax['basis']}") for tax in status.get("tax", ())),
        ("Total", f"{status.get('total', '')} {currency}"),
        *(
            (label, f"{status[field]} {currency}")
            for label, field in settled
            if Decimal(status.get(field) or 0)
        ),
        ("Still due", f"{status.get('amountDue', '')} {currency}"),
    ]
