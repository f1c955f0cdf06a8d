"""Background deletion of dependants: an object whose owners have all gone goes too.

Owner references: https://kubernetes.io/docs/concepts/overview/working-with-objects/owners-dependents/. The delete of an
owner defers a job in its own transaction; the job deletes one dependant a transaction, by the same engine and rules.
"""

from typing import Any, Final, cast
from uuid import UUID

from psycopg.types.json import Jsonb

from milo_billing.controlplane.engine import Engine
from milo_billing.controlplane.identity import EVERYWHERE, Identity
from milo_billing.controlplane.kinds import Json
from milo_billing.controlplane.work import Preconditions, Work
from milo_billing.infra.clock import new_uid
from milo_billing.infra.database import Database, Tx

COLLECTOR: Final = Identity("system:garbage-collector", ("system:masters", "system:authenticated"))

_DEPENDANTS = (
    "select api_group, resource, namespace, name, uid, metadata -> 'ownerReferences' from controlplane.objects "
    "where metadata ? 'ownerReferences' and metadata -> 'ownerReferences' @> %s order by uid"
)


def collect_dependants(engine: Engine, database: Database, *, owner: UUID) -> int:
    """Delete what the owner, which has gone, was the last owner of; how many objects that was.

    Raises Conflict where a rule keeps a dependant; what was deleted before stays deleted, and trying again goes on.
    """
    with database.transaction(reach=EVERYWHERE) as tx:
        found = tx.execute(_DEPENDANTS, (Jsonb([{"uid": str(owner)}]),)).fetchall()
    deleted = 0
    for group, resource, namespace, name, uid, references in found:
        kind = next((k for k in engine.registry.kinds if (k.group, k.plural) == (group, resource)), None)
        if kind is None:
            continue  # stored by another version of this server; nothing here knows its rules
        with database.transaction(reach=EVERYWHERE) as tx:
            if _has_owner(tx, cast("list[Json]", references)):
                continue
            work = Work(tx, COLLECTOR, EVERYWHERE, new_uid(), engine.clock.now())
            engine.delete(
                work, kind, namespace=namespace, name=name, preconditions=Preconditions(uid=str(uid))
            )
            engine.commit(work)
            deleted += 1
    return deleted


def _has_owner(tx: Tx, references: list[Json]) -> bool:
    """Whether any of the owners still stands."""
    uids: list[Any] = [UUID(reference["uid"]) for reference in references]
    row = tx.execute(
        "select exists (select from controlplane.objects where uid = any(%s))", (uids,)
    ).fetchone()
    return row is not None and row[0]
