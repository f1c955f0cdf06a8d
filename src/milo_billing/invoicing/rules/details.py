"""The details of an invoice: its lines by project, dimension set and day, as rows that sum to the lines. Pure.

Owns: how a share is split to days, and what a row says. Not: how a line came to its shares (pricing.rules.splits).
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from fractions import Fraction
from typing import Final

from milo_billing.invoicing.types.invoices import Invoice, InvoiceLine
from milo_billing.kernel.csv_text import csv_rows
from milo_billing.kernel.money import allocate, minor_to_decimal
from milo_billing.kernel.quantity import fraction, shown_decimal

COLUMNS: Final = (
    "invoice",
    "account",
    "line",
    "kind",
    "sku",
    "description",
    "service",
    "taxCategory",
    "project",
    "dimensions",
    "day",
    "firstDay",
    "lastDay",
    "metered",
    "quantity",
    "pricingUnit",
    "amount",
    "currency",
)
_PLACES_MAX: Final = 12


@dataclass(frozen=True, slots=True)
class Share:
    """What one project used of a line with one dimension set, as it was frozen; `share` counts from 1 in the line.

    `project` is the project's number, None for the account's own share; `name` what it was called. `metered` is in the
    meter's unit, `quantity` in the line's pricing unit.
    """

    share: int
    project: int | None
    name: str
    dimensions: Mapping[str, str]
    metered: Decimal
    quantity: Decimal
    amount_minor: int


@dataclass(frozen=True, slots=True)
class Detail:
    """A share, or the part of it that is of one day; `day` is None where the days are not known."""

    share: Share
    day: date | None
    metered: Decimal
    quantity: Decimal
    amount_minor: int


def split_to_days(share: Share, metered: Mapping[date, int]) -> tuple[Detail, ...]:
    """The share by day, in proportion to what was metered; the parts sum to the share (domain.md §2).

    As one where the days are not known: nothing was metered day by day, what stands there now is not what was
    invoiced, or a correction outweighs its day.
    """
    whole = Detail(share, None, share.metered, share.quantity, share.amount_minor)
    total = sum(metered.values())
    if not total or Decimal(total) != share.metered or min(metered.values()) < 0:
        return (whole,)
    days = sorted(day for day, value in metered.items() if value)
    amounts = allocate(share.amount_minor, [(day, metered[day]) for day in days])
    quantities = _quantities(share.quantity, [Fraction(metered[day], total) for day in days])
    return tuple(
        Detail(share, day, Decimal(metered[day]), quantity, amounts[day])
        for day, quantity in zip(days, quantities, strict=True)
    )


def _quantities(whole: Decimal, parts: list[Fraction]) -> list[Decimal]:
    """The quantity in these parts, as people read them; the last takes what rounding left."""
    shown = [shown_decimal(fraction(whole) * part, places_max=_PLACES_MAX) for part in parts[:-1]]
    return [*shown, whole - sum(shown, Decimal(0))]


def head() -> str:
    """The first row."""
    return csv_rows([COLUMNS])


def rows(invoice: Invoice, line: InvoiceLine, details: tuple[Detail, ...]) -> str:
    """The details of the line as CSV."""
    return csv_rows(_row(invoice, line, one) for one in details)


def _row(invoice: Invoice, line: InvoiceLine, one: Detail) -> tuple[object, ...]:
    last = date.fromordinal(line.end_day.toordinal() - 1)
    return (
        invoice.number,
        f"{invoice.namespace}/{line.account or invoice.account_name}",
        line.line,
        line.kind,
        line.sku or "",
        line.description,
        line.service,
        line.tax_category,
        one.share.name,
        json.dumps(one.share.dimensions, ensure_ascii=False, sort_keys=True) if one.share.dimensions else "",
        one.day or "",
        line.first_day,
        last,
        one.metered,
        one.quantity,
        line.pricing_unit,
        minor_to_decimal(one.amount_minor, invoice.currency),
        invoice.currency,
    )
