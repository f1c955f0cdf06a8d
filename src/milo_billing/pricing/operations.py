"""Rate an account's period: read the roll-ups and the price books, then decide purely (rules.lines)."""

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import date, datetime, timedelta
from fractions import Fraction
from typing import Final, TypeAlias

from milo_billing.accounts.reads import accounts as account_reads
from milo_billing.accounts.reads import payers as payer_reads
from milo_billing.accounts.types import Account
from milo_billing.catalog import reads as catalog
from milo_billing.catalog.types import Book, Sku
from milo_billing.entitlements import reads as entitlements
from milo_billing.entitlements.types import AccountBook
from milo_billing.infra.database import Tx
from milo_billing.kernel.aggregation import is_prorated
from milo_billing.kernel.money import Exact
from milo_billing.kernel.periods import DaySpan, Period, local_day, local_midnight, next_month
from milo_billing.pricing import reads, store
from milo_billing.pricing.rules import fx
from milo_billing.pricing.rules.explaining import explain
from milo_billing.pricing.rules.later_prices import with_later
from milo_billing.pricing.rules.lines import Rating, rate
from milo_billing.pricing.rules.one_time import rate_charges
from milo_billing.pricing.rules.percentages import discount_line, reduce_line
from milo_billing.pricing.rules.quotes import quotes_of
from milo_billing.pricing.rules.reading import reading_plan
from milo_billing.pricing.rules.recharging import recharge
from milo_billing.pricing.rules.recurring import due_days, priced_days, rate_recurring
from milo_billing.pricing.rules.subscriptions import subscription_of
from milo_billing.pricing.types import (
    BookSource,
    DeclaredRating,
    FrozenLine,
    OtherBooks,
    Precedence,
    PriceExplanation,
    RateCard,
    RatedLine,
    RatedUsage,
    RatesDiffer,
    RatesImported,
    SkuNotFound,
    SourceKind,
    UnableToRate,
    UsageQuantity,
)
from milo_billing.usage import reads as usage
from milo_billing.usage.types import UsageRow

ROWS_MAX = 100_000
"""Roll-up rows read at once; about 100 MB."""

CHARGES_MAX = 10_000
"""Charges of an account in one rating period."""


SourceReader: TypeAlias = Callable[[Tx, Account, DaySpan, datetime | None], Iterable[BookSource]]
"""The books of one kind that may price an account on any of the days, the first to ask first; with an instant as they
were published then."""


def rate_account(
    tx: Tx,
    *,
    account: int,
    period: Period,
    now: datetime,
    other_books: OtherBooks | None = None,
    known_at: datetime | None = None,
    since: Sequence[datetime] = (),
    payer: Account | None = None,
) -> RatedUsage:
    """What the account owes for the period in its currency: usage, what is sold once, what falls due of what recurs.

    The period begins and ends at local midnights of the account, as `billing_month` makes them; ValueError if not.
    While `now` lies within it the figures are provisional (`closed` is False). Raises AccountNotFound, and UnableToRate
    where the catalog and the usage do not fit together, or an exchange rate is missing. Usage without a price is in
    `unpriced`, all of it where no price book is for this account; charges and subscriptions without one are in
    `unpriced_skus`. `other_books` is what a simulation changes; nothing is written in either case. `known_at` prices
    with the price books and exchange rates that were there at that instant, as an invoice did that was issued then;
    usage that had no price then is priced as known at the instants `since`, each in turn for what the ones before leave
    without a price. `payer` is the account where the caller has read it.
    """
    payer = payer or account_reads.get_account(tx, number=account)
    first_day, end_day = _days(period, zone=payer.time_zone)
    card = read_rate_card(
        tx, payer=payer, first_day=first_day, end_day=end_day, other_books=other_books, known_at=known_at
    )
    rating = _rate_usage(tx, card, payer, first_day=first_day, end_day=end_day)
    for instant in since:
        if not rating.unpriced:
            break
        later = read_rate_card(tx, payer=payer, first_day=first_day, end_day=end_day, known_at=instant)
        card = with_later(card, later, meters={one.meter_name for one in rating.unpriced})
        rating = _rate_usage(tx, card, payer, first_day=first_day, end_day=end_day)
    charged = _rate_charges(tx, card, account=account, first_day=first_day, end_day=end_day)
    recurring = _rate_subscriptions(
        tx, other_books, payer=payer, first_day=first_day, end_day=end_day, known_at=known_at
    )
    lines = [*rating.lines, *(_in_currency(line, card) for line in charged.lines), *recurring.lines]
    return RatedUsage(
        account=account,
        period=period,
        closed=now >= period.end,
        currency=rating.currency,
        lines=tuple(sorted(lines, key=lambda line: (line.sku.name, line.first_day))),
        unpriced=rating.unpriced,
        unpriced_skus=(*charged.unpriced, *recurring.unpriced),
    )


