"""From an announced event to what the other side got: real transactions, a real HTTP server, and its moods."""

from datetime import timedelta
from uuid import UUID

import pytest

from milo_billing.controlplane.work import Preconditions
from milo_billing.infra.database import EVERYWHERE
from milo_billing.notices import operations, reads, store
from milo_billing.notices.jobs import sweep
from milo_billing.notices.rules.schedule import GAPS, JITTER
from milo_billing.notices.types import Claim, DeliveryFilter, MessageConflict, Postponed
from tests.db.notices.ground import ACME, PROVIDER, Ground, payment
from tests.db.notices.receiver import Receiver, answers, hangs_up, never_ends

OTHER = "organization-other"


def test_an_event_arrives_signed_as_the_library_wants_it(ground: Ground, receiver: Receiver) -> None:
    secret = ground.declare_webhook(receiver.url)
    assert ground.announce() == 1
    assert receiver.received == []  # nothing leaves inside a transaction
    assert ground.deliver() == ["Delivered"]
    (came,) = receiver.received
    payload = came.verified(secret)
    assert payload["type"] == "payment.succeeded"
    assert payload["data"] == payment(0, "one").data
    assert came.headers["content-type"] == "application/json"
    (delivery,) = ground.deliveries()
    assert came.id == f"msg_{delivery.message.hex}"
    assert (delivery.state, delivery.attempts, delivery.next_at) == ("Delivered", 1, None)
    assert ground.deliver() == []


def test_where_nobody_listens_nothing_is_written(ground: Ground, receiver: Receiver) -> None:
    ground.declare_webhook(receiver.url, events=["invoice.*", "payment.failed"])
    assert ground.announce() == 0
    assert ground.read("select count(*) from notices.messages") == [(0,)]


@pytest.mark.parametrize("wanted", [[], ["payment.succeeded"], ["payment.*"], ["invoice.paid", "payment.*"]])
def test_a_channel_hears_what_it_wants(ground: Ground, receiver: Receiver, wanted: list[str]) -> None:
    ground.declare_webhook(receiver.url, events=wanted)
    assert ground.announce() == 1


def test_a_fact_is_told_once_whoever_repeats_it(ground: Ground, receiver: Receiver) -> None:
    ground.declare_webhook(receiver.url)
    assert [ground.announce("a"), ground.announce("a"), ground.announce("b")] == [1, 0, 1]
    assert ground.deliver() == ["Delivered", "Delivered"]
    assert len({one.id for one in receiver.received}) == 2
    with pytest.raises(MessageConflict, match="'a' was announced already with other contents"):
        ground.announce("a", data={**payment(0, "a").data, "amount": "1"})


def test_what_is_rolled_back_is_not_told(ground: Ground, receiver: Receiver) -> None:
    ground.declare_webhook(receiver.url)
    with pytest.raises(ZeroDivisionError), ground.databases.app.transaction(reach=EVERYWHERE) as tx:
        operations.send(tx, ground.vault, event=payment(ground.org, "x"), now=ground.clock.now())
        _ = 1 // 0
    assert ground.jobs("task_name = 'notices.deliver'") == [(0,)]
    assert ground.deliver() == []


def test_the_providers_channel_hears_of_every_organization_and_others_only_of_their_own(
    ground: Ground, receiver: Receiver
) -> None:
    ground.declare("organizations", "other", {})
    ground.declare_webhook(receiver.url + "/provider", namespace=PROVIDER)
    ground.declare_webhook(receiver.url + "/acme")
    ground.declare_webhook(receiver.url + "/other", namespace=OTHER)
    assert ground.announce() == 2
    ground.deliver()
    assert sorted(one.path for one in receiver.received) == ["/hook/acme", "/hook/provider"]
    assert len({one.id for one in receiver.received}) == 1
    with ground.databases.app.transaction(reach=frozenset({ground.org})) as tx:
        seen = reads.list_deliveries(tx, wanted=DeliveryFilter(), after=None, limit=9)
    assert [one.namespace for one in seen] == [ACME]


