"""Usage that staff declare enters the roll-ups here, the same way as events do: as a delta. And the mark of a change.

Owns: usage.corrections, what a correction adds for each aggregation. Not: whether it is allowed (rules), its object
(resources).
"""

from milo_billing.accounts.reads import accounts as account_reads
from milo_billing.infra.database import Tx
from milo_billing.kernel.periods import local_day
from milo_billing.usage import store
from milo_billing.usage.engine.billed import insert_changes
from milo_billing.usage.engine.recount import NO_ID, Figures
from milo_billing.usage.types import NewChange, NewCorrection, StoredEvent

_DELTA = "sum, count, min, max, last, last_at"


def figures(correction: NewCorrection) -> Figures:
    """What the correction adds to its row.

    To Sum it adds quantity, to Count so many events; for the others it is one event more, of that value, at `at`.
    """
    match correction.aggregation:
        case "Sum":
            return Figures(sum=correction.quantity)
        case "Count":
            return Figures(count=correction.quantity)
        case "Max" | "Min" | "Latest" | "Average" | "UniqueCount":
            event = StoredEvent(
                id=correction.uid,
                event_at=correction.at,
                received_at=correction.now,
                key=correction.key,
                value=correction.quantity,
                distinct_key=None,
            )
            return Figures().with_event(event)


def apply(tx: Tx, correction: NewCorrection) -> None:
    """Store the correction with its delta and the change it makes; a uid that was here before changes nothing.

    `tx` is of milo_ingest and holds the account's billing lock shared.
    """
    added = figures(correction)
    store.insert_dimension_sets(tx, correction.labels)
    key = correction.key
    row = (key.account, key.day, key.project, key.meter, key.dimensions)
    delta = (added.sum, added.count, added.min, added.max, added.last, added.last_at)
    made = tx.execute(
        f"insert into usage.corrections (uid, account, day, project, meter, dimensions, {_DELTA}, reason, "
        "corrected_at) values (%s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s) "
        "on conflict (uid) do nothing",
        (correction.uid, *row, *delta, correction.reason, correction.now),
    )
    if not made.rowcount:
        return
    tx.execute(
        f"insert into usage.deltas (account, day, project, meter, dimensions, {_DELTA}, last_id) "
        "values (%s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s)",
        (*row, *delta, correction.uid if added.last_id != NO_ID else NO_ID),
    )
    note_change(
        tx,
        NewChange(
            account=key.account,
            day=key.day,
            project=key.project,
            meter=key.meter,
            dimensions=key.dimensions,
            cause="correction",
            events=added.count,
            quantity=added.sum,
            first_at=correction.at,
            last_at=correction.at,
            changed_at=correction.now,
        ),
    )


def note_change(tx: Tx, change: NewChange) -> None:
    """Mark the change if its day was invoiced; in an open period nothing needs to be noted.

    `tx` holds the account's billing lock, shared or not.
    """
    until = account_reads.find_closed_until(tx, account=change.account)
    if until is None:
        return
    zone = account_reads.get_account(tx, number=change.account).time_zone
    if change.day < local_day(until, zone=zone):
        insert_changes(tx, [change])
