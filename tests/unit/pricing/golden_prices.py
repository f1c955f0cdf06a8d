"""How worked price examples of other systems are said here: a source's words become a price, and an answer a part.

Read by the shape of the input, never by the id of a case.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction
from functools import partial
from itertools import accumulate
from typing import Any, cast

from milo_billing.catalog.types import Price, PriceModel, QuantityRounding, Tier
from milo_billing.kernel.money import settle
from milo_billing.pricing.types import RatedLine, SubLine
from tests.unit.pricing.builders import price_of, rate_units, tier

DECIMALS = {0: "USD", 1: "USD", 2: "USD", 3: "KWD"}
"""Sources that round nothing are read in a currency that shows their decimals; at most four, in CLF."""


@dataclass(frozen=True)
class Reading:
    """A price in our words. `size` is the pricing unit, in units of the source; `rounding` is the Sku's."""

    price: Price
    size: Decimal = Decimal(1)
    rounding: QuantityRounding | None = None

    def line(self, units: Decimal | str, *, currency: str) -> RatedLine:
        return rate_units(
            units,
            self.price,
            currency=currency,
            unit_factor=1 / Fraction(self.size),
            rounding=self.rounding,
        )


def read_price(given: Mapping[str, Any]) -> Reading | None:
    """The price that a source describes; None where it is of no form that is known."""
    limits = {name: given[name] for name in ("minimum", "maximum") if given.get(name) is not None}
    included = _first(given, "free_units", "included_quantity", "included", default="0")
    price = partial(price_of, included=included, **limits)
    match given:
        case {"model": "per_unit" | "flat" | "dynamic" as model}:
            amount = _first(given, "unit_price", "price", "multiplier", "amount", "flat", "fee", "rate")
            name: PriceModel = "Flat" if model == "flat" else "PerUnit"
            return None if amount is None else Reading(price(name, amount, at_zero=model == "flat"))
        case {"package_size": size, **rest} if rest.get("rounding") == "down":
            # whole packages, those begun left out, are what a Sku sells whose quantity is rounded down
            return Reading(
                price("PerUnit", _first(rest, "package_price", "price", "unit_price", default="1")),
                size=Decimal(size),
                rounding=QuantityRounding("Down", 0),
            )
        case {"package_size": size, **rest}:
            cost = _first(rest, "package_price", "price", "unit_price", default="1")
            return Reading(price("Package", cost, package_size=size))
        case {"model": "graduated" | "volume" | "stairstep" as model}:
            tiers = read_tiers(given)
            names: dict[str, PriceModel] = {
                "graduated": "Graduated", "volume": "Volume", "stairstep": "Stairstep"
            }  # fmt: skip
            return None if tiers is None else Reading(price(names[model], tiers=tiers))
        case _:
            return None


def read_tiers(given: Mapping[str, Any]) -> list[Tier] | None:
    """Tiers by their bounds, by the first unit of each, or by their widths; the last one is open."""
    match given:
        case {"tiers_by_first_unit": [[_, _], *_] as rows}:
            starts = [start for start, _ in rows[1:]]
            return [tier(end, price) for (_, price), end in zip(rows, [*starts, None], strict=True)]
        case {"tiers": [{"up_to": _}, *_] as rows}:
            # in these sources a first tier's flat fee is owed at zero usage: here that is said with chargeAtZero
            ends = [*[row["up_to"] for row in rows[:-1]], None]
            return [
                tier(end, row.get("unit") or "0", flat=row.get("flat") or "0", charge_at_zero=True)
                for row, end in zip(rows, ends, strict=True)
            ]
        case {"tiers": [{"max": _}, *_] as rows}:
            ends = _ends([row["max"] for row in rows])
            return [tier(end, row["price"]) for end, row in zip(ends, rows, strict=True)]
        case {"tiers": [{"max_blocks": _}, *_] as rows}:
            ends = _ends([row["max_blocks"] for row in rows])
            return [tier(end, row["block_price"]) for end, row in zip(ends, rows, strict=True)]
        case _:
            return None


def assert_bill(reading: Reading, *, given: Mapping[str, Any], expected: Mapping[str, Any]) -> None:
    """A bill is the whole period less what was billed of it before (domain.md §4); each answer of the source holds."""
    currency = currency_of(expected)
    before_units = Decimal(_first(given, "previous_quantity", default="0"))
    units = before_units + Decimal(_first(given, "quantity", "units", "amount_total", default="0"))
    now = reading.line(units, currency=currency)
    before = reading.line(before_units, currency=currency) if before_units else None
    if before is not None and "previous_billed" in given:
        assert before.amount.decimal() == Decimal(given["previous_billed"])
    for name, value in expected.items():
        assert_answer(name, value, now=now, before=before, with_limits="total" not in expected)


