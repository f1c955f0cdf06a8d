"""Flat: one amount for the rating period, however much of the Sku was used.

Charged where there was usage beyond what is included, or at zero usage with `charge_at_zero`.
"""

from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction

from milo_billing.kernel.money import Currency, settle
from milo_billing.pricing.types import SubLine


@dataclass(frozen=True, slots=True)
class Flat:
    """A flat price made ready: its one part, settled."""

    fee: tuple[SubLine, ...]
    at_zero: tuple[SubLine, ...]


def prepare(amount: Decimal, *, charge_at_zero: bool, currency: Currency) -> Flat:
    """Make the amount of a rating period ready for `charge`."""
    fee = (SubLine("FlatFee", settle(amount, currency).minor),)
    return Flat(fee, fee if charge_at_zero else ())


def charge(flat: Flat, quantity: Fraction) -> tuple[SubLine, ...]:
    """The amount, once."""
    return flat.fee if quantity else flat.at_zero
