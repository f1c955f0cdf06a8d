"""What recurs with an offer or an entitlement, as both kinds declare it."""

from collections.abc import Iterator, Sequence
from decimal import Decimal

from pydantic import Field

from milo_billing.catalog import reads as catalog
from milo_billing.controlplane.kinds import Fields
from milo_billing.entitlements.rules import wording
from milo_billing.entitlements.types import RecurringPer, RecurringSku
from milo_billing.infra.database import Tx
from milo_billing.kernel.errors import FieldError

RECURRING_MAX = 64


class SkuName(Fields):
    """A Sku of chargeType Recurring."""

    name: str = Field(min_length=1, max_length=253)


class RecurringItem(Fields):
    """A Sku that is paid for again each interval of its price, and how much of it."""

    sku_ref: SkuName
    quantity: str = Field(
        default="1",
        pattern=r"^[0-9]{1,12}(\.[0-9]{1,6})?$",
        description="In the Sku's pricing unit, a decimal string above 0.",
    )
    per: RecurringPer = Field(
        default="Seat",
        description="Seat: so much for each of the entitlement's quantity. Entitlement: so much in all.",
    )


def item_errors(items: Sequence[RecurringItem]) -> Iterator[FieldError]:
    """What is wrong with the list by itself."""
    names = [item.sku_ref.name for item in items]
    for index, item in enumerate(items):
        path = f"spec.recurring[{index}]"
        if item.sku_ref.name in names[:index]:
            yield wording.invalid(f"{path}.skuRef.name", item.sku_ref.name, "stands above already")
        if not Decimal(item.quantity):
            yield wording.invalid(f"{path}.quantity", item.quantity, "must be above 0")


def sku_errors(tx: Tx, items: Sequence[RecurringItem]) -> Iterator[FieldError]:
    """Skus that are not there, or that do not recur."""
    found = {sku.name: sku for sku in catalog.list_skus(tx, names=[item.sku_ref.name for item in items])}
    for index, item in enumerate(items):
        path, name = f"spec.recurring[{index}].skuRef.name", item.sku_ref.name
        if name not in found:
            yield wording.missing(path, name)
        elif found[name].charge_type != "Recurring":
            message = (
                f"is of chargeType {found[name].charge_type}; what recurs is a Sku of chargeType Recurring"
            )
            yield wording.invalid(path, name, message)


def recurring_of(items: Sequence[RecurringItem]) -> tuple[RecurringSku, ...]:
    """The list below the control plane."""
    return tuple(RecurringSku(item.sku_ref.name, Decimal(item.quantity), item.per) for item in items)
