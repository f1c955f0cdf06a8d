"""What a client believes of an object that it changes or deletes, compared with what it is."""

from milo_billing.controlplane.kinds import AnyKind
from milo_billing.controlplane.rows import Row
from milo_billing.controlplane.statuses import MODIFIED, Failure, Status, conflict
from milo_billing.controlplane.work import Preconditions


def check_preconditions(kind: AnyKind, row: Row, wanted: Preconditions) -> None:
    """Raise 409 where a write means another object, or an older state of this one."""
    if wanted.uid and wanted.uid != str(row.uid):
        key = "/".join(p for p in (kind.group, kind.plural, row.namespace, row.name) if p)
        why = (
            f"StorageError: invalid object, Code: 4, Key: /registry/{key}, ResourceVersion: 0, "
            f"AdditionalErrorMsg: Precondition failed: UID in precondition: {wanted.uid}, "
            f"UID in object meta: {row.uid}"
        )
        raise conflict(kind, row.name, why)
    if wanted.resource_version and wanted.resource_version != str(row.resource_version):
        raise conflict(kind, row.name, MODIFIED)


def check_deletable(kind: AnyKind, row: Row, wanted: Preconditions) -> None:
    """Raise 409 where a delete means another object, or an older state of this one."""
    if wanted.uid and wanted.uid != str(row.uid):
        why = (
            f"the UID in the precondition ({wanted.uid}) does not match the UID in record ({row.uid}). "
            "The object might have been deleted and then recreated"
        )
    elif wanted.resource_version and wanted.resource_version != str(row.resource_version):
        why = (
            f"the ResourceVersion in the precondition ({wanted.resource_version}) does not match the "
            f"ResourceVersion in record ({row.resource_version}). The object might have been modified"
        )
    else:
        return
    details = {"name": row.name, "group": kind.group, "kind": kind.kind}
    message = f'Operation cannot be fulfilled on {kind.kind}.{kind.group} "{row.name}": {why}'
    raise Failure(Status(409, "Conflict", message, details))
