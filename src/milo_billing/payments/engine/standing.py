"""What paying does to an account that was suspended because it did not."""

from milo_billing.accounts.reads import accounts as account_reads
from milo_billing.controlplane.engine import Engine
from milo_billing.controlplane.work import Work
from milo_billing.invoicing.reads import invoices as invoice_reads
from milo_billing.notices import operations as notices
from milo_billing.notices.types import Event
from milo_billing.payments.types import GROUP


def reactivate_if_paid(work: Work, engine: Engine, *, account: int) -> bool:
    """Reactivate an account that is suspended for PaymentFailure, once nothing of it is past due; whether it was.

    A suspension for another reason stays: paying does not lift what somebody decided. Called in the transaction that
    settles, whichever way the money came.
    """
    found = account_reads.get_account(work.tx, number=account)
    if found.phase != "Suspended" or found.deleted_at is not None:
        return False
    kind = engine.registry.get(GROUP, "billingaccounts")
    object = engine.find_object(work.tx, type(kind), namespace=found.namespace, name=found.name)
    suspension = None if object is None else object.status.suspension
    if suspension is None or suspension.reason != "PaymentFailure":
        return False
    if invoice_reads.owes_past_due(work.tx, account=account):
        return False
    engine.act(work, kind, namespace=found.namespace, name=found.name, action="reactivate", request={})
    event = Event(
        type="account.reactivated",
        key=f"account/{found.uid}/account.reactivated/{work.now.isoformat()}",
        org=found.owner_org,
        data={"account": {"namespace": found.namespace, "name": found.name}},
        account=f"{found.namespace}/{found.name}",
    )
    notices.send(work.tx, None, event=event, now=work.now)
    return True
