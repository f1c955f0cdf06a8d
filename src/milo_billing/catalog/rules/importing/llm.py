"""Price lists of language models: prices by provider, model and kind of usage, as genai-prices publishes them.

A model has prices per million tokens of each kind (`input_mtok`, `cache_read_mtok` …), which may depend

- on the size of one request (`{base, tiers: [{start, price}]}`): more input tokens than `start`, and every token of the
  request costs the tier's price, output as well. One event counts one kind of tokens, so its own value does not say how
  large the request was: the sender does, in the dimension `requestSize`;
- on the day (`start_date`): versions of the book;
- on the time of day (`start_time`, `end_time`): bands of a meter of their own, decided at ingest.

Of conditions the last that holds counts, and the first entry where none does.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, time
from decimal import Decimal
from typing import Any, Final, TypeAlias, cast

from milo_billing.catalog.rules.importing import names, reading
from milo_billing.catalog.rules.importing.reading import UnableToReadPrices
from milo_billing.catalog.rules.importing.values import (
    HOURS,
    LIST_LABEL,
    Gathering,
    HourBand,
    ListedMeter,
    ListedPrice,
    ListedSku,
    PriceList,
    Steps,
    flat,
)

DIMENSIONS: Final = ("provider", "model", "requestSize")
DAY_MINUTES: Final = 1_440
LIST_CURRENCY: Final = "USD"

_UNITS: Final = (
    ("_mtok", "tokens", "{token}", "10*6.{token}"),
    ("_mchars", "characters", "{character}", "10*6.{character}"),
    ("_gpixels", "pixels", "{pixel}", "10*9.{pixel}"),
    ("_kpages", "pages", "{page}", "10*3.{page}"),
    ("_minutes", "seconds", "s", "min"),
    ("_kcount", "", "", ""),
)
"""How the name of a price ends, what is counted, the meter's unit, the pricing unit; `_kcount` says itself what."""


@dataclass(frozen=True, slots=True)
class Usage:
    """A kind of usage: what the meter is called after, its unit, and the unit of the price."""

    name: str
    unit: str
    pricing_unit: str


@dataclass(frozen=True, slots=True)
class Sized:
    """A price by the size of the request: `prices[i]` up to and with `bounds[i]` input tokens, the last above all."""

    bounds: tuple[int, ...]
    prices: tuple[Decimal, ...]


Prices: TypeAlias = Mapping[str, Sized]
"""What a model costs at one time, by the field of the list."""


@dataclass(frozen=True, slots=True)
class Condition:
    """Prices, and when they hold: from a day on, or between two minutes of the UTC day."""

    since: date | None
    window: tuple[int, int] | None
    prices: Prices

    def holds(self, minute: int) -> bool:
        if self.window is None:
            return True
        start, end = self.window
        return start <= minute < end if start < end else minute >= start or minute < end


@dataclass(frozen=True, slots=True)
class Stretch:
    """Prices in a part of the day; the band is None where they hold all day."""

    band: HourBand | None
    prices: Prices


def read(content: bytes, *, source: str, currency: str) -> PriceList:
    """The list in `content`. Raises UnableToReadPrices where it is no such list; entries that are bad are problems."""
    if currency != LIST_CURRENCY:
        raise UnableToReadPrices(
            f"Lists of this format are in {LIST_CURRENCY}, not in {currency}.",
            next_step="Leave --currency out: exchange rates price accounts of other currencies.",
        )
    gathering = Gathering(source, currency)
    for index, entry in enumerate(reading.items(reading.read_json(content), field="")):
        provider = reading.body(entry, field=f"[{index}]")
        if "models" not in provider:
            raise UnableToReadPrices(
                "has no models: this is no price list of language models",
                field=f"[{index}]",
                next_step="A list is [{id, name, models: [{id, prices}]}]; see docs/how-to-import-prices.md.",
            )
        provider_id = reading.text(provider.get("id"), field=f"[{index}].id")
        for place, model in enumerate(reading.items(provider["models"], field=f"[{index}].models")):
            where = f"{provider_id}[{place}]"
            try:
                found = reading.body(model, field="")
                where = f"{provider_id}/{reading.text(found.get('id'), field='id')}"
                _read_model(gathering, provider_id, found, entry=where)
            except UnableToReadPrices as error:
                gathering.refuse(where, error.field, error.what, error.next_step or "Correct it in the file.")
    return gathering.result()


