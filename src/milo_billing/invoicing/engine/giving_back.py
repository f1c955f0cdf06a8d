"""What is left of the invoices of an account that stand, of which a month gives back more than it charges.

Owns: what is read for it. Not: which line of which invoice (rules.below_zero), the documents (operations.adjusting).
Nothing is written here.
"""

from collections.abc import Iterable, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import Final

from milo_billing.accounts.types import Account
from milo_billing.infra.database import Tx
from milo_billing.invoicing.engine.left import list_creditable
from milo_billing.invoicing.engine.rerating import Late, given_of
from milo_billing.invoicing.engine.sections import Section
from milo_billing.invoicing.reads import invoices as invoice_reads
from milo_billing.invoicing.rules import adjusting, below_zero
from milo_billing.invoicing.rules.left import Given
from milo_billing.invoicing.types.drafts import Draft, DraftLine
from milo_billing.invoicing.types.errors import UnableToIssue
from milo_billing.kernel.periods import Period

_EVER: Final = datetime(1970, 1, 1, tzinfo=UTC)


def lift(
    tx: Tx, sections: Sequence[Section], *, drafted: Draft, given: Given, whole: bool = False
) -> tuple[Section, ...]:
    """The sections so that the untaxed draft, which is their sum, is zero where it comes to less, each with the credit
    notes over earlier invoices of its account that give the rest back, joined with what came late.

    One comparison where it does not come to less. `whole` gives back everything that comes back in this way, because
    tax at different rates takes the total below zero. `given` are the credit notes that others are about to write.
    Raises UnableToIssue where that cannot be told.
    """
    rest_minor = below_zero.over_minor(drafted)
    found: list[Section] = []
    for position, one in enumerate(sections):
        # one account may give back what another is charged: only what is over all of them is taken elsewhere
        minor = (
            below_zero.returns_minor(one.draft)
            if whole
            else min(rest_minor, below_zero.over_minor(one.draft))
        )
        every = (*found, *sections[position:])
        found.append(_lifted(tx, one, minor, sections=every, given=given) if minor else one)
        rest_minor -= min(minor, rest_minor)
    return tuple(found)


def _lifted(tx: Tx, section: Section, minor: int, *, sections: Iterable[Section], given: Given) -> Section:
    account, drafted, late = section.account, section.draft, section.late
    before = _before(drafted)
    _assert_none_void(tx, account=account, before=before)
    invoices = below_zero.give_elsewhere(
        drafted,
        minor,
        creditable=list_creditable(
            tx,
            account=account.number,
            before=before,
            given=given_of((one.late for one in sections), given=given),
        ),
        earlier=() if late is None else late.invoices,
    )
    found = replace(late or Late(account.number, None, ()), invoices=invoices)
    taken_off = [line for line in found.lines if below_zero.takes_off(line)]
    return replace(section, draft=adjusting.with_adjustments(drafted, taken_off), late=found)


def undraw(
    tx: Tx, credited: Draft, sections: Sequence[Section], *, taxed: Draft, given: Given
) -> tuple[Draft, tuple[Section, ...]]:
    """The same where prepaid money takes the total below zero by its tax alone: so much less of it is drawn.

    `credited` is the untaxed draft behind all credit, `taxed` the same with its tax. `given` as of `lift`. Raises
    UnableToIssue.
    """
    drawn = below_zero.overdrawn(taxed)
    found: list[Section] = []
    for position, one in enumerate(sections):
        own = [(line, minor) for line, minor in drawn if line.used_by == one.account.number]
        every = (*found, *sections[position:])
        section, taken_off = _undrawn(tx, one, own, sections=every, given=given) if own else (one, ())
        found.append(section)
        credited = adjusting.with_adjustments(credited, taken_off)
    return credited, tuple(found)


def _undrawn(
    tx: Tx,
    section: Section,
    drawn: Sequence[tuple[DraftLine, int]],
    *,
    sections: Iterable[Section],
    given: Given,
) -> tuple[Section, Sequence[DraftLine]]:
    """The section with the credit notes that give back what is not drawn, and the lines that take it off."""
    late, before = section.late, _before(section.draft)
    _assert_none_void(tx, account=section.account, before=before)
    invoices = below_zero.give_prepaid(
        drawn,
        creditable=list_creditable(
            tx,
            account=section.account.number,
            before=before,
            kinds=("Prepayment",),
            given=given_of((one.late for one in sections), given=given),
        ),
        earlier=() if late is None else late.invoices,
    )
    found = replace(late or Late(section.account.number, None, ()), invoices=invoices)
    standing = () if late is None else late.lines
    taken_off = [line for line in found.lines if below_zero.takes_off(line) and line not in standing]
    return replace(section, late=found), taken_off


def _before(draft: Draft) -> datetime:
    """Up to when what it gives back was charged: one alone adjusts invoices of its own days."""
    return draft.period.end if draft.kind == "Adjustment" else draft.period.start


def _assert_none_void(tx: Tx, *, account: Account, before: datetime) -> None:
    """Raise UnableToIssue where a void invoice may have charged it: the one in its place would charge it anew."""
    void = invoice_reads.find_void_unreplaced(tx, account=account.number, period=Period(_EVER, before))
    if void is not None:
        raise UnableToIssue(
            f"more is given back than the month charges, and invoice {void[1]}, which may have charged it, is void: "
            "run its month again first, then this one"
        )
