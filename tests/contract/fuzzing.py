"""A server to be abused: two customers, of whom one attacks and the other must never be seen, and what every answer
must be whatever the request was.
"""

import contextlib
import dataclasses
import http.client
import json
import re
import socket
import time
import urllib.parse
from collections.abc import Generator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast

import httpx

from milo_billing.access import store as access_store
from milo_billing.access.operations import hash_token
from milo_billing.app import wiring
from milo_billing.infra.clock import SystemClock
from milo_billing.infra.database import EVERYWHERE
from milo_billing.infra.runtime import Runtime
from tests.contract.examples import (
    ACCOUNT,
    ACME,
    EXAMPLES,
    IAM,
    METER,
    METHOD_CLASS,
    ORGANIZATION,
    PROJECT,
    SKU,
    Manifest,
    manifest,
)
from tests.serving import serving

if TYPE_CHECKING:
    from tests.contract.conftest import Cluster

ANSWER_S_MAX = 10.0
"""An answer that takes longer counts as a hang. Watches are asked for one second; the machine may be busy."""

SECRET = re.compile(r"zq7[a-z0-9]+")
"""What stands in every name and text of the other customer. Nobody sends it by chance."""

FUZZER = "milo_" + "f" * 43
"""The token of somebody who may do everything inside Acme."""

RIVAL = "zq7org"
RIVALS = f"organization-{RIVAL}"


@dataclass(frozen=True)
class Reply:
    """What came back."""

    code: int
    content_type: str
    body: bytes
    seconds: float

    @property
    def text(self) -> str:
        return self.body.decode(errors="replace")


@dataclass(frozen=True)
class Arena:
    """The servers, and the tokens of the attacker and of the provider."""

    cluster: "Cluster"
    gateway: str
    names: Mapping[str, tuple[str, ...]]
    """Path parameter → values that lead somewhere, those of the other customer among them."""

    @property
    def admin(self) -> str:
        return self.cluster.token

    def url(self, path: str) -> str:
        """Where the path is served."""
        return (
            self.gateway if path.startswith(("/v1/usage/events", "/v1/usage/imports")) else self.cluster.url
        )

    def send(
        self,
        method: str,
        path: str,
        body: bytes = b"",
        *,
        content_type: str = "application/json",
        token: str = FUZZER,
        headers: Mapping[str, bytes | str] = {},
        declared_length: int | None = None,
    ) -> Reply:
        """Send exactly these bytes: no client library stands between, which would refuse or repair them."""
        given: dict[str, bytes | str] = {"Authorization": f"Bearer {token}", "Content-Type": content_type}
        length = len(body) if declared_length is None else declared_length
        head = [f"{method} {path} HTTP/1.1", "Host: arena", "Connection: close", f"Content-Length: {length}"]
        lines = [line.encode() for line in head]
        for name, value in {**given, **headers}.items():
            lines.append(name.encode() + b": " + (value if isinstance(value, bytes) else value.encode()))
        started = time.monotonic()
        address = urllib.parse.urlsplit(self.url(path))
        with socket.create_connection((address.hostname, address.port), timeout=ANSWER_S_MAX) as connection:
            connection.sendall(b"\r\n".join(lines) + b"\r\n\r\n" + body)
            if declared_length is not None:
                connection.shutdown(socket.SHUT_WR)
            answer = http.client.HTTPResponse(connection, method=method)
            answer.begin()
            content = answer.read()
            found = answer.getheader("content-type", "")
            return Reply(answer.status, found, content, time.monotonic() - started)


def problems(reply: Reply, *, path: str, method: str, sent: str | None) -> list[str]:
    """What is wrong with an answer, whatever the question was; `sent` is all of the request, None for a sender who
    may see everything."""
    found: list[str] = []
    if reply.code >= 500 and not _tells_of_the_future(reply):
        found.append(f"status {reply.code}")
    if reply.seconds > ANSWER_S_MAX:
        found.append(f"answered after {reply.seconds:.1f} s")
    if sent is not None and (seen := set(SECRET.findall(reply.text.lower())) - set(SECRET.findall(sent))):
        found.append(f"shows {', '.join(sorted(seen))} of another organization")
    if reply.code >= 400 and method != "HEAD" and path.startswith("/apis/"):
        found += _status_problems(reply)
    return found


def _tells_of_the_future(reply: Reply) -> bool:
    """504: a list at a resourceVersion that is not there yet, as Kubernetes answers it."""
    return reply.code == 504 and b'"ResourceVersionTooLarge"' in reply.body


def _status_problems(reply: Reply) -> list[str]:
    """Errors below /apis are a Status; an address that leads nowhere is plain text, as Kubernetes answers it."""
    if (reply.code, reply.body) == (404, b"404 page not found\n"):
        return []
    if (reply.code, reply.body) == (400, b"Invalid HTTP request received."):
        return []  # what is no HTTP, nobody looked at
    if reply.content_type == "application/vnd.kubernetes.protobuf" and reply.code == 406:
        return []
    if reply.content_type.partition(";")[0] != "application/json":
        return [f"an error of type {reply.content_type!r}"]
    try:
        status = json.loads(reply.body)
    except ValueError:
        return ["an error that is not JSON"]
    shown = {name: status.get(name) for name in ("kind", "apiVersion", "status", "code")}
    wanted = {"kind": "Status", "apiVersion": "v1", "status": "Failure", "code": reply.code}
    wrong = [f"an error that is no Status: {shown}"] if shown != wanted else []
    if not isinstance(status.get("message"), str) or not isinstance(status.get("reason"), str):
        wrong.append("a Status without reason or message")
    return wrong


