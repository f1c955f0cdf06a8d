"""Invoices, what settled them, and which are due."""

from collections.abc import Collection, Sequence
from datetime import date, datetime
from decimal import Decimal
from typing import Any, Final, LiteralString
from uuid import UUID

from psycopg.types.range import TimestamptzRange

from milo_billing.infra.database import Tx
from milo_billing.invoicing.types.errors import InvoiceNotFound
from milo_billing.invoicing.types.invoices import Covering, Invoice, Settlement, SettlementKind
from milo_billing.kernel.periods import Period, local_day
from milo_billing.kernel.taxes import TaxCode, TaxGroup, TaxTreatment
from milo_billing.kernel.terms import EarlyPayment

_INVOICE: LiteralString = (
    "select uid, name, namespace, owner_org, account, account_name, kind, lower(period), upper(period), phase, issuer, "
    "series, sequence, number, currency, subtotal_minor, discounts_minor, tax_minor, total_minor, amount_paid_minor, "
    "issued_at, issued_on, due_on, credited_minor, written_off_minor, replaces, "
    "coalesce((select void.name from invoicing.invoices void where void.uid = invoices.replaces), ''), "
    "coalesce((select v.body ->> 'eInvoice' from invoicing.issuer_versions v where v.digest = issuer_version), "
    "'None'), early_percent::text, early_until, interest_percent, "
    "(select coalesce(-sum(m.amount_minor), 0)::bigint from invoicing.grant_movements m "
    "where m.invoice = invoices.uid and invoices.phase <> 'Void'), "
    "(select json_agg(json_build_array(t.code, t.percent::text, t.name, t.place, t.reason, t.reason_code, "
    "t.basis_minor, t.tax_minor) order by t.tax) from invoicing.taxes t where t.invoice = uid) from invoicing.invoices"
)

EARLY_ASKED_DAYS: Final = 1
"""So many days before the last one of a discount for early payment the money is asked for by itself: one may fail."""


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


def lost_early_payment(tx: Tx, *, invoice: Invoice) -> bool:
    """Whether no discount for early payment is given any more: one stands, or something was paid after its last day."""
    until = None if invoice.early is None else invoice.early.until
    row = tx.execute(
        "select exists (select from invoicing.settlements s where s.invoice = i.uid and ("
        "(s.kind = 'EarlyPaymentDiscount' and not exists (select from invoicing.settlements r "
        "where r.kind = 'DiscountReversal' and r.reference = s.reference)) or (s.kind in ('Payment', 'Credit') "
        "and (s.at at time zone (v.body ->> 'timeZone'))::date > %s::date))) "
        "from invoicing.invoices i join invoicing.issuer_versions v on v.digest = i.issuer_version where i.uid = %s",
        (until, invoice.uid),
    ).fetchone()
    assert until is not None and row is not None, "an invoice that offers one is asked about, and stands"
    return row[0]


