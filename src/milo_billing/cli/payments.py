"""Commands on payments: collect what is due, list, refund, the secrets of a class."""

import sys
from pathlib import Path
from typing import Annotated

from cyclopts import App, Parameter

from milo_billing.cli.output import count_of, write, write_server_table, write_table
from milo_billing.cli.target import DEFAULT, Namespace, Target
from milo_billing.client.errors import ClientError
from milo_billing.client.objects import Objects
from milo_billing.client.payments import collect_payments, refund_payment, set_payment_secrets

payments = App(name="payments", help="Payments: collect what is due, give back, see what became of it.")


@payments.command(
    help_epilogue="Examples:\n\n"
    "  milo-billing payments collect\n\n"
    "  milo-billing payments collect --account organization-acme/main --again"
)
def collect(
    *,
    account: Annotated[list[str] | None, Parameter(negative=())] = None,
    again: Annotated[bool, Parameter(negative=())] = False,
    target: Target = DEFAULT,
) -> None:
    """Ask for the money of invoices that are due, of accounts that pay by card or direct debit; safe to repeat.

    Workers do so by themselves every ten minutes. Nothing is charged twice, whoever else collects.

    Parameters
    ----------
    account
        Only this account, as namespace/name; repeatable.
    again
        Ask now, whatever the schedule of retries says, also after a decline for good.
    """
    with target.open() as api:
        lines = list(collect_payments(api, accounts=account or (), again=again))
    if target.structured:
        target.write({"items": lines})
        return
    if lines:
        columns = ["Namespace", "Invoice", "State", "Amount", "Currency", "Payment", "Reason"]
        keys = ("namespace", "invoice", "state", "amount", "currencyCode", "payment", "reason")
        write_table(columns, [[line[key] for key in keys] for line in lines], right=["Amount"])
    opened = sum(line["state"] == "opened" for line in lines)
    write(f"{count_of(len(lines), 'invoice')} due, {opened:,} asked for")


@payments.command(name="list", help_epilogue="Example:\n\n  milo-billing payments list -n organization-acme")
def list_(*, namespace: Namespace = None, target: Target = DEFAULT) -> None:
    """List payments."""
    with target.open() as api:
        objects = Objects(api)
        kind = objects.find_kind("payments")
        if target.structured:
            target.write({"items": list(objects.list(kind, namespace=namespace))})
        else:
            write_server_table(objects.table(kind, namespace=namespace), namespaces=namespace is None)


@payments.command(
    help_epilogue="Example:\n\n"
    "  milo-billing payments refund kc-2026-000001-p1 -n organization-acme --amount 12.50 --reason overcharged"
)
def refund(
    name: str,
    /,
    *,
    namespace: Annotated[str, Parameter(name=["--namespace", "-n"])],
    reason: str,
    amount: str | None = None,
    reopen: Annotated[bool, Parameter(negative=())] = False,
    target: Target = DEFAULT,
) -> None:
    """Give back a payment, or a part of it, the way it came.

    Parameters
    ----------
    name
        The payment.
    namespace
        Where it is.
    reason
        Why; kept with the refund.
    amount
        How much, such as 12.50; all that is left when not given.
    reopen
        The invoice is owed again by as much. Without it, the money comes out of what the account has unapplied or on
        account, where a credit note puts it.
    """
    with target.open() as api:
        made = refund_payment(
            api, namespace=namespace, name=name, amount=amount, reason=reason, reopen=reopen
        )
    if target.structured:
        target.write(made)
    else:
        write(
            f"refund {made['number']} of {made['payment']}: {made['amount']} {made['currencyCode']}, on its way"
        )


@payments.command(
    help_epilogue="Examples:\n\n"
    "  milo-billing payments secrets cards --from stripe.env\n\n"
    "  printf 'apiKey=…\\nwebhookSecret=…\\n' | milo-billing payments secrets cards"
)
def secrets(
    name: str,
    /,
    *,
    from_: Annotated[Path | None, Parameter(name="--from")] = None,
    target: Target = DEFAULT,
) -> None:
    """Keep the secrets with which a payment method class reaches its provider; nobody can read them again.

    Lines of name=value, in place of all that were kept before. For Stripe: apiKey and webhookSecret.

    Parameters
    ----------
    name
        The payment method class.
    from_
        A file; standard input when not given, so that no secret stands in the shell's history.
    """
    try:
        text = sys.stdin.read() if from_ is None else from_.read_text()
    except OSError as error:
        raise ClientError(f"The file cannot be read: {error.strerror}.", where=str(from_)) from error
    found: dict[str, str] = {}
    for number, line in enumerate(text.splitlines(), start=1):
        if not line.strip() or line.startswith("#"):
            continue
        key, equals, value = line.partition("=")
        if not equals or not key.strip() or not value.strip():
            raise ClientError("A line is not name=value.", where=f"line {number}")
        found[key.strip()] = value.strip()
    with target.open() as api:
        kept = set_payment_secrets(api, name=name, secrets=found)
    if target.structured:
        target.write(kept)
    else:
        write(f"kept {', '.join(kept['secrets'])} for {kept['class']}")
