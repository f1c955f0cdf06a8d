"""Senders are killed at random instants: every message arrives at least once, and never under two ids."""

import multiprocessing
import random
from collections import Counter
from datetime import UTC, datetime, timedelta
from pathlib import Path
from time import monotonic, sleep

import pytest

from milo_billing.adapters.webhooks import Webhooks
from milo_billing.infra.clock import SystemClock
from milo_billing.infra.database import EVERYWHERE, Databases, open_databases
from milo_billing.notices import operations, reads
from tests.db.notices.ground import Ground, SetClock, open_ground
from tests.db.notices.receiver import Receiver, answers, hangs_up, receiving

SEED = 20261122
MESSAGES = 60
SENDERS = 2
KILLS = 12
CLAIM_S = 0.5
WHOLE_S_MAX = 120.0
SOON_S = 15.0
"""What is due within so long is waited for."""


class RunningClock(SetClock):
    """The machine's clock."""

    def __init__(self) -> None:
        super().__init__(datetime.now(UTC))

    def now(self) -> datetime:
        return SystemClock().now()


def ground_at(databases: Databases, folder: Path) -> Ground:
    senders = Webhooks(loopback=True)
    return open_ground(
        databases, folder, {"Webhook": senders, "Chat": senders}, claim_s=CLAIM_S, clock=RunningClock()
    )


def send_for_ever(conninfo: str, folder: str, seed: int) -> None:
    """A sender in a process of its own, which is there to be killed: what is due, in any order, again and again."""
    ground = ground_at(open_databases(conninfo, pool_max=2), Path(folder))
    chance = random.Random(seed)
    while True:
        now = ground.clock.now()
        with ground.databases.app.transaction(reach=EVERYWHERE) as tx:
            due = list(reads.list_due(tx, before=now, now=now, limit=MESSAGES))
        chance.shuffle(due)
        for one in due:
            ground.postman.deliver(one)
        sleep(0.02)


@pytest.mark.long
def test_senders_that_are_killed_lose_nothing_and_tell_nothing_under_two_ids(
    databases: Databases, clean_database: str, tmp_path: Path
) -> None:
    ground = ground_at(databases, tmp_path)
    ground.declare("organizations", "acme", {})
    chance = random.Random(SEED)
    context = multiprocessing.get_context("spawn")
    with receiving() as receiver:
        secret = ground.declare_webhook(receiver.url)
        receiver.turns = [chance.choice([hangs_up, answers(503), answers(200)]) for _ in range(MESSAGES // 2)]
        for number in range(MESSAGES):
            ground.announce(f"payment-{number}")
        started = monotonic()
        senders = [
            context.Process(
                target=send_for_ever, args=(clean_database, str(tmp_path), chance.random()), daemon=True
            )
            for _ in range(SENDERS)
        ]
        for sender in senders:
            sender.start()
        try:
            for _ in range(KILLS):
                sleep(0.3 + chance.random())
                number = chance.randrange(SENDERS)
                senders[number].kill()
                senders[number].join(timeout=10)
                senders[number] = context.Process(
                    target=send_for_ever, args=(clean_database, str(tmp_path), chance.random()), daemon=True
                )
                senders[number].start()
            while any(one.state != "Delivered" for one in ground.deliveries()):
                assert monotonic() - started < WHOLE_S_MAX, Counter(one.state for one in ground.deliveries())
                hasten(ground)
                sleep(0.2)
        finally:
            for sender in senders:
                sender.kill()
                sender.join(timeout=10)
        judge(receiver, secret, ground)


def hasten(ground: Ground) -> None:
    """Have what a third try waits for, which is minutes, sent again now: by hand, under the id that it has."""
    soon = ground.clock.now() + timedelta(seconds=SOON_S)
    for one in ground.deliveries():
        if one.state == "Failed":
            assert one.next_at is not None, "what was not delivered is tried again"
            if one.next_at > soon:
                with ground.databases.app.transaction(reach=EVERYWHERE) as tx:
                    operations.replay(tx, delivery=one.id, now=ground.clock.now())


def judge(receiver: Receiver, secret: str, ground: Ground) -> None:
    """What the other side got, by its own account."""
    ids: dict[str, set[str]] = {}
    for one in receiver.received:
        payload = one.verified(secret)
        ids.setdefault(payload["data"]["payment"], set()).add(one.id)
    assert ids.keys() == {f"payment-{number}" for number in range(MESSAGES)}
    assert {len(found) for found in ids.values()} == {1}
    assert len({id for found in ids.values() for id in found}) == MESSAGES
    # the log knows of each request that came, but for those that the killed could not note any more
    ((noted, cut),) = ground.read(
        "select count(*) filter (where outcome is not null), count(*) filter (where outcome is null) "
        "from notices.attempts"
    )
    assert noted <= len(receiver.received) <= noted + cut
