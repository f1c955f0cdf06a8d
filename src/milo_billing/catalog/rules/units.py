"""Units of measure: UCUM codes and the exact factor between two of them.

Source: UCUM 2.2 (ucum.org). The grammar and the table of units come from the `ucumvert` package; the
arithmetic is ours, in `Fraction`, because pint's quotients become floats. Where the standard leaves room:

- an annotation (`{token}`) is the number one, as the standard says, so `{token}` and `{request}` convert
  into one another; annotations are for people;
- `bit` is a dimension of its own. UCUM calls it a number, which would let a price for each `{request}` apply
  to bytes, times eight;
- scales without a ratio (`Cel`, `pH`, `B`) are refused: no price can be counted in degrees;
- `mo` and `a` are UCUM's Julian means, 30.4375 and 365.25 days, whatever the month.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction
from functools import cache, lru_cache
from importlib import import_module
from typing import Any

from milo_billing.catalog.types import IncompatibleUnits, UnknownUnit

CODE_LENGTH_MAX = 64
"""Characters of a unit code; bounds the work of parsing one."""

EXPONENT_MAX = 30
"""Largest exponent within a code, in absolute value. UCUM has no bound, and `10*999999999` would not end."""


@dataclass(frozen=True, slots=True)
class Unit:
    """`scale` times a product of base units; `powers` are (base unit, exponent), sorted, without zeros."""

    scale: Fraction
    powers: tuple[tuple[str, int], ...] = ()

    def times(self, other: "Unit", *, power: int = 1) -> "Unit":
        """This unit multiplied by `other` to the power of 1 or -1."""
        combined = dict(self.powers)
        for base, exponent in other.powers:
            combined[base] = combined.get(base, 0) + power * exponent
        powers = tuple(sorted((base, exponent) for base, exponent in combined.items() if exponent))
        return Unit(self.scale * other.scale**power, powers)

    def to_the(self, exponent: int) -> "Unit":
        """This unit to a power other than zero."""
        return Unit(self.scale**exponent, tuple((base, own * exponent) for base, own in self.powers))


ONE = Unit(Fraction(1))


def conversion_factor(*, from_unit: str, to_unit: str) -> Fraction:
    """What a quantity in `from_unit` is multiplied by to be one in `to_unit`; exact.

    Raises UnknownUnit, or IncompatibleUnits where the two measure different things.
    """
    source, target = parse_unit(from_unit), parse_unit(to_unit)
    if source.powers != target.powers:
        raise IncompatibleUnits(
            f'a quantity in "{from_unit}" cannot be converted to "{to_unit}": '
            f"one measures {_dimension(source)}, the other {_dimension(target)}"
        )
    return source.scale / target.scale


@lru_cache(maxsize=1024)
def parse_unit(code: str) -> Unit:
    """The unit behind a case-sensitive UCUM code such as `GiBy.h` or `10*6.{token}`. Raises UnknownUnit."""
    if not code or len(code) > CODE_LENGTH_MAX:
        raise UnknownUnit(f"a unit has 1 to {CODE_LENGTH_MAX} characters")
    grammar = _ucumvert("parser")
    try:
        tree = grammar.parse_ucum(code, _parser())
    except grammar.InvalidUcumError:
        message = f'"{code}" is not a unit of UCUM (ucum.org); examples are "By", "GiBy.h" and "{{request}}"'
        raise UnknownUnit(message) from None
    return _evaluate(tree)


def _ucumvert(module: str) -> Any:
    # imported on first use: it loads pint, 0.7 s and 30 MB that only the admission of units should pay
    return import_module(f"ucumvert.{module}")


@cache
def _parser() -> Any:
    return _ucumvert("parser").get_ucum_parser()


def _evaluate(node: Any) -> Unit:
    """The unit of a node of ucumvert's syntax tree; leaves are tokens, which are strings with a type."""
    if isinstance(node, str):
        return ONE  # a bare annotation
    children: list[Any] = node.children
    match str(node.data):
        case "simple_unit":
            return _simple(children)
        case "annotatable":
            base, exponent = children
            if abs(int(exponent)) > EXPONENT_MAX:
                raise UnknownUnit(f"exponent {exponent}: units have exponents up to {EXPONENT_MAX}")
            return _evaluate(base).to_the(int(exponent))
        case "component":
            return _evaluate(children[0])
        case "term":
            left, operator, right = children
            return _evaluate(left).times(_evaluate(right), power=-1 if operator == "/" else 1)
        case "main_term":
            term = _evaluate(children[-1])
            return ONE.times(term, power=-1) if len(children) > 1 else term
        case other:
            raise AssertionError(f"ucumvert's grammar has a rule that is unknown here: {other}")


def _simple(tokens: list[Any]) -> Unit:
    prefix, atom = (str(tokens[0]), tokens[1]) if len(tokens) > 1 else ("", tokens[0])
    if atom.type == "FACTOR":
        return Unit(Fraction(int(atom)))
    unit = _atom(str(atom))
    return Unit(_tables().prefixes[prefix] * unit.scale, unit.powers) if prefix else unit


@cache
def _atom(code: str) -> Unit:
    """A unit of the table, without prefix, down to base units."""
    tables = _tables()
    if code in tables.bases:
        return Unit(Fraction(1), ((code, 1),))
    if code in tables.scales:
        raise UnknownUnit(f'"{code}" is a scale without a ratio: no price can be counted in it')
    value, defined_by = tables.definitions[code]
    return Unit(value).times(parse_unit(defined_by))


@dataclass(frozen=True, slots=True)
class _Tables:
    """UCUM's table, in exact numbers: what each prefix and unit is in terms of others."""

    prefixes: Mapping[str, Fraction]
    bases: frozenset[str]
    scales: frozenset[str]
    definitions: Mapping[str, tuple[Fraction, str]]


@cache
def _tables() -> _Tables:
    table = _ucumvert("xml_util")
    units: list[Any] = table.get_units_with_full_definition()
    # arbitrary units ([iU]) are commensurable with nothing else: each is a dimension of its own
    arbitrary = {str(unit.code_cs) for unit in units if unit.is_arbitrary}
    return _Tables(
        # the package offers the prefixes without their values, which stand in the table that it has read
        prefixes={
            prefix.attrib["Code"]: Fraction(prefix.find("{*}value").attrib["value"])
            for prefix in table.root.findall("{*}prefix")
        },
        bases=frozenset({*table.get_base_units(), "bit", *arbitrary}),
        scales=frozenset(str(unit.code_cs) for unit in units if unit.is_special),
        definitions={
            # the package types the factor as a float, but hands on the text of the table: exact
            str(unit.code_cs): (Fraction(str(unit.conversion_factor)), str(unit.defining_unit))
            for unit in units
            if not unit.is_special
        },
    )


def _dimension(unit: Unit) -> str:
    if not unit.powers:
        return "a plain number"
    return ".".join(base if exponent == 1 else f"{base}{exponent}" for base, exponent in unit.powers)
