"""SQL that writes this slice's tables. An invoice goes in from the bottom up: see db/schema.sql."""

from collections.abc import Mapping, Sequence
from datetime import date, datetime
from typing import Any
from uuid import UUID

import orjson
from psycopg.types.json import Jsonb
from psycopg.types.range import TimestamptzRange

from milo_billing.infra import advisory_locks
from milo_billing.infra.database import Tx
from milo_billing.invoicing.types import BookVersion, DraftLine, Invoice, VatCheck, WrittenDocument
from milo_billing.kernel.taxes import TaxRateEntry


def lock_account(tx: Tx, *, account: int) -> None:
    """Let nobody else issue for this account until the transaction ends."""
    tx.execute("select pg_advisory_xact_lock(%s, %s)", (advisory_locks.INVOICED_ACCOUNTS, account))


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


def insert_invoice(
    tx: Tx,
    invoice: Invoice,
    *,
    lines: Sequence[DraftLine],
    books: Mapping[int, BookVersion],
    issuer_version: bytes,
    frozen: Mapping[str, Any],
) -> None:
    """Write the invoice with all that belongs to it. It can never be changed again."""
    with (
        tx.pipeline()
    ):  # the series of numbers is locked: no statement waits for the answer to the one before
        _insert_lines(tx, invoice, lines=lines, books=books)
        _insert_taxes(tx, invoice)
        _insert_discounts(tx, invoice, lines=lines)
        _insert_parts(tx, invoice, lines=lines)
        _insert_shares(tx, invoice, lines=lines)
        _insert_row(tx, invoice, issuer_version=issuer_version, frozen=frozen)


def _insert_row(tx: Tx, invoice: Invoice, *, issuer_version: bytes, frozen: Mapping[str, Any]) -> None:
    tx.execute(
        "insert into invoicing.invoices (uid, owner_org, namespace, name, account, account_name, kind, period, phase, "
        "issuer, issuer_version, series, sequence, number, currency, subtotal_minor, discounts_minor, tax_minor, "
        "total_minor, amount_paid_minor, issued_at, issued_on, due_on, frozen) "
        "values (%s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s)",
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
        ),
    )


# COPY does not work under row-level security; one statement with arrays is the next best.


def _insert_lines(
    tx: Tx, invoice: Invoice, *, lines: Sequence[DraftLine], books: Mapping[int, BookVersion]
) -> None:
    tx.execute(
        "insert into invoicing.lines (invoice, line, owner_org, used_by, paid_by, kind, sku, sku_name, description, "
        "service, invoice_group, tax_category, book, book_name, book_effective_from, commitment, first_day, end_day, "
        "quantity, included, pricing_unit, amount_minor, taxes) "
        "select %s, l.line, %s, %s, %s, l.kind, l.sku, l.sku_name, l.description, "
        "l.service, l.invoice_group, l.tax_category, l.book, l.book_name, l.book_effective_from, l.commitment, "
        "l.first_day, l.end_day, l.quantity, l.included, l.pricing_unit, l.amount_minor, l.taxes::int[] "
        "from unnest(%s::int[], %s::text[], %s::int[], %s::text[], %s::text[], %s::text[], %s::text[], %s::text[], "
        "%s::int[], %s::text[], %s::date[], %s::uuid[], %s::date[], %s::date[], %s::numeric[], %s::numeric[], "
        "%s::text[], %s::bigint[], %s::text[]) as l (line, kind, sku, sku_name, description, service, invoice_group, "
        "tax_category, book, book_name, book_effective_from, commitment, first_day, end_day, quantity, included, "
        "pricing_unit, amount_minor, taxes)",
        (
            invoice.uid,
            invoice.owner_org,
            invoice.account,
            invoice.account,
            list(range(1, len(lines) + 1)),
            [line.kind for line in lines],
            [line.sku_number for line in lines],
            [line.sku for line in lines],
            [line.description for line in lines],
            [line.service for line in lines],
            [line.invoice_group for line in lines],
            [line.tax_category for line in lines],
            [line.book for line in lines],
            [None if line.book is None else books[line.book].name for line in lines],
            [None if line.book is None else books[line.book].effective_from for line in lines],
            [line.commitment for line in lines],
            [line.first_day for line in lines],
            [line.end_day for line in lines],
            [line.quantity for line in lines],
            [line.included for line in lines],
            [line.pricing_unit for line in lines],
            [line.amount_minor for line in lines],
            # an array of arrays would have to be a rectangle
            ["{" + ",".join(map(str, line.taxes)) + "}" for line in lines],
        ),
    )


