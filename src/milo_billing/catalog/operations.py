"""What other slices ask of Skus and have no need of a database for: which of them a selector means."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from milo_billing.catalog.rules import selectors as rules
from milo_billing.catalog.types import Sku, SkuSelector
from milo_billing.kernel.errors import FieldError


def parse_selectors(bodies: Iterable[Mapping[str, Any]]) -> tuple[SkuSelector, ...]:
    """Selectors as they stand in a spec: `[{matchLabels: [{key, op, values}], cel}]`."""
    return rules.parse_selectors(bodies)


def check_selectors(selectors: Sequence[SkuSelector], *, path: str) -> Iterator[FieldError]:
    """What is wrong with selectors by themselves, expressions with line and column; `path` is their field."""
    return rules.selector_errors(selectors, path=path)


def select_skus(selectors: Sequence[SkuSelector], skus: Iterable[Sku]) -> frozenset[str]:
    """The names of the Skus that any of the selectors means; all of them where there are no selectors."""
    return frozenset(sku.name for sku in skus if rules.selects(selectors, sku))
