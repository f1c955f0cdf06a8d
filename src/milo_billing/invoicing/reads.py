"""SQL that reads invoices, their lines and documents. All under the reach of the transaction."""

from collections.abc import Collection, Iterable
from datetime import date, datetime, timedelta
from decimal import Decimal
from typing import Any, LiteralString, cast
from uuid import UUID

from psycopg.types.range import TimestamptzRange

from milo_billing.infra.crypto import Erased, Vault
from milo_billing.infra.database import Tx
from milo_billing.invoicing.rules import issuing, profiles, tax_bodies
from milo_billing.invoicing.rules.conversions import read_conversion
from milo_billing.invoicing.rules.crediting import CreditLine, CreditNote, CreditNoteNotFound
from milo_billing.invoicing.rules.taxes import Credited
from milo_billing.invoicing.types import (
    DimensionsShare,
    Invoice,
    InvoiceDocument,
    InvoiceLine,
    InvoiceNotFound,
    IssuerVersion,
    LineConversion,
    LineDiscount,
    LineNotFound,
    LineShare,
    Part,
    Settlement,
    SettlementKind,
)
from milo_billing.kernel.periods import Period, local_day
from milo_billing.kernel.taxes import TaxCode, TaxGroup, TaxPlace, TaxRateEntry, TaxTreatment, VatCheck

_INVOICE: LiteralString = (
    "select uid, name, namespace, owner_org, account, account_name, kind, lower(period), upper(period), phase, issuer, "
    "series, sequence, number, currency, subtotal_minor, discounts_minor, tax_minor, total_minor, amount_paid_minor, "
    "issued_at, issued_on, due_on, credited_minor, written_off_minor, replaces, "
    "coalesce((select void.name from invoicing.invoices void where void.uid = invoices.replaces), ''), "
    "coalesce((select v.body ->> 'eInvoice' from invoicing.issuer_versions v where v.digest = issuer_version), "
    "'None'), "
    "(select json_agg(json_build_array(t.code, t.percent::text, t.name, t.place, t.reason, t.reason_code, "
    "t.basis_minor, t.tax_minor) order by t.tax) from invoicing.taxes t where t.invoice = uid) from invoicing.invoices"
)


# -------------------------------------------------------------------------------------------------- invoices


def get_invoice(tx: Tx, *, namespace: str, name: str) -> Invoice:
    """The invoice that has this name. Raises InvoiceNotFound, also where the transaction does not reach it."""
    row = tx.execute(f"{_INVOICE} where namespace = %s and name = %s", (namespace, name)).fetchone()
    if row is None:
        raise InvoiceNotFound(f'invoices.billing.miloapis.com "{name}" not found')
    return _invoice(row)


def get_invoice_by_uid(tx: Tx, *, uid: UUID) -> Invoice:
    """The invoice of this uid. Raises InvoiceNotFound, also where the transaction does not reach it."""
    return _found(tx.execute(f"{_INVOICE} where uid = %s", (uid,)).fetchone(), uid)


def lock_invoice(tx: Tx, *, uid: UUID) -> Invoice:
    """The same, and nobody else settles it until the transaction ends. Raises InvoiceNotFound.

    Who locks several locks them in the order of their uids.
    """
    return _found(tx.execute(f"{_INVOICE} where uid = %s for no key update", (uid,)).fetchone(), uid)


def _found(row: tuple[Any, ...] | None, uid: UUID) -> Invoice:
    if row is None:
        raise InvoiceNotFound(f"there is no invoice {uid}")
    return _invoice(row)


def list_settlements(tx: Tx, *, invoice: UUID, limit: int) -> tuple[Settlement, ...]:
    """What became of the invoice, in order."""
    rows = tx.execute(
        "select step, kind, reference, amount_minor, phase, posted, at, reason from invoicing.settlements "
        "where invoice = %s order by step limit %s",
        (invoice, limit),
    )
    return tuple(Settlement(*row) for row in rows)


def find_settlement(tx: Tx, *, invoice: UUID, kind: SettlementKind, reference: str) -> Settlement | None:
    """The settlement of this kind by this reference, if it stands."""
    row = tx.execute(
        "select step, kind, reference, amount_minor, phase, posted, at, reason from invoicing.settlements "
        "where invoice = %s and kind = %s and reference = %s",
        (invoice, kind, reference),
    ).fetchone()
    return None if row is None else Settlement(*row)


