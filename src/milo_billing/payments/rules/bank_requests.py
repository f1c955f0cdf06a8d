"""What clients may ask of the bank side of payments, read from bodies and parameters."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from typing import Any, Final, cast
from uuid import UUID

import orjson

from milo_billing.kernel.bodies import check_value
from milo_billing.kernel.errors import BadRequest
from milo_billing.kernel.ibans import is_iban

LIMIT_MAX: Final = 500
INVOICES_MAX: Final = 100
"""Of one assignment."""
REASON_MAX: Final = 500
HOLDER_MAX: Final = 140
_BIC: Final = re.compile(r"([A-Z]{6}[A-Z0-9]{2}([A-Z0-9]{3})?)?")
_AMOUNT: Final = re.compile(r"[0-9]{1,15}(?:\.[0-9]{1,4})?")


@dataclass(frozen=True, slots=True)
class Chosen:
    """One invoice that a person says is paid: by what is left of the entry where no amount is said."""

    namespace: str
    name: str
    amount: Decimal | None = None


@dataclass(frozen=True, slots=True)
class Assignment:
    """What a person says an entry pays; `account` is (namespace, name)."""

    chosen: tuple[Chosen, ...]
    account: tuple[str, str] | None


def parse_flag(query: Mapping[str, str], name: str) -> bool:
    """`true` or `false`, which is also what nothing says. Raises BadRequest."""
    text = query.get(name, "false")
    if text not in ("true", "false"):
        raise BadRequest(f'parameter "{name}": {text!r} is neither true nor false')
    return text == "true"


def parse_limit(query: Mapping[str, str]) -> int:
    """How many are asked for, 1 to 500; 100 where nothing is said. Raises BadRequest."""
    text = query.get("limit", "100")
    if re.fullmatch(r"[0-9]{1,4}", text) is None or not 0 < int(text) <= LIMIT_MAX:
        raise BadRequest(f'parameter "limit": {text!r} is not a number from 1 to {LIMIT_MAX}')
    return int(text)


def parse_entry(text: str) -> UUID:
    """The uid of an entry in a path. Raises BadRequest."""
    try:
        return UUID(text)
    except ValueError as error:
        raise BadRequest(
            f"{text[:50]!r} is not the uid of an entry; `payments worklist` shows them"
        ) from error


def parse_assignment(body: bytes) -> Assignment:
    """`{"invoices": [{"invoice": "organization-acme/kc-1", "amount": "10.00"}], "account": "organization-acme/main"}`.

    Either may be left out, not both. Raises BadRequest, saying what is wrong.
    """
    fields = read_fields(
        body, known=("account", "invoices"), example='{"invoices": [{"invoice": "organization-acme/kc-1"}]}'
    )
    listed: Any = fields.get("invoices", [])
    if not isinstance(listed, list) or len(cast("list[Any]", listed)) > INVOICES_MAX:
        raise BadRequest(f"invoices must be an array of at most {INVOICES_MAX}")
    chosen = tuple(_chosen(item, index) for index, item in enumerate(cast("list[Any]", listed)))
    account = fields.get("account")
    if not chosen and account is None:
        raise BadRequest("say which invoices the entry pays, or whose account takes the money")
    return Assignment(chosen, None if account is None else read_names(account, "account"))


def parse_reason(body: bytes) -> str:
    """`{"reason": "a loan"}`. Raises BadRequest."""
    reason: Any = read_fields(body, known=("reason",), example='{"reason": "a loan"}').get("reason")
    if not isinstance(reason, str) or not reason.strip() or len(reason) > REASON_MAX:
        raise BadRequest(f"reason is required: a text of at most {REASON_MAX} characters")
    return reason.strip()


def _chosen(item: Any, index: int) -> Chosen:
    where = f"invoices[{index}]"
    if not isinstance(item, dict):
        raise BadRequest(
            f'{where} must be an object such as {{"invoice": "organization-acme/kc-2026-000017"}}'
        )
    fields = cast("dict[str, Any]", item)
    if unknown := sorted(fields.keys() - {"invoice", "amount"}):
        raise BadRequest(f"{where}: unknown field {unknown[0]!r}: it has invoice and amount")
    namespace, name = read_names(fields.get("invoice"), f"{where}.invoice")
    amount = fields.get("amount")
    if amount is None:
        return Chosen(namespace, name)
    if not isinstance(amount, str) or _AMOUNT.fullmatch(amount) is None:
        raise BadRequest(f'{where}.amount must be a decimal as a text, such as "10.00"')
    return Chosen(namespace, name, Decimal(amount))


def read_names(value: Any, where: str) -> tuple[str, str]:
    """The two names of `namespace/name`. Raises BadRequest."""
    namespace, _, name = value.partition("/") if isinstance(value, str) else ("", "", "")
    if not namespace or not name or "/" in name:
        raise BadRequest(f"{where} must be namespace/name, for example organization-acme/main")
    return namespace, name


def read_fields(body: bytes, *, known: tuple[str, ...], example: str) -> dict[str, Any]:
    """The fields of a JSON object that has none but those known. Raises BadRequest."""
    try:
        value = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise BadRequest(f"the body is not JSON: {error}") from None
    check_value(value)
    if not isinstance(value, dict):
        raise BadRequest(f"the body must be a JSON object such as {example}")
    fields = cast("dict[str, Any]", value)
    if unknown := sorted(fields.keys() - set(known)):
        raise BadRequest(f"unknown field {unknown[0]!r}: it has {' and '.join(known)}")
    return fields


def read_text(fields: Mapping[str, Any], name: str) -> str:
    """A text, empty where nothing is said. Raises BadRequest."""
    value = fields.get(name, "")
    if not isinstance(value, str):
        raise BadRequest(f"{name} must be a text")
    return value


def read_day(fields: Mapping[str, Any], name: str) -> date:
    """A day of the calendar. Raises BadRequest."""
    text = read_text(fields, name)
    try:
        if re.fullmatch(r"[0-9]{4}-[0-9]{2}-[0-9]{2}", text):
            return date.fromisoformat(text)
    except ValueError as error:
        raise BadRequest(f"{name}: {text!r} is not a day of the calendar") from error
    raise BadRequest(f"{name} must be a day such as 2026-10-31")


def read_bank_account(fields: Mapping[str, Any]) -> tuple[str, str, str]:
    """Holder, IBAN without spaces and BIC, each empty where it is not said. Raises BadRequest."""
    holder, bic = read_text(fields, "holder").strip(), read_text(fields, "bic")
    iban = "".join(read_text(fields, "iban").split()).upper()
    if len(holder) > HOLDER_MAX:
        raise BadRequest(f"holder: whose bank account it is, at most {HOLDER_MAX} characters")
    if iban and not is_iban(iban):
        raise BadRequest("iban: this is not an IBAN; its check digits or its length are wrong")
    if _BIC.fullmatch(bic) is None:
        raise BadRequest(f"bic: {bic[:20]!r} is not a BIC such as IRCEIE2D")
    return holder, iban, bic
