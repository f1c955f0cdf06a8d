"""Verbs: review whether a project may use a service."""

from datetime import datetime

from milo_billing.accounts.reads import accounts as account_reads
from milo_billing.accounts.reads import payers as payer_reads
from milo_billing.accounts.types import Account
from milo_billing.catalog import reads as catalog
from milo_billing.directory import reads as directory
from milo_billing.entitlements import reads
from milo_billing.entitlements.rules import reviews
from milo_billing.entitlements.types import Verdict
from milo_billing.infra.database import Tx
from milo_billing.kernel.periods import local_day


def review(tx: Tx, *, project: str, service: str, now: datetime) -> tuple[Verdict, Account | None]:
    """Whether the project may use the service at this instant, why, and who pays for it.

    A project out of the transaction's reach is not found. The days of terms count, not the stored phase: the answer is
    right in the very second in which an entitlement starts or ends.
    """
    found = directory.find_project(tx, name=project, at=now)
    payer = None if found is None else payer_reads.who_pays(tx, project_name=project, at=now)
    account = None if payer is None else account_reads.get_account(tx, number=payer.account)
    verdict = reviews.decide(
        reviews.Ground(
            project=project,
            service=service,
            project_exists=found is not None,
            service_phase=catalog.find_service_phase(tx, name=service),
            account=account,
            today=None if account is None else local_day(now, zone=account.time_zone),
            held=() if account is None else reads.list_entitlements(tx, account=account.number),
        )
    )
    return verdict, account
