"""What a preview answers: the lines as an invoice would have them, whose every amount is, and what has no price."""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import replace
from datetime import datetime
from typing import Any, Final

from milo_billing.accounts.types import Account
from milo_billing.invoicing.rules.conversions import conversion_body
from milo_billing.invoicing.rules.representations import line_body
from milo_billing.invoicing.rules.requests import Grouping
from milo_billing.invoicing.rules.tax_bodies import tax_bodies
from milo_billing.invoicing.types.drafts import DraftLine
from milo_billing.invoicing.types.invoices import InvoiceLine, LineShare, Preview
from milo_billing.kernel.money import Currency, minor_to_decimal
from milo_billing.kernel.periods import local_day

ROWS_MAX: Final = 1_000
"""Lines, and groups of shares, of one answer. What is left is counted, and summed up."""


def preview_body(found: Preview, *, account: Account, by: Grouping, at: datetime) -> dict[str, Any]:
    """The answer of GET /v1/invoicing/preview. Decimals are strings."""
    draft, zone = found.draft, account.time_zone
    lines = draft_lines(found)

    def shown(minor: int) -> str:
        return str(minor_to_decimal(minor, draft.currency))

    return {
        "account": f"{account.namespace}/{account.name}",
        "invoicedWith": found.invoiced_with,
        "at": at.isoformat().replace("+00:00", "Z"),
        "firstDay": local_day(draft.period.start, zone=zone).isoformat(),
        "endDay": local_day(draft.period.end, zone=zone).isoformat(),
        "provisional": not found.closed,
        "currencyCode": draft.currency,
        "subtotal": shown(draft.subtotal_minor),
        "discounts": shown(draft.discounts_minor),
        "tax": tax_bodies(draft.taxes, currency=draft.currency),
        "taxTotal": shown(draft.tax_minor),
        "untaxed": found.untaxed,
        "total": shown(draft.total_minor),
        "goodwill": shown(found.goodwill_minor),
        "prepaidCredit": shown(found.prepaid_minor),
        "amountDue": shown(draft.total_minor - found.goodwill_minor - found.prepaid_minor),
        "givenBack": [{"invoice": one.number, "amount": shown(minor)} for one, minor in found.given_back],
        "invoices": [
            {"name": one.name, "number": one.number, "total": shown(one.total_minor)}
            for one in found.invoices
        ],
        "lines": [line_body(line, currency=draft.currency, taxes=draft.taxes) for line in lines[:ROWS_MAX]],
        "linesLeft": max(len(lines) - ROWS_MAX, 0),
        "by": by,
        "shares": _groups(found, by=by),
        "rates": _rates(lines, provisional=not found.closed),
        "unpriced": {
            "usage": [
                {
                    "meterName": one.meter_name,
                    "project": found.projects.get(one.project, str(one.project)),
                    "dimensions": dict(one.dimensions),
                    "sum": str(one.sum),
                    "count": one.count,
                }
                for period in found.periods
                for one in period.unpriced
            ][:ROWS_MAX],
            "skus": [
                {"sku": one.sku, "day": one.day.isoformat()}
                for period in found.periods
                for one in period.unpriced_skus
            ][:ROWS_MAX],
        },
    }


def draft_lines(found: Preview) -> tuple[InvoiceLine, ...]:
    """The lines as they would be issued."""
    return tuple(_line(number, line, found) for number, line in enumerate(found.draft.lines, start=1))


def _line(number: int, line: DraftLine, found: Preview) -> InvoiceLine:
    book = None if line.book is None else found.books[line.book]
    return InvoiceLine(
        line=number,
        kind=line.kind,
        sku=line.sku,
        description=line.description,
        service=line.service,
        invoice_group=line.invoice_group,
        tax_category=line.tax_category,
        book_name=None if book is None else book.name,
        book_effective_from=None if book is None else book.effective_from,
        commitment=line.commitment,
        first_day=line.first_day,
        end_day=line.end_day,
        quantity=line.quantity,
        included=line.included,
        pricing_unit=line.pricing_unit,
        amount_minor=line.amount_minor,
        parts=line.parts,
        projects=_project_shares(line, found.projects),
        conversion=line.conversion,
        discounts=line.discounts,
        in_advance=line.in_advance,
        taxes=line.taxes,
        adjusts=None if line.adjusts is None else replace(line.adjusts, treatments=()),
        used_by=line.used_by or found.draft.account,
        account="" if line.used_by is None else found.accounts.get(line.used_by, ""),
    )


