"""What clients may ask of payments, read from bodies. One that holds a card's number is refused, not repeated."""

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from typing import Any, Final, cast
from uuid import UUID

import orjson

from milo_billing.kernel.bodies import check_value
from milo_billing.kernel.card_numbers import card_number_paths
from milo_billing.kernel.errors import BadRequest
from milo_billing.kernel.money import exponent

ACCOUNTS_MAX: Final = 1_000
REASON_LENGTH_MAX: Final = 500


@dataclass(frozen=True, slots=True)
class CollectRequest:
    """`accounts` as (namespace, name), None for all within reach; go on behind the invoice `after`."""

    accounts: tuple[tuple[str, str], ...] | None
    again: bool
    after: UUID


@dataclass(frozen=True, slots=True)
class RefundWish:
    """`amount` in the currency's main unit; None is all that is left."""

    amount: Decimal | None
    reason: str
    reopen: bool


def parse_collect(body: bytes) -> CollectRequest:
    """`{"accounts": ["organization-acme/main"], "again": false, "continue": ""}`, all optional. Raises BadRequest."""
    fields = _fields(body, {"accounts", "again", "continue"}, "a collection")
    after = fields.get("continue") or str(UUID(int=0))
    try:
        behind = UUID(after if isinstance(after, str) else "")
    except ValueError:
        raise BadRequest("continue: give what the answer before said") from None
    accounts = fields.get("accounts")
    return CollectRequest(None if accounts is None else _accounts(accounts), _flag(fields, "again"), behind)


def _accounts(value: Any) -> tuple[tuple[str, str], ...]:
    names = cast("list[Any]", value) if isinstance(value, list) else []
    if not 1 <= len(names) <= ACCOUNTS_MAX:
        raise BadRequest(f"accounts: a list of 1 to {ACCOUNTS_MAX} accounts as namespace/name is wanted")
    found: list[tuple[str, str]] = []
    for name in names:
        namespace, slash, account = name.partition("/") if isinstance(name, str) else ("", "", "")
        if not (namespace and slash and account):
            raise BadRequest("accounts: write each as namespace/name, such as organization-acme/main")
        found.append((namespace, account))
    return tuple(found)


def parse_refund(body: bytes) -> RefundWish:
    """`{"amount": "12.50", "reason": "…", "reopen": false}`; without an amount, all that is left. Raises BadRequest."""
    fields = _fields(body, {"amount", "reason", "reopen"}, "a refund")
    reason = fields.get("reason", "")
    if not isinstance(reason, str) or not 0 < len(reason.strip()) <= REASON_LENGTH_MAX:
        raise BadRequest(f"reason: a text of 1 to {REASON_LENGTH_MAX} characters is wanted")
    amount = fields.get("amount")
    if amount is None:
        return RefundWish(None, reason, _flag(fields, "reopen"))
    try:
        given = Decimal(amount if isinstance(amount, str) and len(amount) <= 30 else "")
    except InvalidOperation:
        raise BadRequest('amount: write it as a decimal text, such as "12.50"') from None
    return RefundWish(given, reason, _flag(fields, "reopen"))


def minor_of(amount: Decimal, *, currency: str) -> int:
    """The amount in minor units. Raises BadRequest for one that the currency has no units for."""
    places = exponent(currency)
    if not amount.is_finite() or amount <= 0 or abs(amount.adjusted()) > 18:
        raise BadRequest("amount: it must be above zero")
    scaled = amount.scaleb(places)
    if scaled != scaled.to_integral_value():
        raise BadRequest(f"amount: {currency} has {places} decimals")
    return int(scaled)


def parse_secrets(body: bytes) -> Mapping[str, str]:
    """`{"secrets": {"apiKey": "…"}}`. Raises BadRequest, without repeating any value."""
    secrets = _fields(body, {"secrets"}, "the secrets of a class").get("secrets")
    if not isinstance(secrets, dict):
        raise BadRequest('secrets: an object of names and values is wanted, such as {"apiKey": "…"}')
    named = cast("dict[str, Any]", secrets)
    if any(not isinstance(value, str) for value in named.values()):
        raise BadRequest("secrets: every value is a text")
    return cast("dict[str, str]", named)


def _flag(fields: Mapping[str, Any], name: str) -> bool:
    value = fields.get(name, False)
    if not isinstance(value, bool):
        raise BadRequest(f"{name}: true or false is wanted")
    return value


def _fields(body: bytes, known: set[str], what: str) -> dict[str, Any]:
    try:
        value = orjson.loads(body or b"{}")
    except orjson.JSONDecodeError as error:
        raise BadRequest(f"the body is not JSON: {error}") from None
    check_value(value)
    if not isinstance(value, dict):
        raise BadRequest("the body must be a JSON object")
    fields = cast("dict[str, Any]", value)
    if paths := card_number_paths(fields):
        raise BadRequest(
            f"{paths[0] or 'the body'} holds the number of a card: enter cards at the provider, never here"
        )
    if unknown := sorted(fields.keys() - known):
        raise BadRequest(f"unknown field {unknown[0]!r}: {what} has {', '.join(sorted(known))}")
    return fields