def _rate_usage(tx: Tx, card: RateCard, payer: Account, *, first_day: date, end_day: date) -> Rating:
    return rate(
        _read_usage(tx, card, account=payer.number, first_day=first_day, end_day=end_day),
        card,
        first_day=first_day,
        end_day=end_day,
        bound=_bound_days(tx, payer, card, first_day=first_day, end_day=end_day),
        distinct=lambda cells: usage.count_distinct_keys(tx, account=payer.number, cells=cells),
    )


def _rate_charges(tx: Tx, card: RateCard, *, account: int, first_day: date, end_day: date) -> DeclaredRating:
    """What Charge objects of these days cost, each in the currency of its book."""
    charges = reads.list_charges(tx, account=account, first=first_day, end=end_day, limit=CHARGES_MAX + 1)
    if len(charges) > CHARGES_MAX:
        raise UnableToRate(
            f"the account has more than {CHARGES_MAX} Charges from {first_day} to {end_day}: sell as one Charge of a "
            "larger quantity what belongs together, or meter it"
        )
    return rate_charges(charges, quotes_of(card))


def _rate_subscriptions(
    tx: Tx,
    other_books: OtherBooks | None,
    *,
    payer: Account,
    first_day: date,
    end_day: date,
    known_at: datetime | None,
) -> DeclaredRating:
    """What falls due of what recurs, in the account's currency, at the exchange rates of the rating period.

    Prices are those of the days on which intervals begin, which may lie long before the period.
    """
    due = due_days(DaySpan(first_day, end_day))
    held = entitlements.list_subscriptions(tx, account=payer.number, start=due.start, end=due.end)
    if not held:
        return DeclaredRating((), ())
    subscriptions = [subscription_of(one) for one in held]
    invoice_days = account_reads.get_invoice_days(tx, account=payer.number)
    priced = priced_days(subscriptions, due=due, invoice_days=invoice_days)
    card = read_rate_card(
        tx,
        payer=payer,
        first_day=priced.start,
        end_day=priced.end,
        sources=KNOWN_SOURCES,
        rates_on=end_day - timedelta(days=1),
        other_books=other_books,
        known_at=known_at,
    )
    rating = rate_recurring(subscriptions, quotes_of(card), due=due, invoice_days=invoice_days)
    return DeclaredRating(tuple(_in_currency(line, card) for line in rating.lines), rating.unpriced)


def _in_currency(line: RatedLine, card: RateCard) -> RatedLine:
    if line.currency == card.currency:
        return line
    found = card.rates.get(line.currency)
    if found is None:
        raise UnableToRate(
            f"Sku {line.sku.name} is priced in {line.currency}, and there is no exchange rate to {card.currency}: "
            "milo-billing rates import FILE brings them in"
        )
    return fx.convert_line(line, found)


def read_rate_card(
    tx: Tx,
    *,
    payer: Account,
    first_day: date,
    end_day: date,
    sources: Iterable[SourceReader] | None = None,
    rates_on: date | None = None,
    other_books: OtherBooks | None = None,
    known_at: datetime | None = None,
) -> RateCard:
    """The books that may price the account on the days `[first_day, end_day)`, by precedence, with all they need.

    `sources` are asked for them, SOURCES unless others are named. The rate of a book in another currency is the one
    last published on `rates_on`, or before it; on the last of these days where that is left out. `known_at` leaves out
    what came after that instant.
    """
    readers = SOURCES if sources is None else sources
    days = DaySpan(first_day, end_day)
    found = [source for read in readers for source in read(tx, payer, days, known_at) if source.books]
    if other_books is not None and other_books.first_day < end_day:
        found = _with_other_books(tx, found, other_books, start=first_day, end=end_day)
    names = {price.sku for source in found for book in source.books for price in book.prices}
    foreign = {source.books[0].currency for source in found} - {payer.currency}
    last_day = end_day - timedelta(days=1) if rates_on is None else rates_on
    rates = {
        currency: reads.find_rate(
            tx, from_currency=currency, to_currency=payer.currency, on=last_day, known_at=known_at
        )
        for currency in sorted(foreign)
    }
    return RateCard(
        currency=payer.currency,
        sources=tuple(found),
        skus={sku.name: sku for sku in catalog.list_skus(tx, names=names)},
        meters={meter.meter_name: meter for meter in catalog.load_meters(tx)},
        rates={currency: rate for currency, rate in rates.items() if rate is not None},
    )


_REPLACED: Final[Mapping[Precedence, frozenset[SourceKind]]] = {
    "First": frozenset(),
    "List": frozenset({"List", "Default"}),
    "Only": frozenset({"Entitlement", "Offer", "Partner", "List", "Default"}),
}
"""The sources that end where another book begins."""


