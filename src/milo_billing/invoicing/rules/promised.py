"""Lines of what a commitment itself charges: shortfall, overage, prepaid money bought and drawn on (domain.md §6)."""

from decimal import Decimal

from milo_billing.commitments.types import CommitmentCharge
from milo_billing.invoicing.types.drafts import DraftLine, DraftShare, Part
from milo_billing.kernel.money import Currency, minor_to_decimal

_NONE = Decimal(0)


def charge_line(charge: CommitmentCharge, *, currency: Currency) -> DraftLine:
    """The charge as a line of no Sku, called like the commitment; it is the account's own share."""
    return DraftLine(
        kind=charge.kind,
        sku=None,
        sku_number=None,
        description=charge.name,
        service="",
        invoice_group="",
        tax_category=charge.tax_category,
        book=None,
        commitment=charge.commitment,
        first_day=charge.days.start,
        end_day=charge.days.end,
        quantity=_NONE,
        included=_NONE,
        pricing_unit="",
        amount_minor=charge.amount_minor,
        parts=_parts(charge, currency),
        shares=(DraftShare(None, (), _NONE, _NONE, charge.amount_minor),),
    )


def _parts(charge: CommitmentCharge, currency: Currency) -> tuple[Part, ...]:
    """How the amount came about; parts that are not a percentage have no quantity."""
    found = charge.settlement
    if charge.kind == "Shortfall" and found is not None:
        committed = Part("Committed", None, None, None, found.minimum_minor)
        spent = Part("Spent", None, None, None, -found.spent_minor)
        return (committed, spent) if found.spent_minor else (committed,)
    if charge.kind == "Overage" and found is not None and charge.factor is not None:
        over = minor_to_decimal(found.over_minor, currency)
        return (Part("Percentage", None, over, charge.factor - 1, charge.amount_minor),)
    return (Part("FlatFee", None, None, None, charge.amount_minor),)
