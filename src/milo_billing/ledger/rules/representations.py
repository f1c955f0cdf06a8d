"""What the doors of the books answer. Amounts are decimal strings, with exactly the digits of their currency."""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from datetime import date, datetime
from typing import Any

from milo_billing.kernel.money import Money, minor_to_decimal
from milo_billing.ledger.rules.chart import CHART, account_type
from milo_billing.ledger.types import (
    AgedReceivable,
    Closing,
    Difference,
    Entry,
    PostedTransaction,
    StatementLine,
    TrialBalanceRow,
)


def chart_body() -> dict[str, Any]:
    """Every account of the chart."""
    items = [{"account": one.name, "type": one.type, "about": one.about, "per": one.per} for one in CHART]
    return {"items": items}


def trial_balance_body(rows: Sequence[TrialBalanceRow], *, until: date | None) -> dict[str, Any]:
    """A row an account, and for each entity and currency what the rows add up to: the balance is zero."""
    totals: defaultdict[tuple[str, str], list[int]] = defaultdict(lambda: [0, 0])
    for row in rows:
        total = totals[row.entity, row.balance.currency]
        total[0] += row.debits.minor
        total[1] += row.credits.minor
    return {
        "until": None if until is None else until.isoformat(),
        "items": [
            {
                "entity": row.entity,
                "account": row.account,
                "type": account_type(row.account),
                "currencyCode": row.balance.currency,
                "debits": str(row.debits.decimal()),
                "credits": str(row.credits.decimal()),
                "balance": str(row.balance.decimal()),
            }
            for row in rows
        ],
        "totals": [
            {
                "entity": entity,
                "currencyCode": currency,
                "debits": str(minor_to_decimal(debits, currency)),
                "credits": str(minor_to_decimal(credits, currency)),
                "balance": str(minor_to_decimal(debits - credits, currency)),
            }
            for (entity, currency), (debits, credits) in sorted(totals.items())
        ],
    }


def transaction_body(found: PostedTransaction, *, names: Mapping[int, str]) -> dict[str, Any]:
    """One transaction with its entries."""
    return {
        "number": found.number,
        "id": str(found.id),
        "key": found.key,
        "entity": found.entity,
        "postedOn": found.posted_on.isoformat(),
        "description": found.description,
        "account": names.get(found.billing_account, ""),
        "entries": [_entry_body(entry) for entry in found.entries],
    }


def _entry_body(entry: Entry) -> dict[str, Any]:
    start, end = entry.service or (None, None)
    amount = entry.amount
    return {
        "ledgerAccount": entry.account,
        "currencyCode": amount.currency,
        "debit": str(amount.decimal()) if amount.minor > 0 else None,
        "credit": str((-amount).decimal()) if amount.minor < 0 else None,
        "serviceFrom": None if start is None else start.isoformat(),
        "serviceTo": None if end is None else end.isoformat(),
    }


def statement_body(
    lines: Sequence[StatementLine], *, account: str, days: tuple[date, date], opening: Iterable[Money]
) -> dict[str, Any]:
    """What moved the receivable of one billing account, and what it was before; `endDay` is the day after the last."""
    return {
        "account": account,
        "firstDay": days[0].isoformat(),
        "endDay": days[1].isoformat(),
        "opening": [
            {"currencyCode": amount.currency, "balance": str(amount.decimal())} for amount in opening
        ],
        "items": [
            {
                "postedOn": line.posted_on.isoformat(),
                "key": line.key,
                "description": line.description,
                "currencyCode": line.amount.currency,
                "amount": str(line.amount.decimal()),
                "balance": str(line.balance.decimal()),
            }
            for line in lines
        ],
    }


def aged_body(one: AgedReceivable, *, names: Mapping[int, str]) -> dict[str, Any]:
    """What one billing account owes, by how many days it is overdue."""
    parts = {
        "notDue": one.not_due_minor,
        "days1To30": one.days_30_minor,
        "days31To60": one.days_60_minor,
        "days61To90": one.days_90_minor,
        "over90": one.older_minor,
        "total": one.total_minor,
    }
    return {
        "account": names.get(one.account, ""),
        "currencyCode": one.currency,
        **{name: str(minor_to_decimal(minor, one.currency)) for name, minor in parts.items()},
    }


def closing_body(one: Closing) -> dict[str, Any]:
    """One closed month."""
    return {
        "entity": one.entity,
        "month": f"{one.month:%Y-%m}",
        "closedAt": _instant(one.closed_at),
        "closedBy": one.closed_by,
    }


def verification_body(
    differences: Sequence[Difference], *, names: Mapping[int, str], checked: Sequence[str]
) -> dict[str, Any]:
    """Whether everything is as it should be, what was compared, and each difference."""
    return {
        "ok": not differences,
        "checked": list(checked),
        "differences": [
            {
                "check": one.check,
                "entity": one.entity,
                "ledgerAccount": one.account,
                "account": None if one.billing_account is None else names.get(one.billing_account, ""),
                "currencyCode": one.found.currency,
                "expected": str(one.expected.decimal()),
                "found": str(one.found.decimal()),
                "difference": str((one.found - one.expected).decimal()),
            }
            for one in differences
        ],
    }


def _instant(at: datetime) -> str:
    return at.isoformat().replace("+00:00", "Z")
