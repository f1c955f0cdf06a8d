"""Write the next document of a printing: kept and noted in the transaction of the caller."""

from datetime import datetime
from uuid import UUID

from milo_billing.infra.crypto import Vault
from milo_billing.infra.database import Tx
from milo_billing.invoicing.engine import invoice_documents, note_documents, printings
from milo_billing.invoicing.engine.publishing import PDF
from milo_billing.invoicing.ports import DocumentWriter
from milo_billing.invoicing.reads import invoices as invoice_reads
from milo_billing.invoicing.reads import notes as note_reads


def print_step(
    tx: Tx,
    vault: Vault,
    writer: DocumentWriter,
    *,
    printing: UUID,
    step: int,
    invoice: UUID | None,
    credit_note: UUID | None,
    now: datetime,
) -> None:
    """Have the PDF of the invoice or credit note written, unless it is there, and note the step.

    Raises UnableToRender, and UnableToOpen where the installation's key is lost; then nothing is noted.
    """
    if invoice is not None:
        found = invoice_reads.get_invoice_by_uid(tx, uid=invoice)
        invoice_documents.print_invoice(tx, vault, writer, invoice=found, kind=PDF, now=now)
    else:
        assert credit_note is not None, "a step is of the one or of the other"
        note = note_reads.find_credit_note(tx, uid=credit_note)
        assert note is not None, "it was issued, and stays"
        note_documents.print_note(tx, vault, writer, note=note, kind=PDF, now=now)
    printings.note_step(tx, printing=printing, step=step, state="printed", reason=None, at=now)
