"""Bodies of every wrong shape, in JSON and in YAML, sent wherever a body is read."""

from collections.abc import Iterator

from tests.contract.nasty.requests import (
    ACCOUNT_PATH,
    ACCOUNTS,
    APPLY,
    BATCH,
    CHUNKS,
    DEPTH,
    EVENTS,
    HEAD,
    IMPORTS,
    JSON,
    JSON_PATCH,
    LONG_DIGITS,
    MERGE,
    PROTOBUF,
    REVIEW,
    RULES,
    RUNS,
    TOKEN,
    YAML,
    Nasty,
    account,
    encoded,
    event,
)

_TYPED = b'{"apiVersion": "billing.miloapis.com/v1alpha1", "kind": "BillingAccount", '

_DEEP = {
    "arrays": b"[" * DEPTH + b"]" * DEPTH,
    "objects": b'{"a":' * DEPTH + b"1" + b"}" * DEPTH,
    "unclosed": b"[" * DEPTH,
    "in an object": encoded(account()).replace(b'"USD"', b'"USD", "x": ' + b"[" * 900 + b"]" * 900),
    "in a spec": b'{"spec": {"contactInfo": ' + b'{"a":' * 900 + b"1" + b"}" * 900 + b"}}",
    "in a status": b'{"status": ' + b'{"a":' * 950 + b"1" + b"}" * 950 + b"}",
}

_BODIES = {
    **{f"deep {name}": body for name, body in _DEEP.items()},
    "empty": b"",
    "blank": b" \n\t ",
    "null": b"null",
    "true": b"true",
    "number": b"7",
    "string": b'"text"',
    "array": b"[]",
    "array of nulls": b"[null, null]",
    "object": b"{}",
    "invalid UTF-8": b'{"kind": "\xff\xfe"}',
    "overlong UTF-8": b'{"kind": "\xc0\xaf"}',
    "UTF-16": '{"kind": "BillingAccount"}'.encode("utf-16"),
    "UTF-32": '{"kind": "BillingAccount"}'.encode("utf-32"),
    "byte order mark": b"\xef\xbb\xbf{}",
    "NULs": b"\x00" * 64,
    "truncated": b'{"kind": "Billing',
    "two values": b"{} {}",
    "duplicate keys": b'{"kind": "BillingAccount", "kind": "Project", "spec": {}, "spec": []}',
    "comment": b"{/* c */}",
    "trailing comma": b'{"a": 1,}',
    "metadata null": _TYPED + b'"metadata": null, "spec": null, "status": null}',
    "metadata list": _TYPED + b'"metadata": [], "spec": []}',
    "metadata string": _TYPED + b'"metadata": "x", "spec": "x", "status": "x"}',
    "odd metadata": _TYPED
    + (
        b'"metadata": {"name": "main", "labels": [], "annotations": "a", "finalizers": {"a": 1}, '
        b'"ownerReferences": [7], "managedFields": [7], "generation": "x", "creationTimestamp": 7, '
        b'"deletionTimestamp": 7}}'
    ),
    "odd labels": _TYPED
    + (
        b'"metadata": {"name": "main", "labels": {"a": 1, "b": null, "c": {}}, "annotations": {"a": []}, '
        b'"finalizers": [1, null, {}]}}'
    ),
    "odd owners": _TYPED
    + (
        b'"metadata": {"name": "main", "ownerReferences": [{"uid": "x", "apiVersion": "x", "kind": 7, '
        b'"name": []}, null], "managedFields": [{"manager": 1, "fieldsV1": 7, "time": "x", "operation": '
        b"{}}]}}"
    ),
    "odd kind": b'{"apiVersion": ["v1"], "kind": {"a": 1}, "metadata": {"name": 7}}',
    "numbers of names": _TYPED + b'"metadata": {"name": 7, "namespace": 7, "uid": 7, "resourceVersion": 7}}',
    "a review": (
        b'{"apiVersion": "authorization.k8s.io/v1", "kind": "SelfSubjectAccessReview", "spec": '
        b'{"resourceAttributes": {"verb": 1, "name": []}, "nonResourceAttributes": null}}'
    ),
    "odd review": b'{"spec": {"resourceAttributes": []}}',
    "odder review": b'{"spec": {"nonResourceAttributes": "x"}}',
    "spec text": b'{"spec": "x"}',
    "metadata text": b'{"metadata": "x"}',
    "options": b'{"preconditions": [], "dryRun": {"a": 1}, "propagationPolicy": 7, "orphanDependents": "x"}',
    "huge key": b'{"' + b"k" * 100_000 + b'": 1}',
    "many keys": encoded({f"k{n}": n for n in range(20_000)}),
    "huge digits": b'{"spec": {"paymentTerms": {"netDays": ' + LONG_DIGITS.encode() + b"}}}",
    "one event for each type": encoded(
        [
            None,
            7,
            "x",
            [],
            {},
            {"data": None},
            {"data": []},
            event(data=[]),
            event(data={"value": {}}),
            event(data={"value": "1", "dimensions": []}),
            event(data={"value": "1", "dimensions": {"a": {}}}),
            event(data={"value": True}),
            event(data={"value": 1.5}),
            event(time=7),
            event(id=7),
            event(subject=None),
        ]
    ),
    "chunk": encoded(
        {
            "events": [
                {
                    "row": -(2**63),
                    "project": "",
                    "meter": "",
                    "time": "",
                    "value": 1e308,
                    "dimensions": {},
                }
            ]
        }
    ),
    "chunk of a large row": encoded(
        {"events": [{"row": 2**63 - 1, "project": "web", "meter": "m", "time": "x", "value": "1"}]}
    ),
}

