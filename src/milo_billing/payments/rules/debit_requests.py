"""What clients may ask about direct debit, read from bodies."""

import re
from dataclasses import dataclass
from datetime import date
from typing import Any, Final

from milo_billing.kernel.errors import BadRequest
from milo_billing.payments.rules.bank_requests import (
    read_bank_account,
    read_day,
    read_fields,
    read_names,
    read_text,
)
from milo_billing.payments.rules.mandates import PRE_NOTIFICATION_DAYS
from milo_billing.payments.types import MandateScheme

_REFERENCE: Final = re.compile(r"[A-Za-z0-9+:().,-]{1,35}")
NOTIFIED_DAYS_MAX: Final = 60


@dataclass(frozen=True, slots=True)
class MandateRequest:
    """What a customer signed; an empty reference has one made."""

    account: tuple[str, str]
    reference: str
    signed_on: date
    scheme: MandateScheme
    holder: str
    iban: str
    bic: str


@dataclass(frozen=True, slots=True)
class DebitRequest:
    """A file of what is due; None is the first day that banks allow."""

    collect_on: date | None
    notified_days: int


def parse_mandate(body: bytes) -> MandateRequest:
    """The account as namespace/name, holder, iban and signedOn; reference, bic, scheme. Raises BadRequest."""
    fields = read_fields(
        body,
        known=("account", "bic", "holder", "iban", "reference", "scheme", "signedOn"),
        example='{"account": "organization-acme/main", "holder": "Acme", "iban": "FR14…", "signedOn": "2026-10-01"}',
    )
    holder, iban, bic = read_bank_account(fields)
    if not holder:
        raise BadRequest("holder is required: whose account is debited")
    if not iban:
        raise BadRequest("iban is required: the account that is debited")
    reference = read_text(fields, "reference")
    if reference and _REFERENCE.fullmatch(reference) is None:
        raise BadRequest("reference: 1 to 35 letters, digits and +:().,- without spaces")
    scheme = fields.get("scheme", "CORE")
    if scheme not in ("CORE", "B2B"):
        raise BadRequest(f"scheme: {str(scheme)[:20]!r} is neither CORE nor B2B")
    return MandateRequest(
        account=read_names(fields.get("account"), "account"),
        reference=reference,
        signed_on=read_day(fields, "signedOn"),
        scheme=scheme,
        holder=holder,
        iban=iban,
        bic=bic,
    )


def parse_debits(body: bytes) -> DebitRequest:
    """`{"collectOn": "2026-12-01", "preNotificationDays": 14}`, both optional. Raises BadRequest."""
    fields = read_fields(body or b"{}", known=("collectOn", "preNotificationDays"), example="{}")
    days: Any = fields.get("preNotificationDays", PRE_NOTIFICATION_DAYS)
    if not isinstance(days, int) or isinstance(days, bool) or not 1 <= days <= NOTIFIED_DAYS_MAX:
        raise BadRequest(f"preNotificationDays must be a number from 1 to {NOTIFIED_DAYS_MAX}")
    return DebitRequest(read_day(fields, "collectOn") if "collectOn" in fields else None, days)
