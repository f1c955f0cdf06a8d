"""What stands behind a line: its events, and how its amount came to be."""

from datetime import datetime

import structlog

from milo_billing.catalog import reads as catalog
from milo_billing.catalog.types import Book, Sku
from milo_billing.infra.database import Tx
from milo_billing.invoicing.reads import lines as line_reads
from milo_billing.invoicing.rules import (
    explaining,
)
from milo_billing.invoicing.rules.explaining import LineExplanation
from milo_billing.invoicing.rules.requests import EventsRequest
from milo_billing.invoicing.types.errors import LineNotFound
from milo_billing.invoicing.types.invoices import Invoice
from milo_billing.pricing import operations as pricing
from milo_billing.pricing.types import FrozenLine, RatedLine, UnableToRate
from milo_billing.usage import operations as usage
from milo_billing.usage.ports import BlobStore
from milo_billing.usage.types import EventFilter, EventPage

_log = structlog.get_logger(__name__)


def list_line_events(
    tx: Tx, *, invoice: Invoice, line: int, asked: EventsRequest, blobs: BlobStore, now: datetime
) -> EventPage:
    """The events that make up a line: the Sku's meter and match, the line's days, the account, a page at a time.

    `blobs` is where archived days lie.

    Those that counted when the invoice was issued, whose quantity is the line's; with `asked.later` those that have
    reached its days since. Raises LineNotFound.
    """
    found = line_reads.get_line(tx, invoice=invoice, line=line)
    skus = catalog.list_skus(tx, names=[found.sku] if found.sku is not None else [])
    meter = catalog.find_meter(tx, meter_name=skus[0].meter_name) if skus else None
    if meter is None or found.kind != "Usage":
        raise LineNotFound(f"line {line} of invoice {invoice.number} charges for no usage: it has no events")
    wanted = EventFilter(
        accounts=(invoice.account,),
        meters=(meter.number,),
        first=found.first_day,
        end=found.end_day,
        match=skus[0].match,
        counted_until=None if asked.later else invoice.issued_at,
        counted_after=invoice.issued_at if asked.later else None,
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
    frozen = explaining.frozen_line(found, metered=metered, currency=invoice.currency)
    return LineExplanation(
        invoice=invoice,
        line=found,
        shares=shares,
        metered=metered,
        sku=sku,
        meter=None if sku is None else catalog.find_meter(tx, meter_name=sku.meter_name),
        book=book,
        again=None if sku is None or book is None else _charged_again(frozen, sku=sku, book=book),
    )


def _charged_again(frozen: FrozenLine, *, sku: Sku, book: Book) -> RatedLine | None:
    """The line under its book; None where what is known of it now cannot have made it."""
    try:
        return pricing.charge_again(frozen, sku=sku, book=book)
    except (UnableToRate, ValueError) as error:
        _log.warning("line_not_charged_again", sku=sku.name, book=book.number, reason=str(error))
        return None
