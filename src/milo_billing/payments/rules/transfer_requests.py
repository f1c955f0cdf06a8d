"""What clients may ask about money that goes back by bank transfer, read from bodies."""

import re
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from typing import Any, Final

from milo_billing.kernel.errors import BadRequest
from milo_billing.kernel.money import settle
from milo_billing.payments.rules.bank_requests import (
    REASON_MAX,
    read_bank_account,
    read_day,
    read_fields,
    read_names,
    read_text,
)
from milo_billing.payments.rules.mandates import CURRENCY

_AMOUNT: Final = re.compile(r"[0-9]{1,12}(?:\.[0-9]{1,2})?")


@dataclass(frozen=True, slots=True)
class TransferRequest:
    """Money that an account gets back: all that it has where `minor` (cents) is None, to where it came from where
    `iban` is empty, by whoever holds it where `issuer` is empty.
    """

    account: tuple[str, str]
    minor: int | None
    reason: str
    holder: str
    iban: str
    bic: str
    issuer: str = ""


@dataclass(frozen=True, slots=True)
class TransferFileRequest:
    """A file of what is wanted of one issuer, where `issuer` is empty of the only one; None for `execute_on` is the
    first day that there is.
    """

    execute_on: date | None = None
    issuer: str = ""


def parse_transfer(body: bytes) -> TransferRequest:
    """The account as namespace/name, and why; amount, iban, holder, bic, issuer. Raises BadRequest."""
    fields = read_fields(
        body,
        known=("account", "amount", "bic", "holder", "iban", "issuer", "reason"),
        example='{"account": "organization-acme/main", "amount": "10.00", "reason": "paid twice"}',
    )
    reason, (holder, iban, bic) = read_text(fields, "reason").strip(), read_bank_account(fields)
    if not 0 < len(reason) <= REASON_MAX:
        raise BadRequest(f"reason is required: a text of at most {REASON_MAX} characters")
    if bool(holder) != bool(iban) or (bic and not iban):
        raise BadRequest(
            "iban and holder go together, and perhaps a bic with them; leave all out to pay back to where the money "
            "came from"
        )
    return TransferRequest(
        account=read_names(fields.get("account"), "account"),
        minor=_cents(fields["amount"]) if "amount" in fields else None,
        reason=reason,
        holder=holder,
        iban=iban,
        bic=bic,
        issuer=read_text(fields, "issuer"),
    )


def parse_file(body: bytes) -> TransferFileRequest:
    """`{"executeOn": "2026-12-01", "issuer": "kestrel"}`, both optional. Raises BadRequest."""
    fields = read_fields(body or b"{}", known=("executeOn", "issuer"), example='{"executeOn": "2026-12-01"}')
    day = read_day(fields, "executeOn") if "executeOn" in fields else None
    return TransferFileRequest(day, read_text(fields, "issuer"))


def _cents(value: Any) -> int:
    if not isinstance(value, str) or _AMOUNT.fullmatch(value) is None or not Decimal(value):
        raise BadRequest('amount must be a sum of euro above zero as a text, such as "10.00"')
    return settle(Decimal(value), CURRENCY).minor