def rounds_once(reading: Reading, *, given: Mapping[str, Any], expected: Mapping[str, Any]) -> bool:
    """Whether the source rounds the sum, where here each tier is a part that is rounded on its own."""
    wanted = expected.get("total", expected.get("amount"))
    if wanted is None or currency_of(expected) != "USD":
        return False
    units = sum(Decimal(_first(given, name, default="0")) for name in ("previous_quantity", "quantity"))
    line, finer = (reading.line(Decimal(units), currency=currency) for currency in ("USD", "CLF"))
    is_source = settle(finer.amount.decimal(), "USD").decimal() == Decimal(wanted)
    return len(line.parts) > 1 and line.amount.decimal() != Decimal(wanted) and is_source


def assert_answer(
    name: str, value: Any, *, now: RatedLine, before: RatedLine | None, with_limits: bool = True
) -> None:
    """One answer of a source. `with_limits`: its `amount` is what is left after maximum and minimum."""

    def added(*kinds: str) -> Decimal:
        return _amount(now, kinds) - (_amount(before, kinds) if before else 0)

    def is_now(amount: Decimal) -> None:
        assert amount == settle(Decimal(value), now.currency).decimal(), name

    match name:
        case "total":
            is_now(added())
        case "amount" if with_limits:
            is_now(added())
        case "amount" | "usage":
            is_now(added(*USED))
        case "lines" | "by_tier":
            _assert_tiers(value, now=now, before=before)
        case _ if "packages" in name:
            packages = [sum(part.quantity for part in one.parts) for one in (now, before) if one]
            assert packages[0] - sum(packages[1:]) == Fraction(value)
        case _ if "minimum" in name:
            is_now(added("Minimum"))
        case _ if "maximum" in name or "discount" in name:
            is_now(-added("Maximum"))
        case _:
            raise AssertionError(f"nothing here answers {name!r}")


USED = ("Usage", "Package", "Percentage", "FlatFee")


def currency_of(expected: Any) -> str:
    """One whose minor unit shows all the decimals of the source's amounts."""
    return DECIMALS.get(max(_places(expected), default=0), "CLF")


def read_rounding(name: str | None, precision: int | str | None) -> QuantityRounding | None:
    match name:
        case None | "none":
            return None
        case "ceiling" | "ceil" | "up":
            return QuantityRounding("Up", int(precision or 0))
        case "floor" | "down":
            return QuantityRounding("Down", int(precision or 0))
        case _:
            return QuantityRounding("HalfUp", int(precision or 0))


def _assert_tiers(value: Sequence[Any], *, now: RatedLine, before: RatedLine | None) -> None:
    """Amounts in the order of the tiers, or rows that name them."""
    if not isinstance(value[0], dict):
        tiers = sorted({part.tier or 0 for part in now.parts})
        assert [_of_tier(now, number) for number in tiers] == [Decimal(amount) for amount in value]
        return
    for row in value:
        billed = _of_tier(before, row["tier"]) if before else Decimal(0)
        assert _of_tier(now, row["tier"]) - billed == Decimal(row["amount"])


def _of_tier(line: RatedLine, number: int) -> Decimal:
    return _sum(line, [part for part in line.parts if (part.tier or 0) == number])


def _amount(line: RatedLine, kinds: Sequence[str]) -> Decimal:
    return _sum(line, [part for part in line.parts if not kinds or part.kind in kinds])


def _sum(line: RatedLine, parts: Sequence[SubLine]) -> Decimal:
    minor_units = 1 if not line.amount_minor else line.amount.decimal() / line.amount_minor
    return sum(part.amount_minor for part in parts) * Decimal(minor_units)


def _places(value: Any) -> list[int]:
    match value:
        case str():
            exponent = Decimal(value).as_tuple().exponent
            return [-exponent if isinstance(exponent, int) else 0]
        case list():
            return [places for one in cast("list[object]", value) for places in _places(one)]
        case dict():
            return [places for one in cast("dict[str, object]", value).values() for places in _places(one)]
        case _:
            return []


def _ends(widths: Sequence[str]) -> list[str | None]:
    """Cumulative bounds of tiers that are given by their widths; the last is open (choice 2)."""
    return [*[str(bound) for bound in accumulate(map(Decimal, widths[:-1]))], None]


def _first(given: Mapping[str, Any], *names: str, default: str | None = None) -> Any:
    return next((given[name] for name in names if given.get(name) is not None), default)
