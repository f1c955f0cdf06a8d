"""SQL that writes credit notes and their documents."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from uuid import UUID

from milo_billing.infra.database import Tx
from milo_billing.invoicing.rules.crediting import Cancellation, CreditLine, CreditNote, Paper
from milo_billing.invoicing.rules.taxes import Credited
from milo_billing.invoicing.types.documents import WrittenDocument


def insert_credit_note(
    tx: Tx,
    note: CreditNote,
    *,
    lines: Sequence[CreditLine],
    taxes: Mapping[int, Credited],
    issuer_version: bytes,
) -> None:
    """Write the note with its lines. It can never be changed again."""
    _insert_lines(tx, note, lines)
    _insert_taxes(tx, note, taxes)
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


def _insert_lines(tx: Tx, note: CreditNote, lines: Sequence[CreditLine]) -> None:
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


def _insert_taxes(tx: Tx, note: CreditNote, taxes: Mapping[int, Credited]) -> None:
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


def insert_cancellation(tx: Tx, note: CreditNote, one: Cancellation, *, issuer_version: bytes) -> None:
    """Write what cancels the note, before the settlement that takes away what the note had settled."""
    tx.execute(
        "insert into invoicing.cancellations (credit_note, owner_org, issuer, issuer_version, series, sequence, "
        "number, reason, issued_at, issued_on) values (%s, %s, %s, %s, %s, %s, %s, %s, %s, %s)",
        (
            note.uid,
            note.owner_org,
            note.issuer,
            issuer_version,
            one.series,
            one.sequence,
            one.number,
            one.reason,
            one.issued_at,
            one.issued_on,
        ),
    )


def insert_note_document(
    tx: Tx,
    *,
    note: UUID,
    paper: Paper,
    owner_org: int,
    kind: str,
    document: WrittenDocument,
    sha256: bytes,
    sealed: str,
    now: datetime,
) -> bool:
    """Keep the document as it was written; False where somebody else has been faster, whose document stays."""
    inserted = tx.execute(
        "insert into invoicing.credit_documents (credit_note, paper, kind, owner_org, media_type, template, sha256, "
        "sealed, written_at) values (%s, %s, %s, %s, %s, %s, %s, %s, %s) on conflict do nothing",
        (note, paper, kind, owner_org, document.media_type, document.template, sha256, sealed, now),
    )
    return inserted.rowcount == 1