def test_failures_are_tried_again_later_and_later_then_given_up_then_replayed(
    ground: Ground, receiver: Receiver
) -> None:
    ground.declare_webhook(receiver.url)
    receiver.always = answers(500, b"down")
    ground.announce()
    for gap in GAPS:
        assert ground.deliver() == ["Failed"]
        (delivery,) = ground.deliveries()
        assert delivery.next_at is not None
        assert gap <= delivery.next_at - ground.clock.now() <= gap * (1 + JITTER)
        assert ground.deliver() == []  # not before its time
        ground.clock.instant = delivery.next_at
    assert ground.deliver() == ["Dead"]
    assert ground.conditions()["Healthy"] == ("False", "DeliveriesDead")
    (delivery,) = ground.deliveries(state="Dead")
    with ground.databases.app.transaction(reach=EVERYWHERE) as tx:
        log = reads.list_attempts(tx, delivery=delivery.id, limit=99)
        operations.replay(tx, delivery=delivery.id, now=ground.clock.now())
    assert [one.number for one in log] == list(range(len(GAPS) + 1, 0, -1))
    assert {(one.outcome, one.status, one.said) for one in log} == {("Failed", 500, "down")}

    receiver.always = answers(204)
    assert ground.deliver() == ["Delivered"]
    assert len(receiver.received) == len(GAPS) + 2
    assert len({(one.id, one.body) for one in receiver.received}) == 1
    assert ground.conditions() == {
        "Ready": ("True", "NotificationChannelReady"),
        "Verified": ("True", "Delivered"),
        "Healthy": ("True", "DeliveriesSucceed"),
    }


def test_who_hangs_up_after_reading_gets_it_again_with_the_same_id(
    ground: Ground, receiver: Receiver
) -> None:
    secret = ground.declare_webhook(receiver.url)
    receiver.turns = [hangs_up, never_ends]
    ground.announce()
    assert ground.deliver() == ["Failed"]
    ground.clock.pass_by(seconds=6)
    assert ground.deliver() == ["Delivered"]  # 200 and a body without an end: its head is enough
    assert len({one.id for one in receiver.received}) == 1
    assert receiver.received[0].verified(secret) == receiver.received[1].verified(secret)
    (attempt,) = ground.read("select length(said) from notices.attempts where number = 2")
    assert attempt == (500,)


def test_redirects_are_not_followed(ground: Ground, receiver: Receiver) -> None:
    ground.declare_webhook(receiver.url)
    receiver.turns = [answers(307, Location=receiver.url + "/elsewhere")]
    ground.announce()
    assert ground.deliver() == ["Failed"]
    assert [one.path for one in receiver.received] == ["/hook"]


def test_410_stops_the_channel_until_a_test_comes_through(ground: Ground, receiver: Receiver) -> None:
    ground.declare_webhook(receiver.url)
    receiver.turns = [answers(410, b"go away")]
    ground.announce("a")
    assert ground.deliver() == ["Dead"]
    assert ground.conditions()["Ready"] == ground.conditions()["Healthy"] == ("False", "Gone")
    assert ground.announce("b") == 0
    kind = ground.engine.registry.get("billing.miloapis.com", "notificationchannels")
    ground.write(
        lambda work: ground.engine.act(work, kind, namespace=ACME, name="hook", action="test", request={})
    )
    assert ground.deliver() == ["Delivered"]
    assert receiver.payloads[-1]["type"] == "notices.test"
    assert ground.conditions()["Ready"] == ("True", "NotificationChannelReady")
    tested = ground.channel().status["lastTest"]["delivery"]
    assert ground.deliveries(type="notices.test")[0].id == UUID(tested)
    assert ground.announce("c") == 1


def test_a_new_url_begins_anew(ground: Ground, receiver: Receiver) -> None:
    ground.declare_webhook(receiver.url)
    receiver.turns = [answers(410)]
    ground.announce("a")
    ground.deliver()
    ground.change("hook", {"webhook": {"url": receiver.url + "/new"}})
    assert ground.conditions() == {
        "Ready": ("True", "NotificationChannelReady"),
        "Verified": ("Unknown", "NothingDelivered"),
        "Healthy": ("Unknown", "NothingSent"),
    }
    assert ground.announce("b") == 1
    assert ground.deliver() == ["Delivered"]
    assert receiver.received[-1].path == "/hook/new"


def test_a_webhook_without_a_secret_hears_nothing(ground: Ground, receiver: Receiver) -> None:
    spec = {"type": "Webhook", "webhook": {"url": receiver.url}}
    ground.declare("notificationchannels", "hook", spec, namespace=ACME)
    assert ground.conditions()["Ready"] == ("False", "SecretMissing")
    assert ground.announce() == 0


def test_both_secrets_sign_while_one_takes_the_place_of_the_other(ground: Ground, receiver: Receiver) -> None:
    first = ground.declare_webhook(receiver.url)
    second = ground.rotate(given="whsec_" + "QUJD" * 10)
    ground.announce("a")
    ground.deliver()
    came = receiver.received[-1]
    assert came.verified(first) == came.verified(second)
    assert ground.read("select count(*) from notices.secrets") == [(2,)]
    third = ground.rotate()
    ground.announce("b")
    ground.deliver()
    came = receiver.received[-1]
    assert came.verified(second) == came.verified(third)
    assert len(came.headers["webhook-signature"].split()) == 2
    ground.clock.pass_by(hours=25)
    ground.announce("c")
    ground.deliver()
    assert len(receiver.received[-1].headers["webhook-signature"].split()) == 1
    stored = str(
        ground.read("select sealed from notices.secrets") + ground.read("select body from notices.messages")
    )
    assert not any(secret[6:] in stored for secret in (first, second, third))