def _insert_taxes(tx: Tx, invoice: Invoice) -> None:
    if not invoice.taxes:
        return
    treatments = [group.treatment for group in invoice.taxes]
    tx.execute(
        "insert into invoicing.taxes (invoice, tax, owner_org, code, percent, name, place, reason, reason_code, "
        "basis_minor, tax_minor) "
        "select %s, t.tax, %s, t.code, t.percent, t.name, t.place, t.reason, t.reason_code, t.basis_minor, t.tax_minor "
        "from unnest(%s::int[], %s::text[], %s::numeric[], %s::text[], %s::text[], %s::text[], %s::text[], "
        "%s::bigint[], %s::bigint[]) "
        "as t (tax, code, percent, name, place, reason, reason_code, basis_minor, tax_minor)",
        (
            invoice.uid,
            invoice.owner_org,
            list(range(1, len(treatments) + 1)),
            [one.code for one in treatments],
            [one.percent for one in treatments],
            [one.name for one in treatments],
            [one.place for one in treatments],
            [one.reason for one in treatments],
            [one.reason_code for one in treatments],
            [group.basis_minor for group in invoice.taxes],
            [group.tax_minor for group in invoice.taxes],
        ),
    )


def _insert_discounts(tx: Tx, invoice: Invoice, *, lines: Sequence[DraftLine]) -> None:
    rows = [
        (number, index, one)
        for number, line in enumerate(lines, start=1)
        for index, one in enumerate(line.discounts, start=1)
    ]
    if not rows:
        return
    tx.execute(
        "insert into invoicing.line_discounts (invoice, line, discount, owner_org, scope, given_by, source, name, "
        "title, percent, amount_minor) "
        "select %s, d.line, d.discount, %s, d.scope, d.given_by, d.source, d.name, d.title, d.percent, d.amount_minor "
        "from unnest(%s::int[], %s::int[], %s::text[], %s::text[], %s::uuid[], %s::text[], %s::text[], "
        "%s::numeric[], %s::bigint[]) "
        "as d (line, discount, scope, given_by, source, name, title, percent, amount_minor)",
        (
            invoice.uid,
            invoice.owner_org,
            [number for number, _, _ in rows],
            [index for _, index, _ in rows],
            [one.scope for _, _, one in rows],
            [one.given_by for _, _, one in rows],
            [one.source for _, _, one in rows],
            [one.name for _, _, one in rows],
            [one.title for _, _, one in rows],
            [one.percent for _, _, one in rows],
            [one.amount_minor for _, _, one in rows],
        ),
    )


def _insert_parts(tx: Tx, invoice: Invoice, *, lines: Sequence[DraftLine]) -> None:
    rows = [
        (number, index, part)
        for number, line in enumerate(lines, start=1)
        for index, part in enumerate(line.parts, start=1)
    ]
    tx.execute(
        "insert into invoicing.line_parts select %s, p.line, p.part, %s, p.kind, p.tier, p.quantity, p.unit_price, "
        "p.amount_minor from unnest(%s::int[], %s::int[], %s::text[], %s::int[], %s::numeric[], %s::numeric[], "
        "%s::bigint[]) as p (line, part, kind, tier, quantity, unit_price, amount_minor)",
        (
            invoice.uid,
            invoice.owner_org,
            [number for number, _, _ in rows],
            [index for _, index, _ in rows],
            [part.kind for _, _, part in rows],
            [part.tier for _, _, part in rows],
            [part.quantity for _, _, part in rows],
            [part.unit_price for _, _, part in rows],
            [part.amount_minor for _, _, part in rows],
        ),
    )


def _insert_shares(tx: Tx, invoice: Invoice, *, lines: Sequence[DraftLine]) -> None:
    rows = [
        (number, index, share)
        for number, line in enumerate(lines, start=1)
        for index, share in enumerate(line.shares, start=1)
    ]
    tx.execute(
        "insert into invoicing.line_shares select %s, s.line, s.share, %s, s.project, s.dimensions, s.metered, "
        "s.quantity, s.amount_minor from unnest(%s::int[], %s::int[], %s::int[], %s::text[]::jsonb[], %s::numeric[], "
        "%s::numeric[], %s::bigint[]) as s (line, share, project, dimensions, metered, quantity, amount_minor)",
        (
            invoice.uid,
            invoice.owner_org,
            [number for number, _, _ in rows],
            [index for _, index, _ in rows],
            [share.project for _, _, share in rows],
            [orjson.dumps(dict(share.dimensions)).decode() for _, _, share in rows],
            [share.metered for _, _, share in rows],
            [share.quantity for _, _, share in rows],
            [share.amount_minor for _, _, share in rows],
        ),
    )


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
