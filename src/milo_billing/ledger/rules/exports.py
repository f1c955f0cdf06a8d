"""The books as plain text: for Ledger (ledger-cli.org), for Beancount, and as CSV for anything else.

Text comes in pieces, one a transaction, so that books of any size are written with little memory. What people typed is
made harmless for each format.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Literal, TypeAlias

from milo_billing.kernel.csv_text import csv_rows
from milo_billing.ledger.types import AccountName, Entry, PostedTransaction, ServicePeriod, TrialBalanceRow

ExportFormat: TypeAlias = Literal["ledger", "beancount", "csv"]

COLUMNS: Final = (
    "number",
    "transaction",
    "key",
    "entity",
    "posted_on",
    "billing_account",
    "description",
    "account",
    "currency",
    "debit",
    "credit",
    "service_from",
    "service_to",
)
"""Of CSV: a row an entry. Days are ISO; `service_to` is the day after the last."""

_OPENED: Final = "1970-01-01"
"""Beancount wants a day from which an account is known; any that is before the first entry will do."""
_ACCOUNT_COLUMNS: Final = 48
_TAGS: Final = ("key", "entity", "billing-account", "service")


@dataclass(frozen=True, slots=True)
class Exporter:
    """One format: what comes first, by the accounts and currencies that there are; and one transaction."""

    media_type: str
    suffix: str
    head: Callable[[Sequence[TrialBalanceRow]], str]
    transaction: Callable[[PostedTransaction, Mapping[int, str]], str]


def _ledger_head(rows: Sequence[TrialBalanceRow]) -> str:
    declared = [
        *(f"tag {tag}" for tag in _TAGS),
        *(f"commodity {currency}" for currency in sorted({row.balance.currency for row in rows})),
        *(f"account {account}" for account in _accounts(rows)),
    ]
    return "".join(f"{line}\n" for line in declared) + "\n"


def _ledger(found: PostedTransaction, names: Mapping[int, str]) -> str:
    lines = [
        f"{found.posted_on} * {_plain(found.description or found.key)}",
        f"    ; key: {_plain(found.key)}",
        f"    ; entity: {_plain(found.entity)}",
        f"    ; billing-account: {_plain(_whose(found, names))}",
    ]
    for entry in found.entries:
        lines.append(_posting(entry, indent="    "))
        if entry.service is not None:
            lines.append(f"        ; service: {_days(entry.service)}")
    return "\n".join(lines) + "\n\n"


def _beancount_head(rows: Sequence[TrialBalanceRow]) -> str:
    return "".join(f"{_OPENED} open {account}\n" for account in _accounts(rows)) + "\n"


def _beancount(found: PostedTransaction, names: Mapping[int, str]) -> str:
    lines = [
        f"{found.posted_on} * {_quoted(found.description or found.key)}",
        f"  key: {_quoted(found.key)}",
        f"  entity: {_quoted(found.entity)}",
        f"  billing-account: {_quoted(_whose(found, names))}",
    ]
    for entry in found.entries:
        lines.append(_posting(entry, indent="  "))
        if entry.service is not None:
            lines.append(f"    service: {_quoted(_days(entry.service))}")
    return "\n".join(lines) + "\n\n"


def _csv_head(_: Sequence[TrialBalanceRow]) -> str:
    return csv_rows([COLUMNS])


def _csv(found: PostedTransaction, names: Mapping[int, str]) -> str:
    whose = (found.key, found.entity, found.posted_on, _whose(found, names), found.description)
    return csv_rows(
        (
            found.number,
            found.id,
            *whose,
            entry.account,
            entry.amount.currency,
            entry.amount.decimal() if entry.amount.minor > 0 else "",
            (-entry.amount).decimal() if entry.amount.minor < 0 else "",
            *(entry.service or ("", "")),
        )
        for entry in found.entries
    )


EXPORTERS: Final[Mapping[ExportFormat, Exporter]] = {
    "ledger": Exporter("text/plain; charset=utf-8", "ledger", _ledger_head, _ledger),
    "beancount": Exporter("text/plain; charset=utf-8", "beancount", _beancount_head, _beancount),
    "csv": Exporter("text/csv; charset=utf-8", "csv", _csv_head, _csv),
}


def _accounts(rows: Sequence[TrialBalanceRow]) -> list[AccountName]:
    return sorted({row.account for row in rows})


def _posting(entry: Entry, *, indent: str) -> str:
    return (
        f"{indent}{entry.account:<{_ACCOUNT_COLUMNS}}  {entry.amount.decimal():>16f} {entry.amount.currency}"
    )


def _whose(found: PostedTransaction, names: Mapping[int, str]) -> str:
    return names.get(found.billing_account, str(found.billing_account))


def _days(service: ServicePeriod) -> str:
    return f"{service[0]}/{service[1]}"


def _plain(text: str) -> str:
    """One line without what begins a comment, a virtual date or an amount in Ledger's format."""
    return " ".join(text.replace(";", ",").replace("[", "(").replace("]", ")").split()) or "-"


def _quoted(text: str) -> str:
    one_line = " ".join(text.split())
    return '"' + one_line.replace("\\", "\\\\").replace('"', '\\"') + '"'
