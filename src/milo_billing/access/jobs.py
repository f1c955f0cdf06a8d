"""What access does when a server starts: the roles without which nobody could log in."""

from datetime import datetime
from typing import Any, Final

from milo_billing.access import operations
from milo_billing.access.resources import PolicyBinding, Role
from milo_billing.access.types import ADMIN_BINDING, ADMIN_ROLE, ADMIN_USER, GROUP, VIEWER_ROLE
from milo_billing.controlplane.decoding import Draft, decode
from milo_billing.controlplane.engine import Engine
from milo_billing.controlplane.identity import EVERYWHERE
from milo_billing.controlplane.kinds import AnyKind
from milo_billing.controlplane.rows import Row
from milo_billing.controlplane.work import Work
from milo_billing.infra import advisory_locks
from milo_billing.infra.clock import new_uid
from milo_billing.infra.database import Tx

_BUILT_IN: Final[tuple[tuple[type[AnyKind], str, dict[str, Any]], ...]] = (
    (Role, ADMIN_ROLE, {"displayName": "Administrator", "includedPermissions": ["*"]}),
    (
        Role,
        VIEWER_ROLE,
        {
            "displayName": "Viewer",
            "includedPermissions": ["*.get", "*.list", "*.watch", "billing.miloapis.com/usage.read"],
        },
    ),
    (
        PolicyBinding,
        ADMIN_BINDING,
        {
            "roleRef": {"name": ADMIN_ROLE},
            "resourceSelector": {"everything": True},
            "subjects": [{"kind": "User", "name": ADMIN_USER}],
        },
    ),
)


def bootstrap(engine: Engine, tx: Tx, *, now: datetime) -> None:
    """Have the roles admin and viewer as this version wants them, and the user `system:admin` bound to admin.

    `tx` must reach everywhere; it is committed. Doing it again changes nothing. The user's token is made by
    `operations.ensure_admin_token`.
    """
    tx.execute("select pg_advisory_xact_lock(%s)", (advisory_locks.FIRST_GRANTS,))
    work = Work(tx=tx, identity=operations.SYSTEM, reach=EVERYWHERE, audit_id=new_uid(), now=now)
    for kind, name, spec in _BUILT_IN:
        _ensure(engine, work, engine.registry.instance(kind), name=name, spec=spec)
    engine.commit(work)


def _ensure(engine: Engine, work: Work, kind: AnyKind, *, name: str, spec: dict[str, Any]) -> None:
    wanted = {
        "apiVersion": f"{GROUP}/{kind.version}",
        "kind": kind.kind,
        "metadata": {"name": name},
        "spec": spec,
    }

    def draft() -> Draft:
        return decode(kind, wanted, validation="Strict", duplicates=[])

    def replaced(_: Row) -> Draft:
        return draft()

    if engine.store.find(work.tx, kind, namespace="", name=name) is None:
        engine.create(work, kind, namespace="", draft=draft())
    else:
        engine.update(work, kind, namespace="", name=name, change=replaced, verb="update")
