"""UsageCorrection, and the marks that late usage, voids and corrections leave on days that were invoiced."""

import threading
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from milo_billing.accounts import operations as accounts
from milo_billing.catalog.resources import kinds as catalog
from milo_billing.infra.database import EVERYWHERE
from milo_billing.kernel.errors import Conflict, Invalid
from milo_billing.kernel.ids import ulid
from milo_billing.usage import store
from milo_billing.usage.resources import UsageCorrection
from milo_billing.usage.rules import correction_errors
from tests.accounts_world import ACME
from tests.usage_life import RETENTION, Life, correction_spec
from tests.usage_world import UsageWorld, meter_spec


@pytest.fixture
def life(usage: UsageWorld, tmp_path: Path) -> Life:
    return Life(usage, tmp_path / "archive")


def only_row(life: Life) -> tuple[int, ...]:
    (figures,) = life.rolled_up().values()
    return figures


def meter(life: Life, aggregation: str) -> str:
    """A published meter."""
    spec = meter_spec(f"made.example/{aggregation.lower()}", "region")
    spec["measurement"] |= {"aggregation": aggregation}
    life.usage.world.create(catalog.MeterDefinition, aggregation.lower(), spec)
    return spec["meterName"]


@pytest.mark.parametrize(
    ("aggregation", "quantity", "sum", "count", "extremes"),
    [
        ("Sum", 10, 14, 1, (4, 4)),
        ("Sum", -4, 0, 1, (4, 4)),
        ("Count", 10, 4, 11, (4, 4)),
        ("Count", -1, 4, 0, (4, 4)),
        ("Max", 10, 14, 2, (4, 10)),
        ("Min", 1, 5, 2, (1, 4)),
        ("Average", 8, 12, 2, (4, 8)),
    ],
)
def test_a_correction_adds_what_its_meters_aggregation_means(
    life: Life, aggregation: str, quantity: int, sum: int, count: int, extremes: tuple[int, int]
):
    name = meter(life, aggregation)
    life.ingest(4, meter=name)
    life.correct("more", quantity, meterName=name)
    for _ in range(2):
        assert only_row(life)[:4] == (sum, count, *extremes)
        with life.usage.databases.ingest.transaction(reach="*") as tx:
            store.compact(tx)


def test_a_correction_of_a_latest_meter_is_the_last_word_of_its_day(life: Life):
    name = meter(life, "Latest")
    life.ingest(4, meter=name)
    life.correct("more", 9, meterName=name)
    life.ingest(5, meter=name)
    assert only_row(life)[4] == 9


def test_a_correction_stands_through_the_voids_of_its_row(life: Life):
    (event,) = life.ingest(4)
    life.correct("more", 10)
    life.void(event)
    assert only_row(life)[:2] == (10, 0)
    life.correct("less", -10)
    assert only_row(life)[:2] == (0, 0)
    life.ingest(3)
    assert only_row(life) == (3, 1, 3, 3, 3)


def test_a_correction_enters_once_whatever_is_done_with_its_object(life: Life):
    life.correct("more", 10, dimensions={"region": "eu"})
    life.usage.world.patch(UsageCorrection, "more", {}, namespace=ACME)
    assert only_row(life)[:2] == (10, 0)
    with pytest.raises(Invalid, match="immutable"):
        life.usage.world.patch(UsageCorrection, "more", {"quantity": "11"}, namespace=ACME)
    with pytest.raises(Conflict, match="opposite quantity"):
        life.usage.world.delete(UsageCorrection, "more", namespace=ACME)
    assert life.usage.value("select dimensions from usage.dimension_sets where dimensions <> '{}'") == {
        "region": "eu"
    }


BROKEN: list[tuple[dict[str, Any], str]] = [
    ({"quantity": str(2**63)}, "spec.quantity"),
    ({"dimensions": {"color": "red"}}, "spec.dimensions[color]"),
    ({"meterName": "nobody.example/knows"}, "spec.meterName"),
    ({"billingAccountRef": {"name": "nobody"}}, "spec.billingAccountRef.name"),
    ({"projectRef": {"name": "nobody"}}, "spec.projectRef.name"),
    ({"projectRef": {"name": "rivals"}}, "spec.projectRef.name"),
    ({"day": "2026-09-01"}, "spec.projectRef.name"),
    ({"day": "2026-02-30"}, "spec.day"),
    ({"day": "2027-01-01"}, "spec.day"),
]


@pytest.mark.parametrize(("broken", "field"), BROKEN, ids=[str(next(iter(b.values()))) for b, _ in BROKEN])
def test_what_a_correction_must_not_say(life: Life, broken: dict[str, Any], field: str):
    spec = {**correction_spec(1, life.today), **broken}
    with pytest.raises(Invalid) as refused:
        life.usage.world.create(UsageCorrection, "wrong", spec, namespace=ACME)
    assert field in {error.field for error in refused.value.errors}
    assert life.rolled_up() == {}


def test_a_correction_says_which_band_of_the_meter_it_belongs_to(life: Life):
    spec = meter_spec("made.example/banded", "region")
    bands = {
        "dimension": "size",
        "by": "Value",
        "ranges": [{"name": "small", "upTo": "10"}, {"name": "large"}],
    }
    spec["measurement"] |= {"bands": [bands]}
    life.usage.world.create(catalog.MeterDefinition, "banded", spec)
    life.ingest(4, meter=spec["meterName"])
    for wrong in ({}, {"size": "huge"}):
        with pytest.raises(Invalid, match="small, large"):
            life.correct("wrong", 3, meterName=spec["meterName"], dimensions=wrong)
    life.correct("right", 3, meterName=spec["meterName"], dimensions={"size": "small"})
    assert only_row(life)[:2] == (7, 1)


