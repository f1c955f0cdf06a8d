"""What stands behind a line: its events, and how its amount came to be."""

from dataclasses import replace
from datetime import datetime

import structlog

from milo_billing.catalog import reads as catalog
from milo_billing.catalog.types import Book, Meter, Sku
from milo_billing.infra.database import Tx
from milo_billing.invoicing.reads import adjustments as adjustment_reads
from milo_billing.invoicing.reads import invoices as invoice_reads
from milo_billing.invoicing.reads import lines as line_reads
from milo_billing.invoicing.rules import adjusting, explaining
from milo_billing.invoicing.rules.explaining import LineExplanation
from milo_billing.invoicing.rules.explaining_adjustments import AdjustedLine, last_look
from milo_billing.invoicing.rules.requests import EventsRequest
from milo_billing.invoicing.types.errors import LineNotFound
from milo_billing.invoicing.types.invoices import Invoice, InvoiceLine
from milo_billing.pricing import operations as pricing
from milo_billing.pricing.types import FrozenLine, RatedLine, UnableToRate
from milo_billing.usage import operations as usage
from milo_billing.usage import reads as usage_reads
from milo_billing.usage.ports import BlobStore
from milo_billing.usage.types import EventFilter, EventPage, UsageChange

_log = structlog.get_logger(__name__)


def list_line_events(
    tx: Tx, *, invoice: Invoice, line: int, asked: EventsRequest, blobs: BlobStore, now: datetime
) -> EventPage:
    """The events that make up a line: the Sku's meter and match, the line's days, the account, a page at a time.

    `blobs` is where archived days lie.

    Those that counted when the invoice was issued, whose quantity is the line's; of a line that adjusts another invoice
    those that have come since that one was issued or last adjusted. With `asked.later` those that have
    reached its days since. Raises LineNotFound.
    """
    found = line_reads.get_line(tx, invoice=invoice, line=line)
    adjusted = _adjusted(tx, invoice, found)
    skus = catalog.list_skus(tx, names=[found.sku] if found.sku is not None else [])
    meter = catalog.find_meter(tx, meter_name=skus[0].meter_name) if skus else None
    kind = found.kind if found.adjusts is None else found.adjusts.kind
    if meter is None or kind != "Usage":
        raise LineNotFound(f"line {line} of invoice {invoice.number} charges for no usage: it has no events")
    # an adjustment is for what came since the invoice, or since the adjustment before
    since = None if adjusted is None else last_look(adjusted.original, adjusted.earlier)
    wanted = EventFilter(
        accounts=(found.used_by,),
        meters=(meter.number,),
        first=found.first_day,
        end=found.end_day,
        match=skus[0].match,
        counted_until=None if asked.later else invoice.issued_at,
        counted_after=invoice.issued_at if asked.later else since,
    )
    return usage.list_events(tx, wanted=wanted, after=asked.after, limit=asked.limit, blobs=blobs, now=now)


def explain_line(tx: Tx, *, invoice: Invoice, line: int) -> LineExplanation:
    """Where the amount of a line came from, and what the frozen version of its price book makes of it now.

    Raises LineNotFound.
    """
    found = line_reads.get_line(tx, invoice=invoice, line=line)
    shares, metered = line_reads.list_line_shares(
        tx, invoice=invoice.uid, line=line, limit=explaining.SHARES_MAX
    )
    numbers = line_reads.find_line_sources(tx, invoice=invoice.uid, line=line)
    sku = None if numbers is None else catalog.find_sku(tx, number=numbers[0])
    book = None if numbers is None else catalog.find_book(tx, number=numbers[1])
    adjusted = _adjusted(tx, invoice, found)
    meter = None if sku is None else catalog.find_meter(tx, meter_name=sku.meter_name)
    if adjusted is not None and meter is not None:
        adjusted = replace(
            adjusted, changes=_changes(tx, invoice, adjusted, account=found.used_by, meter=meter)
        )
    return LineExplanation(
        invoice=invoice,
        line=found,
        shares=shares,
        metered=metered,
        sku=sku,
        meter=meter,
        book=book,
        again=None
        if sku is None or book is None or adjusted is not None
        else _charged_again(
            explaining.frozen_line(found, metered=metered, currency=invoice.currency), sku=sku, book=book
        ),
        adjusted=adjusted,
    )


def _adjusted(tx: Tx, invoice: Invoice, line: InvoiceLine) -> AdjustedLine | None:
    """What a line of kind Adjustment adjusts, and what was charged of that before."""
    if line.adjusts is None:
        return None
    of = adjusting.charged(line)
    original = invoice_reads.get_invoice_by_uid(tx, uid=line.adjusts.invoice)
    made = adjustment_reads.list_adjustments(tx, invoice=original.uid, account=line.used_by)
    own = next((one.sequence for one in made if one.carrier == invoice.uid), 0)
    lines = line_reads.list_lines(tx, invoice=original.uid, limit=adjustment_reads.LINES_MAX)
    return AdjustedLine(
        of=of,
        original=original,
        issued=tuple(
            one
            for one in lines
            if one.adjusts is None and one.used_by == line.used_by and adjusting.charged(one) == of
        ),
        earlier=tuple(one for one in made if one.sequence < own and one.stands),
        changes=(),
    )


def _changes(
    tx: Tx, invoice: Invoice, adjusted: AdjustedLine, *, account: int, meter: Meter
) -> tuple[UsageChange, ...]:
    """By day, what came late until this invoice and was not in an adjustment before."""
    since = last_look(adjusted.original, adjusted.earlier) if adjusted.earlier else None
    changes = usage_reads.list_changes(
        tx,
        account=account,
        first=adjusted.of.first_day,
        end=adjusted.of.end_day,
        limit=explaining.SHARES_MAX,
    )
    return tuple(
        one
        for one in changes
        if one.key.meter == meter.number
        and one.first_changed_at <= invoice.issued_at
        and (since is None or since < one.last_changed_at)
    )


def _charged_again(frozen: FrozenLine, *, sku: Sku, book: Book) -> RatedLine | None:
    """The line under its book; None where what is known of it now cannot have made it."""
    try:
        return pricing.charge_again(frozen, sku=sku, book=book)
    except (UnableToRate, ValueError) as error:
        _log.warning("line_not_charged_again", sku=sku.name, book=book.number, reason=str(error))
        return None
