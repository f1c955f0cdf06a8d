"""What an invoice's page says of tax: rows of the totals, the table of taxes, and which tax a line is under."""

from typing import Any, Final

from milo_billing.adapters.document_formats import Formats
from milo_billing.invoicing.types.documents import InvoiceDocument
from milo_billing.invoicing.types.invoices import InvoiceLine
from milo_billing.kernel.taxes import (
    VATEX_EXPORT,
    VATEX_OUT_OF_SCOPE,
    VATEX_REVERSE_CHARGE,
    TaxGroup,
)

_VAT: Final = "VAT"
"""How a TaxRate calls the tax that every language has its own word for."""
_WHOLE: Final = "JPY"
"""A currency without decimals: a rate printed as its price has no more digits than it needs."""


def is_taxed(document: InvoiceDocument) -> bool:
    """Whether there is anything to say: an issuer who collects no tax anywhere says nothing of it."""
    return any(group.treatment.code != "O" for group in document.taxes)


def tax_totals(document: InvoiceDocument, formats: Formats) -> list[list[str]]:
    """Label and amount of the net and of each tax that is taken; empty where none is."""
    if not any(group.treatment.code == "S" for group in document.taxes):
        return []
    net_minor = document.total_minor - document.tax_minor
    return [
        [formats.strings.net, formats.money(net_minor, document.currency)],
        *(
            [_taken(group, formats), formats.money(group.tax_minor, document.currency)]
            for group in document.taxes
            if group.treatment.code == "S"
        ),
    ]


def tax_rows(document: InvoiceDocument, formats: Formats) -> list[list[str]]:
    """The table of taxes: what is taken or why nothing is, the rate, the net, the tax; empty where there is none."""
    if not is_taxed(document):
        return []
    return [
        [
            _name(group, formats),
            formats.percent(group.treatment.percent / 100),
            formats.amount(group.basis_minor, document.currency),
            formats.amount(group.tax_minor, document.currency),
        ]
        for group in document.taxes
    ]


def line_tax(line: InvoiceLine, document: InvoiceDocument, formats: Formats) -> str:
    """Under which taxes the line is; empty where the whole invoice is under the same."""
    if len({group.treatment for group in document.taxes}) < 2 or not is_taxed(document):
        return ""
    return " + ".join(_taken(document.taxes[number - 1], formats) for number in line.taxes)


def accounting_note(document: InvoiceDocument, formats: Formats) -> list[str]:
    """The tax in the currency of the issuer's books, where that is another one."""
    found = document.accounting_tax
    if found is None:
        return []
    note = formats.strings.accounting_tax.format(
        currency=found.currency,
        amount=formats.money(found.tax_minor, found.currency),
        rate=formats.unit_price(found.rate, _WHOLE),
        source=found.source,
        date=formats.day(found.day),
    )
    return [note]


def tax_heads(document: InvoiceDocument, formats: Formats) -> list[str]:
    """What stands above the columns of `tax_rows`."""
    words, currency = formats.strings, document.currency
    return [words.tax, words.tax_rate, f"{words.net} ({currency})", f"{words.tax_amount} ({currency})"]


def _taken(group: TaxGroup, formats: Formats) -> str:
    """`VAT 23%`; why nothing is taken, where nothing is."""
    if group.treatment.code not in ("S", "Z"):
        return _reason(group, formats)
    return f"{_word(group, formats)} {formats.percent(group.treatment.percent / 100)}"


def _name(group: TaxGroup, formats: Formats) -> str:
    if group.treatment.code not in ("S", "Z"):
        return _reason(group, formats)
    return f"{_word(group, formats)} · {group.treatment.place}"


def _word(group: TaxGroup, formats: Formats) -> str:
    return formats.strings.vat if group.treatment.name == _VAT else group.treatment.name


def _reason(group: TaxGroup, formats: Formats) -> str:
    """In the reader's words where the law has a formula for it; what the provider declared is printed as it is."""
    words = formats.strings
    known: dict[str, Any] = {
        VATEX_REVERSE_CHARGE: words.reverse_charge,
        VATEX_EXPORT: words.export,
        VATEX_OUT_OF_SCOPE: words.out_of_scope,
    }
    return known.get(group.treatment.reason_code, group.treatment.reason)
