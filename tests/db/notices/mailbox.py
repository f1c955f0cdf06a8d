"""A mail server that is not ours (aiosmtpd), on loopback, with TLS and a password, and moods."""

import asyncio
import ssl
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass, field
from email import message_from_bytes
from email.message import EmailMessage
from email.policy import default
from pathlib import Path
from typing import Any

from aiosmtpd.controller import Controller
from aiosmtpd.smtp import AuthResult, Envelope

USER, PASSWORD = "billing", "correct horse"


@dataclass
class Mailbox:
    """What came in. `answers` are given to mails in turn, then 250; `refused` addresses get 550."""

    port: int = 0
    mails: list[EmailMessage] = field(default_factory=list[EmailMessage])
    to: list[list[str]] = field(default_factory=list[list[str]])
    answers: list[str] = field(default_factory=list[str])
    refused: frozenset[str] = frozenset()

    async def handle_RCPT(
        self, server: Any, session: Any, envelope: Envelope, address: str, options: list[str]
    ) -> str:
        if address in self.refused:
            return "550 5.1.1 no such user"
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, server: Any, session: Any, envelope: Envelope) -> str:
        content = envelope.content
        assert isinstance(content, bytes)
        self.mails.append(message_from_bytes(content, policy=default))
        self.to.append([str(address) for address in envelope.rcpt_tos])
        return self.answers.pop(0) if self.answers else "250 OK"


def _authenticated(_server: Any, _session: Any, _envelope: Any, _way: str, data: Any) -> AuthResult:
    good = (data.login, data.password) == (USER.encode(), PASSWORD.encode())
    return AuthResult(success=good, handled=False)


class AnyPort(Controller):
    """A controller that takes a free port, and looks there whether it runs."""

    def _trigger_server(self) -> None:
        assert isinstance(self.server, asyncio.Server)
        self.port = self.server.sockets[0].getsockname()[1]
        super()._trigger_server()


@contextmanager
def mailing(certificate: Path, key: Path) -> Generator[Mailbox]:
    """A server that takes mail after STARTTLS and a login, until the block ends."""
    mailbox = Mailbox()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    controller = AnyPort(
        mailbox,
        hostname="127.0.0.1",
        port=0,
        tls_context=context,
        require_starttls=True,
        authenticator=_authenticated,
        auth_required=True,
    )
    controller.start()
    try:
        mailbox.port = controller.port
        yield mailbox
    finally:
        controller.stop(no_assert=True)