def get_issuer_day(tx: Tx, *, invoice: UUID, now: datetime) -> date:
    """Today where the invoice was issued. Raises InvoiceNotFound."""
    row = tx.execute(
        "select v.body ->> 'timeZone' from invoicing.invoices i "
        "join invoicing.issuer_versions v on v.digest = i.issuer_version where i.uid = %s",
        (invoice,),
    ).fetchone()
    if row is None:
        raise InvoiceNotFound(f"there is no invoice {invoice}")
    return local_day(now, zone=row[0])


def list_fallen_due(tx: Tx, *, now: datetime, after: UUID, limit: int) -> tuple[UUID, ...]:
    """Invoices behind `after` of which something is due, whose last day to pay is over where they were issued, and
    whose phase does not say so yet.
    """
    rows = tx.execute(
        "select i.uid from invoicing.invoices i join invoicing.issuer_versions v on v.digest = i.issuer_version "
        "where i.phase in ('Issued', 'PartiallyPaid') and i.due_on < (%(now)s at time zone 'Etc/GMT-14')::date "
        "and i.due_on < (%(now)s at time zone (v.body ->> 'timeZone'))::date "
        "and i.uid > %(after)s order by i.uid limit %(limit)s",
        {"now": now, "after": after, "limit": limit},
    )
    return tuple(uid for (uid,) in rows)


def list_past_due(tx: Tx, *, before: date, after: UUID, limit: int) -> tuple[UUID, ...]:
    """Invoices behind `after` that are past due and were due before that day, in the order of uids."""
    rows = tx.execute(
        "select uid from invoicing.invoices where phase = 'PastDue' and due_on < %s and uid > %s order by uid limit %s",
        (before, after, limit),
    )
    return tuple(uid for (uid,) in rows)


def owes_past_due(tx: Tx, *, account: int) -> bool:
    """Whether the last day to pay of an invoice of the account is over, and something of it is due."""
    query = "select from invoicing.invoices where account = %s and phase = 'PastDue' limit 1"
    return tx.execute(query, (account,)).fetchone() is not None


def list_due(
    tx: Tx, *, now: datetime, accounts: Collection[int] | None, after: UUID, limit: int
) -> tuple[tuple[UUID, int], ...]:
    """(invoice, account) behind `after` of which something is due, on the last day to pay where it was issued or
    later, in the order of uids. `accounts` None asks for those of all accounts.
    """
    rows = tx.execute(
        "select i.uid, i.account from invoicing.invoices i "
        "join invoicing.issuer_versions v on v.digest = i.issuer_version "
        "where i.phase in ('Issued', 'PartiallyPaid', 'PastDue') "
        "and i.due_on <= (%(now)s at time zone (v.body ->> 'timeZone'))::date and i.uid > %(after)s "
        "and (%(accounts)s::int[] is null or i.account = any(%(accounts)s)) order by i.uid limit %(limit)s",
        {
            "now": now,
            "accounts": None if accounts is None else list(accounts),
            "after": after,
            "limit": limit,
        },
    )
    return tuple(rows)


def list_payable(
    tx: Tx, *, numbers: Collection[str], accounts: Collection[int], limit: int
) -> tuple[Invoice, ...]:
    """Invoices that a payer may mean, the oldest due first: those with these numbers, given as capitals and digits
    only, whatever became of them; and those of these accounts that money can still settle.
    """
    rows = tx.execute(
        f"{_INVOICE} where regexp_replace(number, '[^A-Z0-9]', '', 'g') = any(%s) or (account = any(%s) "
        "and phase <> 'Void' and total_minor > amount_paid_minor + credited_minor) "
        "order by due_on, number, uid limit %s",
        (list(numbers), list(accounts), limit),
    )
    return tuple(map(_invoice, rows))


def list_resembling(
    tx: Tx, *, said: str, alike: tuple[str, str], amount_minor: int, currency: str, limit: int
) -> tuple[Invoice, ...]:
    """Open invoices that a payer may mean by guess: what can still settle them is this amount, or their number stands
    in `said` once letters of `alike[0]` are taken for those of `alike[1]` and separators left out.
    """
    rows = tx.execute(
        f"{_INVOICE} where phase <> 'Void' and total_minor > amount_paid_minor + credited_minor and ("
        "(currency = %(currency)s and total_minor - amount_paid_minor - credited_minor = %(amount)s) or position("
        "translate(regexp_replace(number, '[^A-Z0-9]', '', 'g'), %(from)s, %(to)s) in %(said)s) > 0) "
        "order by due_on, number, uid limit %(limit)s",
        {
            "currency": currency,
            "amount": amount_minor,
            "from": alike[0],
            "to": alike[1],
            "said": said,
            "limit": limit,
        },
    )
    return tuple(map(_invoice, rows))


