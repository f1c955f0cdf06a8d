"""What a price book may hold among its prices: Skus that never claim the same usage, and selectors that mean some.

What selectors mean is decided when the book is published, and kept: a Sku that comes later waits for the next version.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from graphlib import CycleError, TopologicalSorter
from typing import Any, Final

from milo_billing.catalog.rules import wording
from milo_billing.catalog.rules.charge_types import base_charge_errors, price_charge_errors
from milo_billing.catalog.rules.prices import parse_price, selector_of
from milo_billing.catalog.rules.selectors import selects
from milo_billing.catalog.types import BookHead, Price, Sku
from milo_billing.kernel.errors import FieldError

SELECTED_MAX: Final = 50_000
"""Names of Skus that the selectors of one book can mean, together; they are kept in its status."""


@dataclass(frozen=True, slots=True)
class Selection:
    """What the selectors of `prices[price]` meant when the book was published: names of Skus, sorted.

    `skus` are priced by its `skuSelector`, `base` is what its percentage is taken of.
    """

    price: int
    skus: tuple[str, ...] = ()
    base: tuple[str, ...] = ()


def parse_prices(body: Mapping[str, Any], selections: Sequence[Selection]) -> tuple[Price, ...]:
    """Every Sku's price, from the spec of a PriceBook and what its selectors meant when it was published."""
    selected = {one.price: one for one in selections}
    prices: list[Price] = []
    for index, price in enumerate(body["prices"]):
        found = selected.get(index, Selection(index))
        names = found.skus if "skuSelector" in price else (price["skuRef"]["name"],)
        prices += [parse_price(price, sku=name, base=found.base) for name in names]
    return tuple(prices)


def selections_of(body: Mapping[str, Any], *, skus: Sequence[Sku]) -> tuple[Selection, ...]:
    """What the selectors of a book mean among these Skus, for each price that has one, by name.

    A `skuSelector` means Skus that no price of the book has by name; a `base` means any that is sold by usage.
    """
    named = {price["skuRef"]["name"] for price in body["prices"] if "skuRef" in price}
    found: list[Selection] = []
    for index, price in enumerate(body["prices"]):
        selector, base = selector_of(price, "skuSelector"), selector_of(price, "base")
        if selector is None and base is None:
            continue
        priced = [] if selector is None else [sku.name for sku in skus if selects([selector], sku)]
        metered = [sku for sku in skus if sku.charge_type == "Usage"]
        of = [] if base is None else [sku.name for sku in metered if selects([base], sku)]
        found.append(
            Selection(index, tuple(sorted(name for name in priced if name not in named)), tuple(sorted(of)))
        )
    return tuple(found)


def selection_errors(
    body: Mapping[str, Any], selections: Sequence[Selection], *, names_max: int
) -> Iterator[FieldError]:
    """What is wrong with what the selectors of a book to be published mean: nothing, too much, or the same Sku."""
    count = sum(len(one.skus) + len(one.base) for one in selections)
    if count > names_max:
        message = (
            f"its selectors mean {count} Skus in all, of at most {names_max}: divide the book, or narrow them"
        )
        yield wording.forbidden("spec.prices", message)
        return
    taken: dict[str, int] = {}
    for one in selections:
        field = f"spec.prices[{one.price}].skuSelector"
        if "skuSelector" in body["prices"][one.price] and not one.skus:
            yield wording.forbidden(field, "no Sku matches that has no price by name")
        for name in one.skus:
            if name in taken:
                message = (
                    f'Sku "{name}" matches that of prices[{taken[name]}] too: a Sku has one price in a book'
                )
                yield wording.forbidden(field, message)
                break
            taken[name] = one.price


def publishing_errors(
    body: Mapping[str, Any], selections: Sequence[Selection], *, skus: Mapping[str, Sku]
) -> Iterator[FieldError]:
    """What stands between a book and its publishing, other books apart; `skus` has those it prices, by name."""
    yield from selection_errors(body, selections, names_max=SELECTED_MAX)
    yield from reference_errors(body, selections, skus=skus)
    yield from base_charge_errors(body, skus.values())
    yield from base_errors(parse_prices(body, selections))


def reference_errors(
    body: Mapping[str, Any], selections: Sequence[Selection], *, skus: Mapping[str, Sku]
) -> Iterator[FieldError]:
    """What is wrong with the Skus that a book to be published prices, in the order of its prices."""
    fields: dict[str, str] = {}
    selected = {one.price: one.skus for one in selections}
    for index, price in enumerate(body["prices"]):
        if "skuRef" not in price:
            for name in selected.get(index, ()):
                fields.setdefault(name, f"spec.prices[{index}].skuSelector")
            continue
        name, field = price["skuRef"]["name"], f"spec.prices[{index}].skuRef.name"
        if name not in skus:
            yield wording.missing(field, name)
        if name in fields:
            yield wording.duplicate(field, name)
        fields.setdefault(name, field)
    yield from _charge_type_errors(body, selected, skus=skus)
    for one, other in overlaps([skus[name] for name in fields if name in skus]):
        message = (
            f'Skus "{one.name}" and "{other.name}" both match some usage of meter {other.meter_name}: '
            "every unit of usage is charged by one Sku; make their matches differ in the values of a dimension"
        )
        yield wording.invalid(fields[other.name], other.name, message)


def _charge_type_errors(
    body: Mapping[str, Any], selected: Mapping[int, Sequence[str]], *, skus: Mapping[str, Sku]
) -> Iterator[FieldError]:
    """Prices that do not go with how their Skus are charged; of those of a selector, the first Sku that is so."""
    for index, price in enumerate(body["prices"]):
        names = (price["skuRef"]["name"],) if "skuRef" in price else selected.get(index, ())
        for sku in (skus[name] for name in names if name in skus):
            errors = tuple(price_charge_errors(price, sku, path=f"spec.prices[{index}]"))
            if errors:
                yield from errors
                break


def base_errors(prices: Sequence[Price], *, path: str = "spec.prices") -> Iterator[FieldError]:
    """Percentages that are taken of one another: no order would rate them."""
    graph = {price.sku: price.base - {price.sku} for price in prices if price.model == "Percentage"}
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        circle = '" of "'.join(reversed(error.args[1]))
        message = f'percentages are taken of one another: "{circle}"; make a base leave one of them out'
        yield wording.forbidden(path, message)


def overlaps(skus: Iterable[Sku]) -> Iterator[tuple[Sku, Sku]]:
    """Each Sku that claims usage of one before it, with the first such one."""
    by_meter: dict[str, list[Sku]] = {}
    for sku in skus:
        if sku.charge_type == "Usage":
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


def default_book_errors(book: BookHead, *, others: Iterable[BookHead]) -> Iterator[FieldError]:
    """Accounts of currencies without a list book are priced by one book of the provider."""
    if not book.is_default or (book.role, book.owner_org) != ("List", 0):
        return
    for other in others:
        stands = other.is_default and (other.role, other.owner_org, other.phase) == ("List", 0, "Published")
        if stands and other.book_name != book.book_name:
            message = f'"{other.book_name}" is the default book; retire its versions first'
            yield wording.invalid("spec.isDefault", "true", message)
            return
