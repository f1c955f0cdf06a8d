"""Compose a rating period with everything that was promised, and say how promises stand (domain.md §6, §7)."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date, datetime, timedelta
from decimal import Decimal
from fractions import Fraction
from itertools import islice
from typing import Final
from uuid import UUID

from milo_billing.accounts.reads import accounts as account_reads
from milo_billing.accounts.types import Account
from milo_billing.catalog import operations as catalog
from milo_billing.catalog.types import Sku, SkuSelector
from milo_billing.commitments import reads, store
from milo_billing.commitments.rules import comparing, composing, settling, specificity
from milo_billing.commitments.rules.intervals import intervals, rating_spans, terms
from milo_billing.commitments.types import (
    AsIssued,
    ChargeKind,
    Commitment,
    CommitmentCharge,
    ComposedLine,
    ComposedPeriod,
    Discount,
    PartOfSpan,
    Progress,
    SettledInterval,
    Simulation,
    Spend,
    WhatIf,
)
from milo_billing.infra.database import Tx
from milo_billing.kernel.money import settle
from milo_billing.kernel.periods import DaySpan, Period, local_day, local_midnight
from milo_billing.pricing import operations as pricing
from milo_billing.pricing.types import OtherBooks, RatedLine, RatedUsage, Unpriced, UnpricedSku

_DAY: Final = timedelta(days=1)

AS_DECLARED: Final = WhatIf()


def rate_period(tx: Tx, *, account: int, period: Period, now: datetime) -> ComposedPeriod:
    """What the account owes for a period before tax and credits: rated lines, every discount, what promises add.

    A function of usage and declarations: the same again whenever it is asked for, and with late usage what it should
    have been. A shortfall stands in the period that holds the last day of its interval (or of its grace); while the
    period is not over it is what would be missing if nothing more came. Raises AccountNotFound and UnableToRate;
    ValueError where the period does not begin and end at midnights of the account.
    """
    (composed,) = rate_periods(tx, account=account, periods=[period], now=now)
    return composed


def rate_periods(
    tx: Tx,
    *,
    account: int,
    periods: Sequence[Period],
    now: datetime,
    what_if: WhatIf = AS_DECLARED,
    as_issued: AsIssued | None = None,
    payer: Account | None = None,
) -> tuple[ComposedPeriod, ...]:
    """Consecutive rating periods of one account, as `rate_period` each; what several of them need is read once.

    `what_if` is what a simulation changes; nothing is written in either case. An account that promised nothing and has
    no Discounts costs two indexed reads besides the rating itself. `as_issued` rates at the versions that an invoice of
    these periods froze. `payer` is the account where the caller has read it.
    """
    commitments = comparing.changed(reads.list_commitments(tx, account=account), what_if.commitments, what_if)
    discounts = comparing.changed(reads.list_discounts(tx, account=account), what_if.discounts, what_if)
    books = what_if.other_books
    if not commitments and not discounts:
        return tuple(
            _as_rated(tx, account=account, period=one, now=now, books=books, as_issued=as_issued, payer=payer)
            for one in periods
        )
    payer = payer or account_reads.get_account(tx, number=account)
    if as_issued is not None:
        payer = replace(payer, invoice_day=as_issued.invoice_day)
    ledger = _Ledger(tx, payer, now, commitments, composing.in_order(discounts), books, as_issued)
    return tuple(_promised(ledger, period) for period in periods)


def simulate(
    tx: Tx, *, account: int, periods: Sequence[Period], now: datetime, what_if: WhatIf
) -> Simulation:
    """Consecutive rating periods as everything stands and under `what_if`, compared. Raises as `rate_period` does."""
    return comparing.compare(
        rate_periods(tx, account=account, periods=periods, now=now),
        rate_periods(tx, account=account, periods=periods, now=now, what_if=what_if),
    )


def _as_rated(
    tx: Tx,
    *,
    account: int,
    period: Period,
    now: datetime,
    books: OtherBooks | None,
    as_issued: AsIssued | None,
    payer: Account | None,
) -> ComposedPeriod:
    rated = pricing.rate_account(
        tx,
        account=account,
        period=period,
        now=now,
        other_books=books,
        known_at=None if as_issued is None else as_issued.known_at,
        since=() if as_issued is None else as_issued.since,
        payer=payer,
    )
    return ComposedPeriod(
        account=account,
        period=period,
        closed=rated.closed,
        currency=rated.currency,
        lines=tuple(ComposedLine(line, (), ()) for line in rated.lines),
        charges=(),
        unpriced=rated.unpriced,
        unpriced_skus=rated.unpriced_skus,
    )


def _promised(ledger: "_Ledger", period: Period) -> ComposedPeriod:
    zone = ledger.payer.time_zone
    span = DaySpan(local_day(period.start, zone=zone), local_day(period.end, zone=zone))
    composed = ledger.compose(span)
    return ComposedPeriod(
        account=ledger.payer.number,
        period=period,
        closed=ledger.now >= period.end,
        currency=ledger.payer.currency,
        lines=composed.lines,
        charges=tuple(charge for one in ledger.commitments for charge in _charges(ledger, one, span)),
        unpriced=composed.unpriced,
        unpriced_skus=composed.unpriced_skus,
    )


def show_progress(tx: Tx, *, commitment: Commitment, now: datetime) -> tuple[Progress, ...]:
    """How the running intervals of an accepted commitment stand, with the usage that was committed before this read."""
    ledger = _open(tx, account=commitment.account, now=now)
    today = local_day(now, zone=ledger.payer.time_zone)
    settled = _settled(ledger, commitment, until=today + _DAY, over_by=today)
    running = settling.running(settled, today=today)
    return tuple(settling.progress(one, today=today) for one in running)


def assess(tx: Tx, *, commitment: Commitment, since: date, now: datetime) -> tuple[SettledInterval, ...]:
    """Write down how every interval stands that ended since then; doing it again replaces what was written."""
    ledger = _open(tx, account=commitment.account, now=now)
    today = local_day(now, zone=ledger.payer.time_zone)
    settled = _settled(ledger, commitment, until=today, ended_since=since)
    ended = tuple(one for one in settled if since < one.part.days.end <= today)
    for one in ended:
        store.put_interval(
            tx, commitment=commitment.uid, owner_org=commitment.owner_org, settled=one, now=now
        )
    return ended


# ---------------------------------------------------------------------------------------------- composition


def _open(tx: Tx, *, account: int, now: datetime) -> "_Ledger":
    return _Ledger(
        tx,
        account_reads.get_account(tx, number=account),
        now,
        reads.list_commitments(tx, account=account),
        composing.in_order(reads.list_discounts(tx, account=account)),
    )


@dataclass(frozen=True, slots=True)
class _Composed:
    """One rating period of an account after every discount, and its spend in slices."""

    lines: tuple[ComposedLine, ...]
    spends: tuple[Spend, ...]
    unpriced: tuple[Unpriced, ...]
    unpriced_skus: tuple[UnpricedSku, ...]


@dataclass
class _Ledger:
    """What is read of one account for one answer: every rating period is rated once."""

    tx: Tx
    payer: Account
    now: datetime
    commitments: tuple[Commitment, ...]
    discounts: tuple[Discount, ...]
    """In the order in which they act."""
    other_books: OtherBooks | None = None
    as_issued: AsIssued | None = None
    _composed: dict[DaySpan, _Composed] = field(default_factory=dict[DaySpan, _Composed])
    _drawn: dict[tuple[UUID, DaySpan], tuple[tuple[DaySpan, int], ...]] = field(
        default_factory=dict[tuple[UUID, DaySpan], tuple[tuple[DaySpan, int], ...]]
    )

    def rate(self, days: DaySpan) -> RatedUsage:
        """The lines of these days at their prices, without discounts."""
        zone = self.payer.time_zone
        period = Period(local_midnight(days.start, zone=zone), local_midnight(days.end, zone=zone))
        return pricing.rate_account(
            self.tx,
            account=self.payer.number,
            period=period,
            now=self.now,
            other_books=self.other_books,
            known_at=None if self.as_issued is None else self.as_issued.known_at,
            since=() if self.as_issued is None else self.as_issued.since,
        )

    def compose(self, days: DaySpan) -> _Composed:
        """The days, which begin with a rating period and end within it."""
        found = self._composed.get(days)
        if found is None:
            found = self._composed[days] = self._compose(days)
        return found

    def drawn(self, commitment: Commitment, span: DaySpan) -> tuple[tuple[DaySpan, int], ...]:
        """What prepaid money of the commitment pays in a rating period, for each term with the days of it."""
        if commitment.promise.prepayment is None:
            return ()
        found = self._drawn.get((commitment.uid, span))
        if found is None:
            cut = [(term.days, term.days.cut(span)) for term in terms(commitment.promise, until=span.end)]
            found = self._drawn[commitment.uid, span] = tuple(
                (within, _draw(self, commitment, term, span)) for term, within in cut if within is not None
            )
        return found

    def _compose(self, days: DaySpan) -> _Composed:
        rated = self.rate(days)
        lines = rated.lines
        promised = [one.promise for one in self.commitments]
        discounts = [(one, held) for one in self.discounts if (held := self._held(one, days)) is not None]
        spans = composing.cuts(
            days,
            [
                *(border for one in promised for border in (one.starts_on, one.ends_on)),
                *(border for _, held in discounts for border in (held.start, held.end)),
                *(term.days.start for one in promised for term in terms(one, until=days.end)),
            ],
        )
        reached = [_prices(self.rate(DaySpan(days.start, span.end)).lines) for span in spans[:-1]]
        slices = composing.slices(spans, [*reached, _prices(lines)])
        skus = {line.sku.name: line.sku for line in lines}
        percentages = [
            *_commitment_percentages(self.commitments, spans, skus),
            *_line_percentages(discounts, spans, skus),
        ]
        effects = {name: composing.effect(percentages, slices, name) for name in skus}
        discounted = pricing.discount_lines(
            lines, {name: [off for _, off in found.off] for name, found in effects.items()}
        )
        reductions = [
            composing.reduction_of(
                one, _line_shares(one, held, discounted, slices), currency=self.payer.currency
            )
            for one, held in discounts
            if one.scope == "Invoice" or one.percent is None
        ]
        taken = composing.reduce_lines([line.amount_minor for line in discounted], reductions)
        reduced = pricing.reduce_lines(
            discounted, [[one.amount_minor for one in composing.inside_line(off)] for off in taken]
        )
        composed = composing.composed_lines(reduced, effects, taken)
        spends = composing.spends(composed, slices, effects)
        return _Composed(composed, spends, rated.unpriced, rated.unpriced_skus)

    def _held(self, discount: Discount, days: DaySpan) -> DaySpan | None:
        """The days of these on which the discount holds."""
        start, end = discount.starts_on, discount.ends_on
        whole = DaySpan(start, max(end, start + _DAY)) if end is not None else DaySpan(start, date.max)
        held = None if end == start else whole.cut(days)
        if held is None or discount.uses is None:
            return held
        used = islice(rating_spans(whole, invoice_day=self.payer.invoice_day), discount.uses)
        return held if any(span.cut(days) for span in used) else None


def _prices(lines: Sequence[RatedLine]) -> Mapping[str, int]:
    """What each Sku came to before its maximum and minimum."""
    prices: dict[str, int] = {}
    for line in lines:
        minor = sum(part.amount_minor for part in line.parts if part.kind not in ("Maximum", "Minimum"))
        prices[line.sku.name] = prices.get(line.sku.name, 0) + minor
    return prices


def _commitment_percentages(
    commitments: Sequence[Commitment], spans: Sequence[DaySpan], skus: Mapping[str, Sku]
) -> Iterator[composing.Percentage]:
    """For each commitment the percentages of the Skus, in each slice, on which no other one gives more."""
    given: list[tuple[Commitment, Mapping[str, Decimal]]] = []
    for commitment in commitments:
        selected = {
            one: catalog.select_skus([one.selects], skus.values())
            for one in specificity.candidates(commitment.promise.discounts)
        }
        given.append((commitment, specificity.choose_percents(selected)))
    best: list[dict[str, tuple[Decimal, int]]] = [{} for _ in spans]
    for index, span in enumerate(spans):
        for number, (commitment, percents) in enumerate(given):
            if _in_force(commitment, span):
                for sku, percent in percents.items():
                    standing = best[index].get(sku)
                    if standing is None or percent > standing[0]:
                        best[index][sku] = (percent, number)
    for number, (commitment, _) in enumerate(given):
        by_slice = tuple(
            {sku: percent for sku, (percent, whose) in one.items() if whose == number} for one in best
        )
        if any(by_slice):
            yield composing.Percentage(
                commitment.uid, commitment.name, by_slice, by="Commitment", title=commitment.name
            )


def _in_force(commitment: Commitment, days: DaySpan) -> bool:
    end = commitment.promise.ends_on
    return commitment.promise.starts_on <= days.start and (end is None or days.end <= end)


def _line_percentages(
    discounts: Sequence[tuple[Discount, DaySpan]], spans: Sequence[DaySpan], skus: Mapping[str, Sku]
) -> Iterator[composing.Percentage]:
    for discount, held in discounts:
        if discount.scope == "Line" and discount.percent is not None:
            percents = dict.fromkeys(catalog.select_skus(discount.selectors, skus.values()), discount.percent)
            yield composing.Percentage(
                discount.uid,
                discount.name,
                tuple(percents if held.holds(span) else {} for span in spans),
                title=discount.description,
            )


def _line_shares(
    discount: Discount, held: DaySpan, lines: Sequence[RatedLine], slices: Sequence[composing.Slice]
) -> Mapping[int, Fraction]:
    """The lines that the discount acts on, by position, and the part of each that arose in its days."""
    selected = catalog.select_skus(discount.selectors, [line.sku for line in lines])
    return {
        index: sum((one.shares[line.sku.name] for one in slices if held.holds(one.days)), Fraction(0))
        for index, line in enumerate(lines)
        if line.sku.name in selected
    }


# -------------------------------------------------------------------------------------------------- promises


def _settled(
    ledger: _Ledger,
    commitment: Commitment,
    *,
    until: date,
    ended_since: date | None = None,
    over_by: date | None = None,
) -> tuple[SettledInterval, ...]:
    """The intervals that begin before `until`: those that are not over yet, and those that ended since."""
    promise, invoice_day = commitment.promise, ledger.payer.invoice_day
    since = until if ended_since is None else ended_since
    wanted = [part.days for part in _parts(commitment, invoice_day, until=until) if part.days.end >= since]
    if not wanted:
        return ()
    days = DaySpan(min(one.start for one in wanted), until)
    spends = [one for span in _spans(ledger, days) for one in ledger.compose(span).spends]
    scopes = settling.Scopes(tuple(_scope(ledger, minimum.selectors, days) for minimum in promise.minimums))
    settled = settling.settle_promise(
        promise,
        spends,
        scopes=scopes,
        invoice_day=invoice_day,
        currency=commitment.currency,
        until=until,
        over_by=over_by,
    )
    return tuple(one for one in settled if one.part.days in wanted)


def _parts(commitment: Commitment, invoice_day: int, *, until: date) -> Iterator[PartOfSpan]:
    for minimum in commitment.promise.minimums:
        for term in terms(commitment.promise, until=until):
            for part in intervals(term, minimum.interval, invoice_day=invoice_day):
                if part.days.start < until:
                    yield part


def _spans(ledger: _Ledger, days: DaySpan) -> Iterator[DaySpan]:
    """The rating periods that these days touch; the last one up to where the days end."""
    for span in rating_spans(days, invoice_day=ledger.payer.invoice_day):
        yield span if span.end <= days.end else DaySpan(span.start, days.end)


def _scope(ledger: _Ledger, selectors: tuple[SkuSelector, ...], days: DaySpan) -> frozenset[str] | None:
    if not selectors:
        return None
    skus = [line.line.sku for span in _spans(ledger, days) for line in ledger.compose(span).lines]
    return catalog.select_skus(selectors, skus)


def _charges(ledger: _Ledger, commitment: Commitment, span: DaySpan) -> Iterator[CommitmentCharge]:
    """What the commitment adds to the rating period: shortfalls, overage, and prepaid money bought and drawn on."""
    grace = timedelta(days=commitment.promise.grace_days)
    yield from _interval_charges(
        commitment, _settled(ledger, commitment, until=span.end, ended_since=span.start - grace), span
    )
    if commitment.promise.prepayment is not None:
        minor = settle(commitment.promise.prepayment, commitment.currency).minor
        for term in terms(commitment.promise, until=span.end):
            if span.start <= term.days.start:
                yield _charge(commitment, "Prepayment", term.days, minor)
        for within, drawn_minor in ledger.drawn(commitment, span):
            if drawn_minor:
                yield _charge(commitment, "DrawDown", within, -drawn_minor)


def _interval_charges(
    commitment: Commitment, settled: Sequence[SettledInterval], span: DaySpan
) -> Iterator[CommitmentCharge]:
    for one in settled:
        s, days = one.settlement, one.part.days
        if one.due_on is not None and span.start < one.due_on <= span.end and s.shortfall_minor:
            yield _charge(commitment, "Shortfall", days, s.shortfall_minor, settled=one)
        if span.start < days.end <= span.end and s.surcharge_minor:
            yield _charge(commitment, "Overage", days, s.surcharge_minor, settled=one)


def _draw(ledger: _Ledger, commitment: Commitment, term: DaySpan, span: DaySpan) -> int:
    """What the term's prepaid money pays in the last of its rating periods up to `span`.

    It pays what prepaid money that was accepted earlier has left of the same charges.
    """
    assert commitment.promise.prepayment is not None, "only prepaid money is drawn on"
    until = min(term.end, span.end)
    settled = _settled(ledger, commitment, until=until, ended_since=term.start)
    earlier = ledger.commitments[: ledger.commitments.index(commitment)]
    charges: list[int] = []
    for one in _spans(ledger, DaySpan(term.start, span.end)):
        spends = ledger.compose(one).spends
        within = sum(part.on(None) for part in spends if term.holds(part.days))
        added = [c for c in _interval_charges(commitment, settled, one) if term.holds(c.days)]
        paid_minor = sum(minor for other in earlier for _, minor in ledger.drawn(other, one))
        # what is given back outside of the term leaves less to pay
        spent_minor = min(within, sum(part.on(None) for part in spends))
        charges.append(spent_minor + sum(c.amount_minor for c in added) - paid_minor)
    balance_minor = settle(commitment.promise.prepayment, commitment.currency).minor
    return settling.draw_down(balance_minor, charges)[-1]


def _charge(
    commitment: Commitment,
    kind: ChargeKind,
    days: DaySpan,
    amount_minor: int,
    *,
    settled: SettledInterval | None = None,
) -> CommitmentCharge:
    return CommitmentCharge(
        kind=kind,
        commitment=commitment.uid,
        name=commitment.name,
        days=days,
        amount_minor=amount_minor,
        tax_category=commitment.promise.tax_category,
        minimum=None if settled is None else settled.minimum,
        settlement=None if settled is None else settled.settlement,
        factor=commitment.promise.overage_factor if kind == "Overage" else None,
    )
