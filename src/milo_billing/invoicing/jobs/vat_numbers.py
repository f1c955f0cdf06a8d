"""Ask the register about the VAT numbers of accounts."""

from typing import Literal

import structlog

from milo_billing.accounts.reads import accounts as account_reads
from milo_billing.infra.clock import Clock
from milo_billing.infra.database import EVERYWHERE, Database
from milo_billing.infra.jobs import Periodic, Task
from milo_billing.infra.telemetry import counter
from milo_billing.invoicing.engine import vat_checks
from milo_billing.invoicing.operations.office import Office
from milo_billing.invoicing.ports import VatRegister
from milo_billing.kernel.errors import MiloError

_log = structlog.get_logger(__name__)
_checks = counter(
    "vat_number_checks", about="Accounts looked at for their VAT number, by outcome.", labels=("outcome",)
)


def vat_tasks(*, office: Office, database: Database, clock: Clock) -> tuple[Periodic, ...]:
    """Every night, ask the register about the accounts' VAT numbers; nothing where the settings name no register."""
    register = office.register
    if register is None:
        return ()

    def check_numbers(timestamp: int) -> None:
        del timestamp
        with database.transaction(reach=EVERYWHERE) as tx:
            numbers = account_reads.list_numbers(tx)
        for number in numbers:
            try:
                _checks.labels(_check_number(office, register, database, clock, account=number)).inc()
            except MiloError as error:
                _checks.labels("failed").inc()
                _log.warning("vat_number_not_checked", account=number, reason=str(error))

    return (Periodic(Task("invoicing.check_vat_numbers", check_numbers), cron="17 3 * * *"),)


def _check_number(
    office: Office, register: VatRegister, database: Database, clock: Clock, *, account: int
) -> Literal["none", "known", "valid", "invalid"]:
    """What became of one account's number; the register is asked between two transactions."""
    with database.transaction(reach=EVERYWHERE) as tx:
        found = account_reads.get_account(tx, number=account)
        vat_number = vat_checks.find_vat_number(tx, office.vault, account=found)
        if vat_number is None:
            return "none"
        if not vat_checks.is_check_due(tx, office.vault, account=found, number=vat_number, now=clock.now()):
            return "known"
    answer = register.check(vat_number)
    with database.transaction(reach=EVERYWHERE) as tx:
        vat_checks.note_check(
            tx, office.vault, account=found, number=vat_number, answer=answer, now=clock.now()
        )
    return "valid" if answer.valid else "invalid"
