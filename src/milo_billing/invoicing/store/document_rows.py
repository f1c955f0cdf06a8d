"""SQL that writes the documents of invoices."""

from datetime import datetime
from uuid import UUID

from milo_billing.infra.database import Tx
from milo_billing.invoicing.types.documents import WrittenDocument


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
