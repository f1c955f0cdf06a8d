"""Carries events as mail over SMTP: text and HTML in the reader's language, documents attached.

Owns: the mail and its way to the server of the settings. Not: the words (notice_texts), when to try again (notices).
"""

import smtplib
import ssl
from dataclasses import dataclass
from email.headerregistry import Address
from email.message import EmailMessage
from email.policy import SMTP
from email.utils import format_datetime
from pathlib import Path
from typing import Final, Literal

from typing_extensions import override

from milo_billing.adapters.notice_texts import write_notice
from milo_billing.notices.ports import Sender
from milo_billing.notices.types import SAID_MAX, Answer, EmailTarget, Parcel

STEP_S_MAX: Final = 10.0
"""How long each word of the mail server may take."""

Security = Literal["starttls", "tls", "none"]


@dataclass(frozen=True, slots=True)
class SmtpMail(Sender):
    """Mail through one server. `sender` is the address that mails come from; the name before it is the issuer's.

    With `starttls` nothing is sent before the connection is encrypted, and its certificate must be good. The password
    is read from `password_file` for each mail, so that a new one is taken up.
    """

    host: str
    port: int
    sender: str
    security: Security = "starttls"
    user: str | None = None
    password_file: Path | None = None
    authority_file: Path | None = None

    @override
    def send(self, parcel: Parcel) -> Answer:
        if not isinstance(parcel.target, EmailTarget):
            return Answer("Refused", None, "only mail goes over SMTP")
        try:
            refused = self._hand_over(compose(parcel, parcel.target, sender=self.sender), parcel.target.to)
        except smtplib.SMTPRecipientsRefused as error:
            codes = [code for code, _ in error.recipients.values()]
            said = "; ".join(_said(text) for _, text in error.recipients.values())
            return _answer(min(codes), f"every address was refused: {said}")
        except smtplib.SMTPResponseException as error:
            return _answer(error.smtp_code, _said(error.smtp_error))
        except (smtplib.SMTPException, OSError) as error:
            return Answer("Failed", None, f"{self.host}: {error or type(error).__name__}"[:SAID_MAX])
        if refused:
            # who got it must not get it again because of those who did not
            said = "; ".join(_said(text) for _, text in refused.values())
            return Answer(
                "Delivered", 250, f"{len(refused)} of the addresses were refused: {said}"[:SAID_MAX]
            )
        return Answer("Delivered", 250, "")

    def _hand_over(self, mail: EmailMessage, to: tuple[str, ...]) -> dict[str, tuple[int, bytes]]:
        """Those of the addresses that the server refused, and why."""
        with self._connect() as server:
            if self.user is not None and self.password_file is not None:
                server.login(self.user, self.password_file.read_text().strip())
            return server.send_message(mail, from_addr=self.sender, to_addrs=list(to))

    def _connect(self) -> smtplib.SMTP:
        trust = ssl.create_default_context(
            cafile=None if self.authority_file is None else str(self.authority_file)
        )
        if self.security == "tls":
            return smtplib.SMTP_SSL(self.host, self.port, timeout=STEP_S_MAX, context=trust)
        server = smtplib.SMTP(self.host, self.port, timeout=STEP_S_MAX)
        if self.security == "starttls":
            try:
                server.starttls(context=trust)
            except BaseException:
                server.close()
                raise
        return server


def compose(parcel: Parcel, target: EmailTarget, *, sender: str) -> EmailMessage:
    """The mail: the same Message-ID at every attempt, so that a second copy can be told."""
    message = parcel.message
    notice = write_notice(message, language=target.language)
    domain = sender.rpartition("@")[2]
    mail = EmailMessage(policy=SMTP)
    mail["From"] = Address(display_name=" ".join(message.brand.name.split()), addr_spec=sender)
    mail["To"] = [Address(addr_spec=address) for address in target.to]
    mail["Subject"] = notice.subject
    mail["Date"] = format_datetime(message.occurred_at)
    mail["Message-ID"] = f"<{message.wire_id}@{domain}>"
    mail["Auto-Submitted"] = "auto-generated"  # so that nobody's out-of-office note answers (RFC 3834)
    mail.set_content(notice.text)
    mail.add_alternative(notice.html, subtype="html")
    for attachment in parcel.attachments:
        main, _, sub = attachment.media_type.partition("/")
        mail.add_attachment(attachment.content, maintype=main, subtype=sub, filename=attachment.name)
    mail["Content-Language"] = notice.language  # last: setting contents takes such headers away
    return mail


def _answer(code: int, said: str) -> Answer:
    """5xx is for good, anything else may pass (RFC 5321 §4.2.1). A wrong password is the server's owner's to mend."""
    final = 500 <= code < 600 and code not in (530, 534, 535)
    return Answer("Refused" if final else "Failed", code, said[:SAID_MAX])


def _said(text: bytes | str) -> str:
    return text.decode("utf-8", "replace") if isinstance(text, bytes) else text
