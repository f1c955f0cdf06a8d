"""What a user gets wrong, and what the command line and the API say."""

import json
import ssl
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
import pytest
from demo.server import Running

from milo_billing.client.errors import ApiError
from milo_billing.client.http import ApiClient, Door
from milo_billing.client.usage import get_usage, new_event, send_events
from tests.flow.conftest import CommandLine

METER = "web.flow.example/bytes"


@pytest.fixture
def now() -> datetime:
    return datetime.now(UTC)


def event(project: str, *, at: datetime, random80: int, value: int = 1, **changed: Any) -> dict[str, Any]:
    made = new_event(meter=METER, project=project, value=value, time=at, random80=random80, source="flow")
    return {**made, **changed}


@pytest.mark.parametrize(
    ("content", "says"),
    [
        ("when,bytes\n2026-10-01T00:00:00Z,1\n", "The file has no column time."),
        (
            "time,bytes\n2026-10-01T00:00:00Z,1\nnever,2\n",
            "row 2 (line 3), column time: expected an RFC 3339 time",
        ),
        ("time,bytes\n2026-10-01T00:00:00Z,1.5\n", "row 1 (line 2), column bytes: expected a whole number"),
    ],
    ids=["missing column", "bad time", "bad value"],
)
def test_a_file_with_one_bad_row_imports_nothing(
    milo: CommandLine,
    api: ApiClient,
    customer: Callable[[str, str], str],
    tmp_path: Path,
    content: str,
    says: str,
):
    project = customer("bad-file", "2026-01-01T00:00:00Z")
    file = tmp_path / "usage.csv"
    file.write_text(content)
    done = milo(
        "usage",
        "import",
        str(file),
        *("--meter", METER, "--project", project, "--time-column", "time", "--value-column", "bytes"),
    )
    assert done.returncode == 1
    assert done.stdout == ""
    assert says in done.stderr
    assert "Nothing was imported" in done.stderr
    assert get_usage(api, project=project, **{"from": "2026-01-01", "to": "2027-01-01"}) == []


def test_a_bad_event_among_good_ones_is_named_and_the_others_count(
    api: ApiClient, customer: Callable[[str, str], str], now: datetime
):
    project = customer("bad-batch", "2026-01-01T00:00:00Z")
    good = [event(project, at=now, random80=index, value=10) for index in range(3)]
    bad = event(project, at=now, random80=9, id="not-a-ulid-at-all-but-26ch")
    sent = send_events(api, [good[0], bad, *good[1:]])
    assert sent.accepted == 3
    assert [(item.id, item.reason) for item in sent.rejected] == [(bad["id"], "INVALID_ULID")]
    used = get_usage(api, project=project, **{"from": now.date().isoformat(), "to": "2100-01-01"})
    assert [(row["sum"], row["count"]) for row in used] == [("30", 3)]


def test_the_same_id_with_another_payload_is_a_conflict_and_the_first_one_stands(
    api: ApiClient, customer: Callable[[str, str], str], now: datetime
):
    project = customer("id-conflict", "2026-01-01T00:00:00Z")
    first = event(project, at=now, random80=77, value=5)
    assert send_events(api, [first]).accepted == 1
    assert send_events(api, [first]).rejected == ()  # a retry is no conflict
    changed = event(project, at=now, random80=77, value=6)
    sent = send_events(api, [changed])
    assert [(item.id, item.reason) for item in sent.rejected] == [(first["id"], "ID_CONFLICT")]
    used = get_usage(
        api, project=project, **{"from": now.date().isoformat(), "to": "2100-01-01"}, groupBy="meter"
    )
    assert (used[0]["sum"], used[0]["count"]) == ("5", 1)


def test_usage_of_an_unknown_project_is_accepted_but_not_billed(milo: CommandLine):
    done = milo("usage", "send", "--meter", METER, "--project", "nobody-has-this", "--value", "1")
    assert done.returncode == 0
    assert done.stdout == "accepted 1, rejected 0\n"


@pytest.mark.parametrize(
    ("door", "path"),
    [
        ("gateway", "/v1/usage/events:batchIngest"),
        ("gateway", "/v1/usage/events"),
        ("gateway", "/v1/usage/imports"),
        ("api", "/v1/invoicing/runs"),
        ("api", "/apis/resourcemanager.miloapis.com/v1alpha1/organizations"),
    ],
)
def test_malformed_json_is_a_400_that_says_so(api: ApiClient, door: Door, path: str):
    with pytest.raises(ApiError) as caught:
        api.request("POST", path, door=door, body=b'{"specversion": ')
    assert caught.value.code == 400
    assert len(caught.value.what) > 20


def test_a_huge_body_is_refused_with_413(api: ApiClient):
    with pytest.raises(ApiError) as caught:
        api.request(
            "POST", "/v1/usage/events:batchIngest", door="gateway", body=b"[" + b" " * (64 << 20) + b"]"
        )
    assert caught.value.code == 413


def test_every_wrong_field_is_named_at_once(milo: CommandLine, customer: Callable[[str, str], str]):
    customer("wrong-fields", "2026-01-01T00:00:00Z")
    manifest = {
        "apiVersion": "billing.miloapis.com/v1alpha1",
        "kind": "BillingAccount",
        "metadata": {"name": "second", "namespace": "organization-wrong-fields"},
        "spec": {"currencyCode": "usd", "paymentTerms": {"netDays": 0}, "contactInfo": {"email": ""}},
    }
    done = milo("apply", "-f", "-", stdin=json.dumps(manifest))
    assert done.returncode == 1
    for field in ("spec.currencyCode", "spec.paymentTerms.netDays", "spec.contactInfo.email"):
        assert f"- {field}: " in done.stderr
    assert "nothing was written" in done.stderr


def test_an_unknown_field_is_refused_by_name(milo: CommandLine, customer: Callable[[str, str], str]):
    customer("unknown-field", "2026-01-01T00:00:00Z")
    manifest = {
        "apiVersion": "billing.miloapis.com/v1alpha1",
        "kind": "BillingAccount",
        "metadata": {"name": "second", "namespace": "organization-unknown-field"},
        "spec": {"currencyCode": "USD", "colour": "red"},
    }
    done = milo("apply", "-f", "-", stdin=json.dumps(manifest))
    assert done.returncode == 1
    assert 'unknown field "spec.colour"' in done.stderr


def test_without_a_token_nothing_is_told(server: Running):
    connection = server.connection()
    for url in (
        f"{connection.api_url}/apis/billing.miloapis.com/v1alpha1/billingaccounts",
        f"{connection.gateway_url}/v1/usage/events",
    ):
        method = "GET" if "apis" in url else "POST"
        answer = httpx.request(method, url, json={}, verify=_trust(connection.ca_pem))
        assert answer.status_code in (401, 403)


def test_a_wrong_token_is_a_401_with_what_to_do(milo: CommandLine):
    done = milo("get", "billingaccounts", "--token", "wrong")
    assert done.returncode == 1
    assert "Give a valid token" in done.stderr


def test_an_account_that_pays_cannot_be_deleted(milo: CommandLine, customer: Callable[[str, str], str]):
    customer("still-pays", "2026-01-01T00:00:00Z")
    done = milo("delete", "billingaccount", "main", "-n", "organization-still-pays")
    assert done.returncode == 1
    assert 'billing account has active binding "still-pays-app" for project "still-pays-app"' in done.stderr


def _trust(ca_pem: str | None) -> ssl.SSLContext:
    return ssl.create_default_context(cadata=ca_pem)