def list_credits(
    tx: Tx, *, account: int, issuer: str, currency: str, limit: int
) -> tuple[tuple[UUID, Settlement], ...]:
    """What the account's own money with the issuer has paid, the last first: the invoice, and the Credit.

    Its amount is what stands of it: a PaymentReversal whose reference ends with `/` and the Credit's took some back.
    """
    rows = tx.execute(
        "select * from (select s.invoice, s.step, s.kind, s.reference, s.amount_minor + coalesce("
        "(select sum(r.amount_minor) from invoicing.settlements r where r.invoice = s.invoice "
        "and r.kind = 'PaymentReversal' and r.reference like '%%/' || s.reference), 0)::bigint as standing, "
        "s.phase, s.posted, s.at, s.reason from invoicing.settlements s "
        "join invoicing.invoices i on i.uid = s.invoice "
        "where i.account = %s and i.issuer = %s and i.currency = %s and s.kind = 'Credit' "
        "order by s.noted_at desc, s.invoice, s.step desc limit %s) credits where standing > 0",
        (account, issuer, currency, limit),
    )
    return tuple((invoice, Settlement(*settlement)) for invoice, *settlement in rows)


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
    later, or on the last days of a discount for early payment, in the order of uids. `accounts` None asks for those of
    all accounts.
    """
    rows = tx.execute(
        "select i.uid, i.account from invoicing.invoices i "
        "join invoicing.issuer_versions v on v.digest = i.issuer_version "
        "where i.phase in ('Issued', 'PartiallyPaid', 'PastDue') "
        "and (i.due_on <= (%(now)s at time zone (v.body ->> 'timeZone'))::date "
        "or i.early_until - (%(now)s at time zone (v.body ->> 'timeZone'))::date between 0 and %(early)s) "
        "and i.uid > %(after)s "
        "and (%(accounts)s::int[] is null or i.account = any(%(accounts)s)) order by i.uid limit %(limit)s",
        {
            "now": now,
            "accounts": None if accounts is None else list(accounts),
            "after": after,
            "early": EARLY_ASKED_DAYS,
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


def list_periodic(tx: Tx, *, account: int, within: Period) -> tuple[Covering, ...]:
    """The invoices, but void ones, that have days of the account within the period, by these: periodic ones, its final
    one, and consolidated ones, whoever pays them.
    """
    rows = tx.execute(
        f"{_INVOICE} where uid in (select invoice from invoicing.sections s where s.account = %s and s.standing "
        "and s.period && %s)",
        (account, TimestamptzRange(within.start, within.end)),
    )
    return _coverings(tx, [_invoice(row) for row in rows], account=account)


def list_payers(tx: Tx, *, accounts: Collection[int]) -> tuple[int, ...]:
    """Numbers of the others to whom days of these accounts were ever invoiced, in order."""
    rows = tx.execute(
        "select distinct i.account from invoicing.sections s join invoicing.invoices i on i.uid = s.invoice "
        "where s.account = any(%s) and i.account <> s.account order by i.account",
        (list(accounts),),
    )
    return tuple(number for (number,) in rows)


def _coverings(tx: Tx, invoices: Sequence[Invoice], *, account: int) -> tuple[Covering, ...]:
    consolidated = [one.uid for one in invoices if one.kind == "Consolidated"]
    query = (
        "select invoice, lower(period), upper(period) from invoicing.sections "
        "where account = %s and invoice = any(%s)"
    )
    rows = tx.execute(query, (account, consolidated)).fetchall() if consolidated else ()
    periods = {invoice: Period(start, end) for invoice, start, end in rows}
    found = [Covering(one, periods.get(one.uid, one.period)) for one in invoices]
    return tuple(sorted(found, key=lambda one: one.period))


def list_standing(tx: Tx, *, account: int, before: datetime, limit: int) -> tuple[Invoice, ...]:
    """The invoices over usage and charges of the account of days before the instant, but void ones, whoever pays them,
    the newest first.
    """
    rows = tx.execute(
        f"{_INVOICE} where uid in (select s.invoice from invoicing.sections s where s.account = %s and s.standing "
        "union select a.carrier from invoicing.adjustments a where a.account = %s and a.carrier is not null) "
        "and phase <> 'Void' and lower(period) < %s order by issued_at desc, sequence desc limit %s",
        (account, account, before, limit),
    )
    return tuple(map(_invoice, rows))


def list_standing_and_void(
    tx: Tx, *, account: int, within: Period
) -> tuple[tuple[Covering, ...], tuple[Invoice, ...]]:
    """The invoices that have days of the account within the period, by these, whoever pays them; and the void ones of
    these days that no other replaces yet, by issue.
    """
    rows = tx.execute(
        f"{_INVOICE} where uid in (select s.invoice from invoicing.sections s where s.account = %(account)s "
        "and s.standing and s.period && %(within)s union all select s.invoice from invoicing.sections s "
        "where s.account = %(account)s and not s.standing and s.period && %(within)s "
        "and not exists (select from invoicing.invoices n where n.replaces = s.invoice))",
        {"account": account, "within": TimestamptzRange(within.start, within.end)},
    )
    found = [_invoice(row) for row in rows]
    return (
        _coverings(tx, [one for one in found if one.phase != "Void"], account=account),
        tuple(
            sorted(
                (one for one in found if one.phase == "Void"), key=lambda one: (one.issued_at, one.sequence)
            )
        ),
    )


def find_void_unreplaced(tx: Tx, *, account: int, period: Period) -> tuple[UUID, str] | None:
    """Uid and name of the void invoice for these days of the account that no other replaces yet; the newest of them.

    Where its month was run again and there was nothing to charge, none is to come.
    """
    row = tx.execute(
        "select v.uid, v.name from invoicing.invoices v join invoicing.sections s on s.invoice = v.uid "
        "where s.account = %s and not s.standing and s.nothing_at is null and s.period && %s "
        "and not exists (select from invoicing.invoices n where n.replaces = v.uid) "
        # who left it since has these days on an invoice of its own, which replaces none
        "and not exists (select from invoicing.sections o where o.account = s.account and o.standing "
        "and o.period @> s.period) "
        "order by v.issued_at desc, v.sequence desc limit 1",
        (account, TimestamptzRange(period.start, period.end)),
    ).fetchone()
    return None if row is None else (row[0], row[1])


def _invoice(row: tuple[Any, ...]) -> Invoice:
    values: list[Any] = list(row)
    values[7:9] = [Period(row[7], row[8])]
    # of the three terms before credits and taxes the first two are one
    values[-5:-3] = [None if row[-5] is None else EarlyPayment(Decimal(row[-5]), row[-4])]
    return Invoice(*values[:-1], taxes=tuple(_tax_group(*one) for one in row[-1] or ()))


def _tax_group(code: TaxCode, percent: str, *rest: Any) -> TaxGroup:
    name, place, reason, reason_code, basis_minor, tax_minor = rest
    return TaxGroup(
        TaxTreatment(code, Decimal(percent), name, place, reason, reason_code), basis_minor, tax_minor
    )
