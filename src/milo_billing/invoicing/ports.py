"""What invoicing needs from outside: somebody who can write its documents."""

from typing import Protocol

from milo_billing.invoicing.types import InvoiceDocument, WrittenDocument


class DocumentWriter(Protocol):
    """Writes the document of an invoice that people read."""

    def write(self, document: InvoiceDocument) -> WrittenDocument:
        """The document as bytes: the same value gives the same bytes, on every machine with the same fonts.

        Raises UnableToRender.
        """
        ...
