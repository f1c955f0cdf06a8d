"""The emission SDK: how many events a second reach the disk, and how many leave it for a real gateway.

The ceiling of recording is a loop in Python that appends the same bytes to a file and syncs it, without checking,
encoding or framing anything; it runs in the same round, on the same disk. Sending is compared with posting the same
events from memory, 1,000 a request over one connection of http.client, which is what the SDK does after reading them
back.
"""

import gzip
import http.client
import json
import os
import ssl
import tempfile
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from urllib.parse import urlsplit

from demo.server import Running, start_server
from milo_usage import Recorder, Usage
from milo_usage.clock import SystemClock
from milo_usage.events import encode
from milo_usage.identifiers import Ulids
from milo_usage.records import FRAME_BYTES

from bench.figures import Figure
from milo_billing.client.connection import Connection
from milo_billing.client.http import ApiClient
from milo_billing.client.manifests import read_manifests
from milo_billing.client.objects import Objects

NAME = "sdk"
ROUND_S = 3.0
THREADS = 8
MANY = 100
SENT_EVENTS = 60_000
BATCH = 1_000
NOBODY = "http://127.0.0.1:9"
"""The port of the discard service, where nothing listens: recording alone is measured."""

RECORD_BAR, MANY_BAR, SEND_BAR = 0.5, 0.1, 0.3
"""Measured 0.8, 0.25 and 0.9 on a busy machine."""

EVENT = Usage(
    "compute.example/cpu",
    "bench-app",
    1,
    {"region": "eu-west-1", "tier": "standard"},
    {"group": "compute.example", "kind": "Instance", "namespace": "default", "name": "instance-17"},
)
DECLARED = """\
apiVersion: billing.miloapis.com/v1alpha1
kind: MeterDefinition
metadata: {name: cpu}
spec:
  meterName: compute.example/cpu
  phase: Published
  measurement: {aggregation: Sum, unit: s, dimensions: [region, tier]}
---
apiVersion: resourcemanager.miloapis.com/v1alpha1
kind: Organization
metadata: {name: bench}
spec: {displayName: Bench}
---
apiVersion: resourcemanager.miloapis.com/v1alpha1
kind: Project
metadata: {name: bench-app}
spec: {ownerRef: {kind: Organization, name: bench}}
---
apiVersion: billing.miloapis.com/v1alpha1
kind: BillingAccount
metadata: {name: main, namespace: organization-bench}
spec:
  currencyCode: USD
  paymentProfile: {type: BankTransfer}
  contactInfo: {email: ap@bench.example, businessName: Bench}
---
apiVersion: billing.miloapis.com/v1alpha1
kind: BillingAccountBinding
metadata: {name: bench-app, namespace: organization-bench}
spec:
  billingAccountRef: {name: main}
  projectRef: {name: bench-app}
  effectiveFrom: "2026-01-01T00:00:00Z"
"""


def run() -> Sequence[Figure]:
    """Record, then send."""
    with tempfile.TemporaryDirectory(prefix="milo-billing-bench-") as name:
        folder = Path(name)
        folder.chmod(0o711)  # PostgreSQL's user passes through it
        return (*_measure_recording(folder), *_measure_sending(folder))


def _measure_recording(folder: Path) -> Sequence[Figure]:
    payload, _ = encode(EVENT, id="0" * 26, source="milo-usage", now_us=SystemClock().now_us())
    size = len(payload) + FRAME_BYTES
    raw_one = _rate(_appending(folder / "raw", bytes(size)))
    raw_many = _rate(_appending(folder / "raw", bytes(size * MANY)))
    with Recorder(url=NOBODY, token="bench", spool=folder / "spool") as recorder:
        one = _rate(lambda: recorder.record_many([EVENT]))
        threads = _rate(lambda: recorder.record_many([EVENT]), threads=THREADS)
        many = _rate(lambda: recorder.record_many([EVENT] * MANY))
        recorder.close(timeout=0)
    return (
        Figure("sdk/record", one / raw_one, "× raw append and fsync", bar=RECORD_BAR, sense=">="),
        Figure(f"sdk/record_{THREADS}_threads", threads / raw_one, "× raw append and fsync"),
        Figure(
            f"sdk/record_many_{MANY}", many / raw_many, "× raw append and fsync", bar=MANY_BAR, sense=">="
        ),
        Figure("sdk/record_rate", one, "events/s"),
        Figure(f"sdk/record_{THREADS}_threads_rate", threads, "events/s"),
        Figure(f"sdk/record_many_{MANY}_rate", many * MANY, "events/s"),
        Figure("sdk/raw_append_rate", raw_one, "appends/s"),
    )