_READERS = (
    ("POST", f"{ACCOUNTS}?dryRun=All", JSON),
    ("POST", f"{ACCOUNTS}?dryRun=All", YAML),
    ("PUT", f"{ACCOUNT_PATH}?dryRun=All", JSON),
    ("PATCH", f"{ACCOUNT_PATH}?dryRun=All", MERGE),
    ("PATCH", f"{ACCOUNT_PATH}?dryRun=All", JSON_PATCH),
    ("PATCH", f"{ACCOUNT_PATH}?dryRun=All&fieldManager=f", APPLY),
    ("PATCH", f"{ACCOUNT_PATH}/status?dryRun=All", MERGE),
    ("DELETE", f"{ACCOUNT_PATH}?dryRun=All", JSON),
    ("POST", f"{ACCOUNT_PATH}/suspend?dryRun=All", JSON),
    ("POST", REVIEW, JSON),
    ("POST", REVIEW, PROTOBUF),
    ("POST", RULES, JSON),
    ("POST", TOKEN, JSON),
    ("POST", RUNS, JSON),
    ("POST", EVENTS, JSON),
    ("POST", BATCH, JSON),
    ("POST", IMPORTS, JSON),
    ("POST", f"{CHUNKS}/0", JSON),
)

_LAUGHS = b"a0: &a0 [x, x, x, x, x, x, x, x, x]\n" + b"".join(
    b"a%d: &a%d [%s]\n" % (n, n, b", ".join([b"*a%d" % (n - 1)] * 9)) for n in range(1, 12)
)

