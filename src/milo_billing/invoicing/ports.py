"""What invoicing needs from outside: who writes its documents, and who says whether an electronic one is right."""

from typing import Protocol

from milo_billing.invoicing.types import Finding, InvoiceDocument, Syntax, WrittenDocument


class DocumentWriter(Protocol):
    """Writes an invoice as people read it, and as machines do."""

    def write(self, document: InvoiceDocument, *, attached: WrittenDocument | None = None) -> WrittenDocument:
        """The page: the same values give the same bytes, on every machine with the same fonts.

        `attached` is the invoice in CII, which then stands inside as Factur-X wants it. Raises UnableToRender.
        """
        ...

    def write_electronic(self, document: InvoiceDocument, *, syntax: Syntax) -> WrittenDocument:
        """The invoice after EN 16931, as XML: the same value gives the same bytes.

        Raises NoEInvoice where the standard cannot say it; the message says why.
        """
        ...


class EInvoiceChecker(Protocol):
    """Knows the rules of EN 16931."""

    def check(self, document: WrittenDocument) -> tuple[Finding, ...]:
        """What is wrong with the document; empty is right. Raises UnableToCheck where nobody can say."""
        ...