def get_manner(tx: Tx, *, invoice: UUID) -> tuple[str, dict[str, Any]]:
    """The language that the invoice was issued in, and its issuer's profile as it was then."""
    row = tx.execute(
        "select i.frozen ->> 'language', v.body from invoicing.invoices i "
        "join invoicing.issuer_versions v on v.digest = i.issuer_version where i.uid = %s",
        (invoice,),
    ).fetchone()
    if row is None:
        raise InvoiceNotFound(f"there is no invoice {invoice}")
    return row[0], row[1]


def is_name_taken(tx: Tx, *, namespace: str, name: str) -> bool:
    """Whether an invoice of that name stands."""
    query = "select from invoicing.invoices where namespace = %s and name = %s"
    return tx.execute(query, (namespace, name)).fetchone() is not None


def list_periodic(tx: Tx, *, account: int, within: Period) -> tuple[Invoice, ...]:
    """The account's periodic invoices, but void ones, that share an instant with the period, by period."""
    rows = tx.execute(
        f"{_INVOICE} where account = %s and kind = 'Periodic' and phase <> 'Void' and period && %s order by period",
        (account, TimestamptzRange(within.start, within.end)),
    )
    return tuple(map(_invoice, rows))


def find_void_unreplaced(tx: Tx, *, account: int, period: Period) -> tuple[UUID, str] | None:
    """Uid and name of the void periodic invoice for these days that no other replaces yet; the newest of several."""
    row = tx.execute(
        "select v.uid, v.name from invoicing.invoices v where v.account = %s and v.kind = 'Periodic' "
        "and v.phase = 'Void' and v.period && %s "
        "and not exists (select from invoicing.invoices n where n.replaces = v.uid) "
        "order by v.issued_at desc, v.sequence desc limit 1",
        (account, TimestamptzRange(period.start, period.end)),
    ).fetchone()
    return None if row is None else (row[0], row[1])


def _invoice(row: tuple[Any, ...]) -> Invoice:
    values: list[Any] = list(row)
    values[7:9] = [Period(row[7], row[8])]
    return Invoice(*values[:-1], taxes=tuple(_tax_group(*one) for one in row[-1] or ()))


def _tax_group(code: TaxCode, percent: str, *rest: Any) -> TaxGroup:
    name, place, reason, reason_code, basis_minor, tax_minor = rest
    return TaxGroup(
        TaxTreatment(code, Decimal(percent), name, place, reason, reason_code), basis_minor, tax_minor
    )


# ----------------------------------------------------------------------------------------------------- lines


