"""What invoicing needs from outside: who writes its documents, who says how lines are taxed, who knows VAT numbers."""

from typing import Protocol

from milo_billing.infra.database import Tx
from milo_billing.invoicing.types import InvoiceDocument, WrittenDocument
from milo_billing.kernel.taxes import TaxDecision, TaxQuestion


class DocumentWriter(Protocol):
    """Writes the document of an invoice that people read."""

    def write(self, document: InvoiceDocument) -> WrittenDocument:
        """The document as bytes: the same value gives the same bytes, on every machine with the same fonts.

        Raises UnableToRender.
        """
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
