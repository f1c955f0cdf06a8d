"""An invoice in detail: every line by project, dimension set and day, a piece at a time."""

from collections.abc import Iterator, Mapping
from datetime import date
from typing import Final

from milo_billing.catalog import reads as catalog
from milo_billing.infra.database import Tx
from milo_billing.invoicing.reads import lines as line_reads
from milo_billing.invoicing.rules import details
from milo_billing.invoicing.types.invoices import Invoice, InvoiceLine
from milo_billing.usage import reads as usage

LINES_AT_ONCE: Final = 200
SHARES_AT_ONCE: Final = 2_000
ROLLUPS_MAX: Final = 200_000
"""Of one line: where there are more rows, it is told by project and dimension set only."""

_Days = Mapping[tuple[int, frozenset[tuple[str, str]]], Mapping[date, int]]


def write_details(tx: Tx, *, invoice: Invoice) -> Iterator[str]:
    """The details as CSV, in pieces: the first has the names of the columns. The rows of a line sum to its amount."""
    yield details.head()
    after = 0
    while True:
        lines = line_reads.list_lines(tx, invoice=invoice.uid, after=after, limit=LINES_AT_ONCE)
        for line in lines:
            yield from _line(tx, invoice, line)
        if len(lines) < LINES_AT_ONCE:
            return
        after = lines[-1].line


def _line(tx: Tx, invoice: Invoice, line: InvoiceLine) -> Iterator[str]:
    days, after = _metered_days(tx, line), 0
    while True:
        shares = line_reads.list_shares(
            tx, invoice=invoice.uid, line=line.line, after=after, limit=SHARES_AT_ONCE
        )
        found = (
            details.split_to_days(
                share, days.get((share.project or 0, frozenset(share.dimensions.items())), {})
            )
            for share in shares
        )
        yield details.rows(invoice, line, tuple(one for parts in found for one in parts))
        if len(shares) < SHARES_AT_ONCE:
            return
        after = shares[-1].share


def _metered_days(tx: Tx, line: InvoiceLine) -> _Days:
    """What was metered by project, dimension set and day; nothing where the meter's values do not add up over days."""
    if line.kind != "Usage" or line.sku is None:
        return {}
    skus = catalog.list_skus(tx, names=[line.sku])
    meter = catalog.find_meter(tx, meter_name=skus[0].meter_name) if skus else None
    if meter is None or meter.aggregation not in ("Sum", "Count"):
        return {}
    rows = usage.list_rollups(
        tx,
        account=line.used_by,
        first=line.first_day,
        end=line.end_day,
        meters=[meter.number],
        limit=ROLLUPS_MAX + 1,
    )
    if len(rows) > ROLLUPS_MAX:
        return {}
    found: dict[tuple[int, frozenset[tuple[str, str]]], dict[date, int]] = {}
    for row in rows:
        value = row.figures.sum if meter.aggregation == "Sum" else row.figures.count
        found.setdefault((row.project, frozenset(row.dimensions.items())), {})[row.day] = value
    return found
