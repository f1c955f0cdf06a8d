"""Which of a commitment's discounts applies to a Sku: exactly one, or none (domain.md §6).

First the higher priority, then the selector that constrains more keys; one that selects everything only where no other
does. Whether two may meet on a Sku is decided from the selectors alone, so that a Sku made later changes nothing.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal

from milo_billing.catalog.types import LabelRequirement, SkuSelector
from milo_billing.commitments.types import Promise, SkuDiscount

EVERYTHING = SkuSelector()


@dataclass(frozen=True, slots=True)
class Candidate:
    """One selector of one discount: `discount` and `selector` count from 0."""

    discount: int
    selector: int
    percent: Decimal
    selects: SkuSelector
    priority: int

    @property
    def rank(self) -> tuple[bool, int, int]:
        """The highest applies."""
        keys = {requirement.key for requirement in self.selects.match_labels}
        return self.selects != EVERYTHING, self.priority, len(keys)


def candidates(discounts: Sequence[SkuDiscount]) -> tuple[Candidate, ...]:
    """Every selector of every discount; a discount without selectors selects everything."""
    return tuple(
        Candidate(number, index, discount.percent, selector, discount.priority or 0)
        for number, discount in enumerate(discounts)
        for index, selector in enumerate(discount.selectors or (EVERYTHING,))
    )


def choose_percents(selected: Mapping[Candidate, frozenset[str]]) -> dict[str, Decimal]:
    """The percentage of each Sku that any candidate selects; `selected` says which Skus each one means."""
    chosen: dict[str, Candidate] = {}
    for candidate in sorted(selected, key=lambda one: (one.rank, -one.discount), reverse=True):
        for sku in selected[candidate]:
            chosen.setdefault(sku, candidate)
    return {sku: candidate.percent for sku, candidate in chosen.items()}


def ties(discounts: Sequence[SkuDiscount]) -> Iterator[tuple[Candidate, Candidate]]:
    """Pairs of candidates of two discounts that may meet on a Sku and of which none goes before the other."""
    every = candidates(discounts)
    for index, one in enumerate(every):
        for other in every[:index]:
            same = one.discount != other.discount and one.rank == other.rank
            if same and may_meet(one.selects, other.selects):
                yield other, one


def may_meet(one: SkuSelector, other: SkuSelector) -> bool:
    """Whether some Sku could be meant by both; what expressions say about it is not looked into."""
    return not any(
        _exclude(a, b) for a in one.match_labels for b in other.match_labels if a.key == b.key
    ) and not (_is_void(one) or _is_void(other))


def may_overlap(one: Promise, other: Promise) -> bool:
    """Whether two promises could count, discount or prepay the same Sku."""
    return any(may_meet(a, b) for a in _scope(one) for b in _scope(other))


def covers_everything(promise: Promise) -> bool:
    """Whether the promise is about every Sku there is or will be."""
    return EVERYTHING in _scope(promise)


def _scope(promise: Promise) -> tuple[SkuSelector, ...]:
    if promise.prepayment is not None:
        return (EVERYTHING,)
    parts = [*(minimum.selectors for minimum in promise.minimums), *(d.selectors for d in promise.discounts)]
    return tuple(selector for selectors in parts for selector in (selectors or (EVERYTHING,)))


def _is_void(selector: SkuSelector) -> bool:
    """Whether the selector's own requirements exclude one another."""
    demands = selector.match_labels
    return any(_exclude(a, b) for index, a in enumerate(demands) for b in demands[:index] if a.key == b.key)


def _exclude(one: LabelRequirement, other: LabelRequirement) -> bool:
    """Whether no value of the label, nor its absence, meets both demands."""
    if one.op == "In":
        return all(not _allows(other, value) for value in one.values)
    if other.op == "In":
        return _exclude(other, one)
    return {one.op, other.op} == {"Exists", "DoesNotExist"}


def _allows(requirement: LabelRequirement, value: str) -> bool:
    match requirement.op:
        case "In":
            return value in requirement.values
        case "NotIn":
            return value not in requirement.values
        case "Exists":
            return True
        case "DoesNotExist":
            return False