def _read_model(gathering: Gathering, provider: str, model: Mapping[str, Any], *, entry: str) -> None:
    conditions = _conditions(model.get("prices"))
    if not any(condition.prices for condition in conditions):
        gathering.leave_out(entry, "it has no prices")
        return
    title = str(model.get("name") or model["id"])
    sold: dict[str, tuple[ListedMeter, ListedSku]] = {}
    timeline: dict[str, list[ListedPrice]] = {}
    for since in (None, *sorted({each.since for each in conditions if each.since is not None})):
        offers = list(
            _offers(
                gathering.source, provider, str(model["id"]), title, stretches=_day(conditions, since=since)
            )
        )
        now = {sku.name for _, sku, _ in offers}
        for name, known in timeline.items():
            if name not in now and known[-1].steps is not None:
                known.append(ListedPrice(name, since, None))
        for meter, sku, price in offers:
            sold.setdefault(sku.name, (meter, sku))
            known = timeline.setdefault(sku.name, [])
            if not known or known[-1].steps != price:
                known.append(ListedPrice(sku.name, since, price))
    for name, (meter, sku) in sold.items():
        gathering.sell(meter, sku, timeline[name], entry=entry)


def _conditions(value: object) -> tuple[Condition, ...]:
    if isinstance(value, dict):
        return (Condition(None, None, _prices(cast("Mapping[str, Any]", value), field="prices")),)
    return tuple(
        _condition(reading.body(each, field=f"prices[{index}]"), field=f"prices[{index}]")
        for index, each in enumerate(reading.items(value, field="prices"))
    )


def _condition(value: Mapping[str, Any], *, field: str) -> Condition:
    constraint = reading.body(value.get("constraint") or {}, field=f"{field}.constraint")
    unknown = sorted(constraint.keys() - {"type", "start_date", "start_time", "end_time"})
    if unknown:
        raise UnableToReadPrices(
            "is a condition that an import does not know",
            field=f"{field}.constraint.{unknown[0]}",
            next_step="Prices depend on start_date, or on start_time and end_time.",
        )
    since = None
    if constraint.get("start_date") is not None:
        since = reading.day(constraint["start_date"], field=f"{field}.constraint.start_date")
    window = None
    if constraint.get("start_time") is not None or constraint.get("end_time") is not None:
        start = _minute(constraint.get("start_time"), field=f"{field}.constraint.start_time")
        end = _minute(constraint.get("end_time"), field=f"{field}.constraint.end_time")
        if start == end:
            raise UnableToReadPrices("begins when it ends", field=f"{field}.constraint.start_time")
        window = (start, end)
    prices = reading.body(value.get("prices"), field=f"{field}.prices")
    return Condition(since, window, _prices(prices, field=f"{field}.prices"))


def _minute(value: object, *, field: str) -> int:
    """The minute of the UTC day; a time without a zone is UTC."""
    written = reading.text(value, field=field)
    try:
        parsed = time.fromisoformat(written)
    except ValueError:
        raise UnableToReadPrices(f'"{written}" is no time, HH:MM:SSZ', field=field) from None
    if parsed.second or parsed.microsecond:
        raise UnableToReadPrices(f'"{written}" is no whole minute, and bands of a meter are', field=field)
    offset = parsed.utcoffset()
    minutes = 0 if offset is None else int(offset.total_seconds()) // 60
    return (parsed.hour * 60 + parsed.minute - minutes) % DAY_MINUTES


def _prices(value: Mapping[str, Any], *, field: str) -> Prices:
    return {
        name: _sized(name, price, field=f"{field}.{name}")
        for name, price in value.items()
        if price is not None
    }


def _sized(name: str, value: object, *, field: str) -> Sized:
    usage_of(name, field=field)
    if not isinstance(value, dict):
        return Sized((), (reading.amount(value, field=field),))
    price = cast("Mapping[str, Any]", value)
    bounds: list[int] = []
    prices = [reading.amount(price.get("base"), field=f"{field}.base")]
    for index, each in enumerate(reading.items(price.get("tiers"), field=f"{field}.tiers")):
        tier = reading.body(each, field=f"{field}.tiers[{index}]")
        start = reading.whole(tier.get("start"), field=f"{field}.tiers[{index}].start")
        if bounds and start <= bounds[-1]:
            raise UnableToReadPrices(
                f"is {start}, not above the tier before it, {bounds[-1]}",
                field=f"{field}.tiers[{index}].start",
            )
        bounds.append(start)
        prices.append(reading.amount(tier.get("price"), field=f"{field}.tiers[{index}].price"))
    return Sized(tuple(bounds), tuple(prices))


def usage_of(name: str, *, field: str) -> Usage:
    """What a price called `name` is for. Raises UnableToReadPrices where its name does not say."""
    for suffix, counted, unit, pricing_unit in _UNITS:
        if not name.endswith(suffix):
            continue
        kind = name.removesuffix(suffix).replace("_", "-")
        if not counted:
            return Usage(kind, f"{{{kind}}}", f"10*3.{{{kind}}}")
        return Usage(f"{kind}-{counted}", unit, pricing_unit)
    endings = ", ".join(suffix for suffix, *_ in _UNITS)
    raise UnableToReadPrices(
        "does not say what it is the price of",
        field=field,
        next_step=f"A price is called after what it counts: {endings}.",
    )


