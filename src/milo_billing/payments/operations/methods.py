"""Make payment methods fit to be charged: what their provider says of them becomes their status."""

from typing import Any, Final, assert_never
from uuid import UUID

from milo_billing.accounts.reads import methods as method_reads
from milo_billing.accounts.types import MethodOwner
from milo_billing.controlplane.decoding import Draft
from milo_billing.controlplane.rows import Row
from milo_billing.controlplane.work import Work
from milo_billing.payments import reads, store
from milo_billing.payments.operations.desk import Desk, read_config
from milo_billing.payments.types import (
    GROUP,
    BankAccountDetails,
    CardDetails,
    MethodAwaiting,
    MethodFailed,
    MethodReady,
    ProviderConfig,
    SetupRequest,
    SetupResult,
    Unknown,
)

REASON_LENGTH_MAX: Final = 1024


def begin_setup(work: Work, desk: Desk, *, method: UUID) -> tuple[SetupRequest, ProviderConfig] | None:
    """What to ask the provider about a method; None where it has answered for good. Commit before asking.

    Raises AccountNotFound for a method that has gone, UnableToSetUp for a class that lacks what it takes.
    """
    tx = work.tx
    owner = method_reads.get_method_owner(tx, uid=method)
    if owner.phase not in ("Pending", "AwaitingConfirmation"):
        return None
    config = read_config(tx, desk, class_uid=owner.class_uid)
    store.begin_method(
        tx,
        uid=method,
        owner_org=owner.owner_org,
        account=owner.account,
        class_uid=owner.class_uid,
        at=work.now,
    )
    known = reads.find_method(tx, uid=method)
    assert known is not None, "its row was just begun"
    customer = known.customer or reads.find_customer(tx, account=owner.account, class_uid=owner.class_uid)
    return (
        SetupRequest(
            key=f"method/{method}",
            account=str(owner.account),
            customer=customer,
            reference=known.reference,
            token=_token(work, desk, owner),
        ),
        config,
    )


def _token(work: Work, desk: Desk, owner: MethodOwner) -> str:
    kind = desk.engine.registry.get(GROUP, "paymentmethods")
    found = desk.engine.find_object(work.tx, type(kind), namespace=owner.namespace, name=owner.name)
    return "" if found is None else (found.spec.provider_token or "")


def apply_setup(work: Work, desk: Desk, *, method: UUID, result: SetupResult) -> None:
    """Note what the provider said of a method, and let its status say so; what is final stays."""
    tx = work.tx
    owner = method_reads.get_method_owner(tx, uid=method)
    if owner.phase not in ("Pending", "AwaitingConfirmation"):
        return
    match result:
        case Unknown():
            return
        case MethodReady(customer, token, details):
            kind = "Card" if isinstance(details, CardDetails) else "BankAccount"
            store.note_method(tx, uid=method, customer=customer, reference="", token=token, kind=kind)
            _say(work, desk, owner, {"phase": "Active", "details": _details(details)})
        case MethodAwaiting(customer, reference):
            store.note_method(tx, uid=method, customer=customer, reference=reference, token="", kind=None)
            _say(work, desk, owner, {"phase": "AwaitingConfirmation"})
        case MethodFailed(customer, code, message):
            store.note_method(tx, uid=method, customer=customer, reference="", token="", kind=None)
            reason = f"{code}: {message}"[:REASON_LENGTH_MAX]
            _say(work, desk, owner, {"phase": "Failed", "failureReason": reason})
        case _:
            assert_never(result)


def _details(details: CardDetails | BankAccountDetails) -> dict[str, Any]:
    if isinstance(details, CardDetails):
        card = {"brand": details.brand, "last4": details.last4, "expiry": details.expiry}
        return {"type": "Card", "card": card}
    known = {"last4": details.last4, "bankName": details.bank_name, "country": details.country}
    return {"type": "BankAccount", "bank": {part: value for part, value in known.items() if value}}


def _say(work: Work, desk: Desk, owner: MethodOwner, status: dict[str, Any]) -> None:
    def change(row: Row) -> Draft:
        wanted = {**row.status, **status}
        return Draft(row.name, row.namespace, "", "", "", row.labels, row.metadata, row.spec, wanted)

    desk.engine.update(
        work,
        desk.engine.registry.get(GROUP, "paymentmethods"),
        namespace=owner.namespace,
        name=owner.name,
        change=change,
        verb="updateStatus",
        subresource="status",
    )
