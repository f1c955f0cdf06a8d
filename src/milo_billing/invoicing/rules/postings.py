"""Which accounts of the books an invoice credits, and for which days (domain.md §9)."""

from collections.abc import Iterable, Mapping
from dataclasses import replace
from datetime import timedelta
from typing import Final, TypeVar, assert_never
from uuid import UUID

from milo_billing.invoicing.rules.grants import bought_minor, charged_minor, granted_minor
from milo_billing.invoicing.types.drafts import Draft, DraftLine
from milo_billing.invoicing.types.invoices import InvoiceLine, MoneyKind
from milo_billing.ledger.types import (
    BAD_DEBT,
    BAD_DEBT_RECOVERY,
    INTEREST,
    PREPAID_CREDIT,
    PROMOTIONAL,
    RECEIVABLE,
    TRANSFERS,
    AccountName,
    Posting,
    ServicePeriod,
    deferred,
    revenue,
    tax_payable,
)

_DAY: Final = timedelta(days=1)
_Line = TypeVar("_Line", DraftLine, InvoiceLine)


def postings(draft: Draft) -> tuple[Posting, ...]:
    """What the receivable is credited to, after every discount; what is drawn on or given back is debited.

    Usage and surcharges are earned in the days of their line, a shortfall on the last day of its interval. What is
    charged in advance and money that is prepaid is deferred, with the days that it is for; revenue takes it from there.
    What promotional credit took off a line was earned, and given up beside it; what credit that was bought with tax
    paid of it is owed no more. Tax is owed to its place, for no days. Empty where the books stay as they are.
    """
    found: dict[tuple[AccountName, ServicePeriod | None], int] = {}
    for line in draft.lines:
        days = service_of(line)
        for account, minor, served in (
            (account_of(line), charged_minor(line), days),
            (PROMOTIONAL, granted_minor(line), days),
            (PREPAID_CREDIT, bought_minor(line), None),
        ):
            key = account, served
            found[key] = found.get(key, 0) + minor
    for group in draft.taxes:
        if group.tax_minor:
            owed = tax_payable(group.treatment.place), None
            found[owed] = found.get(owed, 0) + group.tax_minor
    return tuple((account, minor, days) for (account, days), minor in found.items() if minor)


def consolidated(draft: Draft) -> tuple[tuple[Posting, ...], Mapping[int, tuple[Posting, ...]]]:
    """The postings of the account that pays, and by number those of each other account that used: these are posted
    there against a transfer, which stands in their place in the first (domain.md §9). A draft of one account has no
    others.
    """
    own, others = by_user(draft.lines, payer=draft.account)
    sent = {
        account: postings(replace(draft, lines=tuple(lines), taxes=())) for account, lines in others.items()
    }
    return with_transfers(postings(replace(draft, lines=tuple(own))), sent), sent


def issue_key(invoice: UUID, *, payer: int, user: int | None = None) -> str:
    """The key of the transaction by which an invoice is issued: of the payer, or of another account that used."""
    key = f"invoice/{invoice}/issue"
    return key if user is None or user == payer else f"{key}/{user}"


def by_user(lines: Iterable[_Line], *, payer: int) -> tuple[list[_Line], dict[int, list[_Line]]]:
    """The lines of what the payer used itself, and by number those of other accounts."""
    own: list[_Line] = []
    others: dict[int, list[_Line]] = {}
    for line in lines:
        if line.used_by is None or line.used_by == payer:
            own.append(line)
        else:
            others.setdefault(line.used_by, []).append(line)
    return own, others


def with_transfers(own: tuple[Posting, ...], sent: Mapping[int, tuple[Posting, ...]]) -> tuple[Posting, ...]:
    """The payer's postings with a transfer for what each other account is credited."""
    sums = [sum(minor for _, minor, _ in one) for one in sent.values()]
    return (*own, *((TRANSFERS, minor, None) for minor in sums if minor))


def account_of(line: DraftLine | InvoiceLine) -> AccountName:
    """Revenue, or what is not earned yet."""
    kind = line.kind if line.adjusts is None else line.adjusts.kind
    match kind:
        case "Recurring":
            return deferred("Recurring") if line.in_advance else revenue("Recurring")
        case "Prepayment" | "DrawDown":
            return deferred("Prepayment")
        case "Interest":
            return INTEREST
        case "PrepaidCredit":
            return PREPAID_CREDIT
        case "Usage" | "OneTime" | "Shortfall" | "Overage":
            return revenue(kind)
        case "Adjustment":
            raise ValueError("an adjustment says what kind of line it adjusts")
        case _:
            assert_never(kind)


def service_of(line: DraftLine | InvoiceLine) -> ServicePeriod | None:
    """The days in which the line is earned: `[first, end)`; an adjustment in those of what it adjusts. None for credit
    that is bought: nobody knows yet when it will be used.
    """
    if line.kind == "PrepaidCredit":
        return None
    if "Shortfall" in (line.kind, line.adjusts and line.adjusts.kind):
        return line.end_day - _DAY, line.end_day
    return line.first_day, line.end_day


def recovery(kind: MoneyKind) -> tuple[AccountName, AccountName]:
    """(debited, credited) when what was written off is owed again for a moment, because of a settlement of this kind.

    Money that came after all is income; a credit note over it says that the loss never was one.
    """
    came = kind in ("Payment", "Credit")
    return RECEIVABLE, BAD_DEBT_RECOVERY if came else BAD_DEBT
