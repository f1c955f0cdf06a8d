"""Commands on credit: grant it, see what is left of it, what became of it, take back what is left."""

from typing import Annotated, Any, Literal

from cyclopts import App, Parameter

from milo_billing.cli.names import split_name
from milo_billing.cli.output import write, write_table
from milo_billing.cli.target import DEFAULT, Target
from milo_billing.client.credits import grant_credit, list_history, revoke_credit, show_credits
from milo_billing.client.http import JSON

credits = App(name="credits", help="Credit of billing accounts: prepaid money, promotions, goodwill.")

_Account = Annotated[str, Parameter(help="namespace/name of the billing account.")]
_Reason = Annotated[str, Parameter(help="Why, for whoever asks: it is kept, and audited.")]


_Kind = Annotated[
    Literal["prepaid", "promotional", "goodwill"],
    Parameter(
        help="Prepaid money pays invoices; a promotion is taken off before tax; goodwill is a credit note."
    ),
]
_Sku = Annotated[
    str | None,
    Parameter(help="CEL over labels, name, service and meter: which Skus it pays for; all otherwise."),
]
_ReceivedInto = Annotated[
    str | None,
    Parameter(
        help="Of prepaid money that no bank statement tells of: the account at a bank that it came to. "
        "Otherwise it is taken from what the account has already."
    ),
]
_Taxed = Annotated[
    Literal["at-use", "at-purchase"],
    Parameter(
        help="Of prepaid money: with the invoice that uses it, or at once, by an invoice over it and its tax."
    ),
]
_TaxCategory = Annotated[
    str | None,
    Parameter(
        help="With --taxed at-purchase: of what it buys, and the only one it pays for; standard otherwise."
    ),
]


@credits.command(
    help_epilogue="Examples:\n\n"
    "  milo-billing credits grant organization-acme/main --kind promotional --amount 100 --currency EUR "
    '--expires-at 2026-12-31T00:00:00Z --reason "welcome"\n\n'
    "  milo-billing credits grant organization-acme/main --kind prepaid --amount 5000 --currency EUR "
    '--received-into 3000 --reason "order 4711"\n\n'
    "  milo-billing credits grant organization-acme/main --kind prepaid --amount 100 --currency EUR "
    '--taxed at-purchase --reason "voucher 12"'
)
def grant(
    account: _Account,
    *,
    kind: _Kind,
    amount: Annotated[str, Parameter(help="How much; of a promotion and of goodwill before tax.")],
    currency: Annotated[str, Parameter(help="The account's currency.")],
    reason: _Reason,
    name: Annotated[str | None, Parameter(help="The grant's name; made up where none is given.")] = None,
    title: Annotated[str | None, Parameter(help="What invoices call it; its name otherwise.")] = None,
    priority: Annotated[int, Parameter(help="Within a kind the lowest is used first, 0 to 1000.")] = 100,
    effective_from: Annotated[
        str | None, Parameter(help="From when on invoices may use it, RFC 3339 in UTC; at once otherwise.")
    ] = None,
    expires_at: Annotated[
        str | None,
        Parameter(help="From when on no invoice uses it and what is left lapses; never otherwise."),
    ] = None,
    sku: _Sku = None,
    received_into: _ReceivedInto = None,
    taxed: _Taxed = "at-use",
    tax_category: _TaxCategory = None,
    target: Target = DEFAULT,
) -> None:
    """Grant credit to an account. What was granted stays; what is left of it can be revoked."""
    namespace, found = split_name(account)
    spec: dict[str, Any] = {
        "billingAccountRef": {"name": found},
        "kind": kind.capitalize(),
        "amount": amount,
        "currencyCode": currency,
        "priority": priority,
        "reason": reason,
    }
    said = {
        "displayName": title,
        "effectiveFrom": effective_from,
        "expiresAt": expires_at,
        "skuSelectors": None if sku is None else [{"cel": sku}],
        "receivedInto": received_into,
        "taxAt": "Purchase" if taxed == "at-purchase" else None,
        "taxCategory": tax_category,
    }
    spec.update({field: value for field, value in said.items() if value is not None})
    with target.open() as api:
        made = grant_credit(api, namespace=namespace, name=name, spec=spec)
    if target.structured:
        target.write(made)
        return
    _write_granted(made)


