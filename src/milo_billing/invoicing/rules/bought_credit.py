"""Prepaid credit that is taxed when it is bought (domain.md §7): the invoice by which it is. Pure.

It is the single-purpose voucher of Article 30b of Directive 2006/112/EC: the tax is due with the money, and what it
pays for later is not taxed again. The credit counts before tax.
"""

from datetime import date, timedelta
from decimal import Decimal
from typing import Final

from milo_billing.invoicing.types.drafts import Draft, DraftLine, DraftShare, Part
from milo_billing.kernel.periods import Period, local_midnight

STANDARD: Final = "standard"
"""The tax category of what it buys, where nothing is said."""

_NONE: Final = Decimal(0)
_DAY: Final = timedelta(days=1)


def draft(
    *, account: int, currency: str, amount_minor: int, title: str, tax_category: str, day: date, zone: str
) -> Draft:
    """The one-time invoice over credit that is bought on this day of the account, before tax: one line."""
    line = DraftLine(
        kind="PrepaidCredit",
        sku=None,
        sku_number=None,
        description=title,
        service="",
        invoice_group="",
        tax_category=tax_category,
        book=None,
        commitment=None,
        first_day=day,
        end_day=day + _DAY,
        quantity=_NONE,
        included=_NONE,
        pricing_unit="",
        amount_minor=amount_minor,
        parts=(Part("FlatFee", None, None, None, amount_minor),),
        shares=(DraftShare(None, (), _NONE, _NONE, amount_minor),),
    )
    return Draft(
        account=account,
        kind="OneTime",
        period=Period(local_midnight(day, zone=zone), local_midnight(day + _DAY, zone=zone)),
        currency=currency,
        lines=(line,),
        subtotal_minor=amount_minor,
        discounts_minor=0,
        total_minor=amount_minor,
    )
