"""When the last invoice of an account can be issued. Pure."""

from collections.abc import Sequence
from datetime import date, datetime
from typing import Any, Final

from milo_billing.invoicing.types.invoices import Issued, IssueOutcome, Skipped
from milo_billing.kernel.money import minor_to_decimal

NAMED_MAX: Final = 3
"""How many of the things that have not ended a refusal names."""


def refusal(
    *,
    account: str,
    binding: str | None,
    ended_at: datetime | None,
    until: datetime,
    running: Sequence[str],
    coming: Sequence[tuple[str, date]],
) -> str | None:
    """Why no final invoice up to `until` can be issued, everything at once; None where it can.

    `binding` is one that is active still, `ended_at` when the last one ended. `running` are commitments that have not
    ended by then, `coming` what would fall due afterwards, by the first day that it is for.
    """
    found: list[str] = []
    if binding is not None:
        found.append(f'it has active binding "{binding}": bind its projects to another account first')
    elif ended_at is not None and ended_at > until:
        found.append("its last project left it today: issue the final invoice tomorrow")
    if running:
        named = ", ".join(f'"{one}"' for one in running[:NAMED_MAX]) + (
            ", …" if len(running) > NAMED_MAX else ""
        )
        found.append(f"commitments {named} have not ended: terminate them, or wait for their end and grace")
    if coming:
        named = ", ".join(f"{name} from {day} on" for name, day in coming[:NAMED_MAX])
        found.append(
            f"something still falls due: {named}; end its entitlement, and issue the invoice after that"
        )
    if not found:
        return None
    return f'no final invoice of billing account "{account}" can be issued yet: ' + "; ".join(found)


def refused_by_sub_accounts(account: str, below: Sequence[str]) -> str:
    """Why no final invoice of an account can be issued that others are invoiced with."""
    named = ", ".join(f'"{one}"' for one in below[:NAMED_MAX]) + (", …" if len(below) > NAMED_MAX else "")
    return (
        f'no final invoice of billing account "{account}" can be issued yet: sub-accounts {named} are invoiced with '
        "it; archive them, or have them pay for themselves first"
    )


def outcome_body(account: str, found: IssueOutcome) -> dict[str, Any]:
    """The answer: the final invoice of the account, and whether it was issued just now; none, with the reason."""
    invoice = None if isinstance(found, Skipped) else found.invoice
    return {
        "account": account,
        "issued": isinstance(found, Issued),
        "reason": found.reason if isinstance(found, Skipped) else None,
        "invoice": None
        if invoice is None
        else {
            "name": invoice.name,
            "number": invoice.number,
            "total": str(minor_to_decimal(invoice.total_minor, invoice.currency)),
            "currencyCode": invoice.currency,
        },
    }
