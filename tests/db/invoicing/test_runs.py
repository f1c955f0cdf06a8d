"""Runs over many accounts: whatever is killed or runs beside, each account has one invoice and numbers have no gap."""

import multiprocessing
import random
import threading
import time
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any
from uuid import UUID

import psycopg
import pytest
from bench.month_world import MONTH, YEAR, declare_month, open_office

from milo_billing.accounts.reads import accounts as account_reads
from milo_billing.controlplane.work import Work
from milo_billing.infra.clock import SimulatedClock, new_uid
from milo_billing.infra.database import EVERYWHERE, Database, Databases, Reach, connect
from milo_billing.invoicing.engine import runs
from milo_billing.invoicing.jobs.runs import run_steps
from milo_billing.invoicing.operations import issuing
from milo_billing.invoicing.rules.runs import Run, StepDone
from milo_billing.invoicing.types.invoices import IssueOutcome
from tests.db.invoicing.ground import ACME, NOVEMBER, Ground

TOKENS = ("2026-10-01", "web", "tokens", 10_000_000)
DECLARED = datetime(2026, 9, 1, tzinfo=UTC)
DECEMBER = datetime(2026, 12, 2, tzinfo=UTC)


def open_run(database: Database, *, year: int, month: int, now: datetime, reach: Reach = EVERYWHERE) -> UUID:
    run = Run(
        id=new_uid(),
        organizations=None if reach == "*" else tuple(reach),
        year=year,
        month=month,
        opened_by="ann",
        impersonated_by="",
        audit_id=new_uid(),
        opened_at=now,
    )
    with database.transaction(reach=reach) as tx:
        runs.open_run(tx, run, account_reads.load_accounts(tx))
    return run.id


def october(ground: Ground) -> UUID:
    return open_run(ground.databases.app, year=2026, month=10, now=NOVEMBER)


def go_over(ground: Ground, *ids: UUID) -> None:
    """A lane a run, all at once."""
    lanes = [
        threading.Thread(
            target=run_steps,
            args=(ground.office, ground.databases.app, SimulatedClock(NOVEMBER)),
            kwargs={"id": id},
        )
        for id in ids
    ]
    for lane in lanes:
        lane.start()
    for lane in lanes:
        lane.join()


def counted(databases: Databases, id: UUID, *, now: datetime = NOVEMBER) -> tuple[int | None, ...]:
    with databases.app.transaction(reach=EVERYWHERE) as tx:
        run = runs.get_run(tx, id=id, now=now)
    assert run.finished_at is not None
    return tuple(run.counts.get(state) for state in ("issued", "unchanged", "skipped", "failed"))


def assert_gapless(databases: Databases, *, invoices: int) -> None:
    with databases.app.transaction(reach=EVERYWHERE) as tx:
        rows = tx.execute("select account, sequence from invoicing.invoices").fetchall()
    assert len({account for account, _ in rows}) == len(rows) == invoices
    assert sorted(sequence for _, sequence in rows) == list(range(1, invoices + 1))


def test_lanes_and_runs_at_once_issue_each_invoice_once(ground: Ground) -> None:
    for number in range(12):
        ground.use(ground.declare_account(f"a-{number}"), TOKENS)
    first, second = october(ground), october(ground)
    go_over(ground, first, first, second, second)
    done = [counted(ground.databases, id) for id in (first, second)]
    assert [sum(filter(None, each)) for each in done] == [12, 12]
    assert sum(issued or 0 for issued, *_ in done) == 12
    assert_gapless(ground.databases, invoices=12)


def test_a_defect_of_one_account_is_its_own(ground: Ground, monkeypatch: pytest.MonkeyPatch) -> None:
    good, bad = ground.declare_account("good"), ground.declare_account("bad")
    for account in (good, bad):
        ground.use(account, TOKENS)
    issue_month = issuing.issue_month

    def defective(work: Work, *, number: int, **others: Any) -> IssueOutcome:
        outcome = issue_month(work, number=number, **others)
        if number == bad.number:  # the invoice is there, and what is deferred to the commit is against it
            work.tx.execute("select 1 / 0")
        return outcome

    monkeypatch.setattr(issuing, "issue_month", defective)
    id = october(ground)
    go_over(ground, id)
    assert counted(ground.databases, id) == (1, None, None, 1)
    assert_gapless(ground.databases, invoices=1)
    with ground.databases.app.transaction(reach=EVERYWHERE) as tx:
        (failed,) = runs.list_steps(tx, run=id, state="failed", after=0, limit=9)
    assert (failed.account, failed.number) == (f"{ACME}/bad", None)
    assert "internal error: see the server's log under audit id" in str(failed.reason)


