"""Write the PDFs that printings want, one document at a time."""

from uuid import UUID

from milo_billing.infra.clock import Clock
from milo_billing.infra.database import EVERYWHERE, Database
from milo_billing.infra.jobs import Periodic, Task
from milo_billing.invoicing.engine import press, printings
from milo_billing.invoicing.operations.office import Office


def printing_tasks(
    *, office: Office, presses: press.Presses, database: Database, clock: Clock
) -> tuple[Periodic | Task, ...]:
    """Write what printings want, one document at a time."""

    def print_some(printing: str) -> None:
        press.print_documents(office.vault, presses, database, clock, id=UUID(printing))

    def resume(timestamp: int) -> None:
        del timestamp
        with database.transaction(reach=EVERYWHERE) as tx:
            printings.resume_open(tx)

    return (
        Task(printings.PRINT, print_some),
        Periodic(Task("invoicing.resume_printings", resume), cron="* * * * *"),
    )
