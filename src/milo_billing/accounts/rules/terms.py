"""What of an account's terms is credit, which only the provider grants."""

from dataclasses import dataclass
from decimal import Decimal

from milo_billing.accounts.rules import wording
from milo_billing.kernel.errors import FieldError
from milo_billing.kernel.terms import NO_TERMS, TimeTerms

NET_DAYS_UNGRANTED_MAX = 30
"""Net days that an organization may give itself; more is credit, which only the provider grants."""


@dataclass(frozen=True, slots=True)
class Terms:
    """The part of an account's terms that is credit when it is generous."""

    net_days: int
    on_invoice: bool
    time: TimeTerms = NO_TERMS


def credit_asked(terms: Terms, *, before: Terms | None, permission: str) -> tuple[FieldError, ...]:
    """The credit that these terms take and the earlier ones did not: only staff with `permission` may grant it."""
    granted = NET_DAYS_UNGRANTED_MAX if before is None else max(before.net_days, NET_DAYS_UNGRANTED_MAX)
    asked: list[FieldError] = []
    if terms.net_days > granted:
        message = (
            f"more than {granted} net days are for the provider to grant: needs {permission} of the provider"
        )
        asked.append(wording.forbidden("spec.paymentTerms.netDays", message))
    if terms.on_invoice and not (before is not None and before.on_invoice):
        message = f"payment by invoice is for the provider to grant: needs {permission} of the provider"
        asked.append(wording.forbidden("spec.paymentProfile.type", message))
    standing = NO_TERMS if before is None else before.time
    if _is_more_generous(terms.time, standing):
        message = (
            f"a discount for early payment is for the provider to grant: needs {permission} of the provider"
        )
        asked.append(wording.forbidden("spec.paymentTerms.earlyPaymentDiscountPercent", message))
    if _percent(terms.time.interest_percent) < _percent(standing.interest_percent):
        message = (
            f"less interest on late payment is for the provider to grant: needs {permission} of the provider"
        )
        asked.append(wording.forbidden("spec.paymentTerms.latePaymentInterestPercent", message))
    return tuple(asked)


def _is_more_generous(terms: TimeTerms, standing: TimeTerms) -> bool:
    """Whether more is off for early payment, or the same for longer."""
    percent, before = _percent(terms.early_percent), _percent(standing.early_percent)
    return percent > before or (percent > 0 and terms.early_days > standing.early_days)


def _percent(value: Decimal | None) -> Decimal:
    return value or Decimal(0)