def test_less_than_nothing_was_counted_cannot_be(life: Life):
    name = meter(life, "Count")
    life.ingest(4, meter=name)
    with pytest.raises(Invalid, match="only 1 events"):
        life.correct("wrong", -2, meterName=name)


def test_distinct_keys_cannot_be_corrected_by_a_quantity():
    (error,) = correction_errors(
        quantity=1, dimensions={}, aggregation="UniqueCount", declared=(), bands={}, counted=0
    )
    assert (error.field, "void its events" in error.message) == ("spec.meterName", True)


# -- changes


def test_late_events_of_an_invoiced_period_are_stored_and_marked_and_others_not(life: Life):
    usage = life.usage
    start = usage.now
    usage.world.clock.forward(days=31)
    life.bill(usage.now.replace(day=1, hour=0, minute=0))
    made = int(usage.now.timestamp() * 1000)
    late = [usage.event(value=str(v), at=start + timedelta(days=3, hours=v)) for v in (1, 2, 3)]
    late.append(usage.event(value="9", at=start + timedelta(days=4), dimensions={"region": "eu"}))
    (answer,) = usage.ingest([*late, usage.event(value="100", id=ulid(made, 10**9))])
    assert answer.accepted == 5
    usage.ingest(late, [usage.event(value="4", at=start + timedelta(days=3))])
    first, second = life.changes()
    assert (first.cause, first.events, first.quantity, dict(first.dimensions)) == ("late", 4, 10, {})
    assert (first.key.day, first.first_at) == (start.date() + timedelta(days=3), start + timedelta(days=3))
    assert first.last_at == start + timedelta(days=3, hours=3)
    assert (second.events, second.quantity, dict(second.dimensions)) == (1, 9, {"region": "eu"})
    assert life.rolled_up() == life.recounted()


def test_the_boundary_of_what_is_invoiced_is_the_midnight_of_the_accounts_zone(life: Life):
    usage = life.usage
    usage.world.account("kiritimati", timeZone="Pacific/Kiritimati")
    usage.world.bind("web-2", project="web", account="kiritimati")
    midnight = usage.now.replace(hour=10, minute=0, second=0) + timedelta(days=2)
    usage.world.clock.forward(days=5)
    life.bill(midnight, account="kiritimati")
    life.ingest(1, at=midnight)
    assert life.changes("kiritimati") == ()
    life.ingest(2, at=midnight - timedelta(microseconds=1))
    (change,) = life.changes("kiritimati")
    assert (change.quantity, change.key.day) == (2, midnight.date())


def test_a_correction_of_an_invoiced_day_is_marked(life: Life):
    life.usage.world.clock.forward(days=1)
    day = life.today - timedelta(days=1)
    life.correct("before", 5, day=day)
    life.bill(life.usage.now.replace(hour=0, minute=0))
    life.correct("after", 7, day=day)
    (change,) = life.changes()
    assert (change.cause, change.events, change.quantity) == ("correction", 0, 7)


def test_usage_that_comes_while_an_account_is_invoiced_waits_and_is_marked(life: Life):
    """The invoice has read usage and not committed: whatever it has not seen must be marked."""
    usage = life.usage
    usage.world.clock.forward(days=1)
    midnight = usage.now.replace(hour=0, minute=0)
    life.ingest(1)  # fills the cache of the committer
    number = life.account()
    event = usage.event(value="5", at=midnight - timedelta(hours=1))
    sent = threading.Thread(target=lambda: usage.ingest([event]))
    with usage.databases.app.transaction(reach=EVERYWHERE) as invoice:
        accounts.hold_fence(invoice, exclusive=False)
        accounts.hold_billing(invoice, accounts=[number])
        row = invoice.execute(
            "select sum(value) from usage.events where event_at < %s", (midnight,)
        ).fetchone()
        sent.start()
        sent.join(timeout=0.3)
        assert sent.is_alive(), "it waits for the invoice"
        accounts.mark_billed(invoice, account=number, until=midnight)
    sent.join(timeout=10)
    assert row == (None,)
    (change,) = life.changes()
    assert (change.events, change.quantity) == (1, 5)


def test_accounts_of_other_shares_do_not_wait_for_an_invoice(life: Life):
    with life.usage.databases.app.transaction(reach=EVERYWHERE) as invoice:
        accounts.hold_billing(invoice, accounts=[life.account() + 1])
        life.ingest(1)
    assert only_row(life)[1] == 1


def test_an_archived_day_is_corrected_and_what_its_late_sender_sends_is_refused(life: Life):
    usage = life.usage
    day = life.today
    made = int(usage.now.timestamp() * 1000)
    life.ingest(4)
    usage.world.clock.forward(days=RETENTION + 1)
    life.archive()
    (refused,) = usage.ingest([usage.event(id=ulid(made, 77))])
    assert [item.reason for item in refused.rejected] == ["ID_EXPIRED"]
    life.correct("lost", 6, day=day)
    assert only_row(life)[:2] == (10, 1)