def _appending(path: Path, data: bytes) -> Callable[[], object]:
    fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_APPEND)

    def append() -> None:
        os.write(fd, data)
        os.fdatasync(fd)

    return append


def _rate(call: Callable[[], object], *, threads: int = 1) -> float:
    """Calls a second, of all threads together."""
    counts = [0] * threads
    until = time.perf_counter() + ROUND_S

    def repeat(which: int) -> None:
        while time.perf_counter() < until:
            call()
            counts[which] += 1

    workers = [threading.Thread(target=repeat, args=(which,)) for which in range(threads)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    return sum(counts) / ROUND_S


def _measure_sending(folder: Path) -> Sequence[Figure]:
    server = start_server(folder / "data", log=folder / "log", settings={})
    try:
        return _send_both_ways(server, folder)
    finally:
        server.stop()


def _send_both_ways(server: Running, folder: Path) -> Sequence[Figure]:
    connection = server.connection()
    with ApiClient(connection) as api:
        for manifest in read_manifests(DECLARED, where="bench"):
            Objects(api).apply(manifest)
    ca_file = folder / "ca.pem"
    ca_file.write_text(connection.ca_pem or "")
    _post(connection, ca_file, SENT_EVENTS // 10)  # the gateway meets the labels and the token
    floor_s = _post(connection, ca_file, SENT_EVENTS)
    url = connection.gateway_url
    spool = folder / "sent"
    with Recorder(url=NOBODY, token="bench", spool=spool) as recorder:
        for _ in range(SENT_EVENTS // BATCH):
            recorder.record_many([EVENT] * BATCH)
        recorder.close(timeout=0)
    with Recorder(url=url, token=connection.token, ca_file=ca_file, spool=spool) as recorder:
        began = time.perf_counter()
        if not recorder.flush(120) or recorder.metrics().acknowledged != SENT_EVENTS:
            raise AssertionError(f"not everything was sent: {recorder.metrics()}")
        sent_s = time.perf_counter() - began
    return (
        Figure("sdk/send", floor_s / sent_s, "× posting from memory", bar=SEND_BAR, sense=">="),
        Figure("sdk/send_rate", SENT_EVENTS / sent_s, "events/s"),
    )


def _post(connection: Connection, ca_file: Path, count: int) -> float:
    """Seconds to post as many new events, made and compressed beforehand."""
    clock = SystemClock()
    bodies: list[bytes] = []
    for _ in range(count // BATCH):
        events = [
            encode(EVENT, id=id, source="milo-usage", now_us=clock.now_us())[0]
            for id in Ulids(clock).make(BATCH)
        ]
        bodies.append(gzip.compress(b"[" + b",".join(events) + b"]", compresslevel=1))
    url = urlsplit(connection.gateway_url)
    tls = ssl.create_default_context(cafile=str(ca_file))
    gateway = http.client.HTTPSConnection(url.hostname or "", url.port, context=tls)
    headers = {
        "Authorization": f"Bearer {connection.token}",
        "Content-Type": "application/json",
        "Content-Encoding": "gzip",
    }
    began = time.perf_counter()
    for body in bodies:
        gateway.request("POST", "/v1/usage/events:batchIngest", body=body, headers=headers)
        answer = json.loads(gateway.getresponse().read())
        if answer != {"accepted": BATCH}:
            raise AssertionError(f"the gateway answered {answer}")
    took = time.perf_counter() - began
    gateway.close()
    return took
