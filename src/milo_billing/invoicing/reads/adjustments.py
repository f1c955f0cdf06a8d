"""What issued periods came to since, and the lines that charged for them."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

from milo_billing.infra.database import Tx
from milo_billing.invoicing.reads.lines import list_lines
from milo_billing.invoicing.rules.adjusting import Adjustment, Charged
from milo_billing.invoicing.types.drafts import DraftLine, DraftShare, LineKind
from milo_billing.invoicing.types.invoices import InvoiceLine
from milo_billing.kernel.periods import Period

LINES_MAX = 100_000


@dataclass(frozen=True, slots=True)
class Frozen:
    """How an invoice's period was rated: the instant, the day on which rating periods began, and these periods."""

    issued_at: datetime
    invoice_day: int
    periods: tuple[Period, ...]


def list_adjustments(tx: Tx, *, invoice: UUID, account: int) -> tuple[Adjustment, ...]:
    """Every adjustment of the account's section of the invoice, in order."""
    rows = tx.execute(
        # what a void invoice charged is not owed, so neither stands what was given back of it
        "select a.sequence, a.carrier, a.credit_note, coalesce(c.phase, o.phase) <> 'Void', a.amount_minor, "
        "a.adjusted_at, coalesce(c.number, n.number), (select json_agg(json_build_array(l.kind, l.charged_for, "
        "l.first_day, l.end_day, l.amount_minor)) from invoicing.adjusted_lines l "
        "where l.invoice = a.invoice and l.account = a.account and l.sequence = a.sequence) "
        "from invoicing.adjustments a "
        "left join invoicing.invoices c on c.uid = a.carrier "
        "left join invoicing.credit_notes n on n.uid = a.credit_note "
        "left join invoicing.invoices o on o.uid = n.invoice where a.invoice = %s and a.account = %s "
        "order by a.sequence",
        (invoice, account),
    )
    return tuple(Adjustment(*row[:-1], lines=_lines(row[-1] or ())) for row in rows)


def is_adjusted(tx: Tx, *, invoice: UUID) -> bool:
    """Whether the invoice was adjusted, or carries adjustments of others, or gave back what others came to less."""
    query = (
        "select from invoicing.adjustments where invoice = %(invoice)s or carrier = %(invoice)s or credit_note in "
        "(select uid from invoicing.credit_notes where invoice = %(invoice)s) limit 1"
    )
    return tx.execute(query, {"invoice": invoice}).fetchone() is not None


def list_void_adjusted(tx: Tx, *, account: int) -> tuple[UUID, ...]:
    """Void invoices of the account of which adjustments were charged."""
    rows = tx.execute(
        "select distinct a.invoice from invoicing.adjustments a join invoicing.invoices i on i.uid = a.invoice "
        "where a.account = %s and i.phase = 'Void' and a.carrier is not null",
        (account,),
    )
    return tuple(uid for (uid,) in rows)


def list_sections(tx: Tx, *, invoice: UUID) -> tuple[int, ...]:
    """Numbers of the accounts whose days the invoice has, in the order of its sections."""
    query = "select account from invoicing.sections where invoice = %s order by section"
    return tuple(account for (account,) in tx.execute(query, (invoice,)))


def list_used_by(tx: Tx, *, invoice: UUID) -> tuple[int, ...]:
    """Numbers of the accounts that used what the invoice charges, in order."""
    query = "select distinct used_by from invoicing.lines where invoice = %s order by used_by"
    return tuple(account for (account,) in tx.execute(query, (invoice,)))


def find_frozen(tx: Tx, *, invoice: UUID, account: int) -> Frozen | None:
    """How the account's days on the invoice were rated; None where it was not kept."""
    row = tx.execute(
        "select issued_at, coalesce(frozen -> 'sections' -> %s::text, frozen -> 'rated') from invoicing.invoices "
        "where uid = %s",
        (account, invoice),
    ).fetchone()
    if row is None or not row[1]:
        return None
    rated: dict[str, Any] = row[1]
    periods = tuple(
        Period(datetime.fromisoformat(start), datetime.fromisoformat(end)) for start, end in rated["periods"]
    )
    return Frozen(row[0], rated["invoiceDay"], periods)


def frozen_body(periods: Sequence[Period], *, invoice_day: int) -> dict[str, Any]:
    """What `find_frozen` reads."""
    return {
        "invoiceDay": invoice_day,
        "periods": [[one.start.isoformat(), one.end.isoformat()] for one in periods],
    }


def list_charged(tx: Tx, *, invoice: UUID) -> tuple[tuple[InvoiceLine, DraftLine], ...]:
    """The lines of the invoice as issued, each once more as it was drafted, with numbers instead of names."""
    lines = list_lines(tx, invoice=invoice, limit=LINES_MAX)
    numbers = {
        line: (sku, book)
        for line, sku, book in tx.execute(
            "select line, sku, book from invoicing.lines where invoice = %s", (invoice,)
        )
    }
    shares: dict[int, list[DraftShare]] = {}
    for line, project, dimensions, metered, quantity, minor in tx.execute(
        "select line, project, dimensions, metered, quantity, amount_minor from invoicing.line_shares "
        "where invoice = %s order by line, share",
        (invoice,),
    ):
        found = DraftShare(project, tuple(sorted(dimensions.items())), metered, quantity, minor)
        shares.setdefault(line, []).append(found)
    return tuple(
        (line, _drafted(line, *numbers[line.line], shares=tuple(shares.get(line.line, ())))) for line in lines
    )


def _drafted(
    line: InvoiceLine, sku: int | None, book: int | None, *, shares: tuple[DraftShare, ...]
) -> DraftLine:
    return DraftLine(
        kind=line.kind,
        sku=line.sku,
        sku_number=sku,
        description=line.description,
        service=line.service,
        invoice_group=line.invoice_group,
        tax_category=line.tax_category,
        book=book,
        commitment=line.commitment,
        first_day=line.first_day,
        end_day=line.end_day,
        quantity=Decimal(line.quantity),
        included=line.included,
        pricing_unit=line.pricing_unit,
        amount_minor=line.amount_minor,
        parts=line.parts,
        shares=shares,
        conversion=line.conversion,
        discounts=line.discounts,
        in_advance=line.in_advance,
        taxes=line.taxes,
        adjusts=line.adjusts,
        used_by=line.used_by,
    )


def _lines(rows: Iterable[tuple[LineKind, str, str, str, int]]) -> dict[Charged, int]:
    return {
        Charged(kind, of, date.fromisoformat(first), date.fromisoformat(end)): minor
        for kind, of, first, end, minor in rows
    }
