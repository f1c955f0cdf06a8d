"""An invoice of the account that the examples have: nobody can declare one."""

from datetime import UTC, datetime
from uuid import UUID

from milo_billing.accounts.reads import accounts as account_reads
from milo_billing.app import wiring
from milo_billing.controlplane.identity import Identity
from milo_billing.controlplane.work import Work
from milo_billing.infra.clock import new_uid
from milo_billing.infra.database import EVERYWHERE
from milo_billing.infra.runtime import Runtime
from milo_billing.invoicing.operations import issuing
from milo_billing.invoicing.operations.office import Office
from milo_billing.invoicing.types.invoices import Issued
from tests.contract.examples import ACME

NOW = datetime(2026, 3, 2, tzinfo=UTC)


def stand_invoice(runtime: Runtime) -> str:
    """Use 100 million requests in February and issue the invoice over 40.00 USD; its name."""
    with runtime.databases.app.transaction(reach=EVERYWHERE) as tx:
        account = account_reads.find_account(tx, namespace=ACME, name="main")
    assert account is not None
    with runtime.databases.ingest.transaction(reach=EVERYWHERE) as tx:
        tx.execute(
            "insert into usage.rollups (account, day, project, meter, dimensions, sum, count, min, max, last, last_at, "
            "last_id) select %s, '2026-02-07', p.number, m.number, 0, 100000000, 1, 0, 0, 0, %s, %s "
            "from directory.projects p, catalog.meters m "
            "where p.name = 'web' and m.meter_name = 'api.example.com/requests'",
            (account.number, NOW, UUID(int=1)),
        )
    engine = wiring.build_declarative(runtime).engine
    with runtime.databases.app.transaction(reach=EVERYWHERE) as tx:
        work = Work(tx, Identity("ann"), EVERYWHERE, new_uid(), NOW)
        outcome = issuing.issue_month(
            work, office=Office(engine, runtime.vault), number=account.number, year=2026, month=2
        )
        engine.commit(work)
    assert isinstance(outcome, Issued), outcome
    return outcome.invoice.name
