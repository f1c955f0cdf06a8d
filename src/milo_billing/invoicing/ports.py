"""What invoicing needs from outside: who writes its documents and checks them, who says how lines are taxed."""

from typing import Protocol

from milo_billing.infra.database import Tx
from milo_billing.invoicing.types.documents import Finding, InvoiceDocument, Syntax, WrittenDocument
from milo_billing.kernel.taxes import TaxDecision, TaxQuestion, VatAnswer, VatNumber


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


class TaxEngine(Protocol):
    """Says how lines are taxed. What the tax comes to is computed by invoicing, so it is the same for every engine."""

    def decide(self, tx: Tx, question: TaxQuestion) -> TaxDecision:
        """The treatments of every tax category that was asked for, and of no other; the same question, the same answer.

        Called in the transaction that issues, so nothing is called outside: an engine that lives elsewhere answers
        from what it was told before. Raises UnableToIssue, with what to do, where it cannot say; nothing is left
        untaxed silently.
        """
        ...


class VatRegister(Protocol):
    """Knows which VAT numbers of the European Union are valid. It is outside: never asked within a transaction."""

    def check(self, number: VatNumber) -> VatAnswer:
        """What it says of the number now. Raises Unavailable where it does not answer, or not about this number."""
        ...
