"""What clients may ask of the books, read from bodies and parameters. Errors say what was wrong, and where."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Any, Final, cast

import orjson

from milo_billing.kernel.bodies import check_text, check_value
from milo_billing.kernel.errors import BadRequest
from milo_billing.kernel.periods import parse_month
from milo_billing.ledger.rules.exports import EXPORTERS, ExportFormat
from milo_billing.ledger.types import AccountName, BookFilter, Position, account_name

LIMIT_DEFAULT, LIMIT_MAX = 100, 1000
"""Entries of one page: unless the client says so, and at most."""

_DAY: Final = timedelta(days=1)
_LAST: Final = date(9999, 12, 31)
_FILTER: Final = frozenset({"entity", "ledgerAccount", "account", "from", "to"})
_EXAMPLE: Final = 'the body must be an object such as {"entity": "kestrel", "month": "2026-10"}'
_PAGE: Final = frozenset({"limit", "continue"})


@dataclass(frozen=True, slots=True)
class Page:
    """At most `limit` behind a position."""

    after: Position | None
    limit: int


@dataclass(frozen=True, slots=True)
class FilterRequest:
    """A filter, whose billing account is still (namespace, name)."""

    wanted: BookFilter
    account: tuple[str, str] | None


@dataclass(frozen=True, slots=True)
class ClosingRequest:
    """A month of an entity's books; `month` is its first day."""

    entity: str
    month: date


@dataclass(frozen=True, slots=True)
class AccrualRequest:
    """A month of an entity's books, and behind which account to go on; `month` is its first day."""

    entity: str
    month: date
    after: int


def parse_filter(query: Mapping[str, str], *, also: frozenset[str] = _PAGE) -> FilterRequest:
    """`?entity=default&ledgerAccount=Income:Revenue&account=organization-acme/main&from=…&to=…`, days included.

    `also` are the other parameters that the call has. Raises BadRequest.
    """
    _known(query, _FILTER | also)
    name = query.get("ledgerAccount")
    try:
        account = None if not name else _ledger_account(name)
    except ValueError as error:
        raise BadRequest(f'parameter "ledgerAccount": {error}') from None
    last = parse_day(query, "to")
    return FilterRequest(
        wanted=BookFilter(
            entity=parse_entity(query), account=account, first=parse_day(query, "from"), end=_after(last)
        ),
        account=parse_account(query.get("account")),
    )


def _ledger_account(name: str) -> AccountName:
    check_text(name)
    if name in ("Assets", "Liabilities", "Equity", "Income", "Expenses"):
        return AccountName(name)
    return account_name(*name.split(":"))


def parse_entity(query: Mapping[str, str]) -> str | None:
    """The name of an IssuerProfile, where one is given. Raises BadRequest."""
    entity = query.get("entity")
    if entity:
        check_text(entity)
    return entity or None


def parse_account(text: str | None) -> tuple[str, str] | None:
    """`organization-acme/main` as (namespace, name). Raises BadRequest."""
    if not text:
        return None
    check_text(text)
    namespace, _, name = text.partition("/")
    if not namespace or not name or "/" in name:
        raise BadRequest('parameter "account" must be namespace/name, for example organization-acme/main')
    return namespace, name


def parse_day(query: Mapping[str, str], what: str) -> date | None:
    """A day such as 2026-10-31, where one is given. Raises BadRequest."""
    text = query.get(what)
    if not text:
        return None
    try:
        return date.fromisoformat(text)
    except ValueError:
        raise BadRequest(f'parameter "{what}": {text[:100]!r} is not a day such as 2026-10-31') from None


def parse_until(query: Mapping[str, str], *, known: frozenset[str]) -> date | None:
    """The day after `at`, the last one that counts; None for all. Raises BadRequest."""
    _known(query, known)
    return _after(parse_day(query, "at"))


