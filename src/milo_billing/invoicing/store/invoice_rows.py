"""SQL that writes invoices with their contents, and draws their numbers. From the bottom up: see db/schema.sql."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any, Final
from uuid import UUID

import orjson
from psycopg.types.json import Jsonb
from psycopg.types.range import TimestamptzRange

from milo_billing.infra import advisory_locks
from milo_billing.infra.database import Tx
from milo_billing.invoicing.types.drafts import DraftLine
from milo_billing.invoicing.types.invoices import BookVersion, Invoice
from milo_billing.kernel.periods import Period
from milo_billing.kernel.taxes import TaxGroup

EMPTY: Final[Mapping[int, Period]] = {}


def lock_accounts(tx: Tx, *, accounts: Collection[int]) -> bool:
    """The same for several, in the order of their numbers, so that two who lock several never wait for each other."""
    with_credit = [lock_account(tx, account=account) for account in sorted(set(accounts))]
    return any(with_credit)


def lock_account(tx: Tx, *, account: int) -> bool:
    """Let nobody else issue for this account until the transaction ends; whether it has credit that was granted.

    Said in the same statement, so that accounts without credit pay nothing for it.
    """
    row = tx.execute(
        "select exists (select from invoicing.credit_grants where account = %s and remaining_minor > 0) "
        "from pg_advisory_xact_lock(%s, %s)",
        (account, advisory_locks.INVOICED_ACCOUNTS, account),
    ).fetchone()
    assert row is not None, "a function without a table is one row"
    return row[0]


def draw_number(tx: Tx, *, issuer: str, series: str, start: int, day: date) -> tuple[int, date]:
    """The next number of the series, and the issue date: `day`, or the date of the number before if that is later.

    The series stays locked until the transaction ends, and a rollback gives the number back: no gaps, and dates that
    never fall along the series.
    """
    drawn = (
        "update invoicing.number_series set next = next + 1, last_issued_on = greatest(last_issued_on, %s) "
        "where issuer = %s and series = %s returning next - 1, last_issued_on"
    )
    row = tx.execute(drawn, (day, issuer, series)).fetchone()
    if row is None:  # the first of its series: a row that is missing cannot be locked
        tx.execute(
            "insert into invoicing.number_series (issuer, series, next, last_issued_on) values (%s, %s, %s, %s) "
            "on conflict do nothing",
            (issuer, series, start, day),
        )
        row = tx.execute(drawn, (day, issuer, series)).fetchone()
    assert row is not None, "the row was just inserted or stood before, and is never deleted"
    return row[0], row[1]


@dataclass(frozen=True, slots=True)
class Owned:
    """The invoice to which rows belong, and whose it will be."""

    uid: UUID
    account: int
    owner_org: int


def insert_contents(
    tx: Tx,
    owned: Owned,
    *,
    lines: Sequence[DraftLine],
    taxes: Sequence[TaxGroup],
    books: Mapping[int, BookVersion],
    sections: Mapping[int, Period] = EMPTY,
) -> None:
    """Write all that belongs to an invoice that this transaction will write. Nothing is added behind the invoice.

    `sections` are the accounts of a consolidated one, by number, and their days, in order.
    """
    with tx.pipeline():  # no statement waits for the answer to the one before
        _insert_lines(tx, owned, lines=lines, books=books)
        _insert_taxes(tx, owned, taxes=taxes)
        _insert_discounts(tx, owned, lines=lines)
        _insert_parts(tx, owned, lines=lines)
        _insert_shares(tx, owned, lines=lines)
        if sections:
            _insert_sections(tx, owned, sections=sections)


def insert_invoice(tx: Tx, invoice: Invoice, *, issuer_version: bytes, frozen: Mapping[str, Any]) -> None:
    """Write the invoice, behind its contents. It can never be changed again."""
    tx.execute(
        "insert into invoicing.invoices (uid, owner_org, namespace, name, account, account_name, kind, period, phase, "
        "issuer, issuer_version, series, sequence, number, currency, subtotal_minor, discounts_minor, tax_minor, "
        "total_minor, amount_paid_minor, issued_at, issued_on, due_on, frozen, replaces, "
        "early_percent, early_until, interest_percent) "
        "values (%s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, "
        "%s, %s, %s)",
        (
            invoice.uid,
            invoice.owner_org,
            invoice.namespace,
            invoice.name,
            invoice.account,
            invoice.account_name,
            invoice.kind,
            TimestamptzRange(invoice.period.start, invoice.period.end),
            invoice.phase,
            invoice.issuer,
            issuer_version,
            invoice.series,
            invoice.sequence,
            invoice.number,
            invoice.currency,
            invoice.subtotal_minor,
            invoice.discounts_minor,
            invoice.tax_minor,
            invoice.total_minor,
            invoice.amount_paid_minor,
            invoice.issued_at,
            invoice.issued_on,
            invoice.due_on,
            Jsonb(frozen),
            invoice.replaces,
            None if invoice.early is None else invoice.early.percent,
            None if invoice.early is None else invoice.early.until,
            invoice.interest_percent,
        ),
    )


def note_nothing(tx: Tx, *, account: int, period: Period, now: datetime) -> None:
    """Note of void invoices of these days of the account that they were run again, and there was nothing to charge."""
    tx.execute(
        "update invoicing.sections set nothing_at = %s where account = %s and not standing and nothing_at is null "
        "and period <@ %s",
        (now, account, TimestamptzRange(period.start, period.end)),
    )


def set_phase(tx: Tx, *, invoice: Invoice) -> None:
    """Write the phase that the invoice has because time has passed."""
    tx.execute("update invoicing.invoices set phase = %s where uid = %s", (invoice.phase, invoice.uid))


# COPY does not work under row-level security. One statement a table, its rows as one JSON text, is the next best:
# psycopg writes arrays value by value, which took a tenth of a run's time.
def _insert_lines(
    tx: Tx, owned: Owned, *, lines: Sequence[DraftLine], books: Mapping[int, BookVersion]
) -> None:
    rows = [
        {
            "line": number,
            "kind": line.kind,
            "sku": line.sku_number,
            "sku_name": line.sku,
            "description": line.description,
            "service": line.service,
            "invoice_group": line.invoice_group,
            "tax_category": line.tax_category,
            "book": line.book,
            "book_name": None if line.book is None else books[line.book].name,
            "book_effective_from": None if line.book is None else books[line.book].effective_from,
            "commitment": line.commitment,
            "first_day": line.first_day,
            "end_day": line.end_day,
            "quantity": line.quantity,
            "included": line.included,
            "pricing_unit": line.pricing_unit,
            "amount_minor": line.amount_minor,
            "in_advance": line.in_advance,
            "taxes": line.taxes,
            "adjusts": None if line.adjusts is None else line.adjusts.invoice,
            "adjusted_kind": None if line.adjusts is None else line.adjusts.kind,
            "used_by": owned.account if line.used_by is None else line.used_by,
        }
        for number, line in enumerate(lines, start=1)
    ]
    tx.execute(
        "insert into invoicing.lines (invoice, line, owner_org, used_by, paid_by, kind, sku, sku_name, description, "
        "service, invoice_group, tax_category, book, book_name, book_effective_from, commitment, first_day, end_day, "
        "quantity, included, pricing_unit, amount_minor, in_advance, taxes, adjusts, adjusted_kind) "
        "select %s, l.line, %s, l.used_by, %s, l.kind, l.sku, l.sku_name, l.description, "
        "l.service, l.invoice_group, l.tax_category, l.book, l.book_name, l.book_effective_from, l.commitment, "
        "l.first_day, l.end_day, l.quantity, l.included, l.pricing_unit, l.amount_minor, l.in_advance, l.taxes, "
        "l.adjusts, l.adjusted_kind "
        "from json_to_recordset(%s::json) as l (line int, kind text, sku int, sku_name text, description text, "
        "service text, invoice_group text, tax_category text, book int, book_name text, book_effective_from date, "
        "commitment uuid, first_day date, end_day date, quantity numeric, included numeric, pricing_unit text, "
        "amount_minor bigint, in_advance boolean, taxes int[], adjusts uuid, adjusted_kind text, "
        "used_by int)",
        (owned.uid, owned.owner_org, owned.account, _json(rows)),
    )


def _insert_sections(tx: Tx, owned: Owned, *, sections: Mapping[int, Period]) -> None:
    days = [TimestamptzRange(one.start, one.end) for one in sections.values()]
    tx.execute(
        "insert into invoicing.sections (invoice, account, owner_org, section, period) "
        "select %s, s.account, %s, s.section, s.period "
        "from unnest(%s::int[], %s::tstzrange[]) with ordinality as s (account, period, section)",
        (owned.uid, owned.owner_org, list(sections), days),
    )


def _insert_taxes(tx: Tx, owned: Owned, *, taxes: Sequence[TaxGroup]) -> None:
    rows = [
        {
            "tax": number,
            "code": group.treatment.code,
            "percent": group.treatment.percent,
            "name": group.treatment.name,
            "place": group.treatment.place,
            "reason": group.treatment.reason,
            "reason_code": group.treatment.reason_code,
            "basis_minor": group.basis_minor,
            "tax_minor": group.tax_minor,
        }
        for number, group in enumerate(taxes, start=1)
    ]
    if not rows:
        return
    tx.execute(
        "insert into invoicing.taxes (invoice, tax, owner_org, code, percent, name, place, reason, reason_code, "
        "basis_minor, tax_minor) "
        "select %s, t.tax, %s, t.code, t.percent, t.name, t.place, t.reason, t.reason_code, t.basis_minor, t.tax_minor "
        "from json_to_recordset(%s::json) as t (tax int, code text, percent numeric, name text, place text, "
        "reason text, reason_code text, basis_minor bigint, tax_minor bigint)",
        (owned.uid, owned.owner_org, _json(rows)),
    )


def _insert_discounts(tx: Tx, owned: Owned, *, lines: Sequence[DraftLine]) -> None:
    rows = [
        {
            "line": number,
            "discount": index,
            "scope": one.scope,
            "given_by": one.given_by,
            "source": one.source,
            "name": one.name,
            "title": one.title,
            "percent": one.percent,
            "amount_minor": one.amount_minor,
        }
        for number, line in enumerate(lines, start=1)
        for index, one in enumerate(line.discounts, start=1)
    ]
    if not rows:
        return
    tx.execute(
        "insert into invoicing.line_discounts (invoice, line, discount, owner_org, scope, given_by, source, name, "
        "title, percent, amount_minor) "
        "select %s, d.line, d.discount, %s, d.scope, d.given_by, d.source, d.name, d.title, d.percent, d.amount_minor "
        "from json_to_recordset(%s::json) as d (line int, discount int, scope text, given_by text, source uuid, "
        "name text, title text, percent numeric, amount_minor bigint)",
        (owned.uid, owned.owner_org, _json(rows)),
    )


def _insert_parts(tx: Tx, owned: Owned, *, lines: Sequence[DraftLine]) -> None:
    rows = [
        {
            "line": number,
            "part": index,
            "kind": part.kind,
            "tier": part.tier,
            "quantity": part.quantity,
            "unit_price": part.unit_price,
            "amount_minor": part.amount_minor,
        }
        for number, line in enumerate(lines, start=1)
        for index, part in enumerate(line.parts, start=1)
    ]
    tx.execute(
        "insert into invoicing.line_parts select %s, p.line, p.part, %s, p.kind, p.tier, p.quantity, p.unit_price, "
        "p.amount_minor from json_to_recordset(%s::json) as p (line int, part int, kind text, tier int, "
        "quantity numeric, unit_price numeric, amount_minor bigint)",
        (owned.uid, owned.owner_org, _json(rows)),
    )


def _insert_shares(tx: Tx, owned: Owned, *, lines: Sequence[DraftLine]) -> None:
    rows = [
        {
            "line": number,
            "share": index,
            "project": share.project,
            "dimensions": dict(share.dimensions),
            "metered": share.metered,
            "quantity": share.quantity,
            "amount_minor": share.amount_minor,
        }
        for number, line in enumerate(lines, start=1)
        for index, share in enumerate(line.shares, start=1)
    ]
    tx.execute(
        "insert into invoicing.line_shares select %s, s.line, s.share, %s, s.project, s.dimensions, s.metered, "
        "s.quantity, s.amount_minor from json_to_recordset(%s::json) as s (line int, share int, project int, "
        "dimensions jsonb, metered numeric, quantity numeric, amount_minor bigint)",
        (owned.uid, owned.owner_org, _json(rows)),
    )


def _json(rows: Sequence[Mapping[str, Any]]) -> str:
    """Rows as one text; decimals as texts, since JSON's numbers are floats."""
    return orjson.dumps(rows, default=str).decode()
