"""Rate issued periods again, as their invoices froze them, and say what they came to since.

Owns: what is looked at, and what is read for it. Not: the difference (rules.adjusting), the documents that charge it
and give it back (operations.adjusting). Nothing is written here.
"""

from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime
from uuid import UUID

from milo_billing.accounts.types import Account
from milo_billing.commitments import operations as commitments
from milo_billing.commitments import reads as promises
from milo_billing.commitments.types import AsIssued
from milo_billing.infra.database import Tx
from milo_billing.invoicing.engine.left import NONE_GIVEN, list_creditable, places_of
from milo_billing.invoicing.reads import adjustments as adjustment_reads
from milo_billing.invoicing.reads import invoices as invoice_reads
from milo_billing.invoicing.reads import notes as note_reads
from milo_billing.invoicing.rules import adjusting, drafts
from milo_billing.invoicing.rules.adjusting import (
    Additional,
    Adjustment,
    Before,
    Charged,
    GivenBack,
    Place,
    Rerated,
    Taxed,
)
from milo_billing.invoicing.rules.left import Given, with_given
from milo_billing.invoicing.rules.periods import running_month, uncovered
from milo_billing.invoicing.types.drafts import DraftLine
from milo_billing.invoicing.types.errors import UnableToIssue
from milo_billing.invoicing.types.invoices import Covering, Invoice
from milo_billing.kernel.periods import Period, billing_month, local_day, local_midnight
from milo_billing.usage import reads as usage


@dataclass(frozen=True, slots=True)
class Late:
    """What reached invoiced days of an account and no invoice has taken up, and what it changes.

    `last_id` is the newest change that was looked at; None where only one of the account's invoices was, or where all
    are to be looked at again because something waits to be given back. `account` is that of the usage, by number,
    whoever is invoiced for it.
    """

    account: int
    last_id: int | None
    invoices: tuple[Rerated, ...]
    missed: tuple[Period, ...] = ()
    """Rating periods that usage reached and no invoice ever covered: there had been nothing to charge, or it was
    refused."""

    @property
    def lines(self) -> tuple[DraftLine, ...]:
        """What is charged in addition."""
        return tuple(line for one in self.invoices for line in one.lines)

    @property
    def charging(self) -> tuple[Rerated, ...]:
        """The invoices of which something is charged in addition."""
        return tuple(one for one in self.invoices if one.lines)

    @property
    def given_back(self) -> tuple[tuple[Invoice, int], ...]:
        """What credit notes give back of which invoice's period, net."""
        sums = [(one.invoice, sum(minor for _, minor in one.given_back)) for one in self.invoices]
        return tuple((invoice, minor) for invoice, minor in sums if minor)


def given_of(lates: Iterable[Late | None], *, given: Given = NONE_GIVEN) -> Given:
    """The credit notes that all these together are about to write, with those that others are."""
    return with_given(given, (one for late in lates if late is not None for one in late.invoices))


def find_late(
    tx: Tx,
    *,
    account: Account,
    but: Period | None = None,
    now: datetime,
    given: Given = NONE_GIVEN,
) -> Late | None:
    """What usage of the account changed of issued invoices since they were; None, after one read, where nothing came.

    Of days that no invoice covers, all that are over: usage marks them only once their month had nothing to invoice.
    Left out are those of `but`, which is invoiced otherwise. `given` are the credit notes that other sections of the
    same invoice are about to write.

    Raises UnableToIssue where late usage has no price.
    """
    found = usage.find_open_changes(tx, account=account.number)
    if found is None:
        return None
    since = local_midnight(found.days[0], zone=account.time_zone)
    standing = invoice_reads.list_periodic(tx, account=account.number, within=Period(since, max(now, since)))
    # a shortfall, and money that was prepaid, follow from months before
    promised = bool(promises.list_commitments(tx, account=account.number))
    reached = [
        one.invoice
        for one in standing
        if promised or any(_holds(one.period, day, account) for day in found.days)
    ]
    voids = [
        invoice_reads.get_invoice_by_uid(tx, uid=uid)
        for uid in adjustment_reads.list_void_adjusted(tx, account=account.number)
    ]
    rerated: list[Rerated] = []
    for one in (*reached, *voids):
        rerated.append(rerate(tx, invoice=one, account=account.number, now=now, given=given))
        given = with_given(given, rerated[-1:])
    return Late(
        account.number,
        None if any(one.waits for one in rerated) else found.last_id,
        tuple(one for one in rerated if one.lines or one.given_back),
        tuple(_missed(tx, account, found.days, standing, but=but, now=now)),
    )


def _missed(
    tx: Tx,
    account: Account,
    days: Sequence[date],
    standing: Sequence[Covering],
    *,
    but: Period | None,
    now: datetime,
) -> Iterator[Period]:
    """The days' rating periods that no invoice covers; a void one is replaced when somebody runs its month again."""
    months = {running_month(day, invoice_day=account.invoice_day) for day in days}
    for year, month in sorted(months):
        period = billing_month(year, month, zone=account.time_zone, invoice_day=account.invoice_day)
        if period.end > now or (but is not None and period.end > but.start and period.start < but.end):
            continue
        for left in uncovered([period], invoiced=[one.period for one in standing]):
            held = any(local_midnight(day, zone=account.time_zone) in left for day in days)
            if held and invoice_reads.find_void_unreplaced(tx, account=account.number, period=left) is None:
                yield left


def _holds(period: Period, day: date, account: Account) -> bool:
    zone = account.time_zone
    return local_day(period.start, zone=zone) <= day < local_day(period.end, zone=zone)


