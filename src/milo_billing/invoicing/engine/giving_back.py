"""What is left of the invoices of an account that stand, of which a month gives back more than it charges.

Owns: what is read for it. Not: which line of which invoice (rules.below_zero), the documents (operations.adjusting).
Nothing is written here.
"""

from dataclasses import replace
from datetime import UTC, datetime
from typing import Final

from milo_billing.accounts.types import Account
from milo_billing.infra.database import Tx
from milo_billing.invoicing.engine.left import list_creditable
from milo_billing.invoicing.engine.rerating import Late
from milo_billing.invoicing.reads import invoices as invoice_reads
from milo_billing.invoicing.rules import adjusting, below_zero
from milo_billing.invoicing.types.drafts import Draft
from milo_billing.invoicing.types.errors import UnableToIssue
from milo_billing.kernel.periods import Period

_EVER: Final = datetime(1970, 1, 1, tzinfo=UTC)


def lift(
    tx: Tx, drafted: Draft, late: Late | None, *, account: Account, whole: bool = False
) -> tuple[Draft, Late | None]:
    """The untaxed draft at zero where it comes to less, and the credit notes over earlier invoices that give the rest
    back, joined with what came late, which the draft holds already.

    One comparison where it does not come to less. `whole` gives back everything that comes back in this way, because
    tax at different rates takes the total below zero. Raises UnableToIssue where that cannot be told.
    """
    minor = below_zero.returns_minor(drafted) if whole else below_zero.over_minor(drafted)
    if not minor:
        return drafted, late
    before = drafted.period.start
    _assert_none_void(tx, account=account, before=before)
    invoices = below_zero.give_elsewhere(
        drafted,
        minor,
        creditable=list_creditable(tx, account=account.number, before=before),
        earlier=() if late is None else late.invoices,
    )
    found = replace(late or Late(None, ()), invoices=invoices)
    taken_off = [line for line in found.lines if below_zero.takes_off(line)]
    return adjusting.with_adjustments(drafted, taken_off), found


def undraw(
    tx: Tx, credited: Draft, late: Late | None, *, taxed: Draft, account: Account
) -> tuple[Draft, Late | None]:
    """The same where prepaid money takes the total below zero by its tax alone: so much less of it is drawn.

    `credited` is the untaxed draft behind all credit, `taxed` the same with its tax. Raises UnableToIssue.
    """
    drawn = below_zero.overdrawn(taxed)
    if not drawn:
        return credited, late
    before = credited.period.start
    _assert_none_void(tx, account=account, before=before)
    invoices = below_zero.give_prepaid(
        drawn,
        creditable=list_creditable(tx, account=account.number, before=before, kinds=("Prepayment",)),
        earlier=() if late is None else late.invoices,
    )
    found = replace(late or Late(None, ()), invoices=invoices)
    standing = () if late is None else late.lines
    taken_off = [line for line in found.lines if below_zero.takes_off(line) and line not in standing]
    return adjusting.with_adjustments(credited, taken_off), found


def _assert_none_void(tx: Tx, *, account: Account, before: datetime) -> None:
    """Raise UnableToIssue where a void invoice may have charged it: the one in its place would charge it anew."""
    void = invoice_reads.find_void_unreplaced(tx, account=account.number, period=Period(_EVER, before))
    if void is not None:
        raise UnableToIssue(
            f"more is given back than the month charges, and invoice {void[1]}, which may have charged it, is void: "
            "run its month again first, then this one"
        )