def list_lines(tx: Tx, *, invoice: UUID, after: int = 0, limit: int) -> tuple[InvoiceLine, ...]:
    """The invoice's lines behind line `after`, with their parts and what each project has of them."""
    rows = tx.execute(
        "select line, kind, sku_name, description, service, invoice_group, tax_category, book_name, "
        "book_effective_from, commitment, first_day, end_day, quantity, included, pricing_unit, amount_minor, "
        "in_advance, taxes from invoicing.lines "
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
            *row[:-2],
            in_advance=row[-2],
            taxes=tuple(row[-1]),
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


# --------------------------------------------------------------------------------------------------- credit notes

_NOTE: LiteralString = (
    "select c.uid, c.name, c.namespace, c.owner_org, c.invoice, i.name, i.number, c.account, i.account_name, c.voids, "
    "c.issuer, c.series, c.sequence, c.number, c.currency, c.net_minor, c.tax_minor, c.total_minor, c.settled_minor, "
    "c.reason, c.issued_at, c.issued_on from invoicing.credit_notes c join invoicing.invoices i on i.uid = c.invoice"
)


def find_credit_note(tx: Tx, *, uid: UUID) -> CreditNote | None:
    """The credit note, if it was issued."""
    row = tx.execute(f"{_NOTE} where c.uid = %s", (uid,)).fetchone()
    return None if row is None else CreditNote(*row)


def get_credit_note(tx: Tx, *, namespace: str, name: str) -> CreditNote:
    """The credit note of that name. Raises CreditNoteNotFound."""
    row = tx.execute(f"{_NOTE} where c.namespace = %s and c.name = %s", (namespace, name)).fetchone()
    if row is None:
        raise CreditNoteNotFound(f'creditnotes.billing.miloapis.com "{name}" not found')
    return CreditNote(*row)


def find_voiding_note(tx: Tx, *, invoice: UUID) -> CreditNote | None:
    """The credit note that took the whole invoice back."""
    row = tx.execute(f"{_NOTE} where c.invoice = %s and c.voids", (invoice,)).fetchone()
    return None if row is None else CreditNote(*row)


def list_credit_lines(tx: Tx, *, note: UUID) -> tuple[CreditLine, ...]:
    """What the note takes back, by line."""
    query = (
        "select line, net_minor, quantity from invoicing.credit_lines where credit_note = %s order by line"
    )
    return tuple(CreditLine(*row) for row in tx.execute(query, (note,)))


def list_credited(tx: Tx, *, invoice: UUID) -> dict[int, int]:
    """What all credit notes took of the invoice, net, by line."""
    query = "select line, sum(net_minor)::bigint from invoicing.credit_lines where invoice = %s group by line"
    return dict(tx.execute(query, (invoice,)).fetchall())


def list_credited_taxes(tx: Tx, *, invoice: UUID) -> dict[int, Credited]:
    """What all credit notes took of the invoice's tax groups, by the group's number."""
    rows = tx.execute(
        "select tax, sum(basis_minor)::bigint, sum(tax_minor)::bigint from invoicing.credit_taxes "
        "where invoice = %s group by tax",
        (invoice,),
    )
    return {tax: Credited(basis, minor) for tax, basis, minor in rows}


def list_note_taxes(tx: Tx, *, note: UUID) -> dict[int, Credited]:
    """What the note took of the invoice's tax groups, by the group's number."""
    query = "select tax, basis_minor, tax_minor from invoicing.credit_taxes where credit_note = %s"
    return {tax: Credited(basis, minor) for tax, basis, minor in tx.execute(query, (note,))}


def find_note_document(tx: Tx, *, note: UUID, kind: str) -> tuple[str, bytes, str] | None:
    """As `find_document`, of a credit note."""
    return cast(
        "tuple[str, bytes, str] | None",
        tx.execute(
            "select media_type, sha256, sealed from invoicing.credit_documents "
            "where credit_note = %s and kind = %s",
            (note, kind),
        ).fetchone(),
    )


def is_note_name_taken(tx: Tx, *, namespace: str, name: str) -> bool:
    """Whether a credit note of that name stands."""
    query = "select from invoicing.credit_notes where namespace = %s and name = %s"
    return tx.execute(query, (namespace, name)).fetchone() is not None


def find_issuer_of(tx: Tx, *, invoice: UUID) -> tuple[IssuerVersion, date]:
    """The profile under which credit notes of the invoice are issued, and the invoice's date.

    It is the profile as it is now; as it was, where it has gone. Raises InvoiceNotFound.
    """
    row = tx.execute(
        "select i.issuer, v.digest, v.body, i.issued_on from invoicing.invoices i "
        "left join invoicing.issuers p on p.name = i.issuer "
        "join invoicing.issuer_versions v on v.digest = coalesce(p.version, i.issuer_version) where i.uid = %s",
        (invoice,),
    ).fetchone()
    if row is None:
        raise InvoiceNotFound(f"there is no invoice {invoice}")
    return IssuerVersion(*row[:3]), row[3]


# ------------------------------------------------------------------------------------------------- documents


def find_document(tx: Tx, *, invoice: UUID, kind: str) -> tuple[str, bytes, str] | None:
    """The media type, the SHA-256 of the clear bytes, and the sealed body; None where it was never written."""
    return cast(
        "tuple[str, bytes, str] | None",
        tx.execute(
            "select media_type, sha256, sealed from invoicing.documents where invoice = %s and kind = %s",
            (invoice, kind),
        ).fetchone(),
    )


def load_document(tx: Tx, vault: Vault, *, invoice: Invoice, lines: Iterable[InvoiceLine]) -> InvoiceDocument:
    """What is printed on the invoice, from what was frozen when it was issued: later changes do not show."""
    lines = tuple(lines)
    row = tx.execute(
        "select i.frozen, v.body from invoicing.invoices i "
        "join invoicing.issuer_versions v on v.digest = i.issuer_version where i.uid = %s",
        (invoice.uid,),
    ).fetchone()
    if row is None:
        raise InvoiceNotFound(f"invoice {invoice.number} is not within reach")
    frozen: dict[str, Any] = row[0]
    issuer: dict[str, Any] = row[1]
    buyer = vault.open(tx, subject=UUID(frozen["subject"]), ciphertext=frozen["buyer"])
    brand = issuer.get("brand", {})
    zone: str = frozen["timeZone"]
    return InvoiceDocument(
        number=invoice.number,
        issued_at=invoice.issued_at,
        issued_on=invoice.issued_on,
        due_on=invoice.due_on,
        first_day=local_day(invoice.period.start, zone=zone),
        end_day=_day_after(invoice.period, zone=zone),
        time_zone=zone,
        language=frozen["language"],
        account=f"{invoice.namespace.removeprefix('organization-')}/{invoice.account_name}",
        currency=invoice.currency,
        subtotal_minor=invoice.subtotal_minor,
        discounts=issuing.invoice_discounts(lines),
        total_minor=invoice.total_minor,
        seller=profiles.issuer_party(issuer),
        buyer=None if isinstance(buyer, Erased) else issuing.party_of(cast("dict[str, Any]", buyer)),
        logo=profiles.read_logo(brand["logo"]) if brand.get("logo") else None,
        color=brand.get("color", profiles.DEFAULT_COLOR),
        bank=profiles.issuer_bank(issuer),
        legal_text=issuer.get("legalText", ""),
        lines=lines,
        e_invoicing=invoice.e_invoicing,
        tax_minor=invoice.tax_minor,
        taxes=invoice.taxes,
        accounting_tax=tax_bodies.read_accounting_tax(frozen.get("accountingTax")),
    )


def _day_after(period: Period, *, zone: str) -> date:
    return local_day(period.end - timedelta(microseconds=1), zone=zone) + timedelta(days=1)


# --------------------------------------------------------------------------------------------------- issuers


def find_default_issuer(tx: Tx) -> IssuerVersion | None:
    """The profile that issues where nothing else is said, as it is now."""
    row = tx.execute(
        "select i.name, i.version, v.body from invoicing.issuers i "
        "join invoicing.issuer_versions v on v.digest = i.version where i.is_default"
    ).fetchone()
    return None if row is None else IssuerVersion(*row)


def find_other_default(tx: Tx, *, uid: UUID) -> str | None:
    """The name of the default profile, if it is another than the one of that uid."""
    row = tx.execute("select name from invoicing.issuers where is_default and uid <> %s", (uid,)).fetchone()
    return None if row is None else row[0]


# ------------------------------------------------------------------------------------------------- tax rates


def list_tax_rates(tx: Tx, *, country: str, day: date) -> tuple[TaxRateEntry, ...]:
    """The rates in force on the day in the country and in its regions."""
    rows = tx.execute(
        "select country, region, tax, category, code, percent, reason, reason_code from invoicing.tax_rates "
        "where country = %s and daterange(starts_on, ends_on) @> %s::date order by country, region, tax, category",
        (country, day),
    )
    return tuple(TaxRateEntry(TaxPlace(row[0], row[1]), *row[2:]) for row in rows)


def find_overlapping_rate(
    tx: Tx, *, uid: UUID, rate: TaxRateEntry, starts_on: date, ends_on: date | None
) -> str | None:
    """The name of another TaxRate of the same tax, place and category on one of these days."""
    row = tx.execute(
        "select name from invoicing.tax_rates where country = %s and region = %s and tax = %s and category = %s "
        "and daterange(starts_on, ends_on) && daterange(%s, %s) and uid <> %s order by name limit 1",
        (rate.place.country, rate.place.region, rate.name, rate.category, starts_on, ends_on, uid),
    ).fetchone()
    return None if row is None else row[0]


def find_vat_check(tx: Tx, *, account: int) -> VatCheck | None:
    """What was last answered about the VAT number that the account then had."""
    row = tx.execute(
        "select sealed, valid, checked_at, source, reference from invoicing.vat_checks where account = %s "
        "order by checked_at desc limit 1",
        (account,),
    ).fetchone()
    return None if row is None else VatCheck(*row)
