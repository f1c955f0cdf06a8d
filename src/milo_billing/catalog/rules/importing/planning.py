"""What an import does to what stands: which objects it adds, what changes in the book and from when.

A book that is published never changes: prices that differ from the day's version make the next version. It takes over
what other lists and people put into the book, and the spelling of prices that are the same.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any, Literal, TypeAlias

from milo_billing.catalog.rules.importing.manifests import (
    API_VERSION,
    Manifest,
    match,
    measurement,
    meter_manifest,
    price_body,
    shown_steps,
    sku_manifest,
    steps_of,
)
from milo_billing.catalog.rules.importing.values import (
    LIST_LABEL,
    ListedMeter,
    ListedSku,
    PriceList,
    Problem,
    Steps,
)

PRICES_MAX = 5_000
"""Prices that one book may have."""

ChangeKind: TypeAlias = Literal["added", "changed", "gone"]


@dataclass(frozen=True, slots=True)
class Standing:
    """The catalog as the server has it: manifests of its meters and Skus, and the versions of the book."""

    meters: Sequence[Mapping[str, Any]] = ()
    skus: Sequence[Mapping[str, Any]] = ()
    books: Sequence[Mapping[str, Any]] = ()


@dataclass(frozen=True, slots=True)
class Change:
    """What becomes of a Sku's price on a day; prices in words, empty where there is none."""

    since: date
    kind: ChangeKind
    sku: str
    old: str
    new: str


@dataclass(frozen=True, slots=True)
class Version:
    """A version of the book that the import makes."""

    name: str
    since: date
    prices: int


@dataclass(frozen=True, slots=True)
class Plan:
    """What is to be applied, in this order, and what it means. With problems, nothing is.

    `replaced` are published versions that are to be retired and deleted before that: they have not begun.
    `unchanged` counts prices of the list that stand already on the first day, `kept` those that others put into it.
    """

    manifests: tuple[Manifest, ...]
    replaced: tuple[Manifest, ...]
    versions: tuple[Version, ...]
    changes: tuple[Change, ...]
    unchanged: int
    kept: int
    problems: tuple[Problem, ...]


_Prices: TypeAlias = Mapping[str, Mapping[str, Any]]
"""Prices of a version by the name of their Sku, as they stand in its spec."""


@dataclass(frozen=True, slots=True)
class _Book:
    """A version that stands: its day, its phase and its spec."""

    name: str
    since: date
    phase: str
    spec: Mapping[str, Any]


def plan(
    listed: PriceList,
    *,
    standing: Standing,
    book: str,
    effective_from: date,
    replace_after: date | None = None,
) -> Plan:
    """What it takes that `book` has the prices of the list from `effective_from` on, and nothing that stands already.

    A price that the list starts later makes a version from that day. Prices of Skus that an earlier import of the
    same source made, and that the list no longer has, are gone. Published versions from days after `replace_after`
    give way where they have other prices; without it they stand against the import.
    """
    problems = [
        *_meter_problems(listed.meters, standing.meters),
        *_sku_problems(listed.skus, standing.skus),
    ]
    own = {sku.name for sku in listed.skus} | _labelled(standing.skus, listed.source)
    books = sorted(
        (_standing_book(one) for one in standing.books if one["spec"]["bookName"] == book),
        key=lambda each: each.since,
    )
    timeline = _Timeline(book, listed.currency, books, replace_after)
    unchanged = kept = 0
    for since in timeline.days(listed, effective_from):
        before = timeline.prices_on(since)
        wanted = _wanted(listed.prices_at(since), before=before, own=own)
        if since == effective_from:
            unchanged = sum(1 for name in wanted if name in own and wanted[name] is before.get(name))
            kept = sum(1 for name in wanted if name not in own)
        timeline.want(since, wanted)
    problems.extend(timeline.problems)
    used = {name for one in timeline.made.values() for name in timeline.names(one) if name in own}
    return Plan(
        manifests=() if problems else (*_catalog(listed, standing, used=used), *timeline.made.values()),
        replaced=() if problems else tuple(timeline.replaced),
        versions=tuple(
            Version(one["metadata"]["name"], since, len(one["spec"]["prices"]))
            for since, one in timeline.made.items()
        ),
        changes=tuple(timeline.changes),
        unchanged=unchanged,
        kept=kept,
        problems=tuple(problems),
    )


