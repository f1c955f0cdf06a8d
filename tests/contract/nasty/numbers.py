"""Numbers and times that no field or parameter means."""

from collections.abc import Iterator
from typing import Any

from tests.contract.examples import ACME, PROJECT
from tests.contract.nasty.requests import (
    ACCOUNT_PATH,
    ACCOUNTS,
    APPLY,
    BINDINGS,
    BOOK,
    CHUNKS,
    EVENTS,
    IMPORTS,
    JSON,
    JSON_PATCH,
    LINES,
    LONG_DIGITS,
    MERGE,
    PROJECTS,
    RUNS,
    TOKEN,
    Nasty,
    account,
    encoded,
    event,
)

WILD = (
    *(
        "-1",
        "0",
        "1e3",
        "1e400",
        "-0",
        "NaN",
        "Infinity",
        "0x10",
        "1_000",
        "%D9%A3",
        "%20",
        "1.5",
        "1e999999999",
    ),
    *(str(2**31), str(2**63 - 1), str(2**63), str(2**64), "9" * 400, LONG_DIGITS),
)
"""As they stand in an address; those without % also in JSON."""

ADDRESSES = (
    *(
        f"{ACCOUNTS}?limit=",
        f"{ACCOUNTS}?resourceVersion=",
        f"{ACCOUNTS}?timeoutSeconds=",
        f"{ACCOUNTS}?continue=",
    ),
    *(f"{ACCOUNTS}?watch=1&timeoutSeconds=1&resourceVersion=",),
    *(f"{ACCOUNTS}?resourceVersionMatch=Exact&resourceVersion=",),
    *("/v1/audit/records?limit=", "/v1/audit/records?after=1:", "/v1/audit/verify?chain=", f"{LINES}?limit="),
    *(f"{LINES}?continue=", "/v1/projects/web/payers?limit=", f"/v1/accounts/{ACME}/main/tree?limit="),
    *(f"/v1/accounts/{ACME}/main/projects?limit=", "/v1/usage?from=", "/v1/usage?to="),
)

TIMES = (
    *("0001-01-01T00:00:00Z", "0000-01-01T00:00:00Z", "9999-12-31T23:59:59Z", "9999-12-31T23:59:59-23:59"),
    *("0001-01-01T00:00:00+23:59", "10000-01-01T00:00:00Z", "2026-13-01T00:00:00Z", "2016-12-31T23:59:60Z"),
    *("2026-10-01T24:00:00Z", "2026-10-01", "now", "2026-10-01T00:00:00.123456789123Z"),
)
DAYS = ("0001-01-01", "9999-12-31", "2026-W01-1", "20261001", "2026-02-30", "0000-00-00")
MONTHS = ("0001-01", "9999-12", "9999-11", "2026-00", "2026-13", "10000-01", "0000-12")

_SENT: tuple[tuple[str, str, str, str], ...] = (
    (
        "PATCH",
        f"{ACCOUNT_PATH}?dryRun=All",
        MERGE,
        '{"spec": {"paymentTerms": {"netDays": N, "invoiceDayOfMonth": N}}}',
    ),
    (
        "PATCH",
        f"{ACCOUNT_PATH}?fieldValidation=Ignore&dryRun=All",
        MERGE,
        '{"metadata": {"generation": N}, "x": N}',
    ),
    (
        "PATCH",
        f"{ACCOUNT_PATH}/status?dryRun=All",
        MERGE,
        '{"status": {"observedGeneration": N, "linkedProjectsCount": N}}',
    ),
    ("PATCH", f"{ACCOUNT_PATH}?dryRun=All", MERGE, '{"metadata": {"resourceVersion": "N", "uid": "N"}}'),
    (
        "PATCH",
        f"{ACCOUNT_PATH}?dryRun=All",
        JSON_PATCH,
        '[{"op": "add", "path": "/spec/taxIds/N", "value": {}}]',
    ),
    ("PATCH", f"{ACCOUNT_PATH}?dryRun=All", JSON_PATCH, '[{"op": "test", "path": "/spec", "value": N}]'),
    (
        "PATCH",
        f"{ACCOUNT_PATH}?fieldManager=f&dryRun=All",
        APPLY,
        '{"apiVersion": "billing.miloapis.com/v1alpha1", "kind": "BillingAccount", '
        '"spec": {"paymentTerms": {"netDays": N}}}',
    ),
    (
        "PATCH",
        f"{BOOK}?dryRun=All",
        MERGE,
        '{"spec": {"prices": [{"skuRef": {"name": "requests-million"}, "model": "PerUnit", "unitPrice": "N"}]}}',
    ),
    (
        "PATCH",
        f"{BOOK}?dryRun=All",
        MERGE,
        '{"spec": {"prices": [{"skuRef": {"name": "requests-million"}, "model": "PerUnit", "unitPrice": N}]}}',
    ),
    ("POST", TOKEN, JSON, '{"expirationSeconds": N}'),
    ("POST", IMPORTS, JSON, '{"digest": "' + "0" * 64 + '", "mapping": {"a": N}, "rows": 1}'),
    ("POST", IMPORTS, JSON, '{"digest": "' + "0" * 64 + '", "mapping": {}, "rows": N}'),
    (
        "DELETE",
        f"{ACCOUNT_PATH}?dryRun=All",
        JSON,
        '{"preconditions": {"resourceVersion": N, "uid": N}, "gracePeriodSeconds": N}',
    ),
    ("POST", RUNS, JSON, '{"month": "N"}'),
    ("POST", RUNS, JSON, '{"month": N}'),
)


