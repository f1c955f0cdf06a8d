"""Acts of credit: it is granted, it lapses and is taken back. Invoices use it by themselves."""

from datetime import timedelta
from typing import TYPE_CHECKING, Any, Final

from milo_billing.infra.database import EVERYWHERE
from milo_billing.invoicing.jobs.daily import lapse_credit
from milo_billing.invoicing.operations import granting
from tests.db.invoicing.ground import ACME
from tests.simulation.money_simulation.shop import CUSTOMERS

if TYPE_CHECKING:
    from tests.simulation.money_simulation.run import Simulation

TOLD_MAX: Final = 100
TILL: Final = "3000"
"""The bank account that money for prepaid credit comes to, of which no statement tells."""


def grant(sim: "Simulation") -> None:
    """Credit is granted: money, a promotion or goodwill; for some Skus or all, from now or later on."""
    chance, customer = sim.chance, sim.chance.choice(CUSTOMERS)
    kind = chance.choice(("Prepaid", "Prepaid", "Promotional", "Goodwill"))
    starts = sim.shop.now + timedelta(days=chance.choice((0, 0, 0, 7)))
    lasts = chance.choice((None, None, 2, 20, 45))
    spec: dict[str, Any] = {
        "billingAccountRef": {"name": customer.name},
        "kind": kind,
        "amount": chance.choice(("0.01", "7", "12.345", "40", "40", "150", "500")),
        "currencyCode": customer.currency,
        "priority": chance.choice((10, 100, 100, 900)),
        "reason": "an outage" if kind == "Goodwill" else "agreed",
    }
    if starts != sim.shop.now:
        spec["effectiveFrom"] = f"{starts:%Y-%m-%dT%H:%M:%SZ}"
    if lasts is not None:
        spec["expiresAt"] = f"{starts + timedelta(days=lasts):%Y-%m-%dT%H:%M:%SZ}"
    if chance.random() < 0.3:
        spec["skuSelectors"] = [{"cel": f"name == '{chance.choice(('tokens', 'setup', 'seats'))}'"}]
    if kind == "Prepaid" and chance.random() < 0.6:
        spec["receivedInto"] = TILL
    name = sim.name("grant")
    sim.persist(lambda: sim.shop.declare("creditgrants", name, spec, namespace=ACME))
    if sim.rows("select from invoicing.credit_grants where name = %s", name):
        sim.auditor.granted.add(name)
        sim.count(f"granted {kind}")


def revoke(sim: "Simulation") -> None:
    """What is left of a grant is taken back."""
    found = sim.rows("select name from invoicing.credit_grants where remaining_minor > 0 order by name")
    if found:
        (name,) = sim.chance.choice(found)
        sim.persist(lambda: sim.shop.act("creditgrants", name, "revoke", reason="a mistake"))
        sim.count("grants revoked")


def lapse(sim: "Simulation") -> None:
    """Expired credit lapses, at two servers at once or at one; and of what will expire soon somebody is told."""
    ground, clock = sim.shop.till.ground, sim.shop.till.clock

    def lapsed() -> None:
        lapse_credit(ground.office, ground.databases.app, clock)

    def told() -> int:
        with ground.databases.app.transaction(reach=EVERYWHERE) as tx:
            return granting.tell_expiring(tx, now=clock.now(), limit=TOLD_MAX)

    before = _expired(sim)
    sim.race(lapsed, lapsed) if sim.chance.random() < 0.4 else sim.persist(lapsed)
    sim.persist(told)
    left = sim.rows(
        "select name from invoicing.credit_grants where remaining_minor > 0 and expires_at <= %s", clock.now()
    )
    for (name,) in left:
        sim.wrong(f"{name} has expired and does not lapse")
    sim.count("grants lapsed", _expired(sim) - before)


def _expired(sim: "Simulation") -> int:
    return sim.rows("select count(*) from invoicing.grant_movements where kind = 'Expired'")[0][0]