def _project_shares(line: DraftLine, names: Mapping[int, str]) -> tuple[LineShare, ...]:
    """What each project has of the line, over its dimension sets, by project; the account's own comes last."""
    projects = sorted({share.project for share in line.shares}, key=lambda one: (one is None, one or 0))
    return tuple(
        LineShare(
            project="" if project is None else names.get(project, ""),
            quantity=sum((s.quantity for s in line.shares if s.project == project), line.quantity * 0),
            amount_minor=sum(s.amount_minor for s in line.shares if s.project == project),
        )
        for project in projects
    )


# ------------------------------------------------------------------------------------------- whose what is


def net_shares(found: Preview) -> Mapping[tuple[str | None, str | None], int]:
    """What each project owes for each Sku after every discount, before promotional credit and tax; with what earlier
    invoices came to since.

    The project None is the account's own; the Sku None is what commitments charge.
    """
    shares: dict[tuple[str | None, str | None], int] = defaultdict(int)
    for period in found.periods:
        for line in period.lines:
            for number, minor in line.net_shares.items():
                project = None if number is None else found.projects.get(number, str(number))
                shares[project, line.line.sku.name] += minor
        for charge in period.charges:
            shares[None, None] += charge.amount_minor
    for line in found.draft.lines:
        for share in line.shares if line.adjusts is not None else ():
            project = None if share.project is None else found.projects.get(share.project, str(share.project))
            shares[project, line.sku] += share.amount_minor
    return shares


def _groups(found: Preview, *, by: Grouping) -> dict[str, Any]:
    """Groups by the largest amount; each holds the other side of the table."""
    outer, inner, items = ("sku", "project", 1) if by == "sku" else ("project", "sku", 0)
    tables: dict[str | None, dict[str | None, int]] = defaultdict(dict)
    for pair, minor in net_shares(found).items():
        tables[pair[items]][pair[1 - items]] = minor
    rows = sorted(tables.items(), key=lambda row: (-sum(row[1].values()), row[0] or ""))
    left = [sum(cells.values()) for _, cells in rows[ROWS_MAX:]]
    currency = found.draft.currency
    return {
        "items": [
            {
                outer: name,
                "amount": _shown(sum(cells.values()), currency),
                f"{inner}s": _cells(cells, inner, currency),
            }
            for name, cells in rows[:ROWS_MAX]
        ],
        "others": {"count": len(left), "amount": _shown(sum(left), currency)},
    }


def _cells(cells: Mapping[str | None, int], key: str, currency: Currency) -> list[dict[str, Any]]:
    """Cells of one group, the largest first; those past the bound are one more cell, called others."""
    rows = sorted(cells.items(), key=lambda cell: (-cell[1], cell[0] or ""))
    shown: list[dict[str, Any]] = [
        {key: name, "amount": _shown(minor, currency)} for name, minor in rows[:ROWS_MAX]
    ]
    left = rows[ROWS_MAX:]
    if left:
        shown.append({"others": len(left), "amount": _shown(sum(minor for _, minor in left), currency)})
    return shown


def _shown(minor: int, currency: Currency) -> str:
    return str(minor_to_decimal(minor, currency))


def _rates(lines: Iterable[InvoiceLine], *, provisional: bool) -> list[dict[str, Any]]:
    """Each exchange rate once; until the period is over a later one may take its place."""
    found: dict[tuple[str, str], dict[str, Any]] = {}
    for line in lines:
        if line.conversion is not None:
            body = conversion_body(line.conversion)
            del body["amount"]
            found[body["currencyCode"], body["day"]] = {**body, "provisional": provisional}
    return [found[key] for key in sorted(found)]
