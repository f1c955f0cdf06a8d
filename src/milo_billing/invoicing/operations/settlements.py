"""What became of an invoice, as people ask for it: each settlement with the document behind it, and why."""

import re
from typing import Final
from uuid import UUID

from milo_billing.controlplane.store import Store
from milo_billing.infra.database import Tx
from milo_billing.invoicing.reads import grants as grant_reads
from milo_billing.invoicing.reads import invoices as invoice_reads
from milo_billing.invoicing.reads import notes as note_reads
from milo_billing.invoicing.types.invoices import SettledBy, Settlement
from milo_billing.ledger import reads as books

_UID: Final = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}")
_KINDS: Final = {"payments": "Payment", "creditnotes": "CreditNote", "creditgrants": "CreditGrant"}


def list_settlements(
    tx: Tx, store: Store, *, invoice: UUID, limit: int
) -> tuple[tuple[Settlement, SettledBy], ...]:
    """What became of the invoice, in order, each with what it came from.

    A settlement refers to what settled it by uid: a credit note, a grant, or the object of another slice, a payment.
    Money that is no object, such as a bank transfer, is told by what the books say of it.
    """
    found = invoice_reads.list_settlements(tx, invoice=invoice, limit=limit)
    uids = {one.step: UUID(match[0]) for one in found if (match := _UID.search(one.reference))}
    notes = {note.uid: note for note in note_reads.list_notes(tx, uids=uids.values())}
    grants = {grant.uid: grant for grant in grant_reads.list_of(tx, uids=set(uids.values()))}
    named = store.names(tx, uids=uids.values())
    said = books.list_descriptions(tx, keys={one.posted for one in found if one.posted is not None})
    listed: list[tuple[Settlement, SettledBy]] = []
    for one in found:
        resource, document, reason = "", "", one.reason or ""
        uid = uids.get(one.step)
        if uid is not None:
            resource, document = named.get(uid, ("", ""))
            if uid in notes:
                document = notes[uid].number
                if one.kind != "DiscountReversal":  # the note says why it was given, the books why it ended
                    reason = reason or notes[uid].reason
            elif uid in grants:
                reason = reason or grants[uid].reason
        by = SettledBy(
            _KINDS.get(resource, ""),
            document,
            reason or ("" if one.posted is None else said.get(one.posted, "")),
        )
        listed.append((one, by))
    return tuple(listed)
