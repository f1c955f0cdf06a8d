"""Invoice PDFs with 60 lines, a third of them in three tiers, split to projects; each invoice a different one.

The renderer remembers what it laid out, so the same invoice twice would measure its memory. How much a process grows
over many invoices is told beside the time.
"""

import random
import resource
import statistics
import time
from collections.abc import Sequence
from datetime import UTC, date, datetime
from decimal import Decimal

from bench.figures import Figure
from milo_billing.adapters.typst_documents import TypstDocuments
from milo_billing.invoicing.types.documents import BankDetails, InvoiceDocument, Party, PostalAddress, TaxId
from milo_billing.invoicing.types.drafts import Part
from milo_billing.invoicing.types.invoices import InvoiceLine, LineShare

NAME = "pdf"
LINES = 60
DOCUMENTS = 60
WARM_UP = 5
PROJECTS = ("data", "web")
"""So many shares are just still printed one by one: with more projects the document is shorter."""


def run() -> Sequence[Figure]:
    """Write many different invoices, one after the other."""
    randomness = random.Random(2026)
    writer = TypstDocuments()
    documents = [make_document(number, randomness) for number in range(1, DOCUMENTS + WARM_UP + 1)]
    first_s = _seconds(writer, documents[0])
    for document in documents[1:WARM_UP]:
        writer.write(document)
    before_kb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    each_s = [_seconds(writer, document) for document in documents[WARM_UP:]]
    grown_kb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before_kb
    return (
        Figure("pdf/60_lines", statistics.median(each_s) * 1000, "ms", bar=100, sense="<="),
        Figure("pdf/60_lines_slowest", max(each_s) * 1000, "ms"),
        Figure("pdf/first", first_s * 1000, "ms"),
        Figure("pdf/growth_over_60_documents", grown_kb / 1024, "MiB"),
    )


def _seconds(writer: TypstDocuments, document: InvoiceDocument) -> float:
    began = time.perf_counter()
    writer.write(document)
    return time.perf_counter() - began


def make_document(number: int, randomness: random.Random, *, lines: int = LINES) -> InvoiceDocument:
    """An invoice of so many lines, a third of them in three tiers."""
    made = tuple(_line(index, randomness) for index in range(1, lines + 1))
    total = sum(line.amount_minor for line in made)
    return InvoiceDocument(
        number=f"INV-2026-{number:06d}",
        issued_at=datetime(2026, 11, 2, 9, 30, tzinfo=UTC),
        issued_on=date(2026, 11, 2),
        due_on=date(2026, 12, 2),
        first_day=date(2026, 10, 1),
        end_day=date(2026, 11, 1),
        time_zone="Europe/Berlin",
        language="de",
        account=f"customer-{number}/main",
        currency="EUR",
        subtotal_minor=total,
        discounts=(),
        total_minor=total,
        seller=Party(
            "Sample Cloud GmbH",
            "",
            PostalAddress("DE", "Musterstraße 1", "", "Berlin", "", "10115"),
            (TaxId("eu_vat", "DE123456789"),),
        ),
        buyer=Party(
            f"Customer {number} SARL", "", PostalAddress("FR", "1 rue X", "", "Paris", "", "75007"), ()
        ),
        logo=None,
        color="#0f766e",
        bank=BankDetails("Sample Cloud GmbH", "DE89370400440532013000", "", "Sample Bank"),
        legal_text="Sample Cloud GmbH is a sample company.",
        lines=made,
    )


def _line(index: int, randomness: random.Random) -> InvoiceLine:
    count = 3 if index % 3 == 0 else 1
    parts = tuple(_part(tier if count > 1 else None, randomness) for tier in range(1, count + 1))
    amount = sum(part.amount_minor for part in parts)
    quantity = sum((part.quantity or Decimal(0) for part in parts), Decimal(0))
    half = amount // len(PROJECTS)
    return InvoiceLine(
        line=index,
        kind="Usage",
        sku=f"sku-{index}",
        description=f"Product {index} in region {index % 7}",
        service="",
        invoice_group=f"Group {index // 10}",
        tax_category="standard",
        commitment=None,
        book_name="list",
        book_effective_from=date(2026, 1, 1),
        first_day=date(2026, 10, 1),
        end_day=date(2026, 11, 1),
        quantity=quantity,
        included=Decimal(0),
        pricing_unit="10*3.{request}",
        amount_minor=amount,
        parts=parts,
        projects=tuple(
            LineShare(project, quantity / 2, share)
            for project, share in zip(PROJECTS, (half, amount - half), strict=True)
        ),
    )


def _part(tier: int | None, randomness: random.Random) -> Part:
    quantity = Decimal(randomness.randrange(1, 10**9)) / 1000
    return Part("Usage", tier, quantity, Decimal("0.0125"), randomness.randrange(1, 10**7))
