"""What a price book may hold: tiers that cover every quantity once, and Skus that never claim the same usage."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from decimal import Decimal
from typing import Any

from milo_billing.catalog.rules import wording
from milo_billing.catalog.types import BookHead, Price, Sku, Tier
from milo_billing.kernel.errors import FieldError


def parse_price(body: Mapping[str, Any]) -> Price:
    """A price as it stands in the spec of a PriceBook, in exact numbers."""
    return Price(
        sku=body["skuRef"]["name"],
        model=body["model"],
        unit_price=_decimal(body.get("unitPrice")),
        tiers=tuple(_parse_tier(tier) for tier in body.get("tiers", ())),
        included_quantity=Decimal(body["includedQuantity"]),
        minimum=_decimal(body.get("minimum")),
        maximum=_decimal(body.get("maximum")),
    )


def _parse_tier(body: Mapping[str, Any]) -> Tier:
    return Tier(
        up_to=_decimal(body.get("upTo")),
        unit_price=Decimal(body["unitPrice"]),
        flat_fee=Decimal(body["flatFee"]),
        charge_at_zero=body["chargeAtZero"],
    )


def _decimal(text: str | None) -> Decimal | None:
    return None if text is None else Decimal(text)


def price_errors(price: Price, *, path: str) -> Iterator[FieldError]:
    """What is wrong with one price by itself; `path` is its field, such as `spec.prices[0]`."""
    if price.model == "PerUnit":
        if price.unit_price is None:
            yield wording.required(f"{path}.unitPrice", "the model PerUnit needs it")
        if price.tiers:
            yield wording.forbidden(f"{path}.tiers", "only the model Graduated has tiers")
    else:
        if price.unit_price is not None:
            yield wording.forbidden(f"{path}.unitPrice", "the model Graduated has a unit price in each tier")
        yield from _tier_errors(price.tiers, path=f"{path}.tiers")
    if price.minimum is not None and price.maximum is not None and price.minimum > price.maximum:
        yield wording.invalid(f"{path}.minimum", f"{price.minimum}", f"is above maximum, {price.maximum}")


def _tier_errors(tiers: Sequence[Tier], *, path: str) -> Iterator[FieldError]:
    """Bounds increase; the last tier, and only it, is open (domain.md §5)."""
    if not tiers:
        yield wording.required(path, "the model Graduated needs at least one tier")
        return
    for index, tier in enumerate(tiers[:-1]):
        bound = tiers[index - 1].up_to if index else None
        if tier.up_to is None:
            yield wording.required(f"{path}[{index}].upTo", "only the last tier is open")
        elif tier.up_to <= (bound or 0):
            above = "0" if bound is None else f"{bound}"
            yield wording.invalid(
                f"{path}[{index}].upTo", f"{tier.up_to}", f"must be above {above}: bounds increase"
            )
    last = len(tiers) - 1
    if tiers[last].up_to is not None:
        yield wording.forbidden(f"{path}[{last}].upTo", "the last tier is open: leave upTo out")
    for index, tier in enumerate(tiers[1:], start=1):
        if tier.charge_at_zero:
            yield wording.forbidden(
                f"{path}[{index}].chargeAtZero", "only the first tier is entered at zero usage"
            )


def reference_errors(names: Sequence[str], *, skus: Mapping[str, Sku]) -> Iterator[FieldError]:
    """What is wrong with the Skus that a book to be published prices, in the order of its prices."""
    seen: set[str] = set()
    for index, name in enumerate(names):
        field = f"spec.prices[{index}].skuRef.name"
        if name not in skus:
            yield wording.missing(field, name)
        if name in seen:
            yield wording.duplicate(field, name)
        seen.add(name)
    for one, other in overlaps([skus[name] for name in dict.fromkeys(names) if name in skus]):
        message = (
            f'Skus "{one.name}" and "{other.name}" both match some usage of meter {other.meter_name}: '
            "every unit of usage is charged by one Sku; make their matches differ in the values of a dimension"
        )
        yield wording.invalid(f"spec.prices[{names.index(other.name)}].skuRef.name", other.name, message)


def overlaps(skus: Iterable[Sku]) -> Iterator[tuple[Sku, Sku]]:
    """Each Sku that claims usage of one before it, with the first such one."""
    by_meter: dict[str, list[Sku]] = {}
    for sku in skus:
        by_meter.setdefault(sku.meter_name, []).append(sku)
    for rivals in by_meter.values():
        # a catalog has thousands of Skus on one meter, told apart by one dimension: compare only those that share
        # a value of it, not every pair
        dimension = _telling_dimension(rivals)
        before: dict[str, list[Sku]] = {}
        for sku in rivals:
            values = sku.match[dimension] if dimension else ("",)
            rival = next((r for value in values for r in before.get(value, ()) if overlap(r, sku)), None)
            if rival is not None:
                yield rival, sku
            for value in values:
                before.setdefault(value, []).append(sku)


def _telling_dimension(skus: Sequence[Sku]) -> str | None:
    """Of the dimensions that all these Skus constrain, the one with most values; None where there is none."""
    common = set(skus[0].match).intersection(*(sku.match for sku in skus[1:]))
    return max(
        sorted(common),
        key=lambda dimension: len({value for sku in skus for value in sku.match[dimension]}),
        default=None,
    )


def overlap(one: Sku, other: Sku) -> bool:
    """Whether some usage would belong to both: the same meter, and no dimension in which they exclude one another."""
    if one.meter_name != other.meter_name:
        return False
    shared = one.match.keys() & other.match.keys()
    return all(set(one.match[dimension]) & set(other.match[dimension]) for dimension in shared)


def version_errors(book: BookHead, *, others: Iterable[BookHead]) -> Iterator[FieldError]:
    """What stands against this book among others that bear its name: versions differ in their day and prices only."""
    for other in others:
        if other.book_name != book.book_name:
            continue
        if other.effective_from == book.effective_from:
            message = f'price book "{other.name}" is the version of "{book.book_name}" from that day'
            yield wording.invalid("spec.effectiveFrom", book.effective_from.isoformat(), message)
        shared = (
            ("currencyCode", book.currency, other.currency),
            ("role", book.role, other.role),
            ("organizationRef", str(book.owner_org), str(other.owner_org)),
        )
        for path, own, standing in shared:
            if own != standing:
                message = f'all versions of a book share it, and version "{other.name}" has another'
                yield wording.invalid(f"spec.{path}", own, message)


def list_book_errors(book: BookHead, *, others: Iterable[BookHead]) -> Iterator[FieldError]:
    """A currency has one list book of the provider; a change of prices is a version of it."""
    if book.role != "List" or book.owner_org != 0:
        return
    for other in others:
        standing = (other.role, other.owner_org, other.phase, other.currency)
        if standing == ("List", 0, "Published", book.currency) and other.book_name != book.book_name:
            message = (
                f'"{other.book_name}" is the list book for {book.currency}; publish these prices as a version of it, '
                "or retire its versions first"
            )
            yield wording.invalid("spec.bookName", book.book_name, message)
            return
