"""Give granted credit back when an invoice that used it is credited or void: the rows, the settlements and the books.

Owns: the order of writes, and who gets what of a grant that has expired. Whoever calls holds the lock of the invoice's
object and of the grants' (`affects` of their kinds). Not: how much comes back (rules.returning).
"""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Final
from uuid import UUID

from milo_billing.infra.clock import new_uid
from milo_billing.infra.database import Tx
from milo_billing.invoicing.engine import crediting as crediting_engine
from milo_billing.invoicing.engine import settling
from milo_billing.invoicing.engine.grant_rows import insert_movement
from milo_billing.invoicing.reads import grants as grant_reads
from milo_billing.invoicing.reads import invoices as invoice_reads
from milo_billing.invoicing.reads import lines as line_reads
from milo_billing.invoicing.reads import notes as note_reads
from milo_billing.invoicing.rules import crediting, life, postings, returning
from milo_billing.invoicing.rules.crediting import CreditNote
from milo_billing.invoicing.rules.grants import Grant
from milo_billing.invoicing.types.invoices import Invoice, InvoiceLine
from milo_billing.ledger import operations as ledger
from milo_billing.ledger.types import MONEY_ON_ACCOUNT, PREPAID_CREDIT, PROMOTIONAL, Entry, Fact, Posting

LINES_MAX: Final = 100_000


def before_void(tx: Tx, *, invoice: UUID, now: datetime) -> None:
    """Give back what prepaid credit paid of an invoice that is to be void: then it is unpaid if no other money came.

    Where other money came nothing is done, and the void is refused.
    """
    used = [one for one in grant_reads.list_used_by(tx, invoice=invoice) if _pays(one[0])]
    found = invoice_reads.get_invoice_by_uid(tx, uid=invoice)
    if not used or found.phase == "Void" or found.amount_paid_minor != sum(minor for _, minor in used):
        return
    today = invoice_reads.get_issuer_day(tx, invoice=invoice, now=now)
    for grant, minor in used:
        key = f"invoice/{invoice}/credit/{grant.uid}/back"
        kept = _is_kept(grant, now)
        entries = ledger.taken_back(
            ledger.credit_used(grant.money(minor)) if kept else ledger.used_from_account(grant.money(minor))
        )
        _post(tx, found, key, entries, about=f"Prepaid credit {grant.name} back from", now=now)
        for step in life.settle(found, kind="PaymentReversal", amount_minor=minor, today=today):
            settling.note(tx, step, reference=str(grant.uid), posted=key, at=now, now=now)
            found = step.after
        if kept:
            _back(tx, grant, minor, found, cause="void", posted=key, now=now)


def after_void(tx: Tx, note: CreditNote, *, now: datetime) -> None:
    """Give back what the void invoice used of goodwill, and of credit that acts before tax."""
    invoice = invoice_reads.get_invoice_by_uid(tx, uid=note.invoice)
    used = grant_reads.list_used_by(tx, invoice=invoice.uid)
    if not used:
        return
    lines = _lines(tx, invoice)
    _return_before_tax(tx, note, invoice, lines, used, now=now)
    for grant, minor in used:
        if grant.kind == "Goodwill" and minor and _is_kept(grant, now):
            key = f"invoice/{invoice.uid}/goodwill/{grant.uid}/back"
            given = _goodwill(tx, invoice, grant, lines)
            entries = ledger.taken_back(ledger.goodwill_given(given, currency=invoice.currency))
            _post(tx, invoice, key, entries, about=f"Goodwill {grant.name} back from", now=now)
            _back(tx, grant, minor, invoice, cause="void", posted=key, now=now)


def after_credit_note(tx: Tx, note: CreditNote, *, now: datetime) -> None:
    """Give back what the credited part used: credit that lowered its lines before tax, and prepaid credit that paid.

    Of an invoice by which credit was bought so much of the credit is gone.
    """
    bought = grant_reads.find_bought_by(tx, invoice=note.invoice)
    if bought is not None:
        cause = f"credit-note/{note.uid}"
        take_back_bought(tx, bought, note, cause=cause, reason=note.reason, now=now)
        return
    used = grant_reads.list_used_by(tx, invoice=note.invoice)
    if not used:
        return
    invoice = invoice_reads.get_invoice_by_uid(tx, uid=note.invoice)
    _return_before_tax(tx, note, invoice, _lines(tx, invoice), used, now=now)
    _return_prepaid(tx, note, invoice, used, now=now)


def take_back_bought(
    tx: Tx, grant: Grant, note: CreditNote, *, cause: str, reason: str, now: datetime
) -> None:
    """Note that credit of the grant, whose object is locked, is gone with what the note took back of its purchase."""
    posted = crediting_engine.key_of(note)
    insert_movement(
        tx, grant, "Revoked", minor=note.net_minor, cause=cause, at=now, posted=posted, reason=reason
    )


def _pays(grant: Grant) -> bool:
    """Whether the grant pays for taxed invoices; other prepaid credit acts before tax."""
    return grant.kind == "Prepaid" and grant.tax_at == "Use"


