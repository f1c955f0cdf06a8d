"""What other slices ask of the catalog beyond reading it: which Skus a selector means, what a book would say."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import date
from typing import Any

from milo_billing.catalog import reads
from milo_billing.catalog.rules import books, wording
from milo_billing.catalog.rules import selectors as rules
from milo_billing.catalog.rules.prices import price_errors
from milo_billing.catalog.types import Book, Sku, SkuSelector
from milo_billing.infra.database import Tx
from milo_billing.kernel.errors import FieldError, Invalid
from milo_billing.kernel.money import is_currency

DRAFT_NUMBER = 0
"""The number of a book that is not stored; those that are count from 1."""


def parse_selectors(bodies: Iterable[Mapping[str, Any]]) -> tuple[SkuSelector, ...]:
    """Selectors as they stand in a spec: `[{matchLabels: [{key, op, values}], cel}]`."""
    return rules.parse_selectors(bodies)


def check_selectors(selectors: Sequence[SkuSelector], *, path: str) -> Iterator[FieldError]:
    """What is wrong with selectors by themselves, expressions with line and column; `path` is their field."""
    return rules.selector_errors(selectors, path=path)


def select_skus(selectors: Sequence[SkuSelector], skus: Iterable[Sku]) -> frozenset[str]:
    """The names of the Skus that any of the selectors means; all of them where there are no selectors."""
    return frozenset(sku.name for sku in skus if rules.selects(selectors, sku))


def draft_book(tx: Tx, *, body: Mapping[str, Any], name: str, number: int = DRAFT_NUMBER) -> Book:
    """A book from the spec of a PriceBook as if it were published now; nothing is written.

    What publishing asks of its prices, Skus and selectors is asked here too; that its place among other books is free
    is not. Raises Invalid with everything that is wrong; fields begin with `spec`.
    """
    errors = [
        error
        for index, price in enumerate(body["prices"])
        for error in price_errors(price, path=f"spec.prices[{index}]")
    ]
    if not is_currency(body["currencyCode"]):
        message = "must be a current ISO 4217 code of a currency with a minor unit"
        errors.append(wording.invalid("spec.currencyCode", body["currencyCode"], message))
    try:
        effective_from = date.fromisoformat(body["effectiveFrom"])
    except ValueError as error:
        message = "is not a date of the calendar"
        errors.append(wording.invalid("spec.effectiveFrom", body["effectiveFrom"], message))
        raise Invalid(errors) from error
    if errors:
        raise Invalid(errors)
    selective = any("skuSelector" in price or "base" in price for price in body["prices"])
    names = [price["skuRef"]["name"] for price in body["prices"] if "skuRef" in price]
    skus = reads.list_all_skus(tx) if selective else reads.list_skus(tx, names=names)
    selections = books.selections_of(body, skus=skus)
    priced = {*names, *(name for selection in selections for name in selection.skus)}
    known = {sku.name: sku for sku in skus if sku.name in priced}
    errors = [*books.publishing_errors(body, selections, skus=known)]
    if errors:
        raise Invalid(errors)
    return Book(
        number=number,
        name=name,
        book_name=body["bookName"],
        effective_from=effective_from,
        currency=body["currencyCode"],
        prices=books.parse_prices(body, selections),
    )


def find_version(tx: Tx, *, name: str) -> Book | None:
    """The price book of that object name; a draft as it would be published now. Raises Invalid as `draft_book`."""
    found = reads.find_version(tx, name=name)
    if found is None:
        return None
    book, phase, body = found
    return draft_book(tx, body=body, name=name, number=book.number) if phase == "Draft" else book
