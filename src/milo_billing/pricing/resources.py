"""Charge: something sold once to an account, on a day."""

from collections.abc import Iterable
from datetime import date, datetime
from decimal import Decimal
from typing import Final, TypeAlias

from pydantic import Field
from typing_extensions import override

from milo_billing.accounts import operations as billing
from milo_billing.accounts.reads import accounts as account_reads
from milo_billing.accounts.types import BILLING_SHARES, Account
from milo_billing.catalog import reads as catalog
from milo_billing.controlplane.kinds import (
    Admission,
    AnyKind,
    Column,
    Fields,
    Kind,
    Object,
    ReadyStatus,
    ready_status,
)
from milo_billing.infra.database import Tx
from milo_billing.kernel.errors import Conflict, FieldError
from milo_billing.pricing import store
from milo_billing.pricing.rules import wording
from milo_billing.pricing.rules.charge_rules import charge_errors, settled_reason

GROUP: Final = "billing.miloapis.com"


class ChargedAccount(Fields):
    """A billing account of the same namespace."""

    name: str = Field(min_length=1, max_length=253)


class ChargedSku(Fields):
    """A Sku of chargeType OneTime."""

    name: str = Field(min_length=1, max_length=253)


class ChargeSpec(Fields):
    """What is charged. Immutable once its date has passed, or an invoice holds it."""

    billing_account_ref: ChargedAccount
    sku_ref: ChargedSku
    quantity: str = Field(
        default="1",
        pattern=r"^[0-9]{1,12}(\.[0-9]{1,6})?$",
        description="In the Sku's pricing unit, a decimal string above 0.",
    )
    date: str = Field(
        pattern="^[0-9]{4}-[0-9]{2}-[0-9]{2}$",
        json_schema_extra={"format": "date"},
        description="The billing day of the account on which it is sold; its price is the one of that day.",
    )
    description: str | None = Field(
        default=None,
        max_length=128,
        description="What the invoice calls it instead of the Sku's display name.",
    )


class ChargeStatus(ReadyStatus):
    """What is true of a charge."""


ChargeObject: TypeAlias = Object[ChargeSpec, ChargeStatus]
ChargeAdmission: TypeAlias = Admission[ChargeSpec, ChargeStatus]


class Charge(Kind[ChargeSpec, ChargeStatus]):
    """Something sold once to an account, such as a set-up: a quantity of a Sku on a day, at the price of that day."""

    group = GROUP
    kind = "Charge"
    plural = "charges"
    singular = "charge"
    namespaced = True
    description = "Something sold once to an account, on a day, at the price of that day."
    spec_model = ChargeSpec
    status_model = ChargeStatus
    columns = (
        Column("Account", ".spec.billingAccountRef.name"),
        Column("Sku", ".spec.skuRef.name"),
        Column("Quantity", ".spec.quantity"),
        Column("Date", ".spec.date"),
    )
    selectable = ("spec.billingAccountRef.name", "spec.skuRef.name", "spec.date")
    # nobody writes his own bill
    provider_only = frozenset({"create", "update", "patch", "delete", "deletecollection", "updateStatus"})

    @override
    def validate(self, admission: ChargeAdmission) -> Iterable[FieldError]:
        """An account that can be charged, a Sku that is sold once, a day that is not invoiced; no change afterwards."""
        tx, new, old = admission.tx, admission.object, admission.old
        if old is not None:
            if old.spec == new.spec:
                return
            reason = _settled_reason(tx, old, now=admission.now)
            if reason is not None:
                yield wording.forbidden("spec", f"a charge is immutable once its date has passed: {reason}")
                return
        spec, name = new.spec, new.spec.billing_account_ref.name
        account = _account(tx, new)
        if account is None:
            yield wording.missing("spec.billingAccountRef.name", name)
            return
        if account.phase == "Archived":
            message = f'billing account "{name}" is archived and read-only'
            yield wording.forbidden("spec.billingAccountRef.name", message)
        sold = catalog.list_skus(tx, names=[spec.sku_ref.name])
        yield from charge_errors(
            sku=spec.sku_ref.name,
            sold=sold[0] if sold else None,
            day=spec.date,
            quantity=spec.quantity,
            account=account,
            billed_until=_billed_until(tx, account),
        )

    @override
    def validate_delete(self, admission: ChargeAdmission) -> None:
        """Raise Conflict once its date has passed or an invoice holds it."""
        reason = _settled_reason(admission.tx, admission.object, now=admission.now)
        if reason is not None:
            raise Conflict(f'charge "{admission.object.name}" stays: {reason}; credit it instead')

    @override
    def reconcile(self, object: ChargeObject, facts: None, *, now: datetime) -> ChargeStatus:
        """Ready from the start."""
        return ready_status(
            object, message="Charge belongs to the rating period that holds its date.", now=now
        )

    @override
    def project(self, tx: Tx, object: ChargeObject, old: ChargeObject | None, *, now: datetime) -> None:
        """pricing.charges."""
        if object.deleted:
            store.delete_charge(tx, uid=object.uid)
            return
        account, spec = _account(tx, object), object.spec
        if account is None:
            raise LookupError(f"the billing account of charge {object.namespace}/{object.name} has gone")
        store.put_charge(
            tx,
            uid=object.uid,
            owner_org=object.owner_org,
            namespace=object.namespace,
            name=object.name,
            account=account.number,
            sku=spec.sku_ref.name,
            day=date.fromisoformat(spec.date),
            quantity=Decimal(spec.quantity),
            description=spec.description or "",
        )


def _account(tx: Tx, object: ChargeObject) -> Account | None:
    return account_reads.find_account(
        tx, namespace=object.namespace, name=object.spec.billing_account_ref.name
    )


def _billed_until(tx: Tx, account: Account) -> datetime | None:
    """Up to where the account is invoiced; whoever invoices it waits for this transaction, or this one for him."""
    billing.hold_billing_shared(tx, shares={account.number % BILLING_SHARES})
    return account_reads.find_billed_until(tx, account=account.number)


def _settled_reason(tx: Tx, object: ChargeObject, *, now: datetime) -> str | None:
    """Why it is not changed any more; an account that has gone keeps nobody."""
    account = _account(tx, object)
    if account is None:
        return None
    return settled_reason(
        date.fromisoformat(object.spec.date),
        account=account,
        billed_until=_billed_until(tx, account),
        now=now,
    )


KINDS: tuple[type[AnyKind], ...] = (Charge,)
