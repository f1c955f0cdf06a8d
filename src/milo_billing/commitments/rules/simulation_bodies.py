"""What a simulation answers: amounts as decimal strings of the account's currency, months as YYYY-MM."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, Final, TypeVar

from milo_billing.commitments.types import Compared, Simulation
from milo_billing.kernel.money import Currency, minor_to_decimal
from milo_billing.kernel.periods import local_day
from milo_billing.pricing.types import Unpriced, UnpricedSku

ROWS_MAX: Final = 1_000
"""Rows of one table; the rest is summed up in `others`, so that the tables still add up."""

K = TypeVar("K")


def simulation_body(
    found: Simulation, *, account: str, zone: str, projects: Mapping[int, str], at: datetime
) -> dict[str, Any]:
    """The answer of POST /v1/simulations; `projects` has the names, `account` is namespace/name."""
    currency = found.currency
    return {
        "account": account,
        "currencyCode": currency,
        "at": at.isoformat().replace("+00:00", "Z"),
        "provisional": not found.closed,
        "total": _amounts(found.total, currency),
        "periods": [
            {
                "firstDay": local_day(one.of.start, zone=zone).isoformat(),
                "endDay": local_day(one.of.end, zone=zone).isoformat(),
                **_amounts(one, currency),
            }
            for one in found.periods
        ],
        "skus": _table(found.skus, "sku", currency, {}),
        "projects": _table(found.projects, "project", currency, {**projects, None: None}),
        "charges": [
            {"kind": one.of[0], "commitment": one.of[1], **_amounts(one, currency)} for one in found.charges
        ],
        "unpriced": {
            side: {
                "usage": [_unpriced(one, projects) for one in usage[:ROWS_MAX]],
                "skus": [_unpriced_sku(one) for one in skus[:ROWS_MAX]],
                "others": max(len(usage) - ROWS_MAX, 0) + max(len(skus) - ROWS_MAX, 0),
            }
            for side, usage, skus in zip(
                ("today", "simulated"), found.unpriced, found.unpriced_skus, strict=True
            )
        },
    }


def _table(
    rows: Sequence[Compared[K]], key: str, currency: Currency, names: Mapping[Any, Any]
) -> dict[str, Any]:
    left = rows[ROWS_MAX:]
    rest = Compared(None, sum(one.today_minor for one in left), sum(one.simulated_minor for one in left))
    return {
        "items": [
            {key: names.get(one.of, str(one.of)), **_amounts(one, currency)} for one in rows[:ROWS_MAX]
        ],
        "others": {"count": len(left), **_amounts(rest, currency)},
    }


def _amounts(one: Compared[Any], currency: Currency) -> dict[str, str]:
    return {
        "today": str(minor_to_decimal(one.today_minor, currency)),
        "simulated": str(minor_to_decimal(one.simulated_minor, currency)),
        "difference": str(minor_to_decimal(one.difference_minor, currency)),
    }


def _unpriced(one: Unpriced, projects: Mapping[int, str]) -> dict[str, Any]:
    return {
        "meterName": one.meter_name,
        "project": projects.get(one.project, str(one.project)),
        "dimensions": dict(one.dimensions),
        "sum": str(one.sum),
        "count": one.count,
    }


def _unpriced_sku(one: UnpricedSku) -> dict[str, Any]:
    return {"sku": one.sku, "day": one.day.isoformat()}
