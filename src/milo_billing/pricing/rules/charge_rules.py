"""What a Charge may say, and until when it may still be changed."""

from collections.abc import Iterator
from datetime import date, datetime
from decimal import Decimal

from milo_billing.accounts.types import Account
from milo_billing.catalog.types import Sku
from milo_billing.kernel.errors import FieldError
from milo_billing.kernel.periods import local_day
from milo_billing.pricing.rules import wording


def settled_reason(
    day: date, *, account: Account, billed_until: datetime | None, now: datetime
) -> str | None:
    """Why the charge of that day is not changed or deleted any more; None while it is.

    It can be changed to the end of its day in the account's zone, unless an invoice holds the day already.
    """
    billed = None if billed_until is None else local_day(billed_until, zone=account.time_zone)
    if billed is not None and day < billed:
        return f"{day} lies in an invoiced period (until {billed})"
    if day < local_day(now, zone=account.time_zone):
        return f"its date, {day}, has passed"
    return None


def charge_errors(
    *, sku: str, sold: Sku | None, day: str, quantity: str, account: Account, billed_until: datetime | None
) -> Iterator[FieldError]:
    """What stands against charging this: another kind of Sku, no date, a date that is invoiced, no quantity."""
    if sold is None:
        yield wording.missing("spec.skuRef.name", sku)
    elif sold.charge_type != "OneTime":
        message = f"is of chargeType {sold.charge_type}; a Charge is of a Sku of chargeType OneTime"
        yield wording.invalid("spec.skuRef.name", sku, message)
    if not Decimal(quantity):
        yield wording.invalid("spec.quantity", quantity, "must be above 0")
    try:
        on = date.fromisoformat(day)
    except ValueError:
        yield wording.invalid("spec.date", day, "is not a date of the calendar")
        return
    if billed_until is not None:
        billed = local_day(billed_until, zone=account.time_zone)
        if on < billed:
            message = f"lies in an invoiced period; the first day that no invoice holds is {billed}"
            yield wording.invalid("spec.date", day, message)
