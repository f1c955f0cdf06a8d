"""SQL that writes this slice's tables. An invoice goes in from the bottom up: see db/schema.sql."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any
from uuid import UUID

import orjson
from psycopg.types.json import Jsonb
from psycopg.types.range import TimestamptzRange

from milo_billing.infra import advisory_locks
from milo_billing.infra.database import Tx
from milo_billing.invoicing.rules.adjusting import Charged
from milo_billing.invoicing.rules.crediting import CreditLine, CreditNote
from milo_billing.invoicing.rules.late_interest import Owed
from milo_billing.invoicing.rules.taxes import Credited
from milo_billing.invoicing.types import (
    BookVersion,
    DraftLine,
    Invoice,
    SettlementKind,
    WrittenDocument,
)
from milo_billing.kernel.taxes import TaxGroup, TaxRateEntry, VatCheck


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
) -> None:
    """Write all that belongs to an invoice that this transaction will write. Nothing is added behind the invoice."""
    with tx.pipeline():  # no statement waits for the answer to the one before
        _insert_lines(tx, owned, lines=lines, books=books)
        _insert_taxes(tx, owned, taxes=taxes)
        _insert_discounts(tx, owned, lines=lines)
        _insert_parts(tx, owned, lines=lines)
        _insert_shares(tx, owned, lines=lines)


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


def insert_settlement(
    tx: Tx,
    *,
    invoice: Invoice,
    kind: SettlementKind,
    reference: str,
    amount_minor: int,
    posted: str | None,
    reason: str | None,
    at: datetime,
    now: datetime,
) -> None:
    """Write what became of the invoice, which the transaction has locked and which is as `invoice` after it.

    The amounts and the phase of the invoice's row follow by a trigger.
    """
    tx.execute(
        "insert into invoicing.settlements (invoice, step, owner_org, kind, reference, amount_minor, phase, posted, "
        "reason, at, noted_at) select %(invoice)s, coalesce(max(step), 0) + 1, %(owner_org)s, %(kind)s, %(reference)s, "
        "%(amount_minor)s, %(phase)s, %(posted)s, %(reason)s, %(at)s, %(now)s from invoicing.settlements "
        "where invoice = %(invoice)s",
        {
            "invoice": invoice.uid,
            "owner_org": invoice.owner_org,
            "kind": kind,
            "reference": reference,
            "amount_minor": amount_minor,
            "phase": invoice.phase,
            "posted": posted,
            "reason": reason,
            "at": at,
            "now": now,
        },
    )


def insert_credit_note(
    tx: Tx,
    note: CreditNote,
    *,
    lines: Sequence[CreditLine],
    taxes: Mapping[int, Credited],
    issuer_version: bytes,
) -> None:
    """Write the note with its lines. It can never be changed again."""
    tx.execute(
        "insert into invoicing.credit_lines (credit_note, line, owner_org, invoice, net_minor, quantity) "
        "select %s, l.line, %s, %s, l.net_minor, l.quantity from unnest(%s::int[], %s::bigint[], %s::numeric[]) "
        "as l (line, net_minor, quantity)",
        (
            note.uid,
            note.owner_org,
            note.invoice,
            [line.line for line in lines],
            [line.net_minor for line in lines],
            [line.quantity for line in lines],
        ),
    )
    tx.execute(
        "insert into invoicing.credit_taxes (credit_note, tax, owner_org, invoice, basis_minor, tax_minor) "
        "select %s, t.tax, %s, %s, t.basis_minor, t.tax_minor from unnest(%s::int[], %s::bigint[], %s::bigint[]) "
        "as t (tax, basis_minor, tax_minor)",
        (
            note.uid,
            note.owner_org,
            note.invoice,
            list(taxes),
            [one.basis_minor for one in taxes.values()],
            [one.tax_minor for one in taxes.values()],
        ),
    )
    tx.execute(
        "insert into invoicing.credit_notes (uid, owner_org, namespace, name, invoice, account, voids, issuer, "
        "issuer_version, series, sequence, number, currency, net_minor, tax_minor, total_minor, settled_minor, reason, "
        "issued_at, issued_on) "
        "values (%s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s)",
        (
            note.uid,
            note.owner_org,
            note.namespace,
            note.name,
            note.invoice,
            note.account,
            note.voids,
            note.issuer,
            issuer_version,
            note.series,
            note.sequence,
            note.number,
            note.currency,
            note.net_minor,
            note.tax_minor,
            note.total_minor,
            note.settled_minor,
            note.reason,
            note.issued_at,
            note.issued_on,
        ),
    )


def insert_note_document(
    tx: Tx,
    *,
    note: UUID,
    owner_org: int,
    kind: str,
    document: WrittenDocument,
    sha256: bytes,
    sealed: str,
    now: datetime,
) -> bool:
    """Keep the document as it was written; False where somebody else has been faster, whose document stays."""
    inserted = tx.execute(
        "insert into invoicing.credit_documents (credit_note, kind, owner_org, media_type, template, sha256, sealed, "
        "written_at) values (%s, %s, %s, %s, %s, %s, %s, %s) on conflict do nothing",
        (note, kind, owner_org, document.media_type, document.template, sha256, sealed, now),
    )
    return inserted.rowcount == 1


def insert_adjustment(
    tx: Tx,
    *,
    original: Invoice,
    sequence: int,
    carrier: UUID | None,
    credit_note: UUID | None,
    lines: Mapping[Charged, int],
    now: datetime,
) -> None:
    """Write what the original came to since, by the document that says so. It can never be changed again."""
    tx.execute(
        "insert into invoicing.adjustments (invoice, sequence, owner_org, account, carrier, credit_note, amount_minor, "
        "adjusted_at) values (%s, %s, %s, %s, %s, %s, %s, %s)",
        (
            original.uid,
            sequence,
            original.owner_org,
            original.account,
            carrier,
            credit_note,
            sum(lines.values()),
            now,
        ),
    )
    tx.execute(
        "insert into invoicing.adjusted_lines (invoice, sequence, owner_org, kind, charged_for, first_day, end_day, "
        "amount_minor) select %s, %s, %s, l.* from unnest(%s::text[], %s::text[], %s::date[], %s::date[], "
        "%s::bigint[]) as l",
        (
            original.uid,
            sequence,
            original.owner_org,
            [key.kind for key in lines],
            [key.of for key in lines],
            [key.first_day for key in lines],
            [key.end_day for key in lines],
            list(lines.values()),
        ),
    )


def insert_interest(tx: Tx, owed: Sequence[Owed], *, charged_on: Invoice) -> None:
    """Note for which days of which overdue invoice each line of the new one is, in their order."""
    for line, one in enumerate(owed, start=1):
        tx.execute(
            "insert into invoicing.interest (charged_on, line, owner_org, invoice, days, percent, amount_minor) "
            "values (%s, %s, %s, %s, daterange(%s, %s), %s, %s)",
            (
                charged_on.uid,
                line,
                charged_on.owner_org,
                one.invoice,
                one.first,
                one.end,
                one.percent,
                one.amount_minor,
            ),
        )


def insert_reversal(tx: Tx, *, invoice: Invoice, credit_note: UUID, amount_minor: int) -> None:
    """Note that a credit note gives back interest that was charged on the invoice and is not owed."""
    tx.execute(
        "insert into invoicing.interest_reversals (credit_note, invoice, owner_org, amount_minor) "
        "values (%s, %s, %s, %s)",
        (credit_note, invoice.uid, invoice.owner_org, amount_minor),
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
        }
        for number, line in enumerate(lines, start=1)
    ]
    tx.execute(
        "insert into invoicing.lines (invoice, line, owner_org, used_by, paid_by, kind, sku, sku_name, description, "
        "service, invoice_group, tax_category, book, book_name, book_effective_from, commitment, first_day, end_day, "
        "quantity, included, pricing_unit, amount_minor, in_advance, taxes, adjusts, adjusted_kind) "
        "select %s, l.line, %s, %s, %s, l.kind, l.sku, l.sku_name, l.description, "
        "l.service, l.invoice_group, l.tax_category, l.book, l.book_name, l.book_effective_from, l.commitment, "
        "l.first_day, l.end_day, l.quantity, l.included, l.pricing_unit, l.amount_minor, l.in_advance, l.taxes, "
        "l.adjusts, l.adjusted_kind "
        "from json_to_recordset(%s::json) as l (line int, kind text, sku int, sku_name text, description text, "
        "service text, invoice_group text, tax_category text, book int, book_name text, book_effective_from date, "
        "commitment uuid, first_day date, end_day date, quantity numeric, included numeric, pricing_unit text, "
        "amount_minor bigint, in_advance boolean, taxes int[], adjusts uuid, adjusted_kind text)",
        (owned.uid, owned.owner_org, owned.account, owned.account, _json(rows)),
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


def insert_document(
    tx: Tx,
    *,
    invoice: UUID,
    owner_org: int,
    kind: str,
    document: WrittenDocument,
    sha256: bytes,
    sealed: str,
    now: datetime,
) -> bool:
    """Keep the document; False where the invoice has one of this kind already, which stays."""
    inserted = tx.execute(
        "insert into invoicing.documents (invoice, kind, owner_org, media_type, template, sha256, sealed, written_at) "
        "values (%s, %s, %s, %s, %s, %s, %s, %s) on conflict do nothing",
        (invoice, kind, owner_org, document.media_type, document.template, sha256, sealed, now),
    )
    return inserted.rowcount == 1


# --------------------------------------------------------------------------------------------------- issuers


def put_issuer(tx: Tx, *, name: str, uid: UUID, is_default: bool, body: Mapping[str, Any]) -> None:
    """Say what the profile says now. Every version of it stays, for the invoices that were issued under it."""
    text = orjson.dumps(body, option=orjson.OPT_SORT_KEYS).decode()
    tx.execute(
        "insert into invoicing.issuer_versions values (sha256(convert_to(%(body)s, 'UTF8')), %(body)s::jsonb) "
        "on conflict do nothing",
        {"body": text},
    )
    tx.execute(
        "insert into invoicing.issuers "
        "values (%(name)s, %(uid)s, %(is_default)s, sha256(convert_to(%(body)s, 'UTF8'))) "
        "on conflict (name) do update set uid = excluded.uid, is_default = excluded.is_default, "
        "version = excluded.version",
        {"name": name, "uid": uid, "is_default": is_default, "body": text},
    )


def delete_issuer(tx: Tx, *, name: str) -> None:
    """Forget the profile. Its versions and its number series stay."""
    tx.execute("delete from invoicing.issuers where name = %s", (name,))


# ------------------------------------------------------------------------------------------------------ taxes


def put_tax_rate(
    tx: Tx, *, uid: UUID, object_name: str, rate: TaxRateEntry, starts_on: date, ends_on: date | None
) -> None:
    """Say what the TaxRate says now."""
    tx.execute(
        "insert into invoicing.tax_rates (uid, name, country, region, tax, category, code, percent, starts_on, "
        "ends_on, reason, reason_code) values (%s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s) "
        "on conflict (uid) do update set ends_on = excluded.ends_on",
        (
            uid,
            object_name,
            rate.place.country,
            rate.place.region,
            rate.name,
            rate.category,
            rate.code,
            rate.percent,
            starts_on,
            ends_on,
            rate.reason,
            rate.reason_code,
        ),
    )


def delete_tax_rate(tx: Tx, *, uid: UUID) -> None:
    """Forget the rate. What was invoiced by it keeps it."""
    tx.execute("delete from invoicing.tax_rates where uid = %s", (uid,))


def insert_vat_check(tx: Tx, *, account: int, owner_org: int, check: VatCheck) -> None:
    """Note what was answered about the account's VAT number."""
    tx.execute(
        "insert into invoicing.vat_checks (account, checked_at, owner_org, sealed, valid, source, reference) "
        "values (%s, %s, %s, %s, %s, %s, %s) on conflict do nothing",
        (account, check.checked_at, owner_org, check.sealed, check.valid, check.source, check.reference),
    )
