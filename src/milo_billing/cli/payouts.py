"""Commands on what providers of payments paid out to the bank."""

import sys
from typing import Annotated

from cyclopts import App, Parameter

from milo_billing.cli.output import write, write_table
from milo_billing.cli.target import DEFAULT, Target
from milo_billing.client.payouts import accept_payout, fetch_payouts, list_payouts

LIMIT = 100

payouts = App(name="payouts", help="What providers paid out to the bank, and what became of it in the books.")


@payouts.command(
    name="list",
    help_epilogue="Examples:\n\n  milo-billing payments payouts list\n\n"
    "  milo-billing payments payouts list --output json",
)
def list_(
    *, limit: Annotated[int, Parameter(help="At most so many.")] = LIMIT, target: Target = DEFAULT
) -> None:
    """List payouts, the newest first; one that waits says why."""
    with target.open() as api:
        items = list_payouts(api, limit=limit)
    if target.structured:
        target.write({"items": items})
    elif not items:
        sys.stderr.write("No payout is known: milo-billing payments payouts fetch\n")
    else:
        columns = [
            "Class",
            "Reference",
            "Amount",
            "Currency",
            "Arrives on",
            "Account",
            "State",
            "At the bank",
            "Why",
        ]
        rows = [
            [
                *(
                    one[key]
                    for key in ("class", "reference", "amount", "currencyCode", "arrivesOn", "bankAccount")
                ),
                one["state"],
                "yes" if one["arrived"] else "",
                ": ".join(filter(None, (one["reason"], one["detail"]))),
            ]
            for one in items
        ]
        write_table(columns, rows, right=["Amount"])


@payouts.command(help_epilogue="Example:\n\n  milo-billing payments payouts fetch")
def fetch(*, target: Target = DEFAULT) -> None:
    """Ask providers for payouts of the last 14 days of which no webhook came; workers do so every hour."""
    with target.open() as api:
        asked = fetch_payouts(api)
    if target.structured:
        target.write(asked)
    else:
        write("providers are asked: milo-billing payments payouts list")


@payouts.command(help_epilogue="Example:\n\n  milo-billing payments payouts accept po_1OaZ4k --class cards")
def accept(
    reference: Annotated[str, Parameter(help="The provider's name of the payout.")],
    /,
    *,
    class_: Annotated[str, Parameter(name="--class", help="The payment method class.")],
    target: Target = DEFAULT,
) -> None:
    """Book a payout that waits because it does not add up, or is about payments that are not ours.

    What nobody knows becomes unapplied cash of no billing account; payments and fees are booked as always.
    """
    with target.open() as api:
        found = accept_payout(api, class_name=class_, reference=reference)
    if target.structured:
        target.write(found)
    else:
        write(f"{reference} is booked as it is: {found['amount']} {found['currencyCode']}")
