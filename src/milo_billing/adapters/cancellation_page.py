"""The page of what cancels a credit note: that of an invoice, with its own words, and with what it is paid.

Owns: what differs from an invoice. Not: how the page looks (templates/invoice.typ).
"""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Final

from milo_billing.adapters.credited_page import Heads, amounts_said, credited_page, sentence
from milo_billing.adapters.document_formats import formats_for
from milo_billing.adapters.document_strings import FALLBACK
from milo_billing.adapters.invoice_page import cancels_what
from milo_billing.invoicing.types.documents import CancelledNote, InvoiceDocument


@dataclass(frozen=True, slots=True)
class Words:
    """What a cancellation says that an invoice does not."""

    title: str
    number: str
    note: str
    owed: str
    effect: str
    settled: str
    taken: str
    stop: str = "."


_WORDS: Final[Mapping[str, Words]] = MappingProxyType(
    {
        "en": Words(
            title="Cancellation of a credit note",
            number="Cancellation number",
            note="Credit note cancelled",
            owed="Amount owed again",
            effect="What this means",
            settled="{amount} of invoice {invoice} are owed again: please pay them with it, under its number.",
            taken="{amount} that we had kept as your credit are taken from it.",
        ),
        "de": Words(
            title="Storno der Rechnungskorrektur",
            number="Nummer des Stornos",
            note="Stornierte Korrektur",
            owed="Wieder zu zahlen",
            effect="Was das bedeutet",
            settled="{amount} der Rechnung {invoice} sind wieder zu zahlen: bitte mit ihr, unter ihrer Nummer.",
            taken="{amount}, die wir als Ihr Guthaben behalten hatten, werden davon genommen.",
        ),
        "fr": Words(
            title="Annulation d’un avoir",
            number="Numéro d’annulation",
            note="Avoir annulé",
            owed="Montant de nouveau dû",
            effect="Ce que cela signifie",
            settled="{amount} de la facture {invoice} sont de nouveau dus, à régler avec elle, sous son numéro.",
            taken="{amount} que nous gardions à votre crédit en sont repris.",
        ),
        "ja": Words(
            title="クレジットノートの取消",
            number="取消番号",
            note="対象のクレジットノート",
            owed="再請求金額",
            effect="お支払いについて",
            settled="請求書 {invoice} のうち {amount} のお支払いが再び必要です。"
            "請求書と合わせて、その番号でお支払いください。",
            taken="お預かりしていた {amount} を充当いたします。",
            stop="。",
        ),
    }
)


def cancelled(page: dict[str, Any], document: InvoiceDocument, cancels: CancelledNote) -> dict[str, Any]:
    """The page of an invoice as that of the document that cancels a credit note."""
    formats = formats_for(document.language)
    words = _WORDS.get(formats.language, _WORDS[FALLBACK])
    _, issued_on, due_on, _, account = page["facts"]
    note, invoice = cancels_what(cancels, formats)
    taken_minor = document.prepaid_minor
    said = [(words.settled, document.total_minor - taken_minor), (words.taken, taken_minor)]
    return credited_page(
        page,
        document,
        Heads(words.title, words.owed, words.effect),
        facts=[[words.number, document.number], issued_on, [words.note, cancels.number], due_on, account],
        about=f"{note}, {invoice}",
        effects=[
            sentence(cancels.reason, stop=words.stop),
            *amounts_said(said, document, invoice=cancels.invoice_number),
        ],
    )
