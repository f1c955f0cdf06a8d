"""What of an account's terms is credit, which only the provider grants."""

from dataclasses import dataclass

from milo_billing.accounts.rules import wording
from milo_billing.kernel.errors import FieldError

NET_DAYS_UNGRANTED_MAX = 30
"""Net days that an organization may give itself; more is credit, which only the provider grants."""


@dataclass(frozen=True, slots=True)
class Terms:
    """The part of an account's terms that is credit when it is generous."""

    net_days: int
    on_invoice: bool


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
    return tuple(asked)
