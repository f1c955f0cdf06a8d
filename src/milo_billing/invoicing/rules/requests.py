"""What clients may ask of invoicing, read from bodies and parameters."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from typing import Any, Final, Literal, TypeAlias, cast
from uuid import UUID

import orjson

from milo_billing.accounts.types import Account
from milo_billing.invoicing.rules.runs import RunStepState
from milo_billing.kernel.bodies import check_text, check_value
from milo_billing.kernel.errors import BadRequest, FieldError, Invalid
from milo_billing.kernel.periods import local_midnight, parse_month
from milo_billing.kernel.taxes import VatAnswer

LINES_MAX: Final = 500
EVENTS_MAX: Final = 1_000
ACCOUNTS_MAX: Final = 100_000
TEXT_LENGTH_MAX: Final = 400
REASON_MAX: Final = 1_024
_DONE: Final[Mapping[str, RunStepState]] = {
    "issued": "issued",
    "unchanged": "unchanged",
    "skipped": "skipped",
    "failed": "failed",
}


@dataclass(frozen=True, slots=True)
class RunRequest:
    """One month; `accounts` as (namespace, name) pairs, None for all within reach."""

    year: int
    month: int
    accounts: tuple[tuple[str, str], ...] | None


Grouping: TypeAlias = Literal["sku", "project"]


@dataclass(frozen=True, slots=True)
class PreviewRequest:
    """An account's invoice: the one that holds `month`, or the running one."""

    namespace: str
    account: str
    month: tuple[int, int] | None
    by: Grouping


@dataclass(frozen=True, slots=True)
class Page:
    """At most `limit` lines behind line `after`."""

    after: int
    limit: int


@dataclass(frozen=True, slots=True)
class VatCheckRequest:
    """An account whose VAT number is to be checked; with `answer` it has been, by somebody who asked a register."""

    namespace: str
    account: str
    answer: VatAnswer | None


def parse_vat_check(content: bytes) -> VatCheckRequest:
    """`{"account": "organization-acme/main"}`, to have the register asked; with `valid`, `source` and `reference` what
    it told the caller. Raises BadRequest.
    """
    body = _object(content)
    if unknown := sorted(body.keys() - {"account", "valid", "source", "reference"}):
        raise BadRequest(f"unknown field {unknown[0]!r}: a check has account, valid, source and reference")
    namespace, _, account = _text(body, "account").partition("/")
    if not account:
        raise BadRequest('field "account": write namespace/name, such as organization-acme/main')
    if "valid" not in body:
        if "source" in body or "reference" in body:
            raise BadRequest('"source" and "reference" belong to an answer: give "valid" as well')
        return VatCheckRequest(namespace, account, None)
    if not isinstance(body["valid"], bool):
        raise BadRequest('field "valid": must be true or false')
    source = _text(body, "source")
    if not source:
        raise BadRequest('field "source": say who answered, such as "VIES web page"')
    return VatCheckRequest(namespace, account, VatAnswer(body["valid"], source, _text(body, "reference")))


def _object(content: bytes) -> dict[str, Any]:
    try:
        body: Any = orjson.loads(content)
    except orjson.JSONDecodeError as error:
        raise BadRequest(f"the body is not JSON: {error}") from None
    check_value(body)
    if not isinstance(body, dict):
        raise BadRequest('the body must be a JSON object such as {"account": "organization-acme/main"}')
    return cast("dict[str, Any]", body)


def _text(body: Mapping[str, Any], field: str) -> str:
    text = body.get(field, "")
    if not isinstance(text, str) or len(text) > TEXT_LENGTH_MAX:
        raise BadRequest(f'field "{field}": must be a text of at most {TEXT_LENGTH_MAX} characters')
    check_text(text)
    return text


def parse_preview(query: Mapping[str, str]) -> PreviewRequest:
    """`?namespace=organization-acme&account=main&month=2026-10&by=project`. Raises BadRequest."""
    if unknown := sorted(query.keys() - {"namespace", "account", "month", "by"}):
        raise BadRequest(f"unknown parameter {unknown[0]!r}: a preview has namespace, account, month and by")
    namespace, account, by = query.get("namespace", ""), query.get("account", ""), query.get("by", "sku")
    for name, text in (("namespace", namespace), ("account", account)):
        if not text:
            raise BadRequest(f'parameter "{name}" must be given')
        check_text(text)
    if by not in ("sku", "project"):
        raise BadRequest(f'parameter "by": {by!r} is neither sku nor project')
    month = query.get("month")
    try:
        return PreviewRequest(namespace, account, parse_month(month) if month else None, by)
    except ValueError as error:
        raise BadRequest(f'parameter "month": {error}') from None


def parse_run(body: bytes) -> RunRequest:
    """`{"month": "2026-10", "accounts": ["organization-acme/main"]}`. Raises BadRequest, saying what is wrong."""
    try:
        value = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise BadRequest(f"the body is not JSON: {error}") from None
    check_value(value)
    if not isinstance(value, dict):
        raise BadRequest('the body must be a JSON object such as {"month": "2026-10"}')
    fields = cast("dict[str, Any]", value)
    if unknown := sorted(fields.keys() - {"month", "accounts"}):
        raise BadRequest(f"unknown field {unknown[0]!r}: a run has month and accounts")
    month = fields.get("month")
    if not isinstance(month, str):
        raise BadRequest("month is required: write it as YYYY-MM, for example 2026-10")
    try:
        year, number = parse_month(month)
    except ValueError as error:
        raise BadRequest(f"month: {error}") from None
    accounts = fields.get("accounts")
    return RunRequest(year, number, None if accounts is None else _accounts(accounts))


