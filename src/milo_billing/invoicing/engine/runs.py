"""The rows of runs: a month over many accounts, one step an account, noted in the transaction of its invoice.

Owns: the statements, and which step a lane takes next. Not: what a step does (operations), who takes it (jobs).
"""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any, Final, LiteralString
from uuid import UUID

from milo_billing.accounts import operations as accounts
from milo_billing.accounts.reads import accounts as account_reads
from milo_billing.accounts.reads import tree as tree_reads
from milo_billing.accounts.types import Account
from milo_billing.infra import jobs
from milo_billing.infra.clock import new_uid
from milo_billing.infra.database import Tx
from milo_billing.invoicing.rules.runs import Run, RunNotFound, RunStep, RunStepState, StepDone

RUN_MONTH: Final = "invoicing.run_month"
"""The job that takes steps of a run until none waits."""

LANES: Final = 2
"""Jobs a run, as many as a server has worker processes where nothing else is said: threads of one process compute by
turns. More would keep other jobs waiting."""

RECENT: Final = timedelta(seconds=30)
"""How fast a run is, is said over so long."""

_RUN: LiteralString = (
    "select r.id, r.organizations, r.year, r.month, r.opened_by, r.impersonated_by, r.audit_id, r.opened_at, r.total, "
    "r.finished_at, r.follows, (select f.id from invoicing.runs f where f.follows = r.id) from invoicing.runs r"
)


def open_run(tx: Tx, run: Run, over: Sequence[Account]) -> None:
    """Have a run over these accounts, in this order, and workers take its steps once this transaction commits."""
    tx.execute(
        "insert into invoicing.runs (id, organizations, year, month, opened_by, impersonated_by, audit_id, opened_at, "
        "total, follows) values (%s, %s, %s, %s, %s, %s, %s, %s, %s, %s)",
        (
            run.id,
            None if run.organizations is None else list(run.organizations),
            run.year,
            run.month,
            run.opened_by,
            run.impersonated_by,
            run.audit_id,
            run.opened_at,
            len(over),
            run.follows,
        ),
    )
    tx.execute(
        "insert into invoicing.run_steps (run, step, account, owner_org) "
        "select %s, s.step, s.account, s.owner_org "
        "from unnest(%s::int[], %s::bigint[]) with ordinality as s (account, owner_org, step)",
        (run.id, [account.number for account in over], [account.owner_org for account in over]),
    )
    resume_run(tx, id=run.id)


def resume_run(tx: Tx, *, id: UUID) -> None:
    """Have workers go on with the run, unless jobs for it wait already. Safe to repeat."""
    for lane in range(LANES):
        name = f"{RUN_MONTH}/{id}/{lane}"
        jobs.defer(tx, RUN_MONTH, lock=name, once=name, run=str(id))


def list_open_runs(tx: Tx, *, limit: int) -> tuple[UUID, ...]:
    """Runs that are not finished, the oldest first."""
    rows = tx.execute(
        "select id from invoicing.runs where finished_at is null order by opened_at limit %s", (limit,)
    )
    return tuple(id for (id,) in rows)


def take_step(tx: Tx, *, run: UUID, after: int) -> tuple[int, int] | None:
    """(step, account number) of a waiting step behind `after` that nobody else is at; the first by number.

    It is held until the transaction ends, and waits on where that rolls back. None where there is none. Also tells the
    planner to keep its plans: every account asks the same, and planning costs as much as most of the answers.
    """
    row = tx.execute(
        "select step, account, set_config('plan_cache_mode', 'force_generic_plan', true) from ("
        "select step, account from invoicing.run_steps where run = %s and state = 'waiting' and step > %s "
        "order by step limit 1 for update skip locked) taken",
        (run, after),
    ).fetchone()
    return None if row is None else (row[0], row[1])


def note_step(tx: Tx, *, run: UUID, step: int, done: StepDone, at: datetime) -> bool:
    """Say what became of a step; False where that has been said already, which stays."""
    noted = tx.execute(
        "update invoicing.run_steps set state = %s, invoice = %s, reason = %s, invoiced_with = %s, done_at = %s "
        "where run = %s and step = %s and state = 'waiting'",
        (done.state, done.invoice, done.reason, done.invoiced_with, at, run, step),
    )
    return noted.rowcount == 1


def finish_run(tx: Tx, *, id: UUID, at: datetime) -> bool:
    """Close the run if no step waits any more; whether this call did."""
    closed = tx.execute(
        "update invoicing.runs set finished_at = %s where id = %s and finished_at is null "
        "and not exists (select from invoicing.run_steps where run = %s and state = 'waiting')",
        (at, id, id),
    )
    return closed.rowcount == 1


