"""JSON as price lists write it: numbers in exact decimals, and fields that say what is wrong with them."""

import json
from collections.abc import Mapping, Sequence
from datetime import date
from decimal import Decimal, InvalidOperation
from typing import Any, TypeAlias, cast

from milo_billing.catalog.rules.importing.values import DECIMALS_MAX, INTEGER_DIGITS_MAX
from milo_billing.kernel.errors import MiloError

Body: TypeAlias = Mapping[str, Any]


class UnableToReadPrices(MiloError):
    """A price list, or an entry of it, is not what its format says. `field` is where, below the entry."""

    def __init__(self, what: str, *, field: str = "", next_step: str = "") -> None:
        super().__init__(what)
        self.what, self.field, self.next_step = what, field, next_step


def read_json(content: bytes) -> object:
    """The document, with every number that is not whole as Decimal. Raises UnableToReadPrices."""
    try:
        return json.loads(content, parse_float=Decimal, parse_constant=_refuse)
    except ValueError as error:
        raise UnableToReadPrices(
            f"This is not JSON: {error}", next_step="Give the file as its publisher has it."
        ) from error


def read_object(content: bytes) -> Body:
    """The document, which is an object. Raises UnableToReadPrices."""
    document = read_json(content)
    return cast("Body", document) if isinstance(document, dict) else {}


def _refuse(constant: str) -> object:
    raise ValueError(f"{constant} is no price")


def body(value: object, *, field: str) -> Body:
    """An object. Raises UnableToReadPrices."""
    if not isinstance(value, dict):
        raise UnableToReadPrices(f"is no object but {_shown(value)}", field=field)
    return cast("Body", value)


def items(value: object, *, field: str) -> Sequence[object]:
    """A list. Raises UnableToReadPrices."""
    if not isinstance(value, list):
        raise UnableToReadPrices(f"is no list but {_shown(value)}", field=field)
    return cast("list[object]", value)


def text(value: object, *, field: str) -> str:
    """A text that is not empty. Raises UnableToReadPrices."""
    if not isinstance(value, str) or not value.strip():
        raise UnableToReadPrices(f"is no text but {_shown(value)}", field=field)
    return value.strip()


def amount(value: object, *, field: str) -> Decimal:
    """A price or a bound, as a number or its text. Raises UnableToReadPrices for less than zero or too many digits."""
    number = decimal(value, field=field)
    exponent = int(number.as_tuple().exponent)
    if number.adjusted() >= INTEGER_DIGITS_MAX or exponent < -DECIMALS_MAX:
        raise UnableToReadPrices(
            f"is {value}; an amount has at most {INTEGER_DIGITS_MAX} digits before and {DECIMALS_MAX} after the point",
            field=field,
        )
    return number


def decimal(value: object, *, field: str) -> Decimal:
    """A number from zero on, or its text. Raises UnableToReadPrices."""
    if isinstance(value, bool) or not isinstance(value, int | str | Decimal):
        raise UnableToReadPrices(f"is no number but {_shown(value)}", field=field)
    try:
        number = Decimal(value)
    except InvalidOperation:
        raise UnableToReadPrices(f"is no number but {_shown(value)}", field=field) from None
    if not number.is_finite() or number < 0:
        raise UnableToReadPrices(
            f"is {value}; a price book has amounts from zero on",
            field=field,
            next_step="Sell a reduction as a Discount.",
        )
    return number


def whole(value: object, *, field: str) -> int:
    """A whole number above zero. Raises UnableToReadPrices."""
    number = amount(value, field=field)
    if number == 0 or number != int(number):
        raise UnableToReadPrices(f"is {value}, not a whole number above zero", field=field)
    return int(number)


def day(value: object, *, field: str) -> date:
    """The date of `YYYY-MM-DD`, with or without a time after it. Raises UnableToReadPrices."""
    written = text(value, field=field)
    try:
        return date.fromisoformat(written[:10])
    except ValueError:
        raise UnableToReadPrices(f'"{written}" is no date, YYYY-MM-DD', field=field) from None


def _shown(value: object) -> str:
    if value is None:
        return "missing"
    written = f"{value}"
    return f'"{written[:40]}…"' if len(written) > 40 else f'"{written}"'
