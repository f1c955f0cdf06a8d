"""What people read of an event: a subject, a sentence and the facts, in their language; as text and as simple HTML.

Owns: the form. Not: the words (notice_strings), numbers and dates (document_formats), how it travels (webhooks,
smtp_mail).
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from decimal import Decimal
from html import escape
from typing import Any, Final, cast

from milo_billing.adapters.document_formats import Formats, formats_for
from milo_billing.adapters.notice_strings import TEXTS, Texts
from milo_billing.kernel.money import UnknownCurrency, settle
from milo_billing.notices.types import Message

DEFAULT_COLOR: Final = "#1f4b99"
_AMOUNTS: Final = ("total", "amountDue", "amount", "credited", "remaining", "takenBack")
_DAYS: Final = ("issuedOn", "dueOn", "suspendsOn", "nextAttemptOn")
_INSTANTS: Final = ("expiresAt",)
_SHOWN: Final = (
    "number",
    "creditNote",
    "cancellation",
    "creditGrant",
    "payment",
    "transfer",
    "account",
    "channel",
    "total",
    "amount",
    "credited",
    "amountDue",
    "remaining",
    "issuedOn",
    "dueOn",
    "suspendsOn",
    "nextAttemptOn",
    "expiresAt",
    "invoices",
    "reason",
)
"""The facts that are shown, in this order, where an event has them."""


@dataclass(frozen=True, slots=True)
class Notice:
    """One event as people read it. `facts` are pairs of a label and a value."""

    language: str
    subject: str
    sentence: str
    facts: tuple[tuple[str, str], ...]
    text: str
    html: str


def write_notice(message: Message, *, language: str | None) -> Notice:
    """The event in a language (BCP 47), by default its own; English where there are no words in it."""
    formats = formats_for(language or message.language)
    texts = TEXTS.get(formats.language, TEXTS["en"])
    if formats.language not in TEXTS:
        formats = formats_for("en")
    values = _values(message.data, formats)
    subject, sentence = texts.events[message.type]
    named = _Named({**values, "brand": message.brand.name})
    lead = f"{message.brand.name}: " if message.brand.name else ""
    # one line, whatever stands in a name: it becomes the head of a mail
    subject = " ".join(f"{lead}{subject.format_map(named)}".split())
    said = sentence.format_map(named)
    facts = tuple((texts.labels[key], values[key]) for key in _SHOWN if values.get(key))
    return Notice(
        language=formats.language,
        subject=subject,
        sentence=said,
        facts=facts,
        text=_plain(texts, said, facts, brand=message.brand.name),
        html=_html(texts, said, facts, message=message, language=formats.language),
    )


class _Named(dict[str, str]):
    """Values for a text; one that an event does not have is left empty."""

    def __missing__(self, key: str) -> str:
        return ""


def _values(data: Mapping[str, Any], formats: Formats) -> dict[str, str]:
    """The data as the reader writes them."""
    return dict(_read_values(data, formats))


def _read_values(data: Mapping[str, Any], formats: Formats) -> Iterator[tuple[str, str]]:
    currency = str(data.get("currencyCode", ""))
    for key, value in data.items():
        if key in _AMOUNTS:
            yield key, _money(str(value), currency, formats)
        elif key in _DAYS:
            yield key, formats.day(date.fromisoformat(str(value)))
        elif key in _INSTANTS:  # the day in UTC: nobody's zone is known here
            yield key, formats.day(datetime.fromisoformat(str(value)).astimezone(UTC).date())
        elif isinstance(value, str):
            yield key, value
        elif isinstance(value, dict):
            named = cast("Mapping[str, Any]", value)
            if "name" in named:
                yield key, str(named["name"])
        elif isinstance(value, list):
            yield key, ", ".join(str(one) for one in cast("Sequence[Any]", value))


def _money(amount: str, currency: str, formats: Formats) -> str:
    try:
        return formats.money(settle(Decimal(amount), currency).minor, currency)
    except UnknownCurrency:
        return f"{amount} {currency}"


def _plain(texts: Texts, sentence: str, facts: Sequence[tuple[str, str]], *, brand: str) -> str:
    lines = [f"{label}: {value}" for label, value in facts]
    parts = [texts.greeting, sentence, "\n".join(lines), texts.closing, brand]
    return "\n\n".join(part for part in parts if part) + "\n"


def _html(
    texts: Texts, sentence: str, facts: Sequence[tuple[str, str]], *, message: Message, language: str
) -> str:
    """Tables and inline styles: what every mail program shows. Nothing is loaded from anywhere."""
    color = message.brand.color or DEFAULT_COLOR
    rows = "".join(
        f'<tr><td style="padding:4px 24px 4px 0;color:#5b6472">{escape(label)}</td>'
        f'<td style="padding:4px 0">{escape(value)}</td></tr>'
        for label, value in facts
    )
    head = (
        f'<p style="margin:0 0 24px;font-size:18px;font-weight:600;color:{escape(color)}">'
        f"{escape(message.brand.name)}</p>"
        if message.brand.name
        else ""
    )
    table = f'<table role="presentation" style="margin:0 0 16px;border-collapse:collapse">{rows}</table>'
    return (
        f'<!doctype html><html lang="{language}"><head><meta charset="utf-8"></head>'
        f'<body style="margin:0;padding:24px;background:#f4f5f7;font:15px/1.5 system-ui,sans-serif;color:#1b2430">'
        f'<div style="max-width:560px;margin:0 auto;padding:32px;background:#fff;border-top:4px solid {escape(color)}">'
        f'{head}<p style="margin:0 0 16px">{escape(texts.greeting)}</p>'
        f'<p style="margin:0 0 16px">{escape(sentence)}</p>{table if rows else ""}'
        f'<p style="margin:0;color:#5b6472">{escape(texts.closing)}</p></div></body></html>'
    )
