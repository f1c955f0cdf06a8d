"""Usage that reaches invoiced days, as ingest, voids and corrections leave it."""

from datetime import UTC, datetime

from milo_billing.accounts.types import Account
from milo_billing.infra.database import EVERYWHERE
from milo_billing.invoicing.operations import issuing
from milo_billing.invoicing.reads import lines as line_reads
from milo_billing.invoicing.rules.adjusting import Adjusted
from milo_billing.invoicing.types.invoices import Invoice, InvoiceLine
from tests.db.invoicing.ground import ACME, NOVEMBER, Ground

DECEMBER = datetime(2026, 12, 2, 9, 30, tzinfo=UTC)
JANUARY = datetime(2027, 1, 2, 9, 30, tzinfo=UTC)


def use_late(
    ground: Ground,
    account: Account,
    day: str,
    total: int,
    *,
    project: str = "web",
    meter: str = "tokens",
    marked: bool = True,
) -> None:
    """Roll the usage up and mark the change, as the usage engine does in one transaction; below zero is a void."""
    with ground.databases.ingest.transaction(reach=EVERYWHERE) as tx:
        names = {
            "account": account.number,
            "day": day,
            "total": total,
            "at": datetime.fromisoformat(f"{day}T12:00:00+00:00"),
            "project": project,
            "meter": f"example.com/{meter}",
        }
        tx.execute(
            "insert into usage.rollups as r (account, day, project, meter, dimensions, sum, count, min, max, last, "
            "last_at, last_id) select %(account)s, %(day)s, p.number, m.number, 0, %(total)s, 1, 0, 0, 0, %(at)s, "
            "'00000000-0000-0000-0000-000000000001' from directory.projects p, catalog.meters m "
            "where p.name = %(project)s and m.meter_name = %(meter)s "
            "on conflict (account, day, project, meter, dimensions) do update set sum = r.sum + excluded.sum",
            names,
        )
        if not marked:
            return
        tx.execute(
            "insert into usage.changes (account, day, project, meter, dimensions, cause, events, quantity, first_at, "
            "last_at, changed_at) select %(account)s, %(day)s, p.number, m.number, 0, "
            "case when %(total)s < 0 then 'void' else 'late' end, 1, %(total)s, %(at)s, %(at)s, %(at)s "
            "from directory.projects p, catalog.meters m where p.name = %(project)s and m.meter_name = %(meter)s",
            names,
        )


def spend_late(ground: Ground, account: Account, day: str, dollars: int) -> None:
    """Use tokens for so many dollars, after the invoice."""
    use_late(ground, account, day, dollars * 400_000)


def lines_of(ground: Ground, invoice: Invoice) -> tuple[InvoiceLine, ...]:
    return ground.reading(lambda tx: line_reads.list_lines(tx, invoice=invoice.uid, limit=100))


def amounts(ground: Ground, invoice: Invoice) -> list[tuple[str, str | None, int]]:
    return [(line.kind, line.sku, line.amount_minor) for line in lines_of(ground, invoice)]


def notes(ground: Ground) -> list[tuple[str, int]]:
    """(number of the invoice, net) of every credit note, in order."""
    return ground.read(
        "select i.number, c.net_minor from invoicing.credit_notes c join invoicing.invoices i on i.uid = c.invoice "
        "order by c.sequence"
    )


def charged_minor(ground: Ground, account: Account) -> int:
    """What all invoices of the account charged, net, less what credit notes took back."""
    ((charged,),) = ground.read(
        "select coalesce(sum(subtotal_minor + discounts_minor), 0)::bigint - coalesce((select sum(net_minor) "
        "from invoicing.credit_notes where account = %s), 0)::bigint from invoicing.invoices where account = %s",
        account.number,
        account.number,
    )
    return charged


def adjust(ground: Ground, invoice: Invoice, *, now: datetime = NOVEMBER) -> Adjusted:
    return ground.write(
        lambda work: issuing.adjust_invoice(work, office=ground.office, invoice=invoice), now=now
    )


def credit(ground: Ground, invoice: Invoice, amount: str) -> None:
    spec = {"invoiceRef": {"name": invoice.name}, "amount": amount, "reason": "goodwill"}
    ground.declare("creditnotes", "goodwill", spec, namespace=ACME, now=NOVEMBER)


def void(ground: Ground, invoice: Invoice, *, now: datetime) -> None:
    kind = next(kind for kind in ground.engine.registry.kinds if kind.plural == "invoices")
    ground.write(
        lambda work: ground.engine.act(
            work, kind, namespace=ACME, name=invoice.name, action="void", request={"reason": "wrong"}
        ),
        now=now,
    )
