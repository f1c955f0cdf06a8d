"""What interest stands on an overdue invoice as of a day, how it is asked for and answered. Pure.

How interest is computed is in `rules.late_interest`; this says how much of it is charged, and how much is not yet.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any, Final
from uuid import UUID

from milo_billing.accounts.types import Account
from milo_billing.invoicing.rules.late_interest import Charged, Settling, interest_minor, stretches
from milo_billing.invoicing.types.invoices import Invoice
from milo_billing.kernel.bodies import check_text
from milo_billing.kernel.errors import BadRequest
from milo_billing.kernel.money import minor_to_decimal

PAGE_MAX: Final = 100
"""Overdue invoices of one page: each is computed when it is asked for."""

_FIRST: Final = UUID(int=0)


@dataclass(frozen=True, slots=True)
class AccrualsRequest:
    """Of one account, or of all within reach where `account` is None, as (namespace, name); behind the uid `after`."""

    account: tuple[str, str] | None
    after: UUID
    limit: int


@dataclass(frozen=True, slots=True)
class Accrual:
    """Interest on one overdue invoice.

    `days` bore interest so far, and came to `accrued_minor`; `charged` is what was invoiced of it, less what was given
    back. `chargeable_minor` is what charging now would invoice, below zero what it would give back: of whole months.
    """

    invoice: Invoice
    days: int
    accrued_minor: int
    charged: Charged
    chargeable_minor: int


def accrue(
    invoice: Invoice, became: Iterable[Settling], *, charged: Charged, today: date, month: date
) -> Accrual:
    """What the invoice bears up to and without `today`; `month` is the first day of the month, where it was issued.

    The invoice bears interest: it froze a percentage.
    """
    assert invoice.interest_percent is not None, f"{invoice.number} bears no interest"
    became = tuple(became)
    found = stretches(invoice, became, until=today)
    whole = stretches(invoice, became, until=month)
    return Accrual(
        invoice=invoice,
        days=sum(one.days for one in found),
        accrued_minor=interest_minor(found, percent=invoice.interest_percent),
        charged=charged,
        chargeable_minor=interest_minor(whole, percent=invoice.interest_percent) - charged.amount_minor,
    )


def parse_accruals(query: Mapping[str, str]) -> AccrualsRequest:
    """`?namespace=organization-acme&account=main&limit=50&continue=…`, each optional. Raises BadRequest."""
    if unknown := sorted(query.keys() - {"namespace", "account", "limit", "continue"}):
        raise BadRequest(
            f"unknown parameter {unknown[0]!r}: interest has namespace, account, limit and continue"
        )
    namespace, name = query.get("namespace"), query.get("account")
    if (namespace is None) != (name is None):
        raise BadRequest("parameters namespace and account name one account together: give both, or neither")
    for text in filter(None, (namespace, name)):
        check_text(text)
    limit = query.get("limit", str(PAGE_MAX))
    if not (limit.isascii() and limit.isdecimal()) or not 1 <= int(limit) <= PAGE_MAX:
        raise BadRequest(f'parameter "limit": {limit!r} is not a number from 1 to {PAGE_MAX}')
    try:
        after = UUID(query["continue"]) if "continue" in query else _FIRST
    except ValueError:
        raise BadRequest('parameter "continue" does not come from a list of interest') from None
    account = None if namespace is None or name is None else (namespace, name)
    return AccrualsRequest(account, after, int(limit))


def accruals_body(found: Sequence[Accrual], *, limit: int) -> dict[str, Any]:
    """One page; `found` has one more than `limit` where there is another. Amounts are decimals."""
    more = {"continue": str(found[limit - 1].invoice.uid)} if len(found) > limit else {}
    return {"metadata": more, "items": [_accrual(one) for one in found[:limit]]}


def _accrual(one: Accrual) -> dict[str, Any]:
    invoice, until = one.invoice, one.charged.until

    def shown(minor: int) -> str:
        return str(minor_to_decimal(minor, invoice.currency))

    assert invoice.interest_percent is not None, "it was accrued"
    return {
        "namespace": invoice.namespace,
        "account": invoice.account_name,
        "invoice": invoice.name,
        "number": invoice.number,
        "currencyCode": invoice.currency,
        "phase": invoice.phase,
        "dueOn": invoice.due_on.isoformat(),
        "amountDue": shown(invoice.amount_due_minor),
        "percent": f"{invoice.interest_percent.normalize():f}",
        "days": one.days,
        "accrued": shown(one.accrued_minor),
        "charged": shown(one.charged.amount_minor),
        "chargedUntil": None if until is None else until.isoformat(),
        "open": shown(one.accrued_minor - one.charged.amount_minor),
        "chargeable": shown(one.chargeable_minor),
    }


def charged_body(
    account: Account, *, charged: Sequence[Invoice], given_back: Sequence[Invoice]
) -> dict[str, Any]:
    """What charging did: the invoices over interest, and the overdue invoices of which interest was given back."""
    return {
        "account": f"{account.namespace}/{account.name}",
        "invoices": [
            {
                "name": one.name,
                "number": one.number,
                "total": str(minor_to_decimal(one.total_minor, one.currency)),
                "currencyCode": one.currency,
            }
            for one in charged
        ],
        "givenBack": [{"name": one.name, "number": one.number} for one in given_back],
    }