class _Timeline:
    """The versions of a book by day: those that stand, and those that the import makes among them."""

    def __init__(
        self, book: str, currency: str, standing: Sequence[_Book], replace_after: date | None
    ) -> None:
        self._book, self._currency = book, currency
        self._standing = standing
        self._replace_after = replace_after
        self.made: dict[date, Manifest] = {}
        self.replaced: list[Manifest] = []
        self.changes: list[Change] = []
        self.problems: list[Problem] = []

    def days(self, listed: PriceList, first: date) -> list[date]:
        """The days on which the list changes a price or a version begins, from the first on."""
        later = {one.since for one in self._standing if one.phase == "Published" and one.since > first}
        return sorted({first, *listed.days_after(first), *later})

    def prices_on(self, since: date) -> _Prices:
        """The prices of the version that stands on the day."""
        stands = self._in_force(since)
        return {} if stands is None else _by_sku(stands.spec)

    def want(self, since: date, wanted: dict[str, Mapping[str, Any]]) -> None:
        """Have these prices from the day on, by a version of their own if those before it are not the same."""
        there = next((one for one in self._standing if one.since == since and one.phase != "Draft"), None)
        differs = there is not None and (
            there.phase != "Published" or bool(_changes(_by_sku(there.spec), wanted, since=since))
        )
        if there is not None and there.phase == "Published" and not differs:
            return
        found = _changes(self._before(since, but=there), wanted, since=since)
        if there is not None and there.phase == "Published":
            if self._replace_after is None or since <= self._replace_after:
                self.problems.append(_stands(there, replaceable=self._replace_after is None))
                return
            self.replaced.append(_retired(there))
        elif there is not None and found:
            self.problems.append(_stands(there, replaceable=False))
            return
        if not found:
            return
        if len(wanted) > PRICES_MAX:
            self.problems.append(_too_many(self._book, since, prices=len(wanted)))
            return
        self.changes.extend(found)
        prices = tuple(wanted.values())
        self.made[since] = _version(
            self._standing, since, book=self._book, currency=self._currency, prices=prices
        )

    @staticmethod
    def names(version: Manifest) -> tuple[str, ...]:
        """The Skus of a version that is made."""
        return tuple(_by_sku(version["spec"]))

    def _before(self, since: date, *, but: _Book | None) -> _Prices:
        """The prices that hold until the day, or on it by a version that does not give way."""
        made = max((day for day in self.made if day < since), default=None)
        stands = self._in_force(since, but=but)
        if made is not None and (stands is None or stands.since < made):
            return _by_sku(self.made[made]["spec"])
        return {} if stands is None else _by_sku(stands.spec)

    def _in_force(self, since: date, *, but: _Book | None = None) -> _Book | None:
        found = (one for one in reversed(self._standing) if one.phase == "Published" and one is not but)
        return next((one for one in found if one.since <= since), None)


def _by_sku(spec: Mapping[str, Any]) -> _Prices:
    return {price["skuRef"]["name"]: price for price in spec.get("prices") or ()}


def _catalog(listed: PriceList, standing: Standing, *, used: set[str]) -> tuple[Manifest, ...]:
    """The meters and Skus that the new versions need and that are not there."""
    there = {one["metadata"]["name"] for one in standing.skus}
    metered = {one["spec"]["meterName"] for one in standing.meters}
    skus = [sku for sku in listed.skus if sku.name in used and sku.name not in there]
    needed = {sku.meter_name for sku in skus} - metered
    return (
        *(meter_manifest(meter) for meter in listed.meters if meter.meter_name in needed),
        *(sku_manifest(sku) for sku in skus),
    )


def _standing_book(manifest: Mapping[str, Any]) -> _Book:
    spec = manifest["spec"]
    return _Book(
        name=manifest["metadata"]["name"],
        since=date.fromisoformat(spec["effectiveFrom"]),
        phase=spec["phase"],
        spec=spec,
    )


def _wanted(prices: Mapping[str, Steps], *, before: _Prices, own: set[str]) -> dict[str, Mapping[str, Any]]:
    """The prices of the version: what is there and stays comes first, as it is written."""
    wanted: dict[str, Mapping[str, Any]] = {}
    for name, price in before.items():
        if name not in own:
            wanted[name] = price
        elif name in prices:
            wanted[name] = price if steps_of(price) == prices[name] else price_body(name, prices[name])
    for name, steps in prices.items():
        wanted.setdefault(name, price_body(name, steps))
    return wanted