# -- the two customers


@contextlib.contextmanager
def standing_arena(cluster: "Cluster", runtime: Runtime) -> Generator[Arena]:
    """The cluster and a gateway beside it, with Acme, its rival and the token of the attacker."""
    _populate(cluster)
    _admit_the_fuzzer(runtime)
    beside = dataclasses.replace(runtime, role="gateway")
    with serving(wiring.build_gateway(beside)) as gateway:
        _send_usage(cluster, gateway)
        yield Arena(cluster, gateway, _names(cluster))


def _secret(example: Manifest, name: str, **spec: Any) -> Manifest:
    """The example as the rival has it: under a secret name, with a secret in its texts."""
    made = json.loads(json.dumps(example))
    made["metadata"]["name"] = name
    made["metadata"]["labels"] = {"team": f"{name}label"}
    made["metadata"]["annotations"] = {"note": f"{name}note"}
    if "namespace" in made["metadata"]:
        made["metadata"]["namespace"] = RIVALS
    if "displayName" not in spec and example["kind"] in ("Organization", "Project", "BillingAccount"):
        made["spec"]["displayName"] = f"{name}text"
    made["spec"] |= spec
    return made


def _populate(cluster: "Cluster") -> None:
    mine = (
        *(ORGANIZATION, PROJECT, ACCOUNT, METHOD_CLASS, METER, SKU),
        *(EXAMPLES[plural].manifest for plural in ("paymentmethods", "serviceaccounts", "services")),
        *(EXAMPLES[plural].manifest for plural in ("billingaccountbindings", "pricebooks", "issuerprofiles")),
        manifest(
            IAM,
            "PolicyBinding",
            "fuzzer",
            {
                "roleRef": {"name": "admin"},
                "subjects": [{"kind": "User", "name": "fuzzer"}],
                "resourceSelector": {"resourceRef": {"kind": "Organization", "name": "acme"}},
            },
        ),
    )
    theirs = (
        _secret(ORGANIZATION, RIVAL),
        _secret(PROJECT, "zq7project", ownerRef={"kind": "Organization", "name": RIVAL}),
        _secret(ACCOUNT, "zq7account", contactInfo={"email": "zq7mail@zq7host.example", "name": "zq7person"}),
        _secret(
            EXAMPLES["paymentmethods"].manifest,
            "zq7method",
            billingAccountRef={"name": "zq7account"},
            displayName="zq7methodtext",
        ),
        _secret(EXAMPLES["serviceaccounts"].manifest, "zq7sender", displayName="zq7sendertext"),
        _secret(
            EXAMPLES["billingaccountbindings"].manifest,
            "zq7binding",
            billingAccountRef={"name": "zq7account"},
            projectRef={"name": "zq7project"},
        ),
        _secret(
            EXAMPLES["pricebooks"].manifest,
            "zq7book",
            bookName="zq7series",
            organizationRef={"name": RIVAL},
            role="Negotiated",
        ),
        _secret(
            EXAMPLES["policybindings"].manifest,
            "zq7policy",
            roleRef={"name": "viewer"},
            subjects=[{"kind": "User", "name": "zq7user@zq7host.example"}],
            resourceSelector={"resourceRef": {"kind": "Organization", "name": RIVAL}},
        ),
    )
    for one in (*mine, *theirs):
        cluster.created(one)


def _admit_the_fuzzer(runtime: Runtime) -> None:
    with runtime.databases.app.transaction(reach=EVERYWHERE) as tx:
        access_store.insert_token(
            tx,
            sha256=hash_token(FUZZER),
            subject="fuzzer",
            service_account=None,
            owner_org=0,
            created_at=runtime.clock.now(),
            expires_at=None,
        )


def _send_usage(cluster: "Cluster", gateway: str) -> None:
    """Usage of both, so that sums and statistics have something to show."""
    at = SystemClock().now().isoformat()
    events = [
        {
            "specversion": "1.0",
            "id": f"{project}-{number}",
            "source": f"{project}-source",
            "type": METER["spec"]["meterName"],
            "subject": f"projects/{project}",
            "time": at,
            "data": {"value": "7", "dimensions": {"region": f"{project}region"}},
        }
        for project in ("web", "zq7project")
        for number in range(2)
    ]
    headers = {"Authorization": f"Bearer {cluster.token}"}
    answer = httpx.post(f"{gateway}/v1/usage/events:batchIngest", json=events, headers=headers, timeout=30)
    assert answer.json() == {"accepted": len(events)}, answer.text


def _names(cluster: "Cluster") -> dict[str, tuple[str, ...]]:
    standing: list[str] = []
    for kind in cluster.registry.kinds:
        listed = cluster.http.get(f"/apis/{kind.group}/{kind.version}/{kind.plural}").json()
        items = cast("list[Manifest]", listed["items"])
        standing += [item["metadata"]["name"] for item in items]
    return {
        "namespace": (ACME, RIVALS),
        "name": (*dict.fromkeys(standing), "fresh", "fresh-2"),
        "project": ("web", "zq7project"),
        "account": ("main", "zq7account"),
        "id": ("00000000-0000-4000-8000-000000000001", "nonsense"),
        "number": ("0", "1", "99999999999999999999"),
    }
