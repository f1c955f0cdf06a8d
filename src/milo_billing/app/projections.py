"""Every projection of every slice, compared with the objects in one snapshot: for `doctor --projections` and tests."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from psycopg import IsolationLevel

from milo_billing.access import reads as access
from milo_billing.accounts import operations as accounts
from milo_billing.app.wiring import build_registry
from milo_billing.catalog import reads as catalog
from milo_billing.commitments import reads as commitments
from milo_billing.controlplane.kinds import Registry
from milo_billing.controlplane.projections import ProjectionDifference, compare_fields, count_objects
from milo_billing.directory import reads as directory
from milo_billing.entitlements import reads as entitlements
from milo_billing.infra.database import EVERYWHERE, Tx, connect, reach_text
from milo_billing.invoicing.engine import projections as invoicing
from milo_billing.notices import reads as notices
from milo_billing.payments import reads as payments
from milo_billing.pricing import reads as pricing
from milo_billing.usage import operations as usage

_SLICES: Final[tuple[Callable[[Tx], tuple[ProjectionDifference, ...]], ...]] = (
    directory.compare_projections,
    access.compare_projections,
    notices.compare_projections,
    accounts.compare_projections,
    catalog.compare_projections,
    entitlements.compare_projections,
    usage.compare_projections,
    commitments.compare_projections,
    pricing.compare_projections,
    invoicing.compare_projections,
    payments.compare_projections,
)


@dataclass(frozen=True, slots=True)
class Compared:
    """What stands otherwise than the objects say, and how much was looked at."""

    differences: tuple[ProjectionDifference, ...]
    objects: int
    kinds: int


def compare_projections(tx: Tx, registry: Registry) -> tuple[ProjectionDifference, ...]:
    """Every difference, slice by slice. Needs to reach everything, and one snapshot where others write meanwhile."""
    return (*compare_fields(tx, registry), *(found for compare in _SLICES for found in compare(tx)))


def compare_everything(conninfo: str) -> Compared:
    """The same in a transaction of its own that waits for nobody and holds up nobody. It reads every object."""
    registry = build_registry()
    with connect(conninfo, role="milo_app") as tx:
        tx.isolation_level, tx.read_only = IsolationLevel.REPEATABLE_READ, True
        tx.execute("select set_config('milo.reach', %s, true)", (reach_text(EVERYWHERE),))
        return Compared(compare_projections(tx, registry), count_objects(tx, registry), len(registry.kinds))
