"""What promises say of the account that made them: its condition CommitmentMet."""

from collections.abc import Iterator
from datetime import datetime
from uuid import UUID

from milo_billing.accounts.reads import accounts as account_reads
from milo_billing.accounts.types import Account
from milo_billing.commitments import reads
from milo_billing.commitments.rules import standing
from milo_billing.commitments.types import GROUP
from milo_billing.controlplane.kinds import Reported
from milo_billing.infra.database import Tx
from milo_billing.kernel.periods import local_day


def report_account(tx: Tx, *, number: int, now: datetime) -> Iterator[Reported]:
    """The condition as it follows from every accepted commitment of the account; nothing where there is none."""
    account = account_reads.get_account(tx, number=number)
    kept = [
        standing.Kept(one.name, one.promise, ended_intervals(tx, one.uid, account))
        for one in reads.list_commitments(tx, account=number)
    ]
    found = standing.assess_account(kept, today=local_day(now, zone=account.time_zone))
    if found is not None:
        yield Reported(
            group=GROUP,
            plural="billingaccounts",
            namespace=account.namespace,
            name=account.name,
            type=standing.ACCOUNT_CONDITION,
            status="Unknown" if found.holds is None else "True" if found.holds else "False",
            reason=found.reason,
            message=found.message,
        )


def ended_intervals(tx: Tx, commitment: UUID, account: Account) -> tuple[standing.EndedInterval, ...]:
    """How the commitment's ended intervals stood when a worker last looked at them."""
    return tuple(
        standing.EndedInterval(*row[:3], *row[4:], currency=account.currency)
        for row in reads.list_shortfalls(tx, commitment=commitment)
    )
