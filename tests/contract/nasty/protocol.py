"""Methods, media types, encodings and addresses that are not meant, and protobuf that ends too early."""

import gzip
import struct
from collections.abc import Iterator

from tests.contract.examples import ACME
from tests.contract.nasty.requests import (
    ACCOUNT_PATH,
    ACCOUNTS,
    BATCH,
    BILLING,
    EVENTS,
    IMPORTS,
    PROJECTS,
    PROTOBUF,
    REVIEW,
    RULES,
    RUNS,
    SELF,
    TOKEN,
    Nasty,
    account,
    encoded,
    event,
)

_UNKNOWN = b"k8s\x00" + b"\x0a\x30" + b"\x0a\x17authorization.k8s.io/v1" + b"\x12\x17SelfSubjectAccessReview"

_PROTOBUFS = {
    "magic": b"k8s\x00",
    "half the magic": b"k8",
    "truncated tag": b"k8s\x00\x0a",
    "truncated length": b"k8s\x00\x0a\xff",
    "too long a length": b"k8s\x00\x0a\xff\xff\xff\xff\x0f",
    "endless varint": b"k8s\x00" + b"\xff" * 40,
    "illegal wire type": b"k8s\x00\x0b",
    "field 0": b"k8s\x00\x02\x00",
    "envelope only": _UNKNOWN,
    "truncated envelope": _UNKNOWN[:-3],
    "body that is a varint": _UNKNOWN + b"\x10\x01",
    "body that is none": _UNKNOWN + b"\x12\x03\xff\xff\xff",
    "type that is a number": b"k8s\x00\x08\x01",
    "type that is no text": b"k8s\x00\x0a\x04\x0a\x02\xff\xfe",
    "nested for ever": b"k8s\x00" + b"\x0a\x7f" * 63,
    "encoded body": _UNKNOWN + b"\x1a\x04gzip" + b"\x22\x01x",
    "fixed64 cut": b"k8s\x00\x09" + struct.pack("<I", 1),
}

_MEDIA_TYPES = (
    "",
    "text/plain",
    "application/xml",
    "*/*",
    "application/json; charset=latin-1",
    "application/json;charset=utf-16",
    ";",
    "application/strategic-merge-patch+json",
    "multipart/form-data",
    "APPLICATION/JSON",
    "application/json, application/yaml",
    "a" * 5000,
)

_ACCEPTED = (
    "text/html",
    "application/json;as=Table;v=v9;g=x",
    "application/json;as=;v",
    ";;;",
    "application/json;q=0",
    "application/vnd.kubernetes.protobuf",
    "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1",
    "," * 5000,
    "a=b;" * 1000,
)

_PATHS = (
    "/",
    "/version",
    "/api",
    "/api/v1",
    "/apis",
    "/apis/",
    "/apis//",
    "/apis/billing.miloapis.com",
    BILLING,
    "/openapi/v2",
    "/openapi/v3",
    "/openapi/v3/apis/billing.miloapis.com/v1alpha1",
    ACCOUNTS,
    ACCOUNT_PATH,
    f"{ACCOUNT_PATH}/status",
    f"{ACCOUNT_PATH}/suspend",
    f"{BILLING}/namespaces/{ACME}/invoices/x",
    f"{BILLING}/namespaces/{ACME}/invoices/x/lines",
    f"{BILLING}/namespaces/{ACME}/invoices/x/pdf",
    f"{BILLING}/namespaces/{ACME}/invoices/x/status",
    REVIEW,
    TOKEN,
    "/v1/usage",
    "/v1/usage/statistics",
    "/v1/audit/verify",
    "/v1/audit/records",
    "/v1/projects/web/payer",
    f"/v1/accounts/{ACME}/main/tree",
    RUNS,
    EVENTS,
    BATCH,
    IMPORTS,
    "/api/v1/namespaces/default",
    "/apis/nothing/v1/x",
    "/nowhere",
    f"{BILLING}/billingaccounts",
    f"{BILLING}/billingaccounts/main",
    f"{PROJECTS}/web",
    f"{PROJECTS}/web/status/x",
    f"{BILLING}/namespaces//billingaccounts",
    f"{BILLING}/namespaces/{ACME}/",
    f"{ACCOUNTS}//",
    "//apis",
    "/apis/../apis",
)
_METHODS = ("HEAD", "OPTIONS", "TRACE", "PATCH", "PUT", "POST", "CONNECT", "PROPFIND", "BREW", "get")

