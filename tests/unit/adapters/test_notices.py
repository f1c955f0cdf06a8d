"""Notices on the wire and for people: signatures, chats, and the words in four languages."""

import json
import string
from dataclasses import fields
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from standardwebhooks import Webhook

from milo_billing.adapters import credit_note_page
from milo_billing.adapters.document_strings import STRINGS
from milo_billing.adapters.notice_strings import TEXTS
from milo_billing.adapters.notice_texts import write_notice
from milo_billing.adapters.smtp_mail import compose
from milo_billing.adapters.webhooks import chat_body, signed_headers, webhook_body
from milo_billing.notices.rules.catalogue import EVENTS, EventType
from milo_billing.notices.types import Attachment, Brand, ChatTarget, EmailTarget, Message, Parcel

NOW = datetime(2026, 11, 2, 9, 30, tzinfo=UTC)
SAMPLES: dict[str, Any] = {
    "array": ["KC-2026-000001", "KC-2026-000002"],
    "object": {"namespace": "organization-acme", "name": "main"},
}


def sample(event: EventType) -> dict[str, Any]:
    """Data of this type, with every field that it may have."""

    def value(name: str, schema: dict[str, Any]) -> Any:
        if name == "period":
            return {"start": "2026-10-01T00:00:00Z", "end": "2026-11-01T00:00:00Z"}
        if name == "currencyCode":
            return "EUR"
        if schema.get("format") == "date":
            return "2026-12-02"
        if schema.get("format") == "date-time":
            return "2026-12-02T00:00:00Z"
        if "pattern" in schema:
            return "1234.50"
        return SAMPLES.get(schema["type"], f"some-{name}")

    fields = {**event.required, **event.optional}
    return {name: value(name, schema) for name, schema in fields.items()}


def message(event: EventType, *, language: str = "en", brand: Brand | None = None, **data: Any) -> Message:
    return Message(
        id=UUID(int=5),
        type=event.type,
        occurred_at=NOW,
        account="organization-acme/main",
        data={**sample(event), **data},
        language=language,
        brand=brand or Brand(),
        mail_to=("zoe@example.com",),
        attachments=(),
    )


@pytest.mark.shared
def test_signatures_are_those_of_the_standards_vectors(shared_data: Path) -> None:
    vectors = json.loads((shared_data / "standards" / "standard-webhooks" / "vectors.json").read_text())
    assert vectors["sign"]
    for vector in vectors["sign"]:
        headers = signed_headers(
            vector["payload"].encode(),
            id=vector["msg_id"],
            at=datetime.fromtimestamp(vector["timestamp"], UTC),
            secrets=(vector["secret"],),
        )
        assert headers == {
            "webhook-id": vector["msg_id"],
            "webhook-timestamp": str(vector["timestamp"]),
            "webhook-signature": vector["expected"],
        }


def test_each_secret_signs_and_receivers_take_any_of_them() -> None:
    body = webhook_body(message(EVENTS[0]))
    secrets = ("whsec_" + "QUJD" * 10, "whsec_" + "REVG" * 10)
    now = datetime.now(UTC)
    headers = signed_headers(body, id="msg_1", at=now, secrets=secrets)
    for secret in secrets:
        assert Webhook(secret).verify(body, headers)["timestamp"] == "2026-11-02T09:30:00.000000Z"


@pytest.mark.parametrize("language", TEXTS)
@pytest.mark.parametrize("event", EVENTS, ids=lambda event: event.type)
def test_every_event_has_words_in_every_language(event: EventType, language: str) -> None:
    subject, sentence = TEXTS[language].events[event.type]
    wanted = {
        name for text in (subject, sentence) for _, name, _, _ in string.Formatter().parse(text) if name
    }
    always = {*event.required}
    assert wanted <= always, "a text may only name what is always there"
    notice = write_notice(message(event, language=language), language=None)
    assert notice.language == language
    for text in (notice.subject, notice.text, notice.html):
        assert "{" not in text.partition("<body")[2] if text is notice.html else "{" not in text
    for label, value in notice.facts:
        assert f"{label}: {value}" in notice.text
    assert {*TEXTS[language].events} == {one.type for one in EVENTS}
    assert {*TEXTS[language].labels} == {*TEXTS["en"].labels}


INVOICE = next(event for event in EVENTS if event.type == "invoice.issued")


