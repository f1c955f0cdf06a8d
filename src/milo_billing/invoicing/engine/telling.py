"""Announce what becomes of an issued invoice: to the channels that want to hear of it, and by mail where it is said."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any
from uuid import UUID

from milo_billing.infra.crypto import Vault
from milo_billing.infra.database import Tx
from milo_billing.invoicing.reads import invoices as invoice_reads
from milo_billing.invoicing.rules import announcing
from milo_billing.invoicing.types.invoices import Invoice
from milo_billing.notices import operations as notices


def tell(
    tx: Tx,
    type: str,
    invoice: Invoice,
    *,
    now: datetime,
    more: Mapping[str, Any] | None = None,
    once: str = "",
    vault: Vault | None = None,
    subject: UUID | None = None,
    mail_to: tuple[str, ...] = (),
    attachments: tuple[str, ...] = (),
) -> None:
    """Announce an event of the invoice as it stands after it, in the transaction that makes it so.

    `once` tells apart what may happen to an invoice several times. With `mail_to` the event is personal: it needs the
    `vault`, and the account's uid as `subject`. `attachments` are further documents for mails.
    """
    language, issuer = invoice_reads.get_manner(tx, invoice=invoice.uid)
    event = announcing.invoice_event(
        type,
        invoice,
        language=language,
        issuer=issuer,
        subject=subject if mail_to else None,
        mail_to=mail_to,
        more=more,
        once=once,
        attachments=attachments,
    )
    notices.send(tx, vault, event=event, now=now)
