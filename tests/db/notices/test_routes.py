"""The endpoints and the kind over HTTP: what is refused, what is never shown, who may."""

from collections.abc import Iterator
from typing import Any

import pytest

from milo_billing.infra.database import EVERYWHERE
from milo_billing.infra.runtime import Runtime
from milo_billing.kernel.errors import BadRequest
from milo_billing.notices.resources import NotificationChannel, NotificationChannelSpec
from milo_billing.notices.rules.requests import parse_secret
from tests.contract.conftest import Cluster, prepare, serving_cluster
from tests.contract.conftest import runtime as runtime  # the fixture
from tests.contract.examples import ACME, BILLING, ORGANIZATION, manifest

SECRET = f"/apis/{BILLING}/namespaces/{ACME}/notificationchannels/books/secret"


def channel(spec: dict[str, Any], name: str = "books") -> dict[str, Any]:
    return manifest(BILLING, "NotificationChannel", name, spec, namespace=ACME)


def webhook(url: str = "https://hooks.example.com/x", **more: Any) -> dict[str, Any]:
    return channel({"type": "Webhook", "webhook": {"url": url, **more}})


@pytest.fixture
def cluster(runtime: Runtime) -> Iterator[Cluster]:
    with serving_cluster(runtime, token=prepare(runtime)) as cluster:
        cluster.created(ORGANIZATION)
        yield cluster


@pytest.mark.parametrize(
    ("spec", "field"),
    [
        ({"type": "Webhook"}, "spec.webhook"),
        (
            {"type": "Email", "email": {"to": ["a@b.example"]}, "chat": {"url": "https://x.example"}},
            "spec.chat",
        ),
        ({"type": "Email", "email": {"to": ["nobody"]}}, "spec.email.to[0]"),
        ({"type": "Email", "email": {"to": ["a@b.example", "A@b.example"]}}, "spec.email.to[1]"),
        ({"type": "Email", "email": {"to": ["a@b.example\r\nBcc: x@y.example"]}}, "spec.email.to[0]"),
        ({"type": "Email", "email": {"to": ["a@b.example"]}, "events": ["invoice.isued"]}, "spec.events[0]"),
        *(
            ({"type": "Webhook", "webhook": {"url": url}}, "spec.webhook.url")
            for url in (
                "http://hooks.example.com/",
                "https://127.0.0.1/",
                "https://[::1]/",
                "https://[::ffff:10.0.0.1]/",
                "https://10.0.0.8/",
                "https://169.254.169.254/latest",
                "https://2130706433/",
                "https://127.1/",
                "https://0x7f.0.0.0x1/",
                "https://localhost/",
                "https://db.internal/",
                "https://postgres/",
                "https://user:secret@hooks.example.com/",
                "https://hooks.example.com/#x",
                "https://hooks.example.com:99999/",
                "https://hooks.example.com/a b",
                "ftp://hooks.example.com/",
                "https:///x",
            )
        ),
        *(
            ({"type": "Webhook", "webhook": {"url": "https://a.example", "headers": headers}}, field)
            for headers, field in (
                ({"webhook-id": "1"}, "spec.webhook.headers[webhook-id]"),
                ({"Host": "x"}, "spec.webhook.headers[Host]"),
                ({"X-A": "a\r\nX-B: b"}, "spec.webhook.headers[X-A]"),
                ({"X A": "a"}, "spec.webhook.headers"),
            )
        ),
    ],
)
def test_what_cannot_be_a_channel(spec: dict[str, Any], field: str) -> None:
    wanted = NotificationChannelSpec.model_validate(spec)
    kind = NotificationChannel()
    errors = list(kind.spec_errors(wanted))
    assert [one.field for one in errors] == [field]
    assert all("secret" not in one.message for one in errors)


def test_one_of_them_is_refused_over_http_and_a_good_one_waits_for_its_secret(cluster: Cluster) -> None:
    refused = cluster.create(webhook("https://10.0.0.8/"))
    assert refused.status_code == 422
    assert "an address inside" in refused.text
    made = cluster.created(webhook())
    (ready,) = [one for one in made["status"]["conditions"] if one["type"] == "Ready"]
    assert (ready["status"], ready["reason"]) == ("False", "SecretMissing")
    tested = cluster.http.post(cluster.path(webhook()) + "/test", json={})
    assert tested.status_code == 409
    assert "has no secret" in tested.text


def test_a_secret_is_shown_once_and_never_again(cluster: Cluster, runtime: Runtime) -> None:
    cluster.created(webhook())
    made = cluster.http.post(SECRET)
    assert made.status_code == 201
    secret = made.json()["secret"]
    assert secret.startswith("whsec_")
    read = cluster.http.get(cluster.path(webhook()))
    assert read.json()["status"]["secret"]["createdAt"]
    assert {one["type"]: one["status"] for one in read.json()["status"]["conditions"]}["Ready"] == "True"
    audit = cluster.http.get("/v1/audit/records").text
    assert "rotateSecret" in audit
    given = "whsec_" + "QUJD" * 10
    assert cluster.http.post(SECRET, json={"secret": given, "overlapHours": 1}).json() == {"overlapHours": 1}
    with runtime.databases.app.transaction(reach=EVERYWHERE) as tx:
        stored = str(tx.execute("select * from notices.secrets").fetchall())
        stored += str(tx.execute("select * from controlplane.changes").fetchall())
        stored += str(tx.execute("select * from access.audit_records").fetchall())
    for one in (secret, given):
        assert one[6:] not in read.text + audit + stored
    assert "hooks.example.com" not in stored  # where it leads is sealed


@pytest.mark.parametrize(
    "body",
    [b"[]", b"{", b'{"secret": "short"}', b'{"secret": "whsec_QUJD"}', b'{"overlapHours": -1}', b'{"x": 1}'],
)
def test_secrets_that_are_none_are_refused(body: bytes) -> None:
    with pytest.raises(BadRequest):
        parse_secret(body)


def test_a_test_is_in_the_log_and_can_be_replayed(cluster: Cluster) -> None:
    cluster.created(webhook())
    cluster.http.post(SECRET)
    tested = cluster.http.post(cluster.path(webhook()) + "/test", json={})
    assert tested.status_code == 200, tested.text
    id = tested.json()["status"]["lastTest"]["delivery"]
    listed = cluster.http.get("/v1/notices/deliveries", params={"channel": "books"}).json()
    (item,) = listed["items"]
    assert (item["id"], item["type"], item["state"]) == (id, "notices.test", "Waiting")
    shown = cluster.http.get(f"/v1/notices/deliveries/{id}").json()
    assert shown == {**item, "log": []}
    again = cluster.http.post(f"/v1/notices/deliveries/{id}/replay")
    assert (again.status_code, again.json()["messageId"]) == (202, item["messageId"])
    many = cluster.http.post("/v1/notices/replays", json={"channel": "books", "state": "Waiting"})
    assert (many.status_code, many.json()["replayed"], many.json()["more"]) == (202, 1, False)
    assert cluster.http.post("/v1/notices/replays", json={}).status_code == 400
    for path in (
        "deliveries?state=Gone",
        "deliveries?from=yesterday",
        "deliveries?continue=x",
        "deliveries?limit=0",
    ):
        assert cluster.http.get(f"/v1/notices/{path}").status_code == 400
    assert cluster.http.get("/v1/notices/deliveries/none").status_code == 404
    events = cluster.http.get("/v1/notices/events").json()["items"]
    assert {"invoice.issued", "payment.failed"} <= {one["type"] for one in events}
