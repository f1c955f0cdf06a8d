"""A public list of tax rates as TaxRates, and what that changes of those that stand.

The list of ibericode/vat-rates has by country its periods, each with rates by name, from a date on; others are read by
`tax_sources`.
"""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from decimal import Decimal
from typing import Any, Final, Literal, cast

from milo_billing.invoicing.rules.tax_bodies import plain
from milo_billing.invoicing.rules.tax_sources import (
    FIRST_DAY,
    HISTORY_HEAD,
    STANDARD,
    Listed,
    ListedRate,
    read_history,
    read_world,
)

_BILLING: Final = "billing.miloapis.com/v1alpha1"


class UnableToReadRates(ValueError):
    """The file is no such list; the message says where it is not."""


@dataclass(frozen=True, slots=True)
class TaxList:
    """What a file lists, and what of it no TaxRate can say: parts of countries, above all those told by postcodes."""

    rates: tuple[ListedRate, ...]
    left_out: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Change:
    """One difference: `conflict` is a rate that stands with another percentage, which nobody changes silently."""

    kind: Literal["added", "ended", "conflict"]
    name: str
    country: str
    category: str
    starts_on: str
    old: str
    new: str


@dataclass(frozen=True, slots=True)
class Plan:
    """The manifests to apply, in this order, what they change, and how many rates stand as they are listed."""

    manifests: tuple[dict[str, Any], ...] = ()
    changes: tuple[Change, ...] = ()
    unchanged: int = 0
    conflicts: tuple[Change, ...] = field(default=())


def read_list(content: bytes, *, since: date | None = None, all_categories: bool = False) -> TaxList:
    """The rates of the list, of the standard category unless all are wanted; `since` leaves out what ended before it.

    Its form is told by how it begins. Raises UnableToReadRates.
    """
    try:
        rates, left_out = _listed(content)
    except (ValueError, KeyError, TypeError, AttributeError, ArithmeticError) as error:
        raise UnableToReadRates(
            f"the file is no list of VAT rates by country and period: {type(error).__name__} {error}"
        ) from None
    wanted = (
        one
        for one in rates
        if (all_categories or one.category == STANDARD)
        and (since is None or one.ends_on is None or one.ends_on > since)
    )
    return TaxList(tuple(wanted), left_out)


def _listed(content: bytes) -> Listed:
    if content.startswith(HISTORY_HEAD):
        return read_history(content.decode())
    body: Any = json.loads(content, parse_float=Decimal, parse_int=Decimal)
    if "items" not in body:
        if not body:
            raise ValueError("it is empty")
        return read_world(body)
    countries = cast("dict[str, list[dict[str, Any]]]", body["items"])
    parts = {
        f"{country}: {one['name']}"
        for country, periods in countries.items()
        for period in periods
        for one in period.get("exceptions", ())
    }
    rates = tuple(rate for country in sorted(countries) for rate in _country(country, countries[country]))
    return rates, tuple(sorted(parts))


def plan(listed: Iterable[ListedRate], standing: Sequence[Mapping[str, Any]]) -> Plan:
    """What has to be applied so that the rates stand as they are listed.

    Ends come before new rates, which would overlap otherwise. TaxRates of other taxes, places and days stay; one that
    holds on days of a listed rate and began on another is in its way.
    """
    listed = tuple(listed)
    known: dict[tuple[str, ...], tuple[str, Mapping[str, Any]]] = {
        (*_kind(spec), spec["startsOn"]): (one["metadata"]["name"], spec)
        for one in standing
        for spec in (one["spec"],)
    }
    wanted_keys = {rate.key for rate in listed}
    others = [(name, spec) for key, (name, spec) in known.items() if key not in wanted_keys]
    ended: list[dict[str, Any]] = []
    added: list[dict[str, Any]] = []
    changes: list[Change] = []
    unchanged = 0
    for rate in listed:
        name, spec = known.get(rate.key) or (rate.name, None)
        wanted = _spec(rate)
        in_the_way = next(((name, one) for name, one in others if _overlaps(rate, one)), None)
        if in_the_way is not None:
            changes.append(
                _change("conflict", in_the_way[0], rate, old=_shown(in_the_way[1]), new=_shown(wanted))
            )
        elif spec is None:
            added.append(_manifest(name, wanted))
            changes.append(_change("added", name, rate, old="", new=_shown(wanted)))
        elif Decimal(spec["percent"]) != rate.percent:
            changes.append(_change("conflict", name, rate, old=_shown(spec), new=_shown(wanted)))
        elif spec.get("endsOn") != wanted.get("endsOn"):
            kept = {key: value for key, value in spec.items() if key != "endsOn"}
            ends = {"endsOn": wanted["endsOn"]} if "endsOn" in wanted else {}
            ended.append(_manifest(name, {**kept, **ends}))
            changes.append(_change("ended", name, rate, old=_shown(spec), new=_shown(wanted)))
        else:
            unchanged += 1
    conflicts = tuple(one for one in changes if one.kind == "conflict")
    return Plan((*ended, *added), tuple(changes), unchanged, conflicts)


def _country(country: str, periods: Sequence[Mapping[str, Any]]) -> Iterable[ListedRate]:
    """A country's rates, neighbours of one percentage as one."""
    starts = sorted((_day(period["effective_from"]), period["rates"]) for period in periods)
    for category in sorted({name for _, rates in starts for name in rates}):
        began: tuple[date, Decimal] | None = None
        for day, rates in starts:
            percent = rates.get(category)
            if began is not None and percent != began[1]:
                yield ListedRate(country, category.replace("_", "-"), began[1], began[0], day)
                began = None
            if began is None and percent is not None:
                began = (day, Decimal(percent))
        if began is not None:
            yield ListedRate(country, category.replace("_", "-"), began[1], began[0], None)


def _kind(spec: Mapping[str, Any]) -> tuple[str, ...]:
    return spec["tax"], spec["country"], spec.get("region") or "", spec["taxCategory"]


def _overlaps(rate: ListedRate, spec: Mapping[str, Any]) -> bool:
    """Whether both would hold on a day."""
    ends = spec.get("endsOn")
    return (
        rate.kind == _kind(spec)
        and (rate.ends_on is None or date.fromisoformat(spec["startsOn"]) < rate.ends_on)
        and (ends is None or rate.starts_on < date.fromisoformat(ends))
    )


def _day(text: str) -> date:
    return FIRST_DAY if text.startswith("0000") else date.fromisoformat(text)


def _spec(rate: ListedRate) -> dict[str, Any]:
    ends = {} if rate.ends_on is None else {"endsOn": rate.ends_on.isoformat()}
    return {
        "country": rate.country,
        **({"region": rate.region} if rate.region else {}),
        "tax": rate.tax,
        "taxCategory": rate.category,
        "percent": plain(rate.percent),
        "startsOn": rate.starts_on.isoformat(),
        **ends,
    }


def _manifest(name: str, spec: dict[str, Any]) -> dict[str, Any]:
    return {"apiVersion": _BILLING, "kind": "TaxRate", "metadata": {"name": name}, "spec": spec}


def _shown(spec: Mapping[str, Any]) -> str:
    until = f" until {spec['endsOn']}" if spec.get("endsOn") else ""
    return f"{spec['percent']} %{until}"


def _change(
    kind: Literal["added", "ended", "conflict"], name: str, rate: ListedRate, *, old: str, new: str
) -> Change:
    return Change(
        kind,
        name,
        f"{rate.country}-{rate.region}" if rate.region else rate.country,
        rate.category,
        rate.starts_on.isoformat(),
        old,
        new,
    )