def _return_before_tax(
    tx: Tx,
    note: CreditNote,
    invoice: Invoice,
    lines: Mapping[int, InvoiceLine],
    used: Sequence[tuple[Grant, int]],
    *,
    now: datetime,
) -> None:
    left = crediting.left_of(lines.values(), credited=note_reads.list_credited(tx, invoice=invoice.uid))
    # goodwill and discounts for early payment gave something away and took nothing back: no credit comes back with them
    after = grant_reads.list_taken_back(tx, invoice=invoice.uid)
    before = dict(after)
    for one in note_reads.list_credit_lines(tx, note=note.uid):
        before[one.line] = before.get(one.line, 0) - one.net_minor
    found = returning.within(
        returning.returns_before_tax(
            lines.values(), before=before, after=after if any(left.values()) else None
        ),
        still={grant.uid: minor for grant, minor in used},
    )
    grants = {grant.uid: grant for grant, _ in used}
    for uid in dict.fromkeys(one.grant for one in found):
        grant = grants[uid]
        bought = any(one.bought for one in found if one.grant == uid)
        # what is the customer's money comes back even so: the nightly end of the grant gives it to him with its tax
        if not bought and not _is_kept(grant, now):
            continue
        parts = [one.posting for one in found if one.grant == uid]
        minor = sum(part[1] for part in parts)
        what, into = ("Prepaid", PREPAID_CREDIT) if bought else ("Promotional", PROMOTIONAL)
        key = f"credit-note/{note.uid}/{what.lower()}/{uid}"
        # the note took back what was charged; what the credit had taken off before it goes back beside it
        entries = ledger.credit_noted(parts, currency=invoice.currency, into=into)
        # the lines that it lowered are of its own account, whoever is invoiced for them
        about = f"{what} credit {grant.name} back from"
        _post(tx, invoice, key, entries, about=about, account=grant.account, now=now)
        _back(tx, grant, minor, invoice, cause=f"credit-note/{note.uid}", posted=key, now=now)


def _return_prepaid(
    tx: Tx, note: CreditNote, invoice: Invoice, used: Sequence[tuple[Grant, int]], *, now: datetime
) -> None:
    prepaid = [one for one in used if _pays(one[0])]
    if not prepaid:
        return
    still = sum(minor for _, minor in prepaid)
    back = returning.prepaid_returns(
        prepaid,
        invoice=invoice,
        on_account_minor=grant_reads.on_account_minor(tx, invoice=invoice.uid),
        earlier_minor=grant_reads.prepaid_minor(tx, invoice=invoice.uid) - still,
        note_minor=note.on_account_minor,
    )
    for grant, minor in back:
        if not _is_kept(grant, now):
            continue  # the money stays on account
        key = f"credit-note/{note.uid}/prepaid/{grant.uid}"
        amount = grant.money(minor)
        entries = (Entry(MONEY_ON_ACCOUNT, amount), Entry(PREPAID_CREDIT, -amount))
        _post(tx, invoice, key, entries, about=f"Prepaid credit {grant.name} back from", now=now)
        _back(tx, grant, minor, invoice, cause=f"credit-note/{note.uid}", posted=key, now=now)


def _goodwill(
    tx: Tx, invoice: Invoice, grant: Grant, lines: Mapping[int, InvoiceLine]
) -> tuple[Posting, ...]:
    """What the credit note of this goodwill took of each line."""
    note = grant_reads.get_goodwill_note(tx, invoice=invoice.uid, grant=grant.uid)
    return tuple(
        (postings.account_of(lines[one.line]), one.net_minor, postings.service_of(lines[one.line]))
        for one in note_reads.list_credit_lines(tx, note=note)
    )


def _is_kept(grant: Grant, now: datetime) -> bool:
    """Whether credit still comes back to the grant."""
    return grant.expires_at is None or now < grant.expires_at


def _lines(tx: Tx, invoice: Invoice) -> dict[int, InvoiceLine]:
    return {line.line: line for line in line_reads.list_lines(tx, invoice=invoice.uid, limit=LINES_MAX)}


def _back(
    tx: Tx, grant: Grant, minor: int, invoice: Invoice, *, cause: str, posted: str, now: datetime
) -> None:
    insert_movement(
        tx, grant, "GivenBack", minor=minor, cause=cause, at=now, invoice=invoice.uid, posted=posted
    )


def _post(
    tx: Tx,
    invoice: Invoice,
    key: str,
    entries: tuple[Entry, ...],
    *,
    about: str,
    account: int | None = None,
    now: datetime,
) -> None:
    fact = Fact(
        id=new_uid(),
        key=key,
        entity=invoice.issuer,
        posted_on=invoice_reads.get_issuer_day(tx, invoice=invoice.uid, now=now),
        billing_account=account or invoice.account,
        owner_org=invoice.owner_org,
        description=f"{about} invoice {invoice.number}",
    )
    ledger.post_fact(tx, fact=fact, entries=entries, now=now)