def parse_days(query: Mapping[str, str], *, today: date) -> tuple[date, date]:
    """`from` and `to`, both included, as `[first, end)`: the last three months unless said. Raises BadRequest."""
    _known(query, frozenset({"from", "to"}) | _PAGE)
    last = parse_day(query, "to") or today
    first = parse_day(query, "from") or date.fromordinal(max(1, last.toordinal() - 91))
    if first > last:
        raise BadRequest(f'parameter "from": {first} is after {last}')
    end = _after(last)
    assert end is not None, "a day was given"
    return first, end


def parse_page(query: Mapping[str, str]) -> Page:
    """`limit` (1 to 1000, 100 unless said) and `continue` as the page before gave it. Raises BadRequest."""
    text = query.get("continue")
    if not text:
        return Page(None, parse_limit(query))
    day, _, number = text.partition("/")
    try:
        if not (number.isascii() and number.isdecimal() and len(number) < 19):
            raise ValueError(number)
        return Page((date.fromisoformat(day), int(number)), parse_limit(query))
    except ValueError:
        raise BadRequest(f'parameter "continue": {text[:100]!r} is not what a page gave') from None


def parse_after(query: Mapping[str, str]) -> int:
    """The number that the page before ended with, 0 for the first page. Raises BadRequest."""
    text = query.get("continue") or "0"
    if not (text.isascii() and text.isdecimal() and len(text) < 10):
        raise BadRequest(f'parameter "continue": {text[:100]!r} is not what a page gave')
    return int(text)


def parse_limit(query: Mapping[str, str]) -> int:
    """How many entries a page may have. Raises BadRequest."""
    text = query.get("limit", str(LIMIT_DEFAULT))
    if not (text.isascii() and text.isdecimal() and len(text) < 10 and 1 <= int(text) <= LIMIT_MAX):
        raise BadRequest(f'parameter "limit": {text[:100]!r} is not a number from 1 to {LIMIT_MAX}')
    return int(text)


def parse_format(query: Mapping[str, str]) -> ExportFormat:
    """`format`: ledger unless said. Raises BadRequest."""
    text = query.get("format", "ledger")
    for known in EXPORTERS:
        if text == known:
            return known
    raise BadRequest(f'parameter "format": {text[:100]!r} is none of {", ".join(EXPORTERS)}')


def parse_closing(body: bytes) -> ClosingRequest:
    """`{"entity": "kestrel", "month": "2026-10"}`. Raises BadRequest."""
    fields = _fields(body)
    if fields.keys() != {"entity", "month"}:
        raise BadRequest(_EXAMPLE)
    return _closing(fields)


def parse_accrual(body: bytes) -> AccrualRequest:
    """`{"entity": "kestrel", "month": "2026-10", "continue": "17"}`, the last where a page before said it."""
    fields = _fields(body)
    if fields.keys() - {"continue"} != {"entity", "month"}:
        raise BadRequest(_EXAMPLE)
    asked = _closing(fields)
    return AccrualRequest(asked.entity, asked.month, parse_after(fields))


def _fields(body: bytes) -> dict[str, str]:
    try:
        value = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise BadRequest(f"the body is not JSON: {error}") from None
    check_value(value)
    fields = cast("dict[str, Any]", value) if isinstance(value, dict) else {}
    if not fields or not all(isinstance(text, str) for text in fields.values()):
        raise BadRequest(_EXAMPLE)
    return fields


def _closing(fields: Mapping[str, str]) -> ClosingRequest:
    if not fields["entity"]:
        raise BadRequest("entity: name an IssuerProfile")
    try:
        year, month = parse_month(fields["month"])
    except ValueError as error:
        raise BadRequest(f"month: {error}") from None
    return ClosingRequest(fields["entity"], date(year, month, 1))


def _after(last: date | None) -> date | None:
    if last is None:
        return None
    if last == _LAST:
        raise BadRequest(f"{last} is the end of the calendar: name a day before it")
    return last + _DAY


def _known(query: Mapping[str, str], known: frozenset[str]) -> None:
    if unknown := sorted(query.keys() - known):
        raise BadRequest(f"unknown parameter {unknown[0][:100]!r}: there are {', '.join(sorted(known))}")
