"""What is wrong with a promise or a discount by itself, and what two promises say to one another."""

from collections.abc import Iterable, Iterator, Sequence
from datetime import date
from decimal import Decimal
from typing import Final

from milo_billing.commitments.rules import specificity, wording
from milo_billing.commitments.types import Commitment, Discount, Promise
from milo_billing.kernel.errors import FieldError
from milo_billing.kernel.periods import DaySpan, add_months

YEARS: Final = (2000, 2200)
"""In which promises and discounts begin and end: terms that are added to a date stay within the calendar."""


def date_errors(field: str, text: str | None) -> Iterator[FieldError]:
    """A date that the calendar does not have, or that no promise of ours is about; None is no date."""
    if text is None:
        return
    try:
        day = date.fromisoformat(text)
    except ValueError:
        yield wording.invalid(field, text, "is not a date of the calendar")
        return
    if not YEARS[0] <= day.year <= YEARS[1]:
        yield wording.invalid(field, text, f"must lie in the years {YEARS[0]} to {YEARS[1]}")


def promise_errors(promise: Promise, *, resources: int) -> Iterator[FieldError]:
    """What is wrong with a promise, selectors apart."""
    if not (promise.minimums or promise.discounts or promise.prepayment or resources):
        yield wording.required(
            "spec", "a commitment has minimumSpends, skuDiscounts, a prepayment or resources"
        )
    for index, discount in enumerate(promise.discounts):
        yield from _percent_errors(f"spec.skuDiscounts[{index}].percentage", discount.percent)
        if discount.priority is None and any(one.cel is not None for one in discount.selectors):
            message = "what CEL selects is ordered by priority only"
            yield wording.required(f"spec.skuDiscounts[{index}].priority", message)
    for index, minimum in enumerate(promise.minimums):
        if not minimum.amount:
            yield wording.invalid(
                f"spec.minimumSpends[{index}].amount", f"{minimum.amount}", "must be above 0"
            )
    if promise.prepayment is not None and not promise.prepayment:
        yield wording.invalid("spec.prepayment.amount", f"{promise.prepayment}", "must be above 0")
    if promise.overage_factor is not None and len(promise.minimums) != 1:
        message = "overage is what lies over the minimum: give exactly one minimum spend, or none of this"
        yield wording.forbidden("spec.overageFactor", message)
    if promise.policy == "GracePeriod" and not promise.grace_days:
        yield wording.required("spec.violationPolicy.days", "how many days of grace there are")
    if promise.policy != "GracePeriod" and promise.grace_days:
        yield wording.forbidden("spec.violationPolicy.days", "only GracePeriod has days")


def tie_errors(promise: Promise) -> Iterator[FieldError]:
    """Discounts of which none goes before the other on a Sku that both may select."""
    for one, other in specificity.ties(promise.discounts):
        message = (
            f"may select the same Sku as skuDiscounts[{one.discount}] with as many keys: exactly one discount applies "
            "to a Sku, so give one of them a higher priority"
        )
        yield FieldError(
            f"spec.skuDiscounts[{other.discount}]", "FieldValueInvalid", f"Invalid value: {message}"
        )


def discount_errors(discount: Discount) -> Iterator[FieldError]:
    """What is wrong with a discount, selectors apart."""
    if (discount.percent is None) == (discount.amount is None):
        yield wording.required("spec", "a discount has either a percentage or an amount")
    if discount.percent is not None:
        yield from _percent_errors("spec.percentage", discount.percent)
    if discount.amount is not None and not discount.amount:
        yield wording.invalid("spec.amount", f"{discount.amount}", "must be above 0")
    if discount.scope == "Invoice" and discount.selectors:
        yield wording.forbidden("spec.skuSelectors", "a discount of scope Invoice acts on every line")
    if discount.ends_on is not None and discount.ends_on < discount.starts_on:
        yield wording.invalid("spec.endsOn", discount.ends_on.isoformat(), "is before startsOn")


def _percent_errors(field: str, percent: Decimal) -> Iterator[FieldError]:
    if not 0 < percent <= 100:
        yield wording.invalid(field, f"{percent}", "must be above 0 and at most 100")


def rivals(promise: Promise, others: Iterable[Commitment]) -> Sequence[Commitment]:
    """Accepted commitments of the account that hold at the same time, may meet on a Sku, and do not stack."""
    return [
        other
        for other in others
        if _at_the_same_time(promise, other.promise)
        and specificity.may_overlap(promise, other.promise)
        and not promise.stacking == other.promise.stacking == "Best"
    ]


def _at_the_same_time(one: Promise, other: Promise) -> bool:
    first, second = _days(one), _days(other)
    return first is not None and second is not None and first.cut(second) is not None


def _days(promise: Promise) -> DaySpan | None:
    end = date.max if promise.ends_on is None else promise.ends_on
    return DaySpan(promise.starts_on, end) if promise.starts_on < end else None


def end_of_term(promise: Promise, *, today: date) -> date:
    """Where the term ends that holds today, or the first one where none has begun."""
    number = 1
    while add_months(promise.starts_on, number * promise.term_months) <= today:
        number += 1
    return add_months(promise.starts_on, number * promise.term_months)
