"""Mail over a real server: encrypted, with a login; what is refused for good, and what is tried again."""

from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest

from milo_billing.adapters.smtp_mail import SmtpMail
from milo_billing.infra.certificates import ensure_certificates
from milo_billing.infra.database import Databases
from tests.db.notices.ground import ACME, Ground, open_ground
from tests.db.notices.mailbox import PASSWORD, USER, Mailbox, mailing

TO = ("zoe@example.com", "ap@example.com")


@pytest.fixture(scope="module")
def tls(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("mail-tls")
    ensure_certificates(folder, names=(), now=datetime.now(UTC))
    return folder


@pytest.fixture
def mailbox(tls: Path) -> Iterator[Mailbox]:
    certificates, _ = ensure_certificates(tls, names=(), now=datetime.now(UTC))
    with mailing(certificates.leaf, certificates.leaf_key) as mailbox:
        yield mailbox


@pytest.fixture
def sender(mailbox: Mailbox, tls: Path, tmp_path: Path) -> SmtpMail:
    (tmp_path / "password").write_text(f"{PASSWORD}\n")
    certificates, _ = ensure_certificates(tls, names=(), now=datetime.now(UTC))
    return SmtpMail(
        host="localhost",
        port=mailbox.port,
        sender="billing@kestrel.example",
        user=USER,
        password_file=tmp_path / "password",
        authority_file=certificates.authority,
    )


@pytest.fixture
def ground(databases: Databases, tmp_path: Path, sender: SmtpMail) -> Ground:
    ground = open_ground(databases, tmp_path, {"Email": sender})
    ground.declare("organizations", "acme", {})
    return ground


def said(ground: Ground) -> list[tuple[str, int | None, str]]:
    return [
        (outcome, status, text)
        for outcome, status, text in ground.read(
            "select outcome, status, said from notices.attempts order by number"
        )
    ]


def test_mail_goes_to_a_channels_addresses_and_to_those_of_the_event(
    ground: Ground, mailbox: Mailbox
) -> None:
    spec = {"type": "Email", "email": {"to": ["books@example.com"], "language": "ja"}}
    ground.declare("notificationchannels", "books", spec, namespace=ACME)
    assert ground.announce(mail_to=TO, language="de") == 2
    assert ground.deliver() == ["Delivered", "Delivered"]
    by_address = {tuple(to): mail for to, mail in zip(mailbox.to, mailbox.mails, strict=True)}
    assert by_address[TO]["Subject"] == "Zahlung über 120,50 EUR eingegangen"
    assert by_address[("books@example.com",)]["Content-Language"] == "ja"
    assert len({mail["Message-ID"] for mail in mailbox.mails}) == 1
    assert ground.conditions("books")["Verified"] == ("True", "Delivered")


def test_a_passing_refusal_is_tried_again_with_the_same_id(ground: Ground, mailbox: Mailbox) -> None:
    mailbox.answers = ["451 4.3.0 later"]
    ground.announce(mail_to=TO)
    assert ground.deliver() == ["Failed"]
    ground.clock.pass_by(seconds=6)
    assert ground.deliver() == ["Delivered"]
    assert len({mail["Message-ID"] for mail in mailbox.mails}) == 1
    assert said(ground) == [("Failed", 451, "4.3.0 later"), ("Delivered", 250, "")]


def test_a_refusal_for_good_is_the_end(ground: Ground, mailbox: Mailbox) -> None:
    mailbox.refused = frozenset(TO)
    ground.announce(mail_to=TO)
    assert ground.deliver() == ["Dead"]
    ((outcome, status, text),) = said(ground)
    assert (outcome, status) == ("Refused", 550)
    assert "no such user" in text


def test_who_got_it_does_not_get_it_again_because_of_another(ground: Ground, mailbox: Mailbox) -> None:
    mailbox.refused = frozenset(TO[:1])
    ground.announce(mail_to=TO)
    assert ground.deliver() == ["Delivered"]
    assert mailbox.to == [[TO[1]]]
    assert "1 of the addresses were refused" in said(ground)[0][2]


def test_a_wrong_password_and_a_strange_certificate_send_nothing(
    ground: Ground, mailbox: Mailbox, sender: SmtpMail, tmp_path: Path
) -> None:
    (tmp_path / "password").write_text("wrong")
    ground.announce(mail_to=TO)
    assert ground.deliver() == ["Failed"]
    ground.postman = replace(ground.postman, senders={"Email": replace(sender, authority_file=None)})
    ground.clock.pass_by(seconds=6)
    assert ground.deliver() == ["Failed"]
    (first, second) = said(ground)
    assert first[:2] == ("Failed", 535), first
    assert "certificate verify failed" in second[2]
    assert mailbox.mails == []


def test_a_server_without_mail_gives_up_and_says_what_to_set(ground: Ground) -> None:
    ground.postman = replace(ground.postman, senders={})
    ground.announce(mail_to=TO)
    assert ground.deliver() == ["Dead"]
    assert "MILO_BILLING_SMTP_HOST" in said(ground)[0][2]
