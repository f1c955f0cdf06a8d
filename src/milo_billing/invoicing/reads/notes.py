"""Credit notes, and what of an invoice was credited."""

from collections.abc import Collection
from datetime import date
from typing import Any, Final, LiteralString, cast
from uuid import UUID

from milo_billing.infra.database import Tx
from milo_billing.invoicing.rules.crediting import (
    Cancellation,
    CreditLine,
    CreditNote,
    CreditNoteNotFound,
    Paper,
)
from milo_billing.invoicing.rules.taxes import Credited
from milo_billing.invoicing.types.errors import InvoiceNotFound
from milo_billing.invoicing.types.invoices import IssuerVersion

_NOTE: LiteralString = (
    "select c.uid, c.name, c.namespace, c.owner_org, c.invoice, i.name, i.number, c.account, i.account_name, c.voids, "
    "c.issuer, c.series, c.sequence, c.number, c.currency, c.net_minor, c.tax_minor, c.total_minor, c.settled_minor, "
    "c.reason, c.issued_at, c.issued_on, coalesce((select v.body ->> 'eInvoice' from invoicing.issuer_versions v "
    "where v.digest = i.issuer_version), 'None'), "
    "x.series, x.sequence, x.number, x.reason, x.issued_at, x.issued_on "
    "from invoicing.credit_notes c join invoicing.invoices i on i.uid = c.invoice "
    "left join invoicing.cancellations x on x.credit_note = c.uid"
)
_OF_CANCELLATION: Final = 6
"""The last columns of a note, null where nothing cancelled it."""


def _note(row: tuple[Any, ...]) -> CreditNote:
    said = row[-_OF_CANCELLATION:]
    return CreditNote(*row[:-_OF_CANCELLATION], cancellation=None if said[0] is None else Cancellation(*said))


def standing(note: LiteralString) -> LiteralString:
    """The SQL condition that nothing cancelled the credit note whose uid is the column `note`.

    What a cancelled one took back is owed again.
    """
    return (
        "not exists (select from invoicing.settlements r where r.kind = 'DiscountReversal' "
        f"and r.reference = {note}::text)"
    )


def find_standing_discount(tx: Tx, *, invoice: UUID) -> CreditNote | None:
    """The credit note by which the invoice has its discount for early payment; None without one, or once it ended."""
    row = tx.execute(
        f"{_NOTE} where c.uid = (select s.reference::uuid from invoicing.settlements s where s.invoice = %s "
        "and s.kind = 'EarlyPaymentDiscount' and not exists (select from invoicing.settlements r "
        "where r.kind = 'DiscountReversal' and r.reference = s.reference))",
        (invoice,),
    ).fetchone()
    return None if row is None else _note(row)


def find_credit_note(tx: Tx, *, uid: UUID) -> CreditNote | None:
    """The credit note, if it was issued."""
    row = tx.execute(f"{_NOTE} where c.uid = %s", (uid,)).fetchone()
    return None if row is None else _note(row)


def list_notes(tx: Tx, *, uids: Collection[UUID]) -> tuple[CreditNote, ...]:
    """The credit notes of these uids, of those within reach."""
    rows = tx.execute(f"{_NOTE} where c.uid = any(%s)", (list(uids),))
    return tuple(_note(row) for row in rows)


def get_credit_note(tx: Tx, *, namespace: str, name: str) -> CreditNote:
    """The credit note of that name. Raises CreditNoteNotFound."""
    row = tx.execute(f"{_NOTE} where c.namespace = %s and c.name = %s", (namespace, name)).fetchone()
    if row is None:
        raise CreditNoteNotFound(f'creditnotes.billing.miloapis.com "{name}" not found')
    return _note(row)


def find_voiding_note(tx: Tx, *, invoice: UUID) -> CreditNote | None:
    """The credit note that took the whole invoice back."""
    row = tx.execute(f"{_NOTE} where c.invoice = %s and c.voids", (invoice,)).fetchone()
    return None if row is None else _note(row)


def list_credit_lines(tx: Tx, *, note: UUID) -> tuple[CreditLine, ...]:
    """What the note takes back, by line."""
    query = (
        "select line, net_minor, quantity from invoicing.credit_lines where credit_note = %s order by line"
    )
    return tuple(CreditLine(*row) for row in tx.execute(query, (note,)))


def list_credited(tx: Tx, *, invoice: UUID) -> dict[int, int]:
    """What the credit notes that stand took of the invoice, net, by line."""
    rows = tx.execute(
        "select line, sum(net_minor)::bigint from invoicing.credit_lines where invoice = %s "
        f"and {standing('credit_note')} group by line",
        (invoice,),
    )
    return dict(rows.fetchall())


def list_credited_taxes(tx: Tx, *, invoice: UUID) -> dict[int, Credited]:
    """What the credit notes that stand took of the invoice's tax groups, by the group's number."""
    rows = tx.execute(
        "select tax, sum(basis_minor)::bigint, sum(tax_minor)::bigint from invoicing.credit_taxes "
        f"where invoice = %s and {standing('credit_note')} group by tax",
        (invoice,),
    )
    return {tax: Credited(basis, minor) for tax, basis, minor in rows}


def list_note_taxes(tx: Tx, *, note: UUID) -> dict[int, Credited]:
    """What the note took of the invoice's tax groups, by the group's number."""
    query = "select tax, basis_minor, tax_minor from invoicing.credit_taxes where credit_note = %s"
    return {tax: Credited(basis, minor) for tax, basis, minor in tx.execute(query, (note,))}


def sum_taxes_before(tx: Tx, *, note: CreditNote) -> int:
    """What the invoice's notes before this one took of its tax, in minor units; those that stood when it was issued."""
    row = tx.execute(
        "select coalesce(sum(tax_minor), 0)::bigint from invoicing.credit_notes n "
        "where invoice = %(invoice)s and (issued_at, sequence) < (%(at)s, %(sequence)s) "
        "and not exists (select from invoicing.settlements r where r.kind = 'DiscountReversal' "
        "and r.reference = n.uid::text and r.noted_at <= %(at)s)",
        {"invoice": note.invoice, "at": note.issued_at, "sequence": note.sequence},
    ).fetchone()
    assert row is not None, "a sum has a row"
    return cast("int", row[0])


def find_note_document(tx: Tx, *, note: UUID, paper: Paper, kind: str) -> tuple[str, bytes, str] | None:
    """As `find_document`, of a credit note or of its cancellation."""
    return cast(
        "tuple[str, bytes, str] | None",
        tx.execute(
            "select media_type, sha256, sealed from invoicing.credit_documents "
            "where credit_note = %s and paper = %s and kind = %s",
            (note, paper, kind),
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