def rerate(tx: Tx, *, invoice: Invoice, account: int, now: datetime, given: Given = NONE_GIVEN) -> Rerated:
    """What the account's section of one issued invoice came to since; a periodic one has no other. A void one charges
    for nothing, nor may adjustments of it.

    Raises UnableToIssue where late usage has no price.
    """
    made = adjustment_reads.list_adjustments(tx, invoice=invoice.uid, account=account)
    before, places, withheld = _charged_before(tx, invoice, made, account=account, given=given)
    today = () if invoice.phase == "Void" else _rated_again(tx, invoice, made, account=account, now=now)
    issued = () if invoice.phase == "Void" else before.issued
    earlier = [one.lines for one in made if one.stands]
    lines: tuple[DraftLine, ...] = ()
    charged: Mapping[Charged, int] = {}
    given_back: tuple[tuple[Place, int], ...] = ()
    waits = False
    change = adjusting.change_of(issued=issued, earlier=earlier, now=today)
    if isinstance(change, GivenBack):
        others: tuple[Place, ...] = ()
        if any(withheld.values()) and adjusting.falls_short(change, places):
            others = _elsewhere(tx, invoice=invoice, account=account, made=made, now=now, given=given)
        given_back = adjusting.give_back(change, places, others, withheld=withheld)
        waits = adjusting.waits(change, given_back, others, withheld=withheld)
        taken = adjusting.by_line(given_back)
        if -sum(taken.values()) == change.total_minor:
            # which lines gave it back may not be those that came to less: prepaid money is moved between them
            change = adjusting.change_of(issued=issued, earlier=[*earlier, taken], now=today)
    if isinstance(change, Additional):
        charged = change.lines
        if adjusting.unknown(change, now=today, before=before):
            gave = {place.invoice for place, _ in given_back}
            before = replace(before, elsewhere=_elsewhere_charged(tx, invoice, made, gave, account=account))
        lines = adjusting.adjustment_lines(change, invoice=invoice, now=today, before=before)
    return Rerated(invoice, lines, charged, given_back, len(made) + 1, waits=waits)


def _rated_again(
    tx: Tx, invoice: Invoice, made: Sequence[Adjustment], *, account: int, now: datetime
) -> tuple[DraftLine, ...]:
    """The lines at the versions that the invoice froze. Usage of which nobody had a price then is priced as it was when
    an adjustment first charged it, else as now: it is never free, and its price never changes either.
    """
    frozen = adjustment_reads.find_frozen(tx, invoice=invoice.uid, account=account)
    if frozen is None:
        raise UnableToIssue(f"invoice {invoice.number} did not keep how its period was rated")
    composed = commitments.rate_periods(
        tx,
        account=account,
        periods=frozen.periods,
        now=now,
        as_issued=AsIssued(
            frozen.issued_at,
            frozen.invoice_day,
            since=(*(one.adjusted_at for one in made if one.carrier is not None and one.stands), now),
        ),
    )
    drafts.assert_priced(composed)
    return drafts.provisional(composed).lines


def _elsewhere(
    tx: Tx, *, invoice: Invoice, account: int, made: Sequence[Adjustment], now: datetime, given: Given
) -> tuple[Place, ...]:
    """What can be credited of other invoices: the period's own charged less than its lines say, as it gave back of
    earlier ones.
    """
    own = {invoice.uid, *(one.carrier for one in made if one.carrier is not None)}
    others = list_creditable(tx, account=account, before=now, but=own, given=given)
    return tuple(place for one in others for place in one.places)


def _elsewhere_charged(
    tx: Tx, invoice: Invoice, made: Sequence[Adjustment], gave: Collection[UUID], *, account: int
) -> tuple[tuple[Invoice, DraftLine], ...]:
    """The account's lines of the invoices that gave back of other periods for this one's, before and now."""
    notes = note_reads.list_notes(tx, uids=[one.credit_note for one in made if one.credit_note is not None])
    gave_before = {note.invoice for note in notes}
    return tuple(
        (invoice_reads.get_invoice_by_uid(tx, uid=uid), line)
        for uid in sorted(gave_before.union(gave) - {invoice.uid})
        for _, line in adjustment_reads.list_charged(tx, invoice=uid)
        if line.used_by == account
    )


def _charged_before(
    tx: Tx, invoice: Invoice, made: Sequence[Adjustment], *, account: int, given: Given
) -> tuple[Before, tuple[Place, ...], Mapping[Taxed, int]]:
    """The lines that charged for the invoice's period, what can be credited of them, the newest document first, and by
    tax what they were charged with and cannot, because others are below zero.
    """
    carriers = [one.carrier for one in reversed(made) if one.carrier is not None and one.stands]
    carried: list[DraftLine] = []
    places: list[Place] = []
    withheld: Counter[Taxed] = Counter()
    for carrier in carriers:
        pairs = adjustment_reads.list_charged(tx, invoice=carrier)
        own = [
            (line, drafted)
            for line, drafted in pairs
            if drafted.used_by == account and _adjusts(drafted, invoice)
        ]
        carried += [drafted for _, drafted in own]
        of = [drafted for _, drafted in own]
        charging = invoice_reads.get_invoice_by_uid(tx, uid=carrier)
        found, beyond = places_of(tx, charging, pairs, of=of, given=given)
        places += found
        withheld.update(beyond)
    pairs = adjustment_reads.list_charged(tx, invoice=invoice.uid)
    issued = tuple(
        drafted for _, drafted in pairs if drafted.kind != "Adjustment" and drafted.used_by == account
    )
    if invoice.phase != "Void":
        found, beyond = places_of(tx, invoice, pairs, of=issued, given=given)
        places += found
        withheld.update(beyond)
    return Before(issued, tuple(carried)), tuple(places), withheld


def _adjusts(line: DraftLine, invoice: Invoice) -> bool:
    return line.adjusts is not None and line.adjusts.invoice == invoice.uid
