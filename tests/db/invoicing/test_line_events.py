"""From an invoice line to the events that make it up: their sum is the line's quantity."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import httpx
import msgspec
import pytest

from milo_billing.adapters.folder_blobs import FolderBlobs
from milo_billing.adapters.typst_documents import TypstDocuments
from milo_billing.controlplane.decoding import Draft
from milo_billing.controlplane.doors import Door
from milo_billing.controlplane.edge import build_application
from milo_billing.controlplane.identity import Identity
from milo_billing.controlplane.patches import merge_patch
from milo_billing.controlplane.rows import Row
from milo_billing.infra.clock import SimulatedClock, new_uid, random_bits
from milo_billing.infra.database import EVERYWHERE
from milo_billing.invoicing.routes import READ_USAGE, routes
from milo_billing.invoicing.types.invoices import Invoice
from milo_billing.kernel.ids import ulid
from milo_billing.usage import operations
from milo_billing.usage.engine import decode, groups
from milo_billing.usage.engine.archive import Archivist
from milo_billing.usage.engine.commit import Committer
from milo_billing.usage.engine.groups import Request, Sender
from milo_billing.usage.engine.readings import to_us
from milo_billing.usage.engine.replay import Replayer
from milo_billing.usage.types import QuarantineFilter
from tests.accounts_world import Grants
from tests.db.invoicing.ground import ACME, NOVEMBER, Ground
from tests.serving import client_of, serving

METER = "example.com/llm"
OCTOBER = datetime(2026, 10, 1, tzinfo=UTC)


def declare(ground: Ground) -> None:
    """Two Skus of one meter by model, and `web` bound to `main`."""
    measurement = {"aggregation": "Sum", "unit": "{token}", "dimensions": ["model"]}
    ground.declare(
        "meterdefinitions", "llm", {"meterName": METER, "phase": "Published", "measurement": measurement}
    )
    for model in ("swift", "sage"):
        meter = {"meterName": METER, "match": {"model": [model, f"{model}-2"]}}
        spec = {"chargeType": "Usage", "meter": meter, "pricingUnit": "10*3.{token}", "displayName": model}
        ground.declare("skus", model, spec)
    prices = [
        {"skuRef": {"name": model}, "model": "PerUnit", "unitPrice": "1"} for model in ("swift", "sage")
    ]
    book = {"bookName": "eur", "effectiveFrom": "2026-01-01", "currencyCode": "EUR", "phase": "Published"}
    ground.declare("pricebooks", "eur", {**book, "prices": prices})
    ground.declare_account(currencyCode="EUR", timeZone="Europe/Paris")
    ground.declare(
        "billingaccountbindings",
        "web",
        {"billingAccountRef": {"name": "main"}, "projectRef": {"name": "web"}},
        namespace=ACME,
    )


def ingest(
    ground: Ground, events: list[tuple[datetime, str, int]], *, received: datetime, **dimensions: str
) -> None:
    """Events of `web`: time, model, value."""
    body = [
        {
            "specversion": "1.0",
            "id": ulid(int(received.timestamp() * 1000), random_bits(80)),
            "source": "test",
            "type": METER,
            "subject": "projects/web",
            "time": at.isoformat(),
            "data": {"value": str(value), "dimensions": {"model": model, **dimensions}},
        }
        for at, model, value in events
    ]
    committer = Committer(
        ground.databases.ingest, process=new_uid(), random_bits=random_bits, late_days_max=60
    )
    request = Request(
        batch=decode.decode_batch(msgspec.json.encode(body)),
        sender=Sender(owner_org=0, reach=EVERYWHERE),
        received_us=to_us(received),
    )
    committer.commit(groups.whole([request]), None)


@pytest.fixture
def grants() -> Grants:
    """Everything that a reader of invoices and usage needs."""
    return Grants({f"billing.miloapis.com/{name}": EVERYWHERE for name in ("invoices.get", "usage.read")})


@pytest.fixture
def http(bare_ground: Ground, grants: Grants, tmp_path: Path) -> Iterator[httpx.Client]:
    clock = SimulatedClock(NOVEMBER + timedelta(days=2))
    door = Door(bare_ground.databases.app, grants, clock)
    with (
        serving(
            build_application(
                routes(door, bare_ground.office, TypstDocuments(), FolderBlobs(tmp_path / "archive"))
            )
        ) as url,
        client_of(url, token="ann") as client,
    ):
        yield client


def listed(http: httpx.Client, path: str, **query: Any) -> list[dict[str, Any]]:
    """All pages."""
    found: list[dict[str, Any]] = []
    while True:
        answer = http.get(path, params={"limit": 7, **query})
        assert answer.status_code == 200, answer.text
        found += answer.json()["items"]
        if (more := answer.json()["metadata"].get("continue")) is None:
            return found
        query["continue"] = more


def path_of(invoice: Invoice, line: int | str) -> str:
    return (
        f"/apis/billing.miloapis.com/v1alpha1/namespaces/{ACME}/invoices/{invoice.name}/lines/{line}/events"
    )


def test_the_events_of_a_line_add_up_to_its_quantity(
    ground: Ground, http: httpx.Client, grants: Grants
) -> None:
    declare(ground)
    midnight = datetime(2026, 10, 31, 23, tzinfo=UTC)  # of Paris, where November begins
    first = OCTOBER + timedelta(hours=1)
    inside = [
        (first + timedelta(hours=11 * n), ("swift", "swift-2", "sage")[n % 3], 1000 + n) for n in range(60)
    ]
    edge = [(midnight - timedelta(microseconds=1), "swift", 7_000), (midnight, "swift", 9_000)]
    for start in range(0, 60, 20):
        part = inside[start : start + 20]
        ingest(ground, part, received=part[-1][0] + timedelta(minutes=1))
    ingest(ground, edge, received=midnight + timedelta(minutes=1))
    invoice = ground.issued(ground.account())
    late = invoice.issued_at + timedelta(minutes=5)
    ingest(ground, [(first, "swift", 77)], received=late)

    with ground.databases.app.transaction(reach=EVERYWHERE) as tx:
        lines = tx.execute(
            "select line, sku_name, quantity from invoicing.lines where invoice = %s order by line",
            (invoice.uid,),
        ).fetchall()
    assert [name for _, name, _ in lines] == ["sage", "swift"]
    for line, name, quantity in lines:
        events = listed(http, path_of(invoice, line))
        assert {event["dimensions"]["model"].removesuffix("-2") for event in events} == {name}
        assert Decimal(sum(int(event["value"]) for event in events)) / 1000 == quantity
        assert [event["id"] for event in events] == sorted(event["id"] for event in events)
    swift = lines[1][0]
    assert [event["value"] for event in listed(http, path_of(invoice, swift), later="true")] == ["77"]

    for line, code in (("3", 404), ("0", 400), ("x", 400)):
        assert http.get(path_of(invoice, line)).status_code == code
    for query in ({"limit": "0"}, {"continue": "x"}, {"later": "maybe"}):
        assert http.get(path_of(invoice, swift), params=query).status_code == 400
    grants.granted[READ_USAGE] = frozenset()
    assert http.get(path_of(invoice, swift)).status_code == 403


def test_an_event_that_was_replayed_after_the_issue_is_no_part_of_the_line(
    ground: Ground, http: httpx.Client, tmp_path: Path
) -> None:
    declare(ground)
    at = OCTOBER + timedelta(days=3)
    ingest(ground, [(at, "swift", 3_000)], received=at)
    ingest(ground, [(at, "swift", 500)], received=at, tier="gold")  # the meter knows no tiers yet
    invoice = ground.issued(ground.account())
    declare_tiers(ground)
    mended = invoice.issued_at + timedelta(hours=1)
    replay(ground, now=mended)
    assert [event["value"] for event in listed(http, path_of(invoice, 1))] == ["3000"]
    (later,) = listed(http, path_of(invoice, 1), later="true")
    assert (later["value"], later["day"]) == ("500", "2026-10-04")
    assert datetime.fromisoformat(later["replayedAt"]) == mended

    before = [listed(http, path_of(invoice, 1), later=later) for later in ("false", "true")]
    blobs = FolderBlobs(tmp_path / "archive")
    archivist = Archivist(ground.databases.ingest, blobs, retention_days=10, kept_years=7)
    archivist.archive(now=at + timedelta(days=12), until=at.date())
    with ground.databases.app.transaction(reach=EVERYWHERE) as tx:
        assert tx.execute("select count(*) from usage.events").fetchone() == (0,)
    assert [listed(http, path_of(invoice, 1), later=later) for later in ("false", "true")] == before


def declare_tiers(ground: Ground) -> None:
    """One more dimension of the meter."""
    kind = next(kind for kind in ground.engine.registry.kinds if kind.plural == "meterdefinitions")

    def widened(row: Row) -> Draft:
        spec = merge_patch(row.spec, {"measurement": {"dimensions": ["model", "tier"]}})
        return Draft("llm", "", "", "", "", row.labels, row.metadata, spec, row.status)

    ground.write(
        lambda work: ground.engine.update(work, kind, namespace="", name="llm", change=widened, verb="patch")
    )


def replay(ground: Ground, *, now: datetime) -> None:
    """All of the quarantine, tried again."""
    id = new_uid()
    with ground.databases.app.transaction(reach=EVERYWHERE) as tx:
        operations.open_replay(
            tx,
            id=id,
            wanted=QuarantineFilter(),
            accept_late=False,
            reach=EVERYWHERE,
            identity=Identity("ann"),
            audit_id=new_uid(),
            now=now,
        )
    worker = Replayer(ground.databases.ingest, process=new_uid(), random_bits=random_bits, late_days_max=60)
    worker.run(id, now=lambda: now)