@pytest.mark.parametrize(
    ("language", "subject", "due"),
    [
        ("en", "Kestrel: Invoice X-1 for EUR\u00a01,234.50", "December 2, 2026"),
        ("de-AT", "Kestrel: Rechnung X-1 über EUR\u00a01.234,50", "2. Dezember 2026"),
        ("fr", "Kestrel: Facture X-1 de 1\u202f234,50\u00a0EUR", "2 décembre 2026"),
        ("ja", "Kestrel: 請求書 X-1（EUR\u00a01,234.50）のお知らせ", "2026年12月2日"),
        ("tlh", "Kestrel: Invoice X-1 for EUR\u00a01,234.50", "December 2, 2026"),
    ],
)
def test_amounts_and_dates_are_written_as_the_reader_does(language: str, subject: str, due: str) -> None:
    sent = message(INVOICE, language=language, brand=Brand("Kestrel", "#112233"), number="X-1")
    notice = write_notice(sent, language=None)
    assert notice.subject == " ".join(subject.split())
    assert due in notice.text
    assert "#112233" in notice.html


def test_what_customers_wrote_is_no_markup_and_no_header() -> None:
    sent = message(INVOICE, brand=Brand("<b>Kes\r\nBcc: x@example.com</b>"), number="<i>1</i>")
    notice = write_notice(sent, language=None)
    assert "<i>" not in notice.html and "<b>" not in notice.html
    assert "\n" not in notice.subject and "\r" not in notice.subject


def test_a_mail_has_both_forms_the_document_and_an_id_that_stays() -> None:
    parcel = Parcel(
        message=message(INVOICE, language="fr", brand=Brand("Kestrel Côté", ""), number="X-1"),
        target=EmailTarget(("zoe@example.com", "ap@example.com")),
        attachments=(Attachment("X-1.pdf", "application/pdf", b"%PDF-1.7 ..."),),
        at=NOW,
    )
    assert isinstance(parcel.target, EmailTarget)
    mail = compose(parcel, parcel.target, sender="billing@kestrel.example")
    assert mail["From"] == "Kestrel Côté <billing@kestrel.example>"
    assert mail["Message-ID"] == f"<msg_{UUID(int=5).hex}@kestrel.example>"
    assert mail["To"] == "zoe@example.com, ap@example.com"
    assert mail["Content-Language"] == "fr"
    kinds = [part.get_content_type() for part in mail.walk()]
    assert kinds == [
        "multipart/mixed",
        "multipart/alternative",
        "text/plain",
        "text/html",
        "application/pdf",
    ]
    (attached,) = mail.iter_attachments()
    assert (attached.get_filename(), attached.get_content()) == ("X-1.pdf", b"%PDF-1.7 ...")
    assert bytes(mail)


def test_chats_get_text_that_means_nothing_in_their_markup() -> None:
    sent = message(INVOICE, number="<!channel> & co")
    slack = chat_body(sent, ChatTarget("https://chat.example.com", "Slack"))
    assert "&lt;!channel&gt; &amp; co" in slack["text"]
    assert slack["blocks"][1]["text"]["text"].startswith("*Invoice*")
    teams = chat_body(sent, ChatTarget("https://chat.example.com", "Teams"))
    (card,) = teams["attachments"]
    assert card["contentType"] == "application/vnd.microsoft.card.adaptive"
    assert card["content"]["body"][0]["text"].startswith("Invoice <!channel> & co for")


@pytest.mark.parametrize("language", TEXTS)
def test_a_credit_note_is_called_the_same_in_a_mail_and_on_its_page(language: str) -> None:
    title = credit_note_page.words_in(language).title
    texts = TEXTS[language]
    assert texts.labels["creditNote"] == title
    for event in ("creditnote.issued", "creditnote.cancelled"):
        subject, body = texts.events[event]
        assert subject.startswith(f"{title} ")
        assert title.casefold() in body.casefold()


def test_what_german_tax_law_calls_gutschrift_is_another_document() -> None:
    """§ 14 Abs. 2 UStG: an invoice that the customer issues."""
    texts = [*TEXTS["de"].labels.values(), *(text for pair in TEXTS["de"].events.values() for text in pair)]
    strings = [getattr(STRINGS["de"], field.name) for field in fields(STRINGS["de"])]
    assert not [text for text in (*texts, *strings) if "Gutschrift" in str(text)]
