"""Who carries notices in this server: the senders that its settings allow, and the documents of every slice."""

from dataclasses import dataclass

from typing_extensions import override

from milo_billing.adapters.child_documents import ChildDocuments
from milo_billing.adapters.smtp_mail import SmtpMail
from milo_billing.adapters.webhooks import Webhooks
from milo_billing.controlplane.engine import Engine
from milo_billing.infra.clock import Clock
from milo_billing.infra.crypto import Vault
from milo_billing.infra.database import Tx
from milo_billing.infra.runtime import Runtime
from milo_billing.infra.settings import Settings
from milo_billing.invoicing.operations import papers
from milo_billing.invoicing.ports import DocumentWriter
from milo_billing.invoicing.reads import invoices as invoice_reads
from milo_billing.invoicing.reads import notes as note_reads
from milo_billing.invoicing.rules import announcing
from milo_billing.kernel.errors import NotFound
from milo_billing.notices.jobs import Postman
from milo_billing.notices.ports import Attachments, Sender
from milo_billing.notices.types import Attachment, ChannelType


def build_senders(settings: Settings) -> dict[ChannelType, Sender]:
    """Webhooks and chats always; mail where the settings name a server for it."""
    over_http = Webhooks(loopback=settings.notices_to_loopback)
    senders: dict[ChannelType, Sender] = {"Webhook": over_http, "Chat": over_http}
    if settings.smtp_host is not None:
        assert settings.smtp_from is not None, "Settings has checked it"
        senders["Email"] = SmtpMail(
            host=settings.smtp_host,
            port=settings.smtp_port,
            sender=settings.smtp_from,
            security=settings.smtp_security,
            user=settings.smtp_user,
            password_file=settings.smtp_password_file,
            authority_file=settings.smtp_ca_file,
        )
    return senders


@dataclass(frozen=True, slots=True)
class Documents(Attachments):
    """`invoice/<namespace>/<name>` and `creditnote/<namespace>/<name>`: the PDF of an invoice, of a credit note;
    `cancellation/<namespace>/<name>`: that of what cancels the credit note.
    """

    vault: Vault
    writer: DocumentWriter
    clock: Clock

    @override
    def open(self, tx: Tx, reference: str) -> Attachment:
        what, _, named = reference.partition("/")
        namespace, _, name = named.partition("/")
        now = self.clock.now()
        match what:
            case announcing.INVOICE:
                invoice = invoice_reads.get_invoice(tx, namespace=namespace, name=name)
                number = invoice.number
                printed = papers.print_invoice(tx, self.vault, self.writer, invoice=invoice, now=now)
            case announcing.CREDIT_NOTE:
                note = note_reads.get_credit_note(tx, namespace=namespace, name=name)
                number = note.number
                printed = papers.print_credit_note(tx, self.vault, self.writer, note=note, now=now)
            case announcing.CANCELLATION:
                note = note_reads.get_credit_note(tx, namespace=namespace, name=name)
                number = note.number_of("Cancellation")
                printed = papers.print_credit_note(
                    tx, self.vault, self.writer, note=note, now=now, paper="Cancellation"
                )
            case _:
                raise NotFound(f"no slice has a document {reference!r}")
        return Attachment(f"{number}.pdf", printed.media_type, printed.content)


def build_postman(runtime: Runtime, engine: Engine) -> Postman:
    """The postman of one worker."""
    return Postman(
        engine=engine,
        vault=runtime.vault,
        database=runtime.databases.app,
        clock=runtime.clock,
        senders=build_senders(runtime.settings),
        attachments=Documents(runtime.vault, ChildDocuments(children=1), runtime.clock),
    )
