"""Rated usage and documents with everything that a test does not assert."""

from dataclasses import replace
from datetime import UTC, date, datetime
from decimal import Decimal
from fractions import Fraction

from milo_billing.catalog.types import Price, Sku
from milo_billing.commitments.types import CommitmentCharge, ComposedLine, ComposedPeriod
from milo_billing.invoicing.types.documents import BankDetails, InvoiceDocument, Party, PostalAddress, TaxId
from milo_billing.invoicing.types.drafts import Part
from milo_billing.invoicing.types.invoices import InvoiceLine, LineShare
from milo_billing.kernel.periods import Period, billing_month
from milo_billing.pricing.types import (
    DimensionShare,
    ProjectShare,
    RatedLine,
    SubLine,
    Unpriced,
)

OCTOBER = billing_month(2026, 10, zone="Etc/UTC")
PER_MILLION = Fraction(1, 1_000_000)


def rated_line(
    name: str, *parts: SubLine, shares: dict[int, tuple[int, int]] | None = None, own_minor: int = 0
) -> RatedLine:
    """A line of these parts; `shares` is project → (metered, minor units)."""
    used = shares or {}
    metered = sum(metered for metered, _ in used.values())
    price = Price(name, "PerUnit", Decimal("2.50"), (), Decimal(0), None, None)
    sku = Sku(
        1, name, f"example.com/{name}", {}, "10*6.{token}", PER_MILLION, None, "standard", "", "", "compute"
    )
    return RatedLine(
        sku=sku,
        price=price,
        book=1,
        currency="USD",
        first_day=date(2026, 10, 1),
        end_day=date(2026, 11, 1),
        metered=metered,
        events=1,
        quantity=metered * PER_MILLION,
        included=Fraction(0),
        parts=parts,
        amount_minor=sum(part.amount_minor for part in parts),
        shares=tuple(
            ProjectShare(
                project, metered, 1, minor, (DimensionShare((("model", "swift"),), metered, 1, minor),)
            )
            for project, (metered, minor) in used.items()
        ),
        own_minor=own_minor,
    )


def rated(
    *lines: RatedLine | ComposedLine,
    unpriced: tuple[str, ...] = (),
    charges: tuple[CommitmentCharge, ...] = (),
    period: Period = OCTOBER,
) -> ComposedPeriod:
    missing = tuple(Unpriced(meter, 1, (), 1, 1) for meter in unpriced)
    return ComposedPeriod(
        account=1,
        period=period,
        closed=True,
        currency="USD",
        lines=tuple(one if isinstance(one, ComposedLine) else ComposedLine(one, (), ()) for one in lines),
        charges=charges,
        unpriced=missing,
    )


def usage_part(quantity: str, unit_price: str, amount_minor: int, *, tier: int | None = None) -> Part:
    return Part("Usage", tier, Decimal(quantity), Decimal(unit_price), amount_minor)


def line(description: str, *parts: Part, number: int = 1, unit: str = "{request}") -> InvoiceLine:
    """A line of these parts that one project used alone."""
    amount = sum(part.amount_minor for part in parts)
    quantity = sum((part.quantity for part in parts if part.quantity is not None), Decimal(0))
    return InvoiceLine(
        line=number,
        kind="Usage",
        sku=f"sku-{number}",
        description=description,
        service="compute",
        invoice_group="",
        tax_category="standard",
        commitment=None,
        book_name="list",
        book_effective_from=date(2026, 1, 1),
        first_day=date(2026, 10, 1),
        end_day=date(2026, 11, 1),
        quantity=quantity,
        included=Decimal(0),
        pricing_unit=unit,
        amount_minor=amount,
        parts=parts,
        projects=(LineShare("web", quantity, amount),),
    )


def document(*lines: InvoiceLine, language: str = "en", currency: str = "USD") -> InvoiceDocument:
    """An invoice from Dublin to Paris with these lines."""
    total = sum(line.amount_minor for line in lines)
    return InvoiceDocument(
        number="KC-2026-000123",
        issued_at=datetime(2026, 11, 2, 9, 30, tzinfo=UTC),
        issued_on=date(2026, 11, 2),
        due_on=date(2026, 12, 2),
        first_day=date(2026, 10, 1),
        end_day=date(2026, 11, 1),
        time_zone="Europe/Paris",
        language=language,
        account="acme/main",
        currency=currency,
        subtotal_minor=total,
        discounts=(),
        total_minor=total,
        seller=Party(
            "Kestrel Cloud Ltd.",
            "",
            PostalAddress("IE", "3 Grand Canal Plaza", "", "Dublin", "", "D04 EE70"),
            (TaxId("eu_vat", "IE3668997OH"),),
        ),
        buyer=Party(
            "Acme Robotics SARL",
            "Zoé Lefèvre",
            PostalAddress("FR", "12 rue de l’Université", "", "Paris", "", "75007"),
            (TaxId("eu_vat", "FR40303265045"),),
        ),
        logo=None,
        color="#0f5e8c",
        bank=BankDetails("Kestrel Cloud Ltd.", "IE64IRCE92050112345678", "IRCEIE2D", "Sample Bank"),
        legal_text="Registered in Dublin, no. 000000.",
        lines=lines,
    )


def long_document(lines: int) -> InvoiceDocument:
    """As many lines as asked for, every third of them in three tiers, over three projects."""
    made = [
        line(
            f"Product {number}",
            *(
                (usage_part("1000", "0.10", 10_000, tier=1), usage_part("500", "0.05", 2_500, tier=2))
                if number % 3 == 0
                else (usage_part("1234.5678", "0.0125", 1543),)
            ),
            number=number,
        )
        for number in range(1, lines + 1)
    ]
    split = [
        replace(
            one,
            projects=tuple(
                LineShare(project, one.quantity / 3, amount)
                for project, amount in zip(("api", "data", "web"), _thirds(one.amount_minor), strict=True)
            ),
        )
        for one in made
    ]
    return document(*split)


def _thirds(amount_minor: int) -> tuple[int, int, int]:
    third = amount_minor // 3
    return third, third, amount_minor - 2 * third
