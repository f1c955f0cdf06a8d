"""From composed rating periods to a draft: lines, their split, discounts, totals. Nothing is settled twice."""

from collections.abc import Sequence
from dataclasses import replace
from fractions import Fraction

from milo_billing.commitments.types import ComposedLine, ComposedPeriod, TakenOff
from milo_billing.invoicing.rules.conversions import line_conversion
from milo_billing.invoicing.rules.promised import charge_line
from milo_billing.invoicing.types.drafts import (
    QUANTITY_PLACES_MAX,
    Draft,
    DraftLine,
    DraftShare,
    InvoiceKind,
    LineDiscount,
    Part,
    beside_minor,
)
from milo_billing.invoicing.types.errors import UnableToIssue
from milo_billing.kernel.money import minor_to_decimal
from milo_billing.kernel.periods import Period
from milo_billing.kernel.quantity import is_int64, shown_decimal
from milo_billing.pricing.types import RatedLine, SubLine

UNPRICED_NAMED_MAX = 10
"""How many of the meters without a price a refusal names."""


def draft(composed: Sequence[ComposedPeriod], *, kind: InvoiceKind = "Periodic") -> Draft:
    """What one account owes for consecutive rating periods, one or more, of one currency.

    Lines of Skus come first, by rating period, then what commitments charge. Raises UnableToIssue where usage has no
    price (never silently free), and where the total does not fit in 64 bits. It may be below zero, where more is given
    back than charged (`below_zero`).
    """
    assert_priced(composed)
    found = provisional(composed, kind=kind)
    assert_fits(found)
    return found


def assert_fits(found: Draft) -> None:
    """Raise UnableToIssue where the total does not fit in 64 bits."""
    if not is_int64(found.subtotal_minor) or not is_int64(found.total_minor):
        total = f"{minor_to_decimal(found.total_minor, found.currency)} {found.currency}"
        raise UnableToIssue(f"an invoice cannot total {total}: check the prices and the usage")


def provisional(composed: Sequence[ComposedPeriod], *, kind: InvoiceKind = "Periodic") -> Draft:
    """The same as it stands, whatever would keep it from being issued: what has no price costs nothing in it."""
    sold = tuple(_line(line) for one in composed for line in one.lines)
    promised = tuple(charge_line(charge, currency=one.currency) for one in composed for charge in one.charges)
    lines = tuple(replace(line, used_by=composed[0].account) for line in (*sold, *promised))
    subtotal_minor = sum(line.amount_minor for line in lines)
    discounts_minor = sum(beside_minor(line.discounts) for line in lines)
    total_minor = subtotal_minor + discounts_minor
    return Draft(
        account=composed[0].account,
        kind=kind,
        period=Period(composed[0].period.start, composed[-1].period.end),
        currency=composed[0].currency,
        lines=lines,
        subtotal_minor=subtotal_minor,
        discounts_minor=discounts_minor,
        total_minor=total_minor,
    )


def assert_priced(rated: Sequence[ComposedPeriod]) -> None:
    """Raise UnableToIssue where usage has no price: never silently free."""
    declared = [f"{one.sku} from {one.day} on" for usage in rated for one in usage.unpriced_skus]
    if declared:
        raise UnableToIssue(
            f"there is no price for {declared[0]}, which a Charge or an Entitlement has ({len(declared)} such): "
            "publish a price book that has it, or take back what was declared, then run the month again"
        )
    meters = sorted({one.meter_name for usage in rated for one in usage.unpriced})
    if not meters:
        return
    named = ", ".join(meters[:UNPRICED_NAMED_MAX]) + (", …" if len(meters) > UNPRICED_NAMED_MAX else "")
    raise UnableToIssue(
        f"usage of {named} has no price: publish a price book in {rated[0].currency} with a Sku that matches it, "
        "then run the month again"
    )


def _line(composed: ComposedLine) -> DraftLine:
    line = composed.line
    return DraftLine(
        kind=line.sku.charge_type,
        sku=line.sku.name,
        sku_number=line.sku.number,
        description=line.sku.display_name or line.sku.name,
        service=line.sku.service,
        invoice_group=line.sku.invoice_group,
        tax_category=line.sku.tax_category,
        book=line.book,
        commitment=None,
        first_day=line.first_day,
        end_day=line.end_day,
        quantity=shown_decimal(line.quantity, places_max=QUANTITY_PLACES_MAX),
        included=shown_decimal(line.included, places_max=QUANTITY_PLACES_MAX),
        pricing_unit=line.sku.pricing_unit,
        amount_minor=line.amount_minor,
        parts=tuple(_part(part) for part in line.parts),
        shares=_shares(line),
        conversion=line_conversion(line.conversion),
        discounts=tuple(_discount(one) for one in (*composed.inside, *composed.taken) if one.amount_minor),
        in_advance=line.price.billing == "Advance",
    )


def _discount(taken: TakenOff) -> LineDiscount:
    return LineDiscount(
        scope=taken.scope,
        given_by=taken.by,
        source=taken.source,
        name=taken.name,
        title=taken.title or taken.name,
        percent=taken.percent,
        amount_minor=taken.amount_minor,
    )


def _part(part: SubLine) -> Part:
    priced = part.kind in ("Usage", "Package", "Percentage")
    return Part(
        kind=part.kind,
        tier=part.tier,
        quantity=shown_decimal(part.quantity, places_max=QUANTITY_PLACES_MAX) if priced else None,
        unit_price=part.unit_price,
        amount_minor=part.amount_minor,
    )


def _shares(line: RatedLine) -> tuple[DraftShare, ...]:
    factor = line.sku.unit_factor
    shares = [
        DraftShare(
            project=share.project,
            dimensions=part.dimensions,
            metered=shown_decimal(Fraction(part.metered), places_max=QUANTITY_PLACES_MAX),
            quantity=shown_decimal(part.metered * factor, places_max=QUANTITY_PLACES_MAX),
            amount_minor=part.amount_minor,
        )
        for share in line.shares
        for part in share.dimensions
    ]
    if line.own_minor:
        none = shown_decimal(Fraction(0), places_max=QUANTITY_PLACES_MAX)
        shares.append(DraftShare(None, (), none, none, line.own_minor))
    return tuple(shares)