def test_a_run_whose_steps_cannot_be_taken_fails_and_does_not_go_round(ground: Ground) -> None:
    ground.declare_account("idle")
    id = october(ground)
    with connect(ground.databases.app.conninfo, role="milo_owner") as owner:
        owner.execute(
            "create function invoicing.nobody() returns boolean language plpgsql as "
            "'begin raise exception using errcode = ''query_canceled''; end'"
        )
        owner.execute(
            "create policy nobody on invoicing.run_steps as restrictive to milo_app using (invoicing.nobody())"
        )
    with pytest.raises(psycopg.errors.QueryCanceled):
        run_steps(ground.office, ground.databases.app, SimulatedClock(NOVEMBER), id=id)


def test_an_invoice_of_a_run_is_issued_as_of_its_own_step(ground: Ground) -> None:
    ground.use(ground.declare_account(), TOKENS)
    id = october(ground)
    run_steps(ground.office, ground.databases.app, SimulatedClock(DECEMBER), id=id)
    with ground.databases.app.transaction(reach=EVERYWHERE) as tx:
        (issued,) = tx.execute(
            "select issued_at >= %s, issued_on, due_on from invoicing.invoices", (DECEMBER,)
        )
    assert issued == (True, date(2026, 12, 2), date(2027, 1, 1))


def test_what_became_of_an_account_does_not_change(ground: Ground) -> None:
    ground.declare_account("idle")
    id = october(ground)
    go_over(ground, id)
    with ground.databases.app.transaction(reach=EVERYWHERE) as tx:
        assert not runs.note_step(tx, run=id, step=1, done=StepDone("failed", reason="no"), at=NOVEMBER)
        with pytest.raises(Exception, match="what happened does not change"), tx.transaction():
            tx.execute("update invoicing.run_steps set reason = 'another'")


def test_a_run_reaches_no_more_than_who_opened_it(ground: Ground) -> None:
    ground.use(ground.declare_account(), TOKENS)
    mine = open_run(ground.databases.app, year=2026, month=10, now=NOVEMBER, reach=frozenset({77}))
    go_over(ground, mine)
    assert counted(ground.databases, mine) == (None, None, None, None)
    with ground.databases.app.transaction(reach=frozenset({1})) as tx:
        assert runs.list_runs(tx, limit=9, now=NOVEMBER) == ()


def lane(conninfo: str, keyfile: Path, id: UUID) -> None:
    """One lane in a process of its own."""
    database = Database(conninfo, role="milo_app", pool_max=1)
    run_steps(open_office(keyfile, now=DECEMBER), database, SimulatedClock(DECEMBER), id=id)
    database.close()


@pytest.mark.long
@pytest.mark.parametrize("seed", range(2))
def test_a_run_that_is_killed_at_any_instant_goes_on_to_the_same_end(
    databases: Databases, tmp_path: Path, seed: int
) -> None:
    chance = random.Random(seed)
    keyfile, invoices = tmp_path / "keyfile", 200
    declare_month(databases.app.conninfo, keyfile, accounts=invoices, now=DECLARED)
    id = open_run(databases.app, year=YEAR, month=MONTH, now=DECEMBER)
    spawn = multiprocessing.get_context("spawn")
    lanes = [spawn.Process(target=lane, args=(databases.app.conninfo, keyfile, id)) for _ in range(2)]
    for each in lanes:
        each.start()
    kills = 0
    while (done := _done(databases, id)) < invoices:
        victim, until = chance.randrange(len(lanes)), done + chance.randrange(5, 40)
        while _done(databases, id) < min(until, invoices):
            time.sleep(chance.uniform(0.005, 0.03))
        lanes[victim].kill()
        kills += 1
        lanes[victim].join()
        lanes[victim] = spawn.Process(target=lane, args=(databases.app.conninfo, keyfile, id))
        lanes[victim].start()
    for each in lanes:
        each.join()
    assert kills >= 3
    assert counted(databases, id, now=DECEMBER) == (invoices, None, None, None)
    assert_gapless(databases, invoices=invoices)
    with databases.app.transaction(reach=EVERYWHERE) as tx:
        totals = tx.execute(
            "select count(distinct t.id), count(distinct o.uid) from invoicing.invoices i "
            "join ledger.transactions t on t.key = 'invoice/' || i.uid || '/issue' "
            "join controlplane.objects o on o.uid = i.uid"
        ).fetchone()
    assert totals == (invoices, invoices)


def _done(databases: Databases, id: UUID) -> int:
    with databases.app.transaction(reach=EVERYWHERE) as tx:
        return runs.get_run(tx, id=id, now=DECEMBER).done
