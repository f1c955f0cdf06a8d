"""Lines of invoices, with their parts, shares, discounts and conversions."""

from decimal import Decimal
from typing import Any, cast
from uuid import UUID

from milo_billing.infra.database import Tx
from milo_billing.invoicing.rules.conversions import read_conversion
from milo_billing.invoicing.rules.details import Share
from milo_billing.invoicing.rules.explaining import DimensionsShare
from milo_billing.invoicing.types.drafts import Adjusts, LineConversion, LineDiscount, Part
from milo_billing.invoicing.types.errors import LineNotFound
from milo_billing.invoicing.types.invoices import Invoice, InvoiceLine, LineShare


def list_lines(tx: Tx, *, invoice: UUID, after: int = 0, limit: int) -> tuple[InvoiceLine, ...]:
    """The invoice's lines behind line `after`, with their parts and what each project has of them."""
    rows = tx.execute(
        "select line, kind, sku_name, description, service, invoice_group, tax_category, book_name, "
        "book_effective_from, commitment, first_day, end_day, quantity, included, pricing_unit, amount_minor, "
        "in_advance, taxes, adjusts, adjusted_kind, "
        "(select o.number from invoicing.invoices o where o.uid = adjusts), used_by, "
        "case when used_by = paid_by then '' else (select i.frozen -> 'accounts' ->> used_by::text "
        "from invoicing.invoices i where i.uid = invoice) end from invoicing.lines "
        "where invoice = %s and line > %s order by line limit %s",
        (invoice, after, limit),
    ).fetchall()
    if not rows:
        return ()
    first, last = rows[0][0], rows[-1][0]
    parts = _parts(tx, invoice=invoice, first=first, last=last)
    shares = _shares(tx, invoice=invoice, first=first, last=last)
    conversions = _conversions(tx, invoice=invoice)
    discounts = _discounts(tx, invoice=invoice, first=first, last=last)
    return tuple(
        InvoiceLine(
            *row[:-7],
            in_advance=row[-7],
            taxes=tuple(row[-6]),
            adjusts=None if row[-5] is None else Adjusts(row[-5], row[-3], row[-4]),
            used_by=row[-2],
            account=row[-1],
            parts=tuple(parts.get(row[0], ())),
            projects=tuple(shares.get(row[0], ())),
            conversion=conversions.get(row[0]),
            discounts=tuple(discounts.get(row[0], ())),
        )
        for row in rows
    )


def get_line(tx: Tx, *, invoice: Invoice, line: int) -> InvoiceLine:
    """One line of the invoice. Raises LineNotFound."""
    found = list_lines(tx, invoice=invoice.uid, after=line - 1, limit=1)
    if not found or found[0].line != line:
        raise LineNotFound(f"invoice {invoice.number} has no line {line}")
    return found[0]


def find_line_sources(tx: Tx, *, invoice: UUID, line: int) -> tuple[int, int] | None:
    """The numbers of the line's Sku and of the version of its price book; None where a commitment charged it."""
    row = tx.execute(
        "select sku, book from invoicing.lines where invoice = %s and line = %s and sku is not null",
        (invoice, line),
    ).fetchone()
    return None if row is None else (row[0], row[1])


def list_line_shares(
    tx: Tx, *, invoice: UUID, line: int, limit: int
) -> tuple[tuple[DimensionsShare, ...], Decimal]:
    """The line by project and dimension set as it was split, at most `limit`, and all that was metered."""
    rows = tx.execute(
        "select coalesce(i.frozen -> 'projects' ->> s.project::text, ''), s.dimensions, s.metered, s.quantity, "
        "s.amount_minor, sum(s.metered) over () from invoicing.line_shares s "
        "join invoicing.invoices i on i.uid = s.invoice where s.invoice = %s and s.line = %s order by s.share limit %s",
        (invoice, line, limit),
    ).fetchall()
    return tuple(DimensionsShare(*row[:5]) for row in rows), rows[0][5] if rows else Decimal(0)


def list_shares(tx: Tx, *, invoice: UUID, line: int, after: int = 0, limit: int) -> tuple[Share, ...]:
    """The shares of the line behind share `after`, as they were frozen, in order."""
    rows = tx.execute(
        "select s.share, s.project, coalesce(i.frozen -> 'projects' ->> s.project::text, ''), s.dimensions, s.metered, "
        "s.quantity, s.amount_minor from invoicing.line_shares s join invoicing.invoices i on i.uid = s.invoice "
        "where s.invoice = %s and s.line = %s and s.share > %s order by s.share limit %s",
        (invoice, line, after, limit),
    )
    return tuple(Share(*row) for row in rows)


def _conversions(tx: Tx, *, invoice: UUID) -> dict[int, LineConversion]:
    query = "select frozen -> 'conversions' from invoicing.invoices where uid = %s"
    row = tx.execute(query, (invoice,)).fetchone()
    found: dict[str, Any] = {} if row is None or row[0] is None else row[0]
    return {int(line): read_conversion(body) for line, body in found.items()}


def _discounts(tx: Tx, *, invoice: UUID, first: int, last: int) -> dict[int, list[LineDiscount]]:
    rows = tx.execute(
        "select line, scope, given_by, source, name, title, percent, amount_minor from invoicing.line_discounts "
        "where invoice = %s and line between %s and %s order by line, discount",
        (invoice, first, last),
    )
    found: dict[int, list[LineDiscount]] = {}
    for line, *values in rows:
        found.setdefault(line, []).append(LineDiscount(*values))
    return found


def _parts(tx: Tx, *, invoice: UUID, first: int, last: int) -> dict[int, list[Part]]:
    rows = tx.execute(
        "select line, kind, tier, quantity, unit_price, amount_minor from invoicing.line_parts "
        "where invoice = %s and line between %s and %s order by line, part",
        (invoice, first, last),
    )
    found: dict[int, list[Part]] = {}
    for line, *values in rows:
        found.setdefault(line, []).append(Part(*values))
    return found


def _shares(tx: Tx, *, invoice: UUID, first: int, last: int) -> dict[int, list[LineShare]]:
    rows = tx.execute(
        "select s.line, coalesce(i.frozen -> 'projects' ->> s.project::text, ''), sum(s.quantity), "
        "sum(s.amount_minor)::bigint from invoicing.line_shares s join invoicing.invoices i on i.uid = s.invoice "
        "where s.invoice = %s and s.line between %s and %s group by s.line, s.project, i.frozen "
        "order by s.line, s.project nulls last",
        (invoice, first, last),
    )
    found: dict[int, list[LineShare]] = {}
    for line, project, quantity, amount_minor in rows:
        found.setdefault(line, []).append(LineShare(project, cast("Decimal", quantity), amount_minor))
    return found
