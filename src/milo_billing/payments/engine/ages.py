"""How long things wait in payments, for the metrics: what a provider owes an answer to, what a person has to decide."""

from dataclasses import dataclass
from datetime import datetime

from milo_billing.infra.database import Tx


@dataclass(frozen=True, slots=True)
class Ages:
    """Seconds since the oldest of each; 0 where there is none. `worklist` is how many entries wait for a person,
    `payouts` how many payouts do, `transfers` how many a bank was asked for and has not booked.
    """

    unanswered_s: float
    webhook_s: float
    worklist_s: float
    worklist: int
    payouts_s: float
    payouts: int
    transfers_s: float
    transfers: int


def measure_ages(tx: Tx, *, now: datetime) -> Ages:
    """Attempts and refunds that nobody has an answer to at all (a debit under way has one), webhooks without effect,
    entries of statements on the worklist, payouts of providers that cannot be booked, by when they were first heard of,
    transfers that no statement has told of, by the day on which the bank was to pay them. Needs to reach everything.
    """
    row = tx.execute(
        "select (select min(at) from (select at from payments.attempts where state = 'Open' "
        "union all select at from payments.refunds where state = 'Open') asked), "
        "(select min(received_at) from payments.webhook_events where applied_at is null), "
        "(select min(s.imported_at) from payments.statement_entries e "
        "join payments.statements s on s.uid = e.statement "
        "where e.state = 'Waiting'), "
        "(select count(*) from payments.statement_entries where state = 'Waiting'), "
        "(select min(noted_at) from payments.payouts where state = 'Waiting'), "
        "(select count(*) from payments.payouts where state = 'Waiting'), "
        "(select min(f.execute_on)::timestamp at time zone 'UTC' from payments.transfers t "
        "join payments.transfer_files f on f.uid = t.file where t.state = 'Sent'), "
        "(select count(*) from payments.transfers where state = 'Sent')"
    ).fetchone()
    assert row is not None, "a select without a table has one row"
    asked, received, imported, waiting, told, payouts, sent, transfers = row
    return Ages(
        unanswered_s=_since(asked, now),
        webhook_s=_since(received, now),
        worklist_s=_since(imported, now),
        worklist=waiting,
        payouts_s=_since(told, now),
        payouts=payouts,
        transfers_s=_since(sent, now),
        transfers=transfers,
    )


def _since(instant: datetime | None, now: datetime) -> float:
    return 0.0 if instant is None else max(0.0, (now - instant).total_seconds())