def _day(conditions: Sequence[Condition], *, since: date | None) -> tuple[Stretch, ...]:
    """The prices of a day from `since` on: one stretch, or several where they change in the course of the day."""
    known = [each for each in conditions if each.since is None or (since is not None and each.since <= since)]
    edges = sorted({minute for each in known if each.window is not None for minute in each.window})
    begins: list[tuple[int, Prices]] = []
    for edge in edges or [0]:
        prices = _holding(known, edge, otherwise=conditions[0].prices)
        if not begins or begins[-1][1] != prices:
            begins.append((edge, prices))
    if len(begins) > 1 and begins[0][1] == begins[-1][1]:
        del begins[0]  # it goes on past midnight
    if len(begins) == 1:
        return (Stretch(None, begins[0][1]),)
    ends = [*(start for start, _ in begins[1:]), begins[0][0]]
    return tuple(
        Stretch(HourBand(f"{_clock(start)}-{_clock(end)}", _clock(start), _clock(end)), prices)
        for (start, prices), end in zip(begins, ends, strict=True)
    )


def _holding(conditions: Sequence[Condition], minute: int, *, otherwise: Prices) -> Prices:
    return next((each.prices for each in reversed(conditions) if each.holds(minute)), otherwise)


def _clock(minute: int) -> str:
    return f"{minute // 60:02}:{minute % 60:02}"


def _offers(
    source: str, provider: str, model: str, title: str, *, stretches: Sequence[Stretch]
) -> Iterator[tuple[ListedMeter, ListedSku, Steps]]:
    """What is sold of a model: a Sku for each kind of usage, and part of the day and size of request if they matter."""
    hours = tuple(each.band for each in stretches if each.band is not None)
    sizes = sorted({bound for each in stretches for price in each.prices.values() for bound in price.bounds})
    for name in dict.fromkeys(name for each in stretches for name in each.prices):
        usage = usage_of(name, field=name)
        meter = _meter(source, usage, hours)
        found = [(each.band, each.prices.get(name)) for each in stretches]
        if all(price == found[0][1] for _, price in found):
            found = [(None, found[0][1])]  # what costs the same all day is one Sku
        for band, price in found:
            if price is None:
                continue
            for index, unit_price in enumerate(price.prices):
                size = _size_values(price, index, sizes)
                sku = _sku(source, provider, model, title, meter=meter, usage=usage, band=band, size=size)
                yield meter, sku, flat(unit_price)


def _size_values(price: Sized, index: int, sizes: Sequence[int]) -> tuple[str, ...]:
    """The values of `requestSize` at which the tier holds; none where the price does not depend on the size."""
    if not price.bounds:
        return ()
    low = price.bounds[index - 1] if index else 0
    high = price.bounds[index] if index < len(price.bounds) else None
    values = [f"up-to-{size}" for size in sizes if size > low and (high is None or size <= high)]
    return tuple(values) if high is not None else (*values, f"over-{sizes[-1]}")


def _meter(source: str, usage: Usage, hours: tuple[HourBand, ...]) -> ListedMeter:
    parts = [source, usage.name]
    if hours:
        parts.append("-".join(["utc", *(band.start.replace(":", "") for band in hours)]))
    return ListedMeter(
        name=".".join(parts),
        meter_name="/".join(parts),
        display_name=names.words(usage.name).capitalize(),
        unit=usage.unit,
        dimensions=DIMENSIONS,
        hours=hours,
    )


def _sku(
    source: str,
    provider: str,
    model: str,
    title: str,
    *,
    meter: ListedMeter,
    usage: Usage,
    band: HourBand | None,
    size: tuple[str, ...],
) -> ListedSku:
    match: list[tuple[str, tuple[str, ...]]] = [("provider", (provider,)), ("model", (model,))]
    # the stretch of the day has its meter's in front of it: the same hours can be a band of different days
    said = [] if not meter.hours else [meter.name.rpartition(".")[2]]
    if band is not None:
        match.append((HOURS, (band.name,)))
        said.append(f"{band.start}-{band.end}".replace(":", ""))
    if size:
        match.append(("requestSize", size))
        said.append("-or-".join(size))
    title = ", ".join([title, names.words(usage.name), *([band.name] if band else []), *size[-1:]])
    labels = [(LIST_LABEL, source), ("provider", provider), ("usage", usage.name)]
    return ListedSku(
        name=".".join([source, names.undotted(provider), names.plain(model), "-".join([usage.name, *said])]),
        display_name=names.shortened(title, characters_max=names.DISPLAY_CHARACTERS_MAX),
        meter_name=meter.meter_name,
        match=tuple(match),
        pricing_unit=usage.pricing_unit,
        labels=tuple(
            (key, names.shortened(value, characters_max=names.LABEL_CHARACTERS_MAX)) for key, value in labels
        ),
        invoice_group=names.shortened(provider, characters_max=names.DISPLAY_CHARACTERS_MAX),
    )
