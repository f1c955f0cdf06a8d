"""Grants and drafts of the unit tests."""

from collections.abc import Sequence
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from uuid import UUID

from milo_billing.invoicing.rules.grants import Grant, GrantKind
from milo_billing.invoicing.types.drafts import Draft, DraftLine
from milo_billing.kernel.periods import Period

GRANTED = datetime(2026, 9, 1, tzinfo=UTC)


def granted(
    kind: GrantKind, minor: int, number: int = 0, *, priority: int = 100, expires_at: datetime | None = None
) -> Grant:
    """Credit of so much, all of it left; those of higher numbers are younger."""
    return Grant(
        uid=UUID(int=number + 1),
        owner_org=1,
        namespace="organization-acme",
        name=f"credit-{number}",
        account=1,
        account_name="main",
        kind=kind,
        currency="USD",
        amount_minor=minor,
        priority=priority,
        effective_from=GRANTED,
        expires_at=expires_at,
        issuer="kestrel" if kind == "Prepaid" else "",
        title=f"Credit {number}",
        reason="agreed",
        selectors=(),
        granted_at=GRANTED + timedelta(minutes=number),
        remaining_minor=minor,
    )


def draft_of(nets: Sequence[int]) -> Draft:
    """An untaxed draft whose lines come to these amounts."""
    return Draft(
        account=1,
        kind="Periodic",
        period=Period(datetime(2026, 10, 1, tzinfo=UTC), datetime(2026, 11, 1, tzinfo=UTC)),
        currency="USD",
        lines=tuple(_line(number, net) for number, net in enumerate(nets)),
        subtotal_minor=sum(nets),
        discounts_minor=0,
        total_minor=sum(nets),
    )


def _line(number: int, net_minor: int) -> DraftLine:
    return DraftLine(
        kind="Usage",
        sku=f"sku-{number}",
        sku_number=number,
        description="",
        service="",
        invoice_group="",
        tax_category="standard",
        book=1,
        commitment=None,
        first_day=date(2026, 10, 1),
        end_day=date(2026, 11, 1),
        quantity=Decimal(1),
        included=Decimal(0),
        pricing_unit="h",
        amount_minor=net_minor,
        parts=(),
        shares=(),
        taxes=(1,),
    )
