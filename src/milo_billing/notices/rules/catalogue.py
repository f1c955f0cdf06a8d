"""Every event that can be told, with the schema of its data: what the reference and GET /v1/notices/events show.

Fields are only ever added: receivers read those that they know. Amounts are decimal strings in `currencyCode`.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

Schema = dict[str, Any]

_TEXT: Final[Schema] = {"type": "string"}
_DAY: Final[Schema] = {"type": "string", "format": "date"}
_TIME: Final[Schema] = {"type": "string", "format": "date-time"}
_AMOUNT: Final[Schema] = {
    "type": "string",
    "pattern": "^-?[0-9]+([.][0-9]+)?$",
    "description": "A decimal number in the currency's main unit.",
}
_CURRENCY: Final[Schema] = {"type": "string", "pattern": "^[A-Z]{3}$", "description": "ISO 4217."}
_NAMED: Final[Schema] = {
    "type": "object",
    "properties": {"namespace": _TEXT, "name": _TEXT},
    "required": ["namespace", "name"],
}


@dataclass(frozen=True, slots=True)
class EventType:
    """One type of event: when it happens, and what its data must and may have."""

    type: str
    about: str
    required: Mapping[str, Schema]
    optional: Mapping[str, Schema]

    @property
    def schema(self) -> Schema:
        """The JSON schema of `data`."""
        return {
            "type": "object",
            "properties": {**self.required, **self.optional},
            "required": list(self.required),
        }


def _type(name: str, about: str, required: Mapping[str, Schema], **optional: Schema) -> EventType:
    return EventType(name, about, required, optional)


_INVOICE: Final[Mapping[str, Schema]] = {
    "invoice": {**_NAMED, "description": "The Invoice object."},
    "account": {**_NAMED, "description": "The BillingAccount object."},
    "number": _TEXT,
    "issuer": {**_TEXT, "description": "The IssuerProfile that it was issued by."},
    "currencyCode": _CURRENCY,
    "total": _AMOUNT,
    "amountDue": _AMOUNT,
    "issuedOn": _DAY,
    "dueOn": _DAY,
}
_ACCOUNT: Final[Mapping[str, Schema]] = {"account": _INVOICE["account"]}
_PAYMENT: Final[Mapping[str, Schema]] = {
    **_ACCOUNT,
    "payment": {**_TEXT, "description": "The Payment's name."},
    "currencyCode": _CURRENCY,
    "amount": _AMOUNT,
}
_TRANSFER: Final[Mapping[str, Schema]] = {
    **_ACCOUNT,
    "transfer": {**_TEXT, "description": "The end-to-end id, which the bank tells too."},
    "currencyCode": _CURRENCY,
    "amount": _AMOUNT,
}
_CREDIT: Final[Mapping[str, Schema]] = {
    **_ACCOUNT,
    "creditGrant": {**_TEXT, "description": "The CreditGrant's name."},
    "kind": {**_TEXT, "enum": ["Prepaid", "Promotional", "Goodwill"]},
    "currencyCode": _CURRENCY,
    "amount": {**_AMOUNT, "description": "What was granted."},
    "remaining": {**_AMOUNT, "description": "What is left of it; of an expired one what has lapsed."},
}
_INVOICES: Final[Schema] = {
    "type": "array",
    "items": _TEXT,
    "description": "Numbers of the invoices that it pays.",
}
_REASON: Final[Schema] = {**_TEXT, "description": "Why, in words."}

EVENTS: Final = (
    _type(
        "invoice.issued",
        "An invoice was issued. By mail its PDF goes with it.",
        _INVOICE,
        period={"type": "object", "properties": {"start": _TIME, "end": _TIME}},
        pdf={**_TEXT, "description": "The path of the PDF on this server."},
    ),
    _type(
        "invoice.past_due", "The due date of an invoice has passed, and some of it is owed still.", _INVOICE
    ),
    _type("invoice.paid", "An invoice is paid in full.", _INVOICE),
    _type("invoice.voided", "An invoice was voided: nothing is owed for it.", _INVOICE, reason=_REASON),
    _type(
        "invoice.written_off",
        "What is owed for an invoice was written off as uncollectible.",
        _INVOICE,
        reason=_REASON,
    ),
    _type(
        "creditnote.issued",
        "A credit note was issued against an invoice. By mail its PDF goes with it.",
        {**_INVOICE, "creditNote": {**_TEXT, "description": "Its number."}, "credited": _AMOUNT},
        reason=_REASON,
    ),
    _type(
        "creditnote.cancelled",
        "A credit note holds no more, since the payment that earned the discount went back. By mail the PDF of the "
        "document that cancels it goes with it.",
        {
            **_INVOICE,
            "creditNote": {**_TEXT, "description": "Its number."},
            "cancellation": {**_TEXT, "description": "The number of the document that cancels it."},
            "amount": {**_AMOUNT, "description": "What it had credited, with tax, and is owed again."},
        },
        reason=_REASON,
    ),
    _type("credit.used_up", "Nothing is left of a credit grant.", _CREDIT, expiresAt=_TIME),
    _type(
        "credit.expiring", "A credit grant of which something is left expires soon.", _CREDIT, expiresAt=_TIME
    ),
    _type("credit.expired", "What was left of a credit grant has lapsed.", _CREDIT, expiresAt=_TIME),
    _type(
        "credit.taken_back",
        "Credit was taken back since the money that it was bought with went back; what it paid is owed again.",
        {**_CREDIT, "takenBack": _AMOUNT},
        expiresAt=_TIME,
        reason=_REASON,
    ),
    _type("payment.succeeded", "A payment came in.", _PAYMENT, invoices=_INVOICES),
    _type(
        "payment.failed",
        "A payment was declined, or came back.",
        _PAYMENT,
        invoices=_INVOICES,
        reason=_REASON,
        nextAttemptOn={**_DAY, "description": "When it is tried again; not there where it is not."},
    ),
    _type("payment.refunded", "A payment was given back, all or some of it.", _PAYMENT, invoices=_INVOICES),
    _type("transfer.booked", "The bank has paid money back to the customer by bank transfer.", _TRANSFER),
    _type(
        "transfer.returned",
        "Money that went back by bank transfer has come back: the account has it again.",
        _TRANSFER,
        reason=_REASON,
    ),
    _type(
        "account.suspension_announced",
        "An account will be suspended unless what is owed is paid.",
        {**_ACCOUNT, "suspendsOn": _DAY},
        currencyCode=_CURRENCY,
        amountDue=_AMOUNT,
    ),
    _type("account.suspended", "An account was suspended.", _ACCOUNT, reason=_REASON),
    _type("account.reactivated", "An account is active again.", _ACCOUNT),
    _type(
        "notices.test",
        "Somebody tried out a channel.",
        {"channel": {**_NAMED, "description": "The NotificationChannel object."}},
    ),
)

TEST: Final = "notices.test"
FAMILIES: Final = tuple(
    sorted({f"{event.type.partition('.')[0]}.*" for event in EVENTS if event.type != TEST})
)
"""What stands for all events of a family: `invoice.*`."""

_BY_TYPE: Final = {event.type: event for event in EVENTS}


def check_event(type: str, data: Mapping[str, Any]) -> None:
    """Raise ValueError for an event that is not of the catalogue: a defect of the slice that announces it."""
    known = _BY_TYPE.get(type)
    if known is None:
        raise ValueError(f"{type!r} is no event of the catalogue: add it to notices.rules.catalogue")
    missing = sorted(known.required.keys() - data.keys())
    unknown = sorted(data.keys() - known.required.keys() - known.optional.keys())
    if missing or unknown:
        raise ValueError(
            f"the data of {type} lack {missing} and have {unknown}, which the catalogue does not"
        )
