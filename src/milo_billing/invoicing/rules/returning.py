"""What comes back to granted credit when an invoice that used it is credited or void (domain.md §7). Pure.

What an invoice used comes back to the grant, unless that has expired: then money becomes plain money on account, which
nobody loses, and credit that nobody paid is gone, as it would be had it never been used. Promotional credit comes back
with the lines that it lowered, in proportion to what a credit note takes of them. Prepaid credit paid when the invoice
was issued, before any other money: so of what a credit note gives back to the customer, the other money comes first.
Goodwill is a credit note itself, and only a void invoice gives it back. With a discount for early payment nothing comes
back: so what is credited of all the rest brings all of it.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from uuid import UUID

from milo_billing.invoicing.rules import postings
from milo_billing.invoicing.rules.grants import BOUGHT, CREDIT_GIVERS, Grant
from milo_billing.invoicing.types.invoices import Invoice, InvoiceLine
from milo_billing.kernel.money import half_up
from milo_billing.ledger.types import Posting


@dataclass(frozen=True, slots=True)
class LineReturn:
    """Credit that comes back with one line: whose, how much, and what revenue it lowers again; `bought` where it is
    money that was taxed when it came.
    """

    grant: UUID
    minor: int
    posting: Posting
    bought: bool


def returns_before_tax(
    lines: Iterable[InvoiceLine], *, before: Mapping[int, int], after: Mapping[int, int] | None
) -> tuple[LineReturn, ...]:
    """What comes back when what is credited of the lines, net by number, goes from `before` to `after`; None: to all.

    Half-up of the whole that was credited, less what came back before: over all notes exactly what was used. A line
    that credit covered as a whole comes back with the last of the others.
    """
    found: list[LineReturn] = []
    for line in lines:
        for one in line.discounts:
            if one.given_by not in CREDIT_GIVERS:
                continue
            used = -one.amount_minor
            then = _share(used, line, before)
            now = used if after is None else _share(used, line, after)
            if now != then:
                account, days = postings.account_of(line), postings.service_of(line)
                posting = account, now - then, days
                found.append(LineReturn(one.source, now - then, posting, one.given_by == BOUGHT))
    return tuple(found)


def within(found: Iterable[LineReturn], *, still: Mapping[UUID, int]) -> tuple[LineReturn, ...]:
    """As much of it as the invoice used of each grant and has not given back, `still`; the first lines first.

    All has come back where all but a discount for early payment was credited; what is credited once that discount
    has ended brings nothing more.
    """
    left = dict(still)
    kept: list[LineReturn] = []
    for one in found:
        minor = min(one.minor, left[one.grant])
        left[one.grant] -= minor
        if minor:
            account, _, days = one.posting
            kept.append(LineReturn(one.grant, minor, (account, minor, days), one.bought))
    return tuple(kept)


def _share(used_minor: int, line: InvoiceLine, credited: Mapping[int, int]) -> int:
    return half_up(used_minor * credited.get(line.line, 0), line.net_minor) if line.net_minor else 0


def prepaid_returns(
    used: Sequence[tuple[Grant, int]],
    *,
    invoice: Invoice,
    on_account_minor: int,
    earlier_minor: int,
    note_minor: int,
) -> tuple[tuple[Grant, int], ...]:
    """What of money that credit notes gave back to the customer goes to the grants again, the last used first.

    `used` is what the invoice used of each and has not given back, in the order of use; `on_account_minor` what all
    credit notes gave back of what had been paid, `earlier_minor` what of it went to grants before. No more comes back
    than the last note put on account, `note_minor`: what lay there before may have been used.
    """
    still = sum(minor for _, minor in used)
    other_minor = invoice.amount_paid_minor - still - earlier_minor
    rest = min(max(0, on_account_minor - other_minor - earlier_minor), still, note_minor)
    found: list[tuple[Grant, int]] = []
    for grant, minor in reversed(used):
        back = min(minor, rest)
        if back:
            found.append((grant, back))
            rest -= back
    return tuple(found)
