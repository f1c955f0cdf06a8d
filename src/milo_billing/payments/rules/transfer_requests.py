"""What clients may ask about money that goes back by bank transfer, read from bodies."""

import re
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from typing import Any, Final

from milo_billing.kernel.errors import BadRequest
from milo_billing.kernel.ibans import is_iban
from milo_billing.kernel.money import settle
from milo_billing.payments.rules.bank_requests import REASON_MAX, read_fields, read_names
from milo_billing.payments.rules.mandates import CURRENCY

_BIC: Final = re.compile(r"([A-Z]{6}[A-Z0-9]{2}([A-Z0-9]{3})?)?")
_AMOUNT: Final = re.compile(r"[0-9]{1,12}(?:\.[0-9]{1,2})?")
HOLDER_MAX: Final = 140


@dataclass(frozen=True, slots=True)
class TransferRequest:
    """Money that an account gets back: all that it has where `minor` (cents) is None, to where it came from where
    `iban` is empty.
    """

    account: tuple[str, str]
    minor: int | None
    reason: str
    holder: str
    iban: str
    bic: str


def parse_transfer(body: bytes) -> TransferRequest:
    """The account as namespace/name, and why; amount, iban, holder, bic. Raises BadRequest."""
    fields = read_fields(
        body,
        known=("account", "amount", "bic", "holder", "iban", "reason"),
        example='{"account": "organization-acme/main", "amount": "10.00", "reason": "paid twice"}',
    )
    reason, holder = _text(fields, "reason").strip(), _text(fields, "holder").strip()
    if not 0 < len(reason) <= REASON_MAX:
        raise BadRequest(f"reason is required: a text of at most {REASON_MAX} characters")
    iban = "".join(_text(fields, "iban").split()).upper()
    if iban and not is_iban(iban):
        raise BadRequest("iban: this is not an IBAN; its check digits or its length are wrong")
    bic = _text(fields, "bic")
    if _BIC.fullmatch(bic) is None:
        raise BadRequest(f"bic: {bic[:20]!r} is not a BIC such as IRCEIE2D")
    if len(holder) > HOLDER_MAX or bool(holder) != bool(iban) or (bic and not iban):
        raise BadRequest(
            f"iban and holder go together, a holder of at most {HOLDER_MAX} characters and perhaps a bic with them; "
            "leave all out to pay back to where the money came from"
        )
    return TransferRequest(
        account=read_names(fields.get("account"), "account"),
        minor=_cents(fields["amount"]) if "amount" in fields else None,
        reason=reason,
        holder=holder,
        iban=iban,
        bic=bic,
    )


def parse_execution(body: bytes) -> date | None:
    """`{"executeOn": "2026-12-01"}`; None is the first day that there is. Raises BadRequest."""
    fields = read_fields(body or b"{}", known=("executeOn",), example='{"executeOn": "2026-12-01"}')
    if "executeOn" not in fields:
        return None
    text = _text(fields, "executeOn")
    try:
        if re.fullmatch(r"[0-9]{4}-[0-9]{2}-[0-9]{2}", text):
            return date.fromisoformat(text)
    except ValueError as error:
        raise BadRequest(f"executeOn: {text!r} is not a day of the calendar") from error
    raise BadRequest("executeOn must be a day such as 2026-10-31")


def _cents(value: Any) -> int:
    if not isinstance(value, str) or _AMOUNT.fullmatch(value) is None or not Decimal(value):
        raise BadRequest('amount must be a sum of euro above zero as a text, such as "10.00"')
    return settle(Decimal(value), CURRENCY).minor


def _text(fields: dict[str, Any], name: str) -> str:
    value = fields.get(name, "")
    if not isinstance(value, str):
        raise BadRequest(f"{name} must be a text")
    return value