_DOCUMENTS = {
    "billion laughs": HEAD + _LAUGHS,
    "laughs in a spec": HEAD + b"spec:\n" + b"".join(b"  " + line + b"\n" for line in _LAUGHS.splitlines()),
    "laughs in annotations": _LAUGHS
    + HEAD.replace(b"{name: fresh}", b"{name: fresh, annotations: {note: *a11}}"),
    "laughing name": _LAUGHS + HEAD.replace(b"fresh", b"*a11"),
    "laughing kind": _LAUGHS + HEAD.replace(b"BillingAccount", b"*a11"),
    "recursive alias": HEAD + b"spec: &s\n  currencyCode: *s\n",
    "recursive list": HEAD + b"spec:\n  taxIds: &t [*t]\n",
    "recursive merge": HEAD + b"spec: &s\n  <<: *s\n",
    "recursive whole": b"&x {apiVersion: billing.miloapis.com/v1alpha1, kind: BillingAccount, metadata: *x, spec: *x}",
    "recursive annotation": HEAD.replace(b"{name: fresh}", b"&m {name: fresh, annotations: *m}"),
    "anchors": HEAD + b"spec: {currencyCode: &c USD, displayName: *c}\n",
    "unknown alias": HEAD + b"spec: *nothing\n",
    "python tag": HEAD + b"spec: !!python/object/apply:os.system ['true']\n",
    "set": HEAD + b"spec: !!set {a, b}\n",
    "binary": HEAD + b"spec: {displayName: !!binary AAAA}\n",
    "omap": HEAD + b"spec: !!omap [a: 1]\n",
    "pairs": HEAD + b"spec: {taxIds: !!pairs [a: 1]}\n",
    "date": HEAD + b"spec: {displayName: 2026-10-01, timeZone: 2026-10-01T00:00:00Z}\n",
    "infinity": HEAD + b"spec: {paymentTerms: {netDays: .inf, invoiceDayOfMonth: .nan}}\n",
    "infinity unvalidated": HEAD + b"spec: {currencyCode: USD, x: .inf, y: .nan}\n",
    "sexagesimal": HEAD + b"spec: {paymentTerms: {netDays: 190:20:30}}\n",
    "huge sexagesimal": HEAD + b"spec: {paymentTerms: {netDays: " + b"1:" * 3000 + b"30}}\n",
    "octal": HEAD + b"spec: {paymentTerms: {netDays: 0777}}\n",
    "huge digits": HEAD + b"spec: {paymentTerms: {netDays: " + LONG_DIGITS.encode() + b"}}\n",
    "keys that are no strings": HEAD + b"spec: {1: a, null: b, true: c, 1.5: d}\n",
    "labels that are no strings": HEAD.replace(
        b"{name: fresh}", b"{name: fresh, labels: {1: 2, null: true}, annotations: {1.5: x}}"
    ),
    "key that is a list": HEAD + b"spec: {? [a, b] : c}\n",
    "key that is a map": HEAD + b"? {a: b}\n: c\n",
    "two documents": HEAD + b"---\n" + HEAD,
    "duplicate keys": HEAD + HEAD,
    "tabs": b"\tkind: x",
    "deep": b"[" * DEPTH,
    "deep block": b"- " * DEPTH + b"a",
    "block that ends the process": b"- " * 200_000 + b"a",
    "question that ends the process": b"? " * 200_000 + b"a",
    "flow that takes hours": b"[" * 2_000_000,
    "merges of merges": HEAD
    + b"m0: &m0 {a: 1}\n"
    + b"".join(
        b"m%d: &m%d {<<: [%s], k%d: 1}\n" % (n, n, b", ".join([b"*m%d" % (n - 1)] * 9), n)
        for n in range(1, 12)
    ),
    "deep flow closed": HEAD + b"spec: " + b"[" * 3000 + b"]" * 3000,
    "NUL": b"kind: a\x00b",
    "escaped NUL": HEAD + b'spec: {currencyCode: USD, displayName: "\\0"}\n',
    "escaped surrogate": HEAD + b'spec: {currencyCode: USD, displayName: "\\ud800"}\n',
    "directive": b"%YAML 9.9\n---\n" + HEAD,
}


def in_json() -> Iterator[Nasty]:
    """Every body to everybody who reads one."""
    for what, body in _BODIES.items():
        for method, path, media in _READERS:
            yield Nasty(f"{what}: {method} {path[-40:]} {media}", method, path, body, media)


def in_yaml() -> Iterator[Nasty]:
    """What YAML can do and JSON cannot: aliases, merge keys, tags, keys that are no texts, and ending the process."""
    for what, body in _DOCUMENTS.items():
        yield Nasty(f"create {what}", "POST", f"{ACCOUNTS}?dryRun=All", body, YAML)
        yield Nasty(f"apply {what}", "PATCH", f"{ACCOUNTS}/fresh?fieldManager=f&dryRun=All", body, APPLY)
        lenient = f"{ACCOUNTS}/fresh?fieldManager=f&dryRun=All&fieldValidation=Ignore"
        yield Nasty(f"apply leniently {what}", "PATCH", lenient, body, APPLY)
        yield Nasty(f"act {what}", "POST", f"{ACCOUNT_PATH}/suspend?dryRun=All", body, YAML)
        yield Nasty(f"delete {what}", "DELETE", f"{ACCOUNT_PATH}?dryRun=All", body, YAML)