def _with_other_books(
    tx: Tx, own: Sequence[BookSource], others: OtherBooks, *, start: date, end: date
) -> list[BookSource]:
    """The account's own sources with the simulated book at its place; the own ones hold up to its first day."""
    if others.book is not None:
        books = (replace(others.book, effective_from=others.first_day),)
    else:
        books = catalog.list_book_versions(tx, book_name=others.book_name, start=start, end=end)
    simulated = BookSource("Simulated", others.book_name, books, first_day=others.first_day)
    dropped = _REPLACED[others.precedence]
    kept = [source for source in own if source.kind not in dropped]
    before = [_until(source, others.first_day) for source in own if source.kind in dropped]
    first = others.precedence == "First"
    found = [simulated, *kept] if first else [*kept, simulated, *before]
    return [source for source in found if source.books]


def _until(source: BookSource, day: date) -> BookSource:
    return replace(
        source,
        end_day=_earlier(source.end_day, day),
        known=tuple((on, _earlier(end, day)) for on, end in source.known),
    )


def _earlier(end: date | None, day: date) -> date:
    return day if end is None else min(end, day)


def _entitlement_books(
    tx: Tx, payer: Account, days: DaySpan, known_at: datetime | None
) -> Iterator[BookSource]:
    given = entitlements.list_account_books(tx, account=payer.number, start=days.start, end=days.end)
    return _given_books(tx, given, days, known_at)


def _known_entitlement_books(
    tx: Tx, payer: Account, days: DaySpan, known_at: datetime | None
) -> Iterator[BookSource]:
    given = entitlements.list_known_books(tx, account=payer.number, start=days.start, end=days.end)
    return _given_books(tx, given, days, known_at)


def _given_books(
    tx: Tx, given: Iterable[AccountBook], days: DaySpan, known_at: datetime | None
) -> Iterator[BookSource]:
    for one in given:
        yield BookSource(
            kind="Entitlement" if one.offer is None else "Offer",
            book_name=one.book,
            books=catalog.list_book_versions(
                tx, book_name=one.book, start=days.start, end=days.end, known_at=known_at
            ),
            by=one.entitlement,
            first_day=one.term.starts_on,
            end_day=one.term.ends_on,
            known=tuple((said.day, said.ends_on) for said in one.revisions),
        )


def _list_books(tx: Tx, payer: Account, days: DaySpan, known_at: datetime | None) -> Iterator[BookSource]:
    books = catalog.list_books(tx, currency=payer.currency, start=days.start, end=days.end, known_at=known_at)
    if books:
        yield BookSource("List", books[0].book_name, books)


def _default_books(tx: Tx, payer: Account, days: DaySpan, known_at: datetime | None) -> Iterator[BookSource]:
    name = catalog.find_default_book(tx, known_at=known_at)
    if name is None:
        return
    books = catalog.list_book_versions(tx, book_name=name, start=days.start, end=days.end, known_at=known_at)
    if books and books[0].currency != payer.currency:  # else it is the list book of the account's currency
        yield BookSource("Default", name, books)


SOURCES: Final[tuple[SourceReader, ...]] = (_entitlement_books, _list_books, _default_books)
"""Who is asked for prices, in order of precedence (domain.md §5): what was agreed with the account, the list book of
its currency, the provider's default book. A partner's book goes behind the first, as one more reader."""

KNOWN_SOURCES: Final[tuple[SourceReader, ...]] = (_known_entitlement_books, *SOURCES[1:])
"""The same, with what was known of entitlements on which day: a price that was charged in advance stays what it was,
also where the entitlement that brought its book ended on the very day."""


def _bound_days(
    tx: Tx, payer: Account, card: RateCard, *, first_day: date, end_day: date
) -> Mapping[int, tuple[int, int]]:
    """For how many days of the period the account pays for its projects; asked only where a value depends on it."""
    meters = (card.meters.get(sku.meter_name) for sku in card.skus.values())
    if not any(meter is not None and is_prorated(meter.aggregation, meter.window) for meter in meters):
        return {}
    window = payer, first_day, end_day
    return payer_reads.count_bound_days(tx, windows=[window])[payer.number, first_day]


def _days(period: Period, *, zone: str) -> tuple[date, date]:
    """The period's first billing day, and the day after its last."""
    first_day, end_day = local_day(period.start, zone=zone), local_day(period.end, zone=zone)
    if (local_midnight(first_day, zone=zone), local_midnight(end_day, zone=zone)) != (
        period.start,
        period.end,
    ):
        raise ValueError(f"the period {period} does not begin and end at midnight in {zone}")
    return first_day, end_day