def _accounts(value: Any) -> tuple[tuple[str, str], ...]:
    if not isinstance(value, list):
        raise BadRequest("accounts must be an array of namespace/name strings")
    items = cast("list[Any]", value)
    if len(items) > ACCOUNTS_MAX:
        raise BadRequest(f"accounts: at most {ACCOUNTS_MAX}; leave it out to run all of them")
    pairs: dict[tuple[str, str], None] = {}
    for index, item in enumerate(items):
        namespace, _, name = item.partition("/") if isinstance(item, str) else ("", "", "")
        if not namespace or not name or "/" in name:
            raise BadRequest(f"accounts[{index}] must be namespace/name, for example organization-acme/main")
        pairs[namespace, name] = None
    return tuple(pairs)


def parse_page(parameters: Mapping[str, str]) -> Page:
    """`limit` (1..500) and `continue`, as the list before gave it. Raises BadRequest."""
    limit, after = parameters.get("limit", str(LINES_MAX)), parameters.get("continue", "0")
    if not _is_number(limit) or int(limit) < 1:
        raise BadRequest(f'parameter "limit": {limit!r} is no positive number')
    if not _is_number(after) or int(after) > 2**31 - 1:
        raise BadRequest(f'parameter "continue": {after!r} does not come from a list of lines')
    return Page(after=int(after), limit=min(int(limit), LINES_MAX))


def parse_run_id(text: str) -> UUID:
    """The id of a run. Raises BadRequest."""
    try:
        return UUID(text)
    except ValueError:
        raise BadRequest(f"{text!r} is not the id of a run") from None


def parse_printing_id(text: str) -> UUID:
    """The id of a printing. Raises BadRequest."""
    try:
        return UUID(text)
    except ValueError:
        raise BadRequest(f"{text!r} is not the id of a printing") from None


def parse_step_page(parameters: Mapping[str, str]) -> tuple[Page, RunStepState | None]:
    """As `parse_page`, and `state`: only accounts of which that became. Raises BadRequest."""
    state = parameters.get("state")
    if state is not None and state not in _DONE:
        raise BadRequest(f'parameter "state": {state!r} is none of {", ".join(_DONE)}')
    return parse_page(parameters), None if state is None else _DONE[state]


@dataclass(frozen=True, slots=True)
class EventsRequest:
    """At most `limit` events behind `after`; `later` asks for those that began to count after the issue."""

    after: UUID | None
    limit: int
    later: bool


def parse_event_page(parameters: Mapping[str, str]) -> EventsRequest:
    """`limit` (1..1000, 100 unless said), `continue` as the page before gave it, `later`. Raises BadRequest."""
    limit, after = parameters.get("limit", "100"), parameters.get("continue", "")
    if not (_is_number(limit) and 1 <= int(limit) <= EVENTS_MAX):
        raise BadRequest(f'parameter "limit": {limit!r} is not a number from 1 to {EVENTS_MAX}')
    later = parameters.get("later", "false")
    if later not in ("true", "false"):
        raise BadRequest(f'parameter "later": {later!r} is neither true nor false')
    try:
        return EventsRequest(UUID(after) if after else None, int(limit), later == "true")
    except ValueError:
        raise BadRequest(f'parameter "continue": {after!r} does not come from a list of events') from None


def parse_line(text: str) -> int:
    """The number of a line, from 1. Raises BadRequest."""
    if not (_is_number(text) and 1 <= int(text) < 2**31):
        raise BadRequest(f"{text!r} is not the number of a line; lines count from 1")
    return int(text)


def parse_reason(body: Mapping[str, Any]) -> str:
    """`{"reason": "…"}`, of at most 1,024 characters, and nothing else. Raises Invalid."""
    if unknown := sorted(body.keys() - {"reason"}):
        raise Invalid(
            [FieldError(unknown[0], "FieldValueNotSupported", "Unsupported value: the only field is reason")]
        )
    reason = body.get("reason")
    if not isinstance(reason, str) or not reason.strip() or len(reason) > REASON_MAX:
        message = f"Required value: say why, in at most {REASON_MAX} characters"
        raise Invalid([FieldError("reason", "FieldValueRequired", message)])
    return reason.strip()


def _is_number(text: str) -> bool:
    """Digits, and no more than any number of lines has."""
    return text.isascii() and text.isdecimal() and len(text) < 20


def stood_in(account: Account, wanted: RunRequest) -> bool:
    """Whether the account had not been deleted before the month began, by its own midnight.

    An invoice period that is longer or begins earlier still has its say: only what ended a year before is left out.
    """
    if account.deleted_at is None:
        return True
    return account.deleted_at > local_midnight(date(wanted.year - 1, wanted.month, 1), zone=account.time_zone)
