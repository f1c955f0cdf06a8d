"""What one account has on an invoice: its own draft, and what came late of its earlier days."""

from dataclasses import dataclass

from milo_billing.accounts.types import Account
from milo_billing.invoicing.engine.rerating import Late
from milo_billing.invoicing.types.drafts import Draft
from milo_billing.kernel.periods import Period


@dataclass(frozen=True, slots=True)
class Stretch:
    """Consecutive rating periods of an account that are to be invoiced."""

    account: Account
    periods: tuple[Period, ...]


@dataclass(frozen=True, slots=True)
class Section:
    """The part of an invoice that is of one account: its draft before credit and tax. `late` is what came late of
    earlier days, whose lines the draft holds; None where nothing did.
    """

    account: Account
    draft: Draft
    late: Late | None = None
