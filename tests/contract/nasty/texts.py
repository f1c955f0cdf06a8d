"""Texts that are no texts: NUL, half of a surrogate pair, bytes that are no UTF-8; in bodies, addresses and headers."""

import json
from collections.abc import Iterator
from typing import Any

from tests.contract.examples import ACME
from tests.contract.nasty.requests import (
    ACCOUNT_PATH,
    ACCOUNTS,
    APPLY,
    BATCH,
    BILLING,
    EVENTS,
    IAM,
    IMPORTS,
    JSON,
    JSON_PATCH,
    MERGE,
    REVIEW,
    RULES,
    RUNS,
    TOKEN,
    Nasty,
    account,
    encoded,
    event,
)

BAD_TEXTS = ("\x00", "a\x00b", "\ud800", "a\udfffb", "\ud83d", "a\r\nX-Sent: b", "\u202e", "\U0001f4a9")
ESCAPED = (
    "%00",
    "a%00b",
    "%FF",
    "%C3%28",
    "%ED%A0%80",
    "%F4%90%80%80",
    "..%2F..%2Fetc",
    "%2e%2e",
    "%0d%0aX-A:b",
)
RAW = (b"\xff\xfe", b"\xed\xa0\x80", b"caf\xe9", b"a" * 7000)

ADDRESSES = (
    f"GET {ACCOUNTS}/BAD",
    f"GET {BILLING}/namespaces/BAD/billingaccounts/main",
    f"GET {BILLING}/namespaces/BAD/billingaccounts",
    "GET /api/v1/namespaces/BAD",
    f"PUT {ACCOUNTS}/BAD",
    f"PATCH {ACCOUNTS}/BAD",
    f"DELETE {ACCOUNTS}/BAD",
    f"POST {ACCOUNTS}/BAD/suspend",
    f"GET {ACCOUNTS}/BAD?watch=true&timeoutSeconds=1",
    f"POST {IAM}/namespaces/{ACME}/serviceaccounts/BAD/token",
    f"DELETE {IAM}/namespaces/BAD/serviceaccounts/BAD/token",
    f"GET {BILLING}/namespaces/{ACME}/invoices/BAD/lines",
    f"GET {BILLING}/namespaces/BAD/invoices/BAD/pdf",
    "GET /v1/projects/BAD/payer",
    "GET /v1/projects/BAD/payers",
    "GET /v1/accounts/BAD/BAD/projects",
    "GET /v1/accounts/BAD/BAD/tree",
    f"POST {IMPORTS}/BAD/chunks/0",
    f"POST {IMPORTS}/BAD/complete",
    "GET /openapi/v3/BAD?hash=BAD",
    "GET /BAD",
    "GET /apis/BAD/BAD/BAD",
    f"GET {ACCOUNTS}?watch=true&timeoutSeconds=1&labelSelector=BAD",
    f"GET {ACCOUNTS}?watch=true&timeoutSeconds=1&resourceVersion=BAD",
    f"GET {ACCOUNTS}?fieldSelector=metadata.name%3DBAD",
    f"GET {ACCOUNTS}?fieldSelector=metadata.namespace!%3DBAD",
    f"GET {ACCOUNTS}?fieldSelector=spec.currencyCode%3DBAD",
    f"GET {ACCOUNTS}?labelSelector=a%3DBAD",
    f"GET {ACCOUNTS}?labelSelector=BAD",
    f"GET {ACCOUNTS}?fieldSelector=BAD",
    f"GET {ACCOUNTS}?continue=BAD",
    f"GET {ACCOUNTS}?limit=BAD",
    f"GET {ACCOUNTS}?resourceVersion=BAD",
    f"GET {ACCOUNTS}?resourceVersionMatch=BAD",
    f"GET {ACCOUNTS}?includeObject=BAD",
    *(
        f"{method} {ACCOUNT_PATH}?{parameter}=BAD"
        for method in ("PATCH", "DELETE", "PUT")
        for parameter in ("fieldManager", "fieldValidation", "dryRun", "force", "propagationPolicy")
    ),
    *(
        f"GET /v1/usage?{parameter}=BAD"
        for parameter in ("project", "meter", "namespace", "account", "from", "to", "groupBy")
    ),
    *(
        f"GET {path}?{parameter}=BAD"
        for parameter in ("at", "continue", "limit", "chain", "after")
        for path in (
            *("/v1/projects/web/payer", "/v1/projects/web/payers", "/v1/audit/records", "/v1/audit/verify"),
            *(f"/v1/accounts/{ACME}/main/projects", f"/v1/accounts/{ACME}/main/tree"),
        )
    ),
)


