"""Discount: percentages or amounts off, beside what commitments give."""

from collections.abc import Iterable, Iterator
from datetime import date, datetime
from typing import TypeAlias
from uuid import UUID

from pydantic import Field
from typing_extensions import override

from milo_billing.accounts import operations as billing
from milo_billing.accounts.reads import accounts as account_reads
from milo_billing.accounts.types import BILLING_SHARES, Account
from milo_billing.catalog import operations as catalog
from milo_billing.commitments import store
from milo_billing.commitments.resources.fields import (
    AccountName,
    Amount,
    Currency,
    Day,
    Percentage,
    Scope,
    SkuSelectorFields,
    SkuSelectors,
    body_of,
)
from milo_billing.commitments.rules import admission as rules
from milo_billing.commitments.rules import wording
from milo_billing.commitments.rules.bodies import parse_discount
from milo_billing.commitments.types import GROUP
from milo_billing.controlplane.kinds import (
    Admission,
    Column,
    Fields,
    Kind,
    Object,
    ReadyStatus,
    ready_status,
)
from milo_billing.infra.database import Tx
from milo_billing.kernel.errors import Conflict, FieldError
from milo_billing.kernel.periods import local_day


class DiscountSpec(Fields):
    """What is taken off. Immutable but for endsOn and displayName."""

    billing_account_ref: AccountName
    display_name: str | None = Field(default=None, max_length=128, description="What invoices call it.")
    scope: Scope = Field(
        default="Line", description="Off the lines of the Skus selected, or off the whole invoice."
    )
    percentage: Percentage | None = None
    amount: Amount | None = Field(default=None, description="In each rating period that it touches.")
    currency_code: Currency | None = Field(default=None, description="With amount only; the account's.")
    sku_selectors: SkuSelectors = Field(default_factory=list[SkuSelectorFields])
    starts_on: Day = Field(description="From local midnight of this date of the account.")
    ends_on: Day | None = Field(default=None, description="The first day on which it no longer holds.")
    uses: int | None = Field(
        default=None, ge=1, le=1200, description="For so many rating periods, counted from startsOn."
    )


class DiscountStatus(ReadyStatus):
    """What is true of a discount."""


_NOBODY = UUID(int=0)

DiscountObject: TypeAlias = Object[DiscountSpec, DiscountStatus]
DiscountAdmission: TypeAlias = Admission[DiscountSpec, DiscountStatus]


class DiscountKind(Kind[DiscountSpec, DiscountStatus]):
    """A percentage or a fixed amount off, on some lines or on the whole invoice, from a date on."""

    group = GROUP
    kind = "Discount"
    plural = "discounts"
    singular = "discount"
    namespaced = True
    description = "A percentage or an amount off the lines of an account, or off its whole invoice."
    spec_model = DiscountSpec
    status_model = DiscountStatus
    columns = (
        Column("Account", ".spec.billingAccountRef.name"),
        Column("Scope", ".spec.scope"),
        Column("Percentage", ".spec.percentage"),
        Column("Amount", ".spec.amount"),
        Column("Starts", ".spec.startsOn"),
        Column("Ends", ".spec.endsOn"),
    )
    selectable = ("spec.billingAccountRef.name",)
    # nobody grants a discount to himself
    provider_only = frozenset({"create", "update", "patch", "delete", "deletecollection", "updateStatus"})

    @override
    def validate(self, admission: DiscountAdmission) -> Iterable[FieldError]:
        """A discount that can be computed, of an account that there is, and nothing changed that was invoiced."""
        new, old = admission.object, admission.old
        undated = [*_date_faults(new.spec)]
        if undated:
            yield from undated
            return
        if old is not None:
            kept = {"ends_on": old.spec.ends_on, "display_name": old.spec.display_name}
            if new.spec.model_copy(update=kept) != old.spec:
                yield wording.forbidden("spec", "a discount is immutable but for endsOn and displayName")
                return
        yield from discount_faults(new.spec)
        yield from _account_errors(admission)

    @override
    def validate_delete(self, admission: DiscountAdmission) -> None:
        """Raise Conflict where it stands in an invoiced period."""
        account = _account(admission.tx, admission.object)
        billed = None if account is None else _billed_until(admission.tx, account)
        if billed is not None and date.fromisoformat(admission.object.spec.starts_on) < billed:
            raise Conflict(
                f'discount "{admission.object.name}" stands in an invoiced period (until {billed}); set endsOn instead'
            )

    @override
    def reconcile(self, object: DiscountObject, facts: None, *, now: datetime) -> DiscountStatus:
        """Ready from the start."""
        return ready_status(object, message="Discount is applied on its days.", now=now)

    @override
    def project(self, tx: Tx, object: DiscountObject, old: DiscountObject | None, *, now: datetime) -> None:
        """commitments.discounts."""
        if object.deleted:
            store.delete_discount(tx, uid=object.uid)
            return
        account = _account(tx, object)
        if account is None:
            raise LookupError(f"the billing account of discount {object.name} has gone")
        spec = object.spec
        store.put_discount(
            tx,
            uid=object.uid,
            owner_org=object.owner_org,
            namespace=object.namespace,
            name=object.name,
            account=account.number,
            starts_on=date.fromisoformat(spec.starts_on),
            ends_on=None if spec.ends_on is None else date.fromisoformat(spec.ends_on),
            body=body_of(spec),
        )


