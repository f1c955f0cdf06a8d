"""The page of a document over lines that were credited: that of an invoice, with other words, and nobody to pay to.

Owns: what a credit note and what cancels one share. Not: their words, nor how the page looks (templates/invoice.typ).
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from milo_billing.adapters.document_formats import formats_for
from milo_billing.adapters.invoice_page import listed_lines
from milo_billing.invoicing.types.documents import InvoiceDocument


@dataclass(frozen=True, slots=True)
class Heads:
    """What the document, its amount, and what that means are called."""

    title: str
    amount: str
    effect: str


def credited_page(
    page: dict[str, Any],
    document: InvoiceDocument,
    heads: Heads,
    *,
    facts: Sequence[Sequence[str]],
    about: str,
    effects: Iterable[str],
) -> dict[str, Any]:
    """The page of an invoice with these heads and facts; `about` stands beside the amount, the effects below it."""
    return {
        **page,
        "strings": {
            **page["strings"],
            "invoice": heads.title,
            "amount_due": heads.amount,
            "payment": heads.effect,
        },
        "facts": facts,
        "due-by": about,
        "lines": _credited_lines(page, document),
        "projects": [],
        "pay-please": " ".join(effects),
        "bank": [],
    }


def sentence(text: str, *, stop: str = ".") -> str:
    """The text as it was written, ended by a full stop."""
    return text if text.endswith((".", "。")) else text + stop


def amounts_said(said: Iterable[tuple[str, int]], document: InvoiceDocument, *, invoice: str) -> list[str]:
    """What becomes of each amount, by its text; nothing of what comes to nothing."""
    formats = formats_for(document.language)
    return [
        text.format(amount=formats.money(minor, document.currency), invoice=invoice)
        for text, minor in said
        if minor
    ]


def _credited_lines(page: dict[str, Any], document: InvoiceDocument) -> list[dict[str, Any]]:
    """The lines of the page, of which an amount that was credited is of no quantity."""
    return [
        shown if line.quantity else {**shown, "quantity": "", "unit": "", "price": ""}
        for shown, line in zip(page["lines"], listed_lines(document), strict=True)
    ]