def in_addresses() -> Iterator[Nasty]:
    """In parameters, and as the number of a chunk."""
    for number in WILD:
        for address in ADDRESSES:
            yield Nasty(f"{address}{number[:30]}", "GET", address + number)
        yield Nasty(f"chunk {number[:30]}", "POST", f"{CHUNKS}/{number}", b'{"events": []}')


def in_bodies() -> Iterator[Nasty]:
    """In fields that are numbers, and in those that hold one as a text."""
    for number in (number for number in WILD if "%" not in number):
        shown = number[:30]
        for method, path, media, body in _SENT:
            yield Nasty(
                f"{method} {path} {body[:40]} {shown}",
                method,
                path,
                body.replace("N", number).encode(),
                media,
            )
        terms = encoded(account()).replace(
            b'"USD"', b'"USD", "paymentTerms": {"netDays": ' + number.encode() + b"}"
        )
        yield Nasty(f"create {shown}", "POST", f"{ACCOUNTS}?dryRun=All", terms)
        named = account(metadata={"name": "main", "resourceVersion": number})
        yield Nasty(f"replace {shown}", "PUT", f"{ACCOUNT_PATH}?dryRun=All", encoded(named))
        valued = event(id=f"value-{shown}", data={"value": number, "dimensions": {}})
        yield Nasty(f"event {shown}", "POST", EVENTS, encoded(valued))
        counted = encoded(event(id="count")).replace(b'"value": "1"', b'"value": ' + number.encode())
        yield Nasty(f"event of number {shown}", "POST", EVENTS, counted)


def in_times() -> Iterator[Nasty]:
    """The ends of the calendar, and what lies behind them."""
    for time in TIMES:
        asked = time.replace("+", "%2B")
        for address in (
            "/v1/projects/web/payer?at=",
            "/v1/projects/web/payers?continue=",
            f"/v1/accounts/{ACME}/main/projects?at=",
        ):
            yield Nasty(address + asked, "GET", address + asked)
        yield Nasty(f"event at {time}", "POST", EVENTS, encoded(event(id=f"time-{time}", time=time)))
        metadata = {"name": "fresh", "creationTimestamp": time, "deletionTimestamp": time}
        yield Nasty(
            f"create at {time}", "POST", f"{PROJECTS}?dryRun=All", encoded({**PROJECT, "metadata": metadata})
        )
        bound: dict[str, Any] = {
            "apiVersion": "billing.miloapis.com/v1alpha1",
            "kind": "BillingAccountBinding",
            "metadata": {"name": "fresh"},
            "spec": {
                "billingAccountRef": {"name": "main"},
                "projectRef": {"name": "web"},
                "effectiveFrom": time,
            },
        }
        yield Nasty(f"bind from {time}", "POST", f"{BINDINGS}?dryRun=All", encoded(bound))
    for day in DAYS:
        yield Nasty(f"usage from {day}", "GET", f"/v1/usage?from={day}")
        yield Nasty(f"usage to {day}", "GET", f"/v1/usage?to={day}")
        yield Nasty(
            f"book from {day}",
            "PATCH",
            f"{BOOK}?dryRun=All",
            encoded({"spec": {"effectiveFrom": day}}),
            MERGE,
        )
    for month in MONTHS:
        yield Nasty(f"run {month}", "POST", RUNS, encoded({"month": month}))
