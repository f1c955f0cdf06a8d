"""`GET /api/v1/namespaces/{name}`: whether a namespace exists.

kubectl asks when it cannot find an object, and reports this answer if it is a 404. Namespaces are not declared here:
each organization has one, so that there is nothing else to do with them.
"""

from dataclasses import dataclass
from uuid import UUID

from milo_billing.controlplane.doors import Credentials, Door
from milo_billing.controlplane.engine import Namespaces
from milo_billing.controlplane.identity import reaches
from milo_billing.controlplane.kinds import Json
from milo_billing.controlplane.statuses import Failure, Status

PERMISSION = "resourcemanager.miloapis.com/organizations.get"
"""Who may see an organization may see its namespace."""


@dataclass(frozen=True, slots=True)
class NamespaceView:
    """Namespaces as core/v1 has them."""

    door: Door
    namespaces: Namespaces

    def show(self, name: str, credentials: Credentials, audit_id: UUID) -> Json:
        """The namespace. Raises 404, or 403 to whom its existence is not told."""
        with self.door.enter(credentials, audit_id) as (tx, identity, _, _):
            reach = self.door.authorizer.reach(tx, identity, PERMISSION)
            owner = self.namespaces.find_owner(tx, name)
        details = {"name": name, "kind": "namespaces"}
        if reach != "*" and (owner is None or not reaches(reach, owner)):
            message = (
                f'namespaces "{name}" is forbidden: User "{identity.user}" cannot get resource "namespaces" '
                f'in API group "" in the namespace "{name}"'
            )
            raise Failure(Status(403, "Forbidden", message, details))
        if owner is None:
            raise Failure(Status(404, "NotFound", f'namespaces "{name}" not found', details))
        return {
            "kind": "Namespace",
            "apiVersion": "v1",
            "metadata": {"name": name, "labels": {"kubernetes.io/metadata.name": name}},
            "spec": {},
            "status": {"phase": "Active"},
        }
