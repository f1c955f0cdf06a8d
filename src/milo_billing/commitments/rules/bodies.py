"""Promises and discounts as they stand in the spec of their objects."""

from collections.abc import Mapping
from datetime import date
from decimal import Decimal
from typing import Any

from milo_billing.catalog.types import LabelRequirement, SkuSelector
from milo_billing.commitments.types import Discount, MinimumSpend, Promise, SkuDiscount


def parse_promise(body: Mapping[str, Any], *, ends_on: date | None) -> Promise:
    """A promise from the spec of a Commitment; where it ends is not in the spec alone."""
    violation: Mapping[str, Any] = body["violationPolicy"]
    prepayment: Mapping[str, Any] = body.get("prepayment") or {}
    return Promise(
        starts_on=date.fromisoformat(body["startsOn"]),
        term_months=body["termMonths"],
        ends_on=ends_on,
        minimums=tuple(
            MinimumSpend(Decimal(one["amount"]), one["interval"], _selectors(one))
            for one in body.get("minimumSpends") or ()
        ),
        discounts=tuple(
            SkuDiscount(Decimal(one["percentage"]), _selectors(one), one.get("priority"))
            for one in body.get("skuDiscounts") or ()
        ),
        stacking=body["stacking"],
        prepayment=_decimal(prepayment.get("amount")),
        overage_factor=_decimal(body.get("overageFactor")),
        policy=violation["type"],
        grace_days=violation.get("days") or 0,
        tax_category=body["taxCategory"],
    )


def parse_discount(body: Mapping[str, Any], **identity: Any) -> Discount:
    """A discount from the spec of its object; `identity` has `uid` and `name`."""
    return Discount(
        scope=body["scope"],
        percent=_decimal(body.get("percentage")),
        amount=_decimal(body.get("amount")),
        selectors=_selectors(body),
        starts_on=date.fromisoformat(body["startsOn"]),
        ends_on=None if body.get("endsOn") is None else date.fromisoformat(body["endsOn"]),
        uses=body.get("uses"),
        description=body.get("displayName") or identity["name"],
        **identity,
    )


def _decimal(text: str | None) -> Decimal | None:
    return None if text is None else Decimal(text)


def _selectors(body: Mapping[str, Any]) -> tuple[SkuSelector, ...]:
    return tuple(
        SkuSelector(
            tuple(
                LabelRequirement(demand["key"], demand["op"], tuple(demand.get("values") or ()))
                for demand in one.get("matchLabels") or ()
            ),
            one.get("cel"),
        )
        for one in body.get("skuSelectors") or ()
    )
