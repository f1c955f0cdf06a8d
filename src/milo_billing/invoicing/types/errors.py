"""What can keep an invoice from being issued, settled, found, written or checked."""

from milo_billing.kernel.errors import Conflict, NotFound, Unavailable


class UnableToIssue(Conflict):
    """The invoice must wait until something outside has been mended. The message says what, and what to do."""


class UnableToSettle(Conflict):
    """The invoice cannot take the amount, or not in its phase. The message says what it could take."""


class InvoiceNotFound(NotFound):
    """There is no such invoice, or not for the caller."""


class LineNotFound(NotFound):
    """The invoice has no such line, or the line is of no usage."""


class NoEInvoice(Conflict):
    """The invoice cannot be said after EN 16931. The message says why, and what to do; its PDF is not concerned."""


class UnableToCheck(Unavailable):
    """Nobody could say whether an electronic invoice is right."""


class UnableToRender(Exception):
    """The document of an invoice could not be written: a defect of the template, so none of the caller's."""