def in_objects() -> Iterator[Nasty]:
    """Everywhere in an object."""
    for bad in BAD_TEXTS:
        places: dict[str, dict[str, Any]] = {
            "name": {"metadata": {"name": bad}},
            "label": {"metadata": {"labels": {"team": bad}}},
            "label key": {"metadata": {"labels": {bad: "a"}}},
            "annotation": {"metadata": {"annotations": {"note": bad}}},
            "annotation key": {"metadata": {"annotations": {bad: "a"}}},
            "finalizer": {"metadata": {"finalizers": [bad]}},
            "uid": {"metadata": {"uid": bad}},
            "resourceVersion": {"metadata": {"resourceVersion": bad}},
            "generateName": {"metadata": {"name": "", "generateName": bad}},
            "kind": {"kind": bad},
            "apiVersion": {"apiVersion": bad},
            "spec text": {"spec": {"displayName": bad}},
            "spec reference": {"spec": {"parentRef": {"namespace": bad, "name": bad}}},
            "spec enum": {"spec": {"currencyCode": bad}},
            "spec zone": {"spec": {"timeZone": bad}},
            "contact": {"spec": {"contactInfo": {"email": bad, "name": bad}}},
            "unknown field": {"spec": {bad: 1}},
        }
        for place, changed in places.items():
            what = f"{place} {bad!a}"
            yield Nasty(f"create {what}", "POST", f"{ACCOUNTS}?dryRun=All", encoded(account(**changed)))
            patched = {name: changed[name] for name in ("metadata", "spec") if name in changed}
            yield Nasty(f"merge {what}", "PATCH", f"{ACCOUNT_PATH}?dryRun=All", encoded(patched), MERGE)


def in_requests() -> Iterator[Nasty]:
    """In everything else that is sent as a body."""
    for bad in BAD_TEXTS:
        added = [{"op": "add", "path": "/spec/displayName", "value": bad}]
        pointer = [{"op": "add", "path": f"/metadata/annotations/{bad}", "value": "a"}]
        access = {"resourceAttributes": {"verb": bad, "resource": bad, "namespace": bad, "group": bad}}
        opened = {"digest": "0" * 64, "mapping": {bad: bad}, "rows": 1}
        bodies: tuple[tuple[str, str, Any], ...] = (
            ("POST", f"{ACCOUNT_PATH}/suspend?dryRun=All", {"reason": bad, "message": bad}),
            ("DELETE", f"{ACCOUNT_PATH}?dryRun=All", {"preconditions": {"uid": bad}}),
            ("DELETE", f"{ACCOUNT_PATH}?dryRun=All", {"propagationPolicy": bad, "dryRun": [bad]}),
            ("POST", REVIEW, {"spec": access}),
            ("POST", REVIEW, {"spec": {"nonResourceAttributes": {"path": bad}}}),
            ("POST", RULES, {"spec": {"namespace": bad}}),
            ("POST", RUNS, {"month": bad}),
            ("POST", RUNS, {"month": "2026-10", "accounts": [f"{bad}/{bad}"]}),
            ("POST", RUNS, {bad: "2026-10"}),
            ("POST", TOKEN, {"expirationSeconds": bad}),
            ("POST", IMPORTS, opened),
            ("POST", IMPORTS, {**opened, "mapping": {}, "digest": bad}),
            *(
                ("POST", EVENTS, event(**{part: f"projects/{bad}" if part == "subject" else bad}))
                for part in ("id", "source", "type", "subject", "time", "specversion")
            ),
            ("POST", BATCH, [event(data={"value": bad})]),
            ("POST", BATCH, [event(data={"value": "1", "dimensions": {"region": bad}})]),
            ("POST", BATCH, [event(data={"value": "1", "dimensions": {bad: "x"}})]),
            ("POST", BATCH, [event(data={"value": "1", "resource": {"name": bad}})]),
        )
        yield Nasty(f"json patch {bad!a}", "PATCH", f"{ACCOUNT_PATH}?dryRun=All", encoded(added), JSON_PATCH)
        yield Nasty(f"pointer {bad!a}", "PATCH", f"{ACCOUNT_PATH}?dryRun=All", encoded(pointer), JSON_PATCH)
        for method, path, body in bodies:
            yield Nasty(f"{path} {json.dumps(body)[:80]}", method, path, encoded(body))


def in_addresses() -> Iterator[Nasty]:
    """In paths and parameters."""
    for bad in ESCAPED:
        for address in ADDRESSES:
            method, _, path = address.replace("BAD", bad).partition(" ")
            medias = (MERGE, APPLY) if method == "PATCH" else (JSON,)
            for media in medias:
                body = b"" if method == "GET" else b"{}"
                yield Nasty(f"{method} {path} {media}", method, path, body, media)


def in_headers() -> Iterator[Nasty]:
    """Bytes that no client library would send."""
    names = (
        *(
            "Accept",
            "Authorization",
            "User-Agent",
            "Impersonate-User",
            "Impersonate-Group",
            "Impersonate-Uid",
        ),
        *("If-None-Match", "Content-Encoding", "X-Forwarded-For"),
    )
    for raw in RAW:
        for name in names:
            yield Nasty(f"{name} {raw[:4]!r}", "GET", ACCOUNTS, headers={name: raw})
        yield Nasty(f"type {raw[:4]!r}", "POST", ACCOUNTS, b"{}", headers={"Content-Type": raw})
        labels = b'{"metadata": {"labels": {"a": "b"}}}'
        yield Nasty(f"manager {raw[:4]!r}", "PATCH", ACCOUNT_PATH, labels, MERGE, headers={"User-Agent": raw})
        for name in ("ce-id", "ce-type", "ce-source", "ce-time", "ce-subject", "ce-specversion"):
            headers: dict[str, bytes | str] = {"ce-id": "1", "ce-source": "s", "ce-type": "t"}
            headers |= {"ce-specversion": "1.0", name: raw}
            yield Nasty(f"binary {name} {raw[:4]!r}", "POST", EVENTS, b'{"value": "1"}', headers=headers)