def follow_up(tx: Tx, run: Run, *, at: datetime) -> Run | None:
    """The run of those who are to be gone over once more behind one that is done, which the caller has just closed;
    None where there are none, as ever but where a parent or a mode changed meanwhile.

    An account whose step was taken while another was invoiced for it, and that was not on that one's invoice when its
    step was taken, has days that no invoice has: who is invoiced for it now is gone over again. So it is where no
    invoice of its own ended with the month, and another account is invoiced for it since. Not where this is an account
    that the run was not asked for, or that failed: then that is to be put right first.
    """
    rows = tx.execute(
        "select account, invoiced_with from invoicing.run_steps where run = %s and state = 'skipped'",
        (run.id,),
    )
    skipped: dict[int, int | None] = dict(rows.fetchall())
    if not skipped:
        return None
    invoiced: dict[int, Account] = {}
    for number in tree_reads.list_behind(tx, among=skipped, year=run.year, month=run.month):
        payer = accounts.get_invoiced(tx, account=account_reads.get_account(tx, number=number))
        if skipped[number] is not None or payer.number != number:
            invoiced[payer.number] = payer
    done = tx.execute(
        "select account from invoicing.run_steps where run = %s and account = any(%s) and state <> 'failed' "
        "order by step",
        (run.id, list(invoiced)),
    ).fetchall()
    if not done:
        return None
    again = replace(run, id=new_uid(), opened_at=at, follows=run.id)
    open_run(tx, again, [invoiced[account] for (account,) in done])
    return again


def get_run(tx: Tx, *, id: UUID, now: datetime) -> Run:
    """The run, and how far it has come. Raises RunNotFound, also where it is out of reach."""
    row = tx.execute(f"{_RUN} where r.id = %s", (id,)).fetchone()
    if row is None:
        raise RunNotFound(f"there is no invoice run {id}")
    (run,) = _counted(tx, [_run(row)], now=now)
    return run


def list_runs(tx: Tx, *, limit: int, now: datetime) -> tuple[Run, ...]:
    """The runs that were opened last, the newest first."""
    rows = tx.execute(f"{_RUN} order by r.opened_at desc, r.id limit %s", (limit,)).fetchall()
    return tuple(_counted(tx, [_run(row) for row in rows], now=now))


def list_steps(
    tx: Tx, *, run: UUID, state: RunStepState | None, after: int, limit: int
) -> tuple[RunStep, ...]:
    """Steps of the run that are done, behind step `after`, in order; only those of one state where that is given."""
    rows = tx.execute(
        "select s.step, a.namespace || '/' || a.name, s.state, i.name, i.number, i.total_minor, i.currency, s.reason, "
        "p.namespace || '/' || p.name "
        "from invoicing.run_steps s join accounts.accounts a on a.number = s.account "
        "left join invoicing.invoices i on i.uid = s.invoice "
        "left join accounts.accounts p on p.number = s.invoiced_with "
        "where s.run = %(run)s and s.step > %(after)s and s.state <> 'waiting' "
        "and (%(state)s::text is null or s.state = %(state)s) order by s.step limit %(limit)s",
        {"run": run, "state": state, "after": after, "limit": limit},
    )
    return tuple(RunStep(*row) for row in rows)


def _run(row: tuple[Any, ...]) -> Run:
    id, organizations, *others, finished_at, follows, followed_by = row
    return Run(
        id,
        None if organizations is None else tuple(organizations),
        *others,
        finished_at=finished_at,
        follows=follows,
        followed_by=followed_by,
    )


def _counted(tx: Tx, found: Sequence[Run], *, now: datetime) -> Iterator[Run]:
    """The runs with how far they have come; one statement for all."""
    counts: dict[UUID, dict[RunStepState, int]] = {run.id: {} for run in found}
    recent = dict.fromkeys(counts, 0)
    rows = tx.execute(
        "select run, state, count(*), count(*) filter (where done_at > %s) from invoicing.run_steps "
        "where run = any(%s) and state <> 'waiting' group by run, state",
        (now - RECENT, list(counts)),
    )
    for id, state, count, lately in rows:
        counts[id][state] = count
        recent[id] += lately
    for run in found:
        seconds = min(RECENT, now - run.opened_at).total_seconds()
        rate = recent[run.id] / seconds if seconds > 0 and run.finished_at is None else None
        yield replace(run, counts=counts[run.id], per_second=rate)
