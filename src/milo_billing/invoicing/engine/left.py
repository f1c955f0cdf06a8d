"""What is left of issued invoices, line by line, that a credit note can take back. Nothing is written here."""

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from types import MappingProxyType
from typing import Final
from uuid import UUID

from milo_billing.infra.database import Tx
from milo_billing.invoicing.reads import adjustments as adjustment_reads
from milo_billing.invoicing.reads import invoices as invoice_reads
from milo_billing.invoicing.reads import notes as note_reads
from milo_billing.invoicing.rules import adjusting
from milo_billing.invoicing.rules.adjusting import Place, Taxed
from milo_billing.invoicing.rules.below_zero import Creditable
from milo_billing.invoicing.rules.left import Given, capped, left_of_invoice
from milo_billing.invoicing.types.drafts import CHARGE_KINDS, DraftLine, LineKind
from milo_billing.invoicing.types.invoices import Invoice, InvoiceLine

INVOICES_MAX: Final = 60
"""So many invoices of an account, the newest first, are looked through for what was charged before."""

NONE_GIVEN: Final[Given] = MappingProxyType({})


def places_of(
    tx: Tx,
    invoice: Invoice,
    pairs: Sequence[tuple[InvoiceLine, DraftLine]],
    *,
    of: Collection[DraftLine],
    given: Given = NONE_GIVEN,
) -> tuple[tuple[Place, ...], Mapping[Taxed, int]]:
    """What can be credited of these lines of an invoice, which may be nothing; and by tax how much more were left of
    them if others were not below zero: never more is taken than is left of the invoice as a whole and of each of its
    taxes, less what others are about to take (`given`).
    """
    left = left_of_invoice(
        [line for line, _ in pairs],
        invoice.taxes,
        credited=note_reads.list_credited(tx, invoice=invoice.uid),
        credited_taxes=note_reads.list_credited_taxes(tx, invoice=invoice.uid),
    )
    places = [
        Place(
            invoice.uid,
            line.line,
            adjusting.charged(drafted),
            max(left.lines[line.line], 0),
            adjusting.treatments(invoice, line),
        )
        for line, drafted in pairs
        if drafted in of and line.net_minor > 0
    ]
    found = capped(places, left=left, given=given.get(invoice.uid, ()))
    withheld: Counter[Taxed] = Counter()
    for place, creditable in zip(places, found, strict=True):
        withheld[place.taxed] += place.left_minor - creditable.left_minor
    return found, withheld


def list_creditable(
    tx: Tx,
    *,
    account: int,
    before: datetime,
    but: Collection[UUID] = (),
    kinds: Collection[LineKind] = CHARGE_KINDS,
    given: Given = NONE_GIVEN,
) -> tuple[Creditable, ...]:
    """The invoices over what the account used on days before the instant, whoever paid, without some, the newest first,
    with what is left of its lines of these kinds: usage and charges, as what was prepaid has its own way back.
    `given` as of `places_of`.
    """
    standing = invoice_reads.list_standing(tx, account=account, before=before, limit=INVOICES_MAX)
    found: list[Creditable] = []
    for one in standing:
        if one.uid not in but:
            pairs = adjustment_reads.list_charged(tx, invoice=one.uid)
            of = [
                line for _, line in pairs if adjusting.charged(line).kind in kinds and line.used_by == account
            ]
            places, _ = places_of(tx, one, pairs, of=of, given=given)
            made = adjustment_reads.list_adjustments(tx, invoice=one.uid, account=account)
            found.append(Creditable(one, places, sequence=len(made) + 1))
    return tuple(found)
