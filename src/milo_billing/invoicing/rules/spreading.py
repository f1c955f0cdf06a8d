"""An amount to take back, spread over the lines of an invoice of which some give money back themselves. Pure.

Owns: what falls on which line. Not: whether so much may be credited at all (rules.crediting).
"""

from collections.abc import Mapping
from typing import Any, TypeVar

K = TypeVar("K")


def spread(
    amount_minor: int, left: Mapping[int, int], *, taxes: Mapping[int, tuple[int, ...]]
) -> dict[int, int]:
    """The amount in proportion to what is left of every line; it is above zero and at most the sum of these.

    `taxes` has the tax groups of each line. The lines of one treatment share first, as one: so what is taken of a tax
    group is within what is left of it, though a line in it draws prepaid money down, and the tax comes back in the
    proportion in which it was taken. A line that stands below zero gives its part up too. Lines that come to nothing
    are left out.
    """
    if not 0 < amount_minor <= sum(left.values()):
        raise ValueError(f"{amount_minor} cannot be taken of {sum(left.values())}")
    together: dict[tuple[int, ...], dict[int, int]] = {}
    for line, minor in sorted(left.items()):
        together.setdefault(taxes[line], {})[line] = minor
    shares = _proportional(amount_minor, {key: sum(lines.values()) for key, lines in together.items()})
    found: dict[int, int] = {}
    for key, share in shares.items():
        if share:
            found |= _proportional(share, together[key])
    assert sum(found.values()) == amount_minor, f"{amount_minor} was spread as {found}"
    return {line: minor for line, minor in sorted(found.items()) if minor}


def _proportional(amount_minor: int, weights: Mapping[K, int]) -> dict[K, int]:
    """`kernel.money.allocate` where a weight may be below zero: largest remainder, ties to the lower key.

    No part is beyond its weight where the amount is not beyond the sum of the weights, which is not zero.
    """
    whole = sum(weights.values())
    parts: dict[K, int] = {}
    remainders: list[tuple[int, Any]] = []
    for key, weight in weights.items():
        parts[key], remainder = divmod(amount_minor * weight, whole)  # which has the sign of the whole
        remainders.append((-abs(remainder), key))
    for _, key in sorted(remainders)[: amount_minor - sum(parts.values())]:
        parts[key] += 1
    return parts