def test_an_attempt_that_was_cut_short_is_made_again_when_its_time_is_over(
    ground: Ground, receiver: Receiver
) -> None:
    ground.declare_webhook(receiver.url)
    ground.announce()
    (delivery,) = ground.deliveries()
    until = ground.clock.now() + timedelta(seconds=60)
    with ground.databases.app.transaction(reach=EVERYWHERE) as tx:  # a worker that claims, and dies
        store.claim(tx, delivery=delivery.id, now=ground.clock.now(), until=until)
    assert ground.postman.deliver(delivery.id) is None
    assert receiver.received == []
    ground.clock.pass_by(seconds=61)
    assert ground.postman.deliver(delivery.id) == "Delivered"
    assert ground.read("select number, outcome from notices.attempts order by 1") == [
        (1, None),
        (2, "Delivered"),
    ]


def test_a_delivery_without_a_job_gets_one_from_the_sweep(ground: Ground, receiver: Receiver) -> None:
    ground.declare_webhook(receiver.url)
    ground.announce()
    assert sweep(ground.postman) == 0
    ground.clock.pass_by(minutes=3)
    assert sweep(ground.postman) == 1
    assert sweep(ground.postman) == 1  # it waits already: no second one
    waiting = ground.jobs("queueing_lock ~ '^notices/'")
    assert waiting == [(1,)]


def test_one_slow_channel_keeps_two_workers_at_most(ground: Ground, receiver: Receiver) -> None:
    ground.declare_webhook(receiver.url)
    for key in "abc":
        ground.announce(key)
    now = ground.clock.now()
    with ground.databases.app.transaction(reach=EVERYWHERE) as tx:
        claims = [
            store.claim(tx, delivery=one.id, now=now, until=now + timedelta(seconds=60))
            for one in ground.deliveries()
        ]
    assert [type(one) for one in claims] == [Claim, Claim, Postponed]


def test_personal_data_is_sealed_and_what_is_erased_is_not_sent(ground: Ground, receiver: Receiver) -> None:
    ground.declare_webhook(receiver.url)
    subject = UUID(int=7)
    ground.announce("a", subject=subject, mail_to=("zoe@example.com",))
    stored = str(ground.read("select body from notices.messages"))
    assert "zoe@" not in stored and "120.50" not in stored
    with ground.databases.app.transaction(reach=EVERYWHERE) as tx:
        ground.vault.erase(tx, subject, ground.clock.now())
    assert ground.deliver() == ["Dead", "Dead"]
    assert receiver.received == []
    assert ground.read("select distinct said from notices.attempts") == [
        ("the personal data in it was erased",)
    ]


def test_many_are_replayed_by_time_and_channel(ground: Ground, receiver: Receiver) -> None:
    ground.declare_webhook(receiver.url)
    ground.declare_webhook(receiver.url + "/b", name="other")
    start = ground.clock.now()
    for key in "abc":
        ground.announce(key)
        ground.deliver()
        ground.clock.pass_by(hours=1)
    wanted = DeliveryFilter(channel="other", state="Delivered", since=start + timedelta(minutes=30))
    with ground.databases.app.transaction(reach=EVERYWHERE) as tx:
        assert operations.replay_many(tx, wanted=wanted, now=ground.clock.now()) == 2
    before = len(receiver.received)
    assert ground.deliver() == ["Delivered"] * 2
    again = receiver.received[before:]
    assert [one.path for one in again] == ["/hook/b"] * 2
    assert {one.id for one in again} <= {one.id for one in receiver.received[:before]}


def test_what_was_on_its_way_to_a_deleted_channel_is_given_up(ground: Ground, receiver: Receiver) -> None:
    ground.declare_webhook(receiver.url)
    ground.announce()
    kind = ground.engine.registry.get("billing.miloapis.com", "notificationchannels")
    ground.write(
        lambda work: ground.engine.delete(
            work, kind, namespace=ACME, name="hook", preconditions=Preconditions()
        )
    )
    assert ground.deliver() == ["Dead"]
    assert ground.read("select said from notices.attempts") == [("the channel was deleted",)]
    assert ground.read("select count(*) from notices.secrets") == [(0,)]