_ADDRESSES = (
    "http://elsewhere/apis",
    "*",
    "/%",
    "/%zz",
    "/?%",
    "/apis?" + "a=b&" * 3000,
    "/" + "a/" * 3000,
    f"{ACCOUNTS}?watch=1&watch=0&timeoutSeconds=1",
    f"{ACCOUNTS}?limit=1&limit=x",
    f"{ACCOUNTS}?continue=eyJzdGFydCI6IHsiYSI6IDF9fQ",
    f"{ACCOUNTS}?continue=eyJzdGFydCI6ICJcdTAwMDAvXHUwMDAwIn0",
    f"{ACCOUNTS}?continue=W10",
    f"{ACCOUNTS}?continue=Nw",
    f"{ACCOUNTS}?continue=%C3%A9",
    f"{ACCOUNTS}?continue={'A' * 5000}",
    f"{ACCOUNTS}?labelSelector={'(' * 4000}",
    f"{ACCOUNTS}?labelSelector=" + "a%20in%20(" * 1000,
    f"{ACCOUNTS}?labelSelector=" + "a," * 4000,
    f"{ACCOUNTS}?labelSelector=" + "%20" * 3000 + "x%20y",
    f"{ACCOUNTS}?fieldSelector=" + "metadata.name!%3Da," * 1500,
    f"{ACCOUNTS}?fieldSelector={'%3D' * 3000}",
    f"{ACCOUNTS}?labelSelector=a+in+()",
    f"{ACCOUNTS}?labelSelector=a+notin+(,)",
)

_ZIPPED = gzip.compress(encoded([event()]))

_GZIPS = {
    "good": _ZIPPED,
    "truncated": _ZIPPED[:-9],
    "twice": _ZIPPED + _ZIPPED,
    "none": b"[]",
    "empty": b"",
    "bomb": gzip.compress(b" " * (70 << 20), 1),
}

_HEADERS: dict[str, dict[str, bytes | str]] = {
    "user empty": {"Impersonate-User": ""},
    "group only": {"Impersonate-Group": "system:masters"},
    "extra": {"Impersonate-Extra-a%00": "x", "Impersonate-User": "x"},
    "service account": {"Impersonate-User": "system:serviceaccount:"},
    "service account of nobody": {"Impersonate-User": "system:serviceaccount:a:b:c"},
    "basic": {"Authorization": "Basic eA=="},
    "empty bearer": {"Authorization": "Bearer "},
    "long bearer": {"Authorization": "Bearer " + "x" * 6000},
    "range": {"Range": "bytes=0-18446744073709551616"},
    "if none match": {"If-None-Match": '"' * 500},
    "upgrade": {"Upgrade": "websocket", "Sec-WebSocket-Key": "eA==", "Sec-WebSocket-Version": "13"},
    "expect": {"Expect": "100-continue"},
}


def protobuf() -> Iterator[Nasty]:
    """To the reviews, which read it, and to the others, which do not."""
    for what, body in _PROTOBUFS.items():
        for path in (REVIEW, RULES, SELF):
            yield Nasty(f"{what} {path[-12:]}", "POST", path, body, PROTOBUF)
        yield Nasty(f"object {what}", "POST", ACCOUNTS, body, PROTOBUF, (400, 415))
        yield Nasty(f"delete {what}", "DELETE", ACCOUNT_PATH, body, PROTOBUF, (400, 415))


def media_types() -> Iterator[Nasty]:
    """Sent and asked for, and how a body is compressed."""
    readers = (("POST", ACCOUNTS), ("PUT", ACCOUNT_PATH), ("PATCH", ACCOUNT_PATH), ("POST", REVIEW))
    for media in _MEDIA_TYPES:
        for method, path in (*readers, ("POST", EVENTS), ("POST", RUNS), ("POST", TOKEN)):
            yield Nasty(f"{method} {path[-12:]} as {media[:30]!r}", method, path, encoded(account()), media)
    shown = ("/apis", "/api", "/openapi/v2", "/openapi/v3", "/version", "/v1/usage")
    for accept in _ACCEPTED:
        for path in (ACCOUNTS, ACCOUNT_PATH, *shown):
            yield Nasty(f"accept {accept[:30]} {path[-12:]}", "GET", path, headers={"Accept": accept})
    for what, body in _GZIPS.items():
        yield Nasty(f"gzip {what}", "POST", BATCH, body, headers={"Content-Encoding": "gzip"})
    for encoding in ("br", "deflate", "gzip, gzip", "GZIP", "zstd"):
        yield Nasty(f"encoding {encoding}", "POST", BATCH, _ZIPPED, headers={"Content-Encoding": encoding})


def addresses() -> Iterator[Nasty]:
    """Every method on every path, paths that are none, parameters that are no end of."""
    for path in _PATHS:
        for method in _METHODS:
            yield Nasty(f"{method} {path[-40:]}", method, path)
    for address in _ADDRESSES:
        yield Nasty(f"address {address[:60]}", "GET", address)
    for what, headers in _HEADERS.items():
        for path in (ACCOUNTS, "/apis", "/openapi/v3", "/v1/usage", f"{PROJECTS}/web"):
            yield Nasty(f"headers {what} {path[-12:]}", "GET", path, headers=headers)
