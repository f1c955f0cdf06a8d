"""The last invoice of an account that is being closed."""

from typing import Annotated

from cyclopts import App, Parameter

from milo_billing.cli.names import split_name
from milo_billing.cli.output import write
from milo_billing.cli.target import DEFAULT, Target
from milo_billing.client.invoice_life import issue_final_invoice


def mount(invoices: App) -> None:
    """Put the command below `milo-billing invoices`."""
    invoices.command(
        final, help_epilogue="Example:\n\n  milo-billing invoices final --account organization-acme/main"
    )


def final(
    *,
    account: Annotated[str, Parameter(help="namespace/name of the billing account.")],
    target: Target = DEFAULT,
) -> None:
    """Issue the final invoice of an account that is being closed: all that no invoice covers, up to last midnight.

    First bind its projects elsewhere, terminate its commitments and end its entitlements; what has not ended is named.
    Safe to repeat.
    """
    namespace, name = split_name(account)
    with target.open() as api:
        done = issue_final_invoice(api, namespace=namespace, name=name)
    if target.structured:
        target.write(done)
        return
    invoice = done["invoice"]
    if invoice is None:
        write(f"no final invoice is needed: {done['reason']}")
        return
    was = "is the final one" if done["issued"] else "was the final one already"
    write(f"invoice {invoice['number']} over {invoice['total']} {invoice['currencyCode']} {was}")