def _read_usage(
    tx: Tx, card: RateCard, *, account: int, first_day: date, end_day: date
) -> Iterator[UsageQuantity]:
    """The account's usage, added up in the database as far as prices allow (`reading_plan`), else day by day."""
    plan = reading_plan(card, first_day=first_day, end_day=end_day)
    limit = ROWS_MAX
    sums = usage.sum_rollups(
        tx, account=account, starts=plan.starts, end=end_day, but=[*plan.bounded, *plan.daily], limit=limit
    )
    bounds: tuple[UsageRow, ...] = ()
    if plan.bounded:
        bounds = usage.bound_rollups(
            tx, account=account, starts=plan.starts, end=end_day, meters=plan.bounded, limit=limit
        )
    if max(len(sums), len(bounds)) >= limit:
        yield from _read_days(tx, account=account, first_day=first_day, end_day=end_day)
        return
    yield from map(_quantity, (*sums, *bounds))
    if plan.daily:
        yield from _read_days(tx, account=account, first_day=first_day, end_day=end_day, meters=plan.daily)


def _read_days(
    tx: Tx, *, account: int, first_day: date, end_day: date, meters: Collection[int] | None = None
) -> Iterator[UsageQuantity]:
    """The account's roll-ups by day, a stretch of whole days at a time."""
    limit = ROWS_MAX
    while first_day < end_day:
        rows = usage.list_rollups(
            tx, account=account, first=first_day, end=end_day, limit=limit, meters=meters
        )
        if len(rows) < limit:
            yield from map(_quantity, rows)
            return
        cut_day = rows[-1].day  # rows come by day, and this one may go on past the limit
        if cut_day == first_day:
            limit *= 2
            continue
        yield from (_quantity(row) for row in rows if row.day < cut_day)
        first_day = cut_day


def _quantity(row: UsageRow) -> UsageQuantity:
    return UsageQuantity(
        project=row.project,
        meter_name=row.meter_name,
        dimensions=tuple(sorted(row.dimensions.items())),
        day=row.day,
        figures=row.figures,
        row=row.key,
    )


def discount_lines(
    lines: Iterable[RatedLine], percents: Mapping[str, Sequence[Exact]]
) -> tuple[RatedLine, ...]:
    """The lines with percentages off, by Sku name, one after the other: after the price, before maximum and minimum."""
    return tuple(discount_line(line, percents.get(line.sku.name, ())) for line in lines)


def reduce_lines(lines: Sequence[RatedLine], amounts_minor: Sequence[Sequence[int]]) -> tuple[RatedLine, ...]:
    """The lines, each with its fixed amounts off (zero or negative, one part an amount), their shares split anew."""
    return tuple(reduce_line(line, off) for line, off in zip(lines, amounts_minor, strict=True))


def explain_price(tx: Tx, *, payer: Account, sku: str, at: datetime, metered: Fraction) -> PriceExplanation:
    """How `metered`, in the unit of the Sku's meter, would be priced for the account at that instant, step by step.

    As if it were all that is metered in the rating period at this price. Raises SkuNotFound, and UnableToRate as
    rating does.
    """
    found = catalog.list_skus(tx, names=[sku])
    if not found:
        raise SkuNotFound(f'there is no Sku "{sku}"')
    day = local_day(at, zone=payer.time_zone)
    first_day = _first_day_of_period(day, invoice_day=payer.invoice_day)
    end_day = next_month(first_day)
    card = read_rate_card(tx, payer=payer, first_day=first_day, end_day=end_day)
    return explain(card, sku=found[0], day=day, first_day=first_day, end_day=end_day, metered=metered)


def charge_again(frozen: FrozenLine, *, sku: Sku, book: Book) -> RatedLine | None:
    """What a line that was charged comes to under a version of a price book; None where that does not price the Sku."""
    return recharge(frozen, sku=sku, book=book)


def _first_day_of_period(day: date, *, invoice_day: int) -> date:
    """The day on which the rating period that holds this one began."""
    if day.day >= invoice_day:
        return day.replace(day=invoice_day)
    last_month = day.replace(day=1) - timedelta(days=1)
    return last_month.replace(day=invoice_day)


def import_rates(tx: Tx, *, content: bytes, source: str = reads.ECB, now: datetime) -> RatesImported:
    """Add the exchange rates of a file in the form of the ECB, zipped or not; what stands already stays.

    The same file again adds nothing. Raises UnreadableRates, and RatesDiffer where a rate that stands has another
    value in the file: then nothing of it is added.
    """
    rates = fx.parse_rates(content)
    added = store.insert_rates(tx, source=source, rates=rates, now=now)
    differing = reads.find_difference(tx, source=source, rates=rates)
    if differing is not None:
        given, standing = differing
        raise RatesDiffer(
            f"{given.currency} on {given.day.isoformat()} is {standing} units per euro since an earlier import, and "
            f"{given.rate} in this file: amounts may have been converted with the first. Nothing was imported; take "
            "the day out of the file, or find out which of them the source published"
        )
    days = [rate.day for rate in rates]
    return RatesImported(source, min(days), max(days), added=added, known=len(rates) - added)