def discount_faults(spec: DiscountSpec) -> Iterator[FieldError]:
    """What is wrong with a discount by itself; where a date of it is, nothing else is looked at."""
    undated = [*_date_faults(spec)]
    if undated:
        yield from undated
        return
    discount = parse_discount(body_of(spec), uid=_NOBODY, name="")
    yield from rules.discount_errors(discount)
    yield from catalog.check_selectors(discount.selectors, path="spec.skuSelectors")


def _date_faults(spec: DiscountSpec) -> Iterator[FieldError]:
    yield from rules.date_errors("spec.startsOn", spec.starts_on)
    yield from rules.date_errors("spec.endsOn", spec.ends_on)


def currency_faults(spec: DiscountSpec, account: Account) -> Iterator[FieldError]:
    """An amount in another currency than the account's, or a currency without an amount."""
    if spec.amount is None and spec.currency_code is not None:
        yield wording.forbidden("spec.currencyCode", "only an amount has a currency")
    elif spec.amount is not None and spec.currency_code != account.currency:
        message = f'billing account "{account.name}" is in {account.currency}'
        yield wording.invalid("spec.currencyCode", spec.currency_code or "", message)


def _account(tx: Tx, object: DiscountObject) -> Account | None:
    return account_reads.find_account(
        tx, namespace=object.namespace, name=object.spec.billing_account_ref.name
    )


def _billed_until(tx: Tx, account: Account) -> date | None:
    """The first day that no invoice holds yet; until the transaction ends nobody invoices further."""
    billing.hold_billing_shared(tx, shares={account.number % BILLING_SHARES})
    billed = account_reads.find_billed_until(tx, account=account.number)
    return None if billed is None else local_day(billed, zone=account.time_zone)


def _account_errors(admission: DiscountAdmission) -> Iterator[FieldError]:
    new, old = admission.object, admission.old
    spec, account = new.spec, _account(admission.tx, admission.object)
    name = spec.billing_account_ref.name
    if account is None:
        yield wording.missing("spec.billingAccountRef.name", name)
        return
    if old is None and account.phase == "Archived":
        message = f'billing account "{name}" is archived and read-only'
        yield wording.forbidden("spec.billingAccountRef.name", message)
    yield from currency_faults(spec, account)
    billed = _billed_until(admission.tx, account)
    if billed is None:
        return
    if old is None and date.fromisoformat(spec.starts_on) < billed:
        yield wording.invalid("spec.startsOn", spec.starts_on, f"lies in an invoiced period (until {billed})")
    if old is not None and spec.ends_on != old.spec.ends_on:
        for text in (spec.ends_on, old.spec.ends_on):
            if text is not None and date.fromisoformat(text) < billed:
                message = f"what was invoiced (until {billed}) keeps its discount"
                yield wording.invalid("spec.endsOn", spec.ends_on or "", message)
                return
