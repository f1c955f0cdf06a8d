"""The code on an invoice that a banking app scans to fill in the transfer (EPC069-12, "GiroCode").

Owns: what stands in it, and when there is one. Not: where it is printed.
"""

import io
from typing import Final

import segno

from milo_billing.invoicing.types.documents import InvoiceDocument
from milo_billing.kernel.money import minor_to_decimal

_NAME_MAX: Final = 70
_REMITTANCE_MAX: Final = 140
_AMOUNT_MINOR_MAX: Final = 999_999_999_99
_BYTES_MAX: Final = 331


def transfer_text(document: InvoiceDocument) -> str | None:
    """What the code says: version 002, UTF-8, a SEPA credit transfer with the invoice's number as remittance text.

    None where the guideline has no code for it: another currency than the euro, no IBAN, nothing to pay, too much.
    """
    bank = document.bank
    if document.currency != "EUR" or bank is None or not bank.iban:
        return None
    due_minor = document.total_minor - document.prepaid_minor
    # what cancels a credit note is paid with its invoice, whose own code has all of it
    if document.credits is not None or document.cancels is not None or not 0 < due_minor <= _AMOUNT_MINOR_MAX:
        return None
    lines = (
        "BCD",
        "002",
        "1",
        "SCT",
        bank.bic,
        " ".join(bank.account_holder.split())[:_NAME_MAX],
        bank.iban,
        f"EUR{minor_to_decimal(due_minor, 'EUR')}",
        "",
        "",
        document.number[:_REMITTANCE_MAX],
    )
    text = "\n".join(lines)
    return text if len(text.encode()) <= _BYTES_MAX else None


def code_picture(text: str) -> str:
    """The QR code as SVG, with error correction M as the guideline asks, and its quiet zone."""
    code = segno.make(text, error="m", micro=False, boost_error=False, encoding="utf-8")
    out = io.BytesIO()
    code.save(out, kind="svg", border=4, xmldecl=False, svgns=True, nl=False)
    return out.getvalue().decode()