def _changes(before: _Prices, wanted: _Prices, *, since: date) -> list[Change]:
    found: list[Change] = []
    for name, price in wanted.items():
        if name not in before:
            found.append(Change(since, "added", name, "", shown_steps(price)))
        elif price is not before[name] and _differ(price, before[name]):
            found.append(Change(since, "changed", name, shown_steps(before[name]), shown_steps(price)))
    found.extend(
        Change(since, "gone", name, shown_steps(price), "")
        for name, price in before.items()
        if name not in wanted
    )
    return found


def _differ(one: Mapping[str, Any], other: Mapping[str, Any]) -> bool:
    steps = steps_of(one)
    return one != other if steps is None else steps != steps_of(other)


def _too_many(book: str, since: date, *, prices: int) -> Problem:
    return Problem(
        book,
        "prices",
        f"would have {prices:,} prices from {since} on, and a book has at most {PRICES_MAX:,}",
        "Import a part of the list.",
    )


def _stands(book: _Book, *, replaceable: bool) -> Problem:
    """A version of that day is there, and it does not change any more."""
    replace = ", or have versions that have not begun replaced (--replace-later)" if replaceable else ""
    return Problem(
        book.name,
        "prices",
        f"is {book.phase.lower()} and not what the list says from {book.since} on; a version does not change any more",
        f"Import from a later day (--effective-from){replace}.",
    )


def _retired(book: _Book) -> Manifest:
    return {
        "apiVersion": API_VERSION,
        "kind": "PriceBook",
        "metadata": {"name": book.name},
        "spec": {**book.spec, "phase": "Retired"},
    }


def _version(
    books: Sequence[_Book],
    since: date,
    *,
    book: str,
    currency: str,
    prices: tuple[Mapping[str, Any], ...],
) -> Manifest:
    """The version from that day, published: a draft that stands there, or the next one, with what versions share."""
    draft = next((one for one in books if one.since == since), None)
    latest = draft or (books[-1] if books else None)
    shared = {} if latest is None else {key: value for key, value in latest.spec.items() if value is not None}
    spec = {
        **shared,
        "bookName": book,
        "effectiveFrom": since.isoformat(),
        "currencyCode": currency,
        "phase": "Published",
        "prices": list(prices),
    }
    return {
        "apiVersion": API_VERSION,
        "kind": "PriceBook",
        "metadata": {"name": f"{book}-{since}" if draft is None else draft.name},
        "spec": spec,
    }


def _labelled(skus: Sequence[Mapping[str, Any]], source: str) -> set[str]:
    return {
        one["metadata"]["name"] for one in skus if (one["spec"].get("labels") or {}).get(LIST_LABEL) == source
    }


def _meter_problems(meters: Sequence[ListedMeter], standing: Sequence[Mapping[str, Any]]) -> list[Problem]:
    """Meters that stand under a wanted name and measure something else."""
    known = {one["spec"]["meterName"]: one for one in standing}
    problems: list[Problem] = []
    for meter in meters:
        there = known.get(meter.meter_name)
        if there is None:
            continue
        said, wanted = there["spec"]["measurement"], measurement(meter)
        missing = [name for name in meter.dimensions if name not in (said.get("dimensions") or ())]
        differs = [
            field
            for field in ("aggregation", "unit", "bands")
            if (said.get(field) or None) != (wanted.get(field) or None)
        ]
        if differs or missing:
            what = (
                f"stands with another {' and '.join(differs)}" if differs else f"lacks {', '.join(missing)}"
            )
            problems.append(
                Problem(
                    there["metadata"]["name"],
                    f"measurement.{differs[0] if differs else 'dimensions'}",
                    what,
                    "Give the list another name (--source), which its meters begin with.",
                )
            )
    return problems


def _sku_problems(skus: Sequence[ListedSku], standing: Sequence[Mapping[str, Any]]) -> list[Problem]:
    """Skus that stand under a wanted name and sell something else."""
    known = {one["metadata"]["name"]: one["spec"] for one in standing}
    problems: list[Problem] = []
    for sku in skus:
        there = known.get(sku.name)
        if there is None:
            continue
        meter_name, unit = there["meter"]["meterName"], there["pricingUnit"]
        if (meter_name, there["meter"].get("match", {}), unit) != (
            sku.meter_name,
            match(sku),
            sku.pricing_unit,
        ):
            problems.append(
                Problem(
                    sku.name,
                    "meter",
                    f"stands as a Sku that sells other usage: of {meter_name}, in {unit}",
                    "Give the list another name (--source), which its Skus begin with.",
                )
            )
    return problems