def _write_granted(made: JSON) -> None:
    status = made["status"]
    write(
        f"granted {made['metadata']['name']}: {status['granted']} {made['spec']['currencyCode']} "
        f"{made['spec']['kind']} ({status['phase']})"
    )
    if status["invoiceNumber"]:
        write(f"invoice {status['invoiceNumber']} over it and its tax was issued, and is paid")


@credits.command(name="list", help_epilogue="Example:\n\n  milo-billing credits list organization-acme/main")
def list_(account: _Account, *, target: Target = DEFAULT) -> None:
    """Show what is left of an account's credit, grant by grant, and what is on account besides."""
    namespace, name = split_name(account)
    with target.open() as api:
        found = show_credits(api, namespace=namespace, account=name)
    if target.structured:
        target.write(found)
        return
    if found["grants"]:
        write_table(
            ["Grant", "Kind", "Phase", "Remaining", "Used", "Granted", "Priority", "Expires", "Reason"],
            [
                [
                    one["name"],
                    one["kind"],
                    one["phase"],
                    one["remaining"],
                    one["used"],
                    one["granted"],
                    one["priority"],
                    one["expiresAt"] or "never",
                    one["reason"],
                ]
                for one in found["grants"]
            ],
            right=["Remaining", "Used", "Granted", "Priority"],
        )
        write("")
    usable = ", ".join(f"{one['amount']} {one['kind'].lower()}" for one in found["usable"])
    write(f"an invoice issued now can use {found['total']} {found['currencyCode']}: {usable}")
    write(
        f"money on account: {found['moneyOnAccount']} {found['currencyCode']}; "
        f"not applied yet: {found['unappliedCash']} {found['currencyCode']}"
    )


@credits.command(
    help_epilogue="Examples:\n\n  milo-billing credits history organization-acme/main\n\n"
    "  milo-billing credits history organization-acme/main --grant welcome"
)
def history(
    account: _Account,
    *,
    grant: Annotated[str | None, Parameter(help="Of this grant only.")] = None,
    target: Target = DEFAULT,
) -> None:
    """Show what became of an account's credit, the newest first: granted, used, given back, expired, revoked."""
    namespace, name = split_name(account)
    with target.open() as api:
        found = list_history(api, namespace=namespace, account=name, grant=grant)
    if target.structured:
        target.write(found)
        return
    if not found["items"]:
        write("No credit was ever granted.")
        return
    write_table(
        ["At", "Grant", "What", "Amount", "Currency", "Invoice", "Reason"],
        [
            [
                one["at"],
                one["grant"],
                one["kind"],
                one["amount"],
                found["currencyCode"],
                one["invoice"] or "",
                one["reason"] or "",
            ]
            for one in found["items"]
        ],
        right=["Amount"],
    )


@credits.command(
    help_epilogue="Example:\n\n"
    '  milo-billing credits revoke organization-acme/welcome --reason "granted to the wrong account"'
)
def revoke(
    grant: Annotated[str, Parameter(help="namespace/name of the credit grant.")],
    /,
    *,
    reason: _Reason,
    target: Target = DEFAULT,
) -> None:
    """Take back what is left of a grant. Prepaid money stays the customer's, as money on account."""
    namespace, name = split_name(grant, what="credit grant", example="welcome")
    with target.open() as api:
        after = revoke_credit(api, namespace=namespace, name=name, reason=reason)
    if target.structured:
        target.write(after)
        return
    write(_revoked(after))


def _revoked(grant: JSON) -> str:
    status, currency = grant["status"], grant["spec"]["currencyCode"]
    return f"{grant['metadata']['name']} is {status['phase']}: {status['revoked']} {currency} taken back"
