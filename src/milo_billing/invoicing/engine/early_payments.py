"""The discount for early payment: what it is today, the credit note that gives it once it is earned, and its end.

Owns: the order of reads and writes. Not: how much it is (rules.early_payment), the note itself (crediting).
"""

from datetime import date

from milo_billing.controlplane.engine import Engine
from milo_billing.controlplane.work import Work
from milo_billing.infra.clock import new_uid
from milo_billing.infra.database import Tx
from milo_billing.invoicing.engine import cancelling, crediting, publishing
from milo_billing.invoicing.engine.crediting import Wanted
from milo_billing.invoicing.reads import invoices as invoice_reads
from milo_billing.invoicing.reads import notes as note_reads
from milo_billing.invoicing.rules import early_payment
from milo_billing.invoicing.types.invoices import Invoice


def offered_minor(tx: Tx, invoice: Invoice, *, day: date) -> int:
    """What is off what is due where the rest is paid on this day; 0 where nothing is, or nothing any more."""
    if not early_payment.is_offered(invoice, day=day):
        return 0
    if invoice_reads.lost_early_payment(tx, invoice=invoice):
        return 0
    discount_minor = crediting.early_minor(tx, invoice)
    return discount_minor if discount_minor < invoice.amount_due_minor else 0


def grant(work: Work, engine: Engine, invoice: Invoice) -> Invoice:
    """Give the discount where what was just paid earns it; the invoice then.

    Everything that was paid counts from a day in time, and the discount is all that is left. One stands at a
    time: it ends where the payment goes back (`end`), and can be earned again. The invoice is locked by the caller.
    """
    tx = work.tx
    if invoice.early is None or not invoice.open_minor or invoice.written_off_minor:
        return invoice
    if invoice_reads.lost_early_payment(tx, invoice=invoice):
        return invoice
    if not early_payment.is_earned(
        open_minor=invoice.open_minor, discount_minor=crediting.early_minor(tx, invoice)
    ):
        return invoice
    language, _ = invoice_reads.get_manner(tx, invoice=invoice.uid)
    wanted = Wanted(
        new_uid(),
        invoice.namespace,
        "",
        invoice.uid,
        (),
        None,
        early_payment.reason(invoice.early, language=language),
        early=True,
    )
    note = crediting.issue(tx, wanted, now=work.now)
    publishing.publish_note(work, engine, note, verb="issue")
    credited = invoice_reads.lock_invoice(tx, uid=invoice.uid)
    publishing.publish(work, engine, credited, verb="settle")
    return credited


def end(work: Work, engine: Engine, invoice: Invoice) -> Invoice:
    """End the discount where a payment has gone back, so that the invoice is owed again; the invoice then.

    The invoice and its object are locked by the caller.
    """
    if invoice.early is None or not invoice.open_minor:
        return invoice
    note = note_reads.find_standing_discount(work.tx, invoice=invoice.uid)
    if note is None:
        return invoice
    cancelled = cancelling.cancel_discount(work.tx, invoice=invoice, note=note, now=work.now)
    publishing.publish_cancelled(work, engine, cancelled)
    owed = invoice_reads.lock_invoice(work.tx, uid=invoice.uid)
    publishing.publish(work, engine, owed, verb="settle")
    return owed
