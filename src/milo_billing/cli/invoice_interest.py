"""Commands on interest: what overdue invoices have borne, and charging it at once."""

from typing import Annotated

from cyclopts import App, Parameter

from milo_billing.cli.names import split_name
from milo_billing.cli.output import write, write_table
from milo_billing.cli.target import DEFAULT, Target
from milo_billing.client.interest import charge_interest, list_interest

interest = App(name="interest", help="Interest on what is paid late: what it came to, and charging it.")


@interest.command(
    name="list",
    help_epilogue="Examples:\n\n  milo-billing invoices interest list\n\n"
    "  milo-billing invoices interest list --account organization-acme/main\n\n"
    "  milo-billing invoices interest list --output json",
)
def list_(
    *,
    account: Annotated[str | None, Parameter(help="Only this billing account, as namespace/name.")] = None,
    target: Target = DEFAULT,
) -> None:
    """Show what overdue invoices have borne of interest up to today, and what of it was charged.

    Days, rate and amount are of the whole time since the due date. "To charge" is what `charge` would invoice now: of
    months that are over, less what was charged before. Below zero, it gives back. Interest that was waived counts as
    charged: it does not come again.
    """
    with target.open() as api:
        items = sorted(
            list_interest(api, account=None if account is None else split_name(account)),
            key=lambda one: (one["namespace"], one["account"], one["dueOn"], one["number"]),
        )
    if target.structured:
        target.write({"items": items})
        return
    if not items:
        write("No overdue invoice bears interest.")
        return
    write_table(
        [
            "Account",
            "Number",
            "Due on",
            "Amount due",
            "Percent",
            "Days",
            "Accrued",
            "Charged",
            "Until",
            "To charge",
            "Currency",
        ],
        [
            [
                f"{one['namespace']}/{one['account']}",
                one["number"],
                one["dueOn"],
                one["amountDue"],
                one["percent"],
                one["days"],
                one["accrued"],
                one["charged"],
                one["chargedUntil"] or "",
                one["chargeable"],
                one["currencyCode"],
            ]
            for one in items
        ],
        right=["Amount due", "Percent", "Days", "Accrued", "Charged", "To charge"],
    )


@interest.command(
    help_epilogue="Examples:\n\n"
    "  milo-billing invoices interest charge --account organization-acme/main\n\n"
    "To waive what was charged, with the reason:\n\n"
    '  milo-billing invoices credit INV-2026-000007 --reason "waived: paid at once when we asked"'
)
def charge(
    *,
    account: Annotated[str, Parameter(help="namespace/name of the billing account.")],
    target: Target = DEFAULT,
) -> None:
    """Invoice an account's interest on what was overdue until this month began; workers do so every night.

    No day of an invoice is charged twice, so it is safe to repeat. What was charged and is not owed, because an
    invoice became void, was credited or had been paid earlier, is given back by a credit note.

    To waive interest, credit its invoice (an invoice of kind OneTime) with a reason: `milo-billing invoices credit`.
    It is not charged again.
    """
    namespace, name = split_name(account)
    with target.open() as api:
        done = charge_interest(api, namespace=namespace, name=name)
    if target.structured:
        target.write(done)
        return
    for invoice in done["invoices"]:
        write(f"invoice {invoice['number']} charges interest of {invoice['total']} {invoice['currencyCode']}")
    for invoice in done["givenBack"]:
        write(f"interest on {invoice['number']} was too much: a credit note gives it back")
    if not done["invoices"] and not done["givenBack"]:
        write("There is no interest to charge: a month is charged once it is over.")
