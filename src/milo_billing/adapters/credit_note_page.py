"""The page of a credit note: that of an invoice, with its own words, and what it means for who owed it.

Owns: what differs from an invoice. Not: how the page looks (templates/invoice.typ).
"""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Final

from milo_billing.adapters.cancellation_page import cancelled
from milo_billing.adapters.credited_page import Heads, amounts_said, credited_page, sentence
from milo_billing.adapters.document_formats import formats_for
from milo_billing.adapters.document_strings import FALLBACK
from milo_billing.adapters.invoice_page import page_data
from milo_billing.invoicing.types.documents import CreditedInvoice, InvoiceDocument


@dataclass(frozen=True, slots=True)
class Words:
    """What a credit note says that an invoice does not."""

    title: str
    number: str
    issued_on: str
    invoice: str
    credited: str
    reason: str
    effect: str
    settled: str
    on_account: str


_WORDS: Final[Mapping[str, Words]] = MappingProxyType(
    {
        "en": Words(
            title="Credit note",
            number="Credit note number",
            issued_on="Issue date",
            invoice="Invoice credited",
            credited="Amount credited",
            reason="Reason: {reason}",
            effect="What this means",
            settled="{amount} of the invoice is not owed any more.",
            on_account="{amount} had been paid; we keep it as your credit for later invoices.",
        ),
        "de": Words(
            title="Rechnungskorrektur",
            number="Nummer der Rechnungskorrektur",
            issued_on="Ausgestellt am",
            invoice="Zur Rechnung",
            credited="Gutgeschriebener Betrag",
            reason="Grund: {reason}",
            effect="Was das bedeutet",
            settled="{amount} der Rechnung sind nicht mehr zu zahlen.",
            on_account="{amount} waren schon bezahlt; wir behalten sie als Guthaben für spätere Rechnungen.",
        ),
        "fr": Words(
            title="Avoir",
            number="Numéro d’avoir",
            issued_on="Date d’émission",
            invoice="Facture concernée",
            credited="Montant crédité",
            reason="Motif : {reason}",
            effect="Ce que cela signifie",
            settled="{amount} de la facture ne sont plus dus.",
            on_account="{amount} étaient déjà réglés ; nous les gardons à votre crédit pour de prochaines factures.",
        ),
        "ja": Words(
            title="クレジットノート",
            number="クレジットノート番号",
            issued_on="発行日",
            invoice="対象の請求書",
            credited="減額金額",
            reason="理由：{reason}",
            effect="お支払いについて",
            settled="請求書のうち {amount} はお支払い不要となりました。",
            on_account="{amount} はお支払い済みのため、今後のご請求に充当いたします。",
        ),
    }
)


def words_in(language: str) -> Words:
    """What a credit note says in a language, or in the one that takes its place."""
    return _WORDS.get(language, _WORDS[FALLBACK])


def page_of(document: InvoiceDocument) -> dict[str, Any]:
    """Every text of the page of an invoice, of a credit note, or of what cancels one, as the document is."""
    page = page_data(document)
    if document.cancels is not None:
        return cancelled(page, document, document.cancels)
    return page if document.credits is None else _credited(page, document, document.credits)


def _credited(page: dict[str, Any], document: InvoiceDocument, credits: CreditedInvoice) -> dict[str, Any]:
    formats = formats_for(document.language)
    words = words_in(formats.language)
    kept_minor = document.total_minor - credits.settled_minor
    said = [(words.settled, credits.settled_minor), (words.on_account, kept_minor)]
    return credited_page(
        page,
        document,
        Heads(words.title, words.credited, words.effect),
        facts=[
            [words.number, document.number],
            [words.issued_on, formats.day(document.issued_on)],
            [words.invoice, credits.number],
            *page["facts"][3:],
        ],
        about=formats.strings.credits_invoice.format(
            number=credits.number, date=formats.day(credits.issued_on)
        ),
        effects=[
            words.reason.format(reason=sentence(credits.reason)),
            *amounts_said(said, document, invoice=credits.number),
        ],
    )
