"""Whether a verb on a kind may be used, and where: asked once for each resource request, or once for many alike."""

from milo_billing.controlplane.doors import set_reach
from milo_billing.controlplane.engine import Engine
from milo_billing.controlplane.identity import Identity, Reach, reaches
from milo_billing.controlplane.kinds import PROVIDER_ORG, AnyKind
from milo_billing.controlplane.statuses import forbidden
from milo_billing.infra.database import Tx


def authorize(
    engine: Engine, tx: Tx, identity: Identity, *, kind: AnyKind, namespace: str | None, name: str, verb: str
) -> Reach:
    """The reach of this verb, set on the transaction. Raises Forbidden in the words of Kubernetes.

    `namespace` None is a cluster-scoped object, or every namespace.
    """
    reach = engine.authorizer.reach(tx, identity, f"{kind.group}/{kind.plural}.{verb}")
    public = kind.readable_by_all and verb in ("get", "list", "watch") and identity.uid != "anonymous"
    allowed = bool(reach) or (public and "system:authenticated" in identity.groups)
    if allowed and namespace is not None and reach != "*":
        # an unknown namespace answers as a forbidden one: names of other organizations are not told
        owner = engine.namespaces.find_owner(tx, namespace)
        allowed = owner is not None and reaches(reach, owner)
    if verb in kind.provider_only and not reaches(reach, PROVIDER_ORG):
        allowed = False
    if not allowed:
        raise forbidden(kind, name=name, namespace=namespace or "", user=identity.user, verb=verb)
    set_reach(tx, reach)
    return reach
