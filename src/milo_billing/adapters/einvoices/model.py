"""What an electronic invoice says: the semantic model of EN 16931-1, as far as an invoice of ours fills it.

Owns: the business terms (BT-…) and groups (BG-…) by name, each amount as minor units. Not: how they come about
(`terms`), how they are written (`ubl`, `cii`).
"""

from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from typing import Final, Literal, TypeAlias

from milo_billing.kernel.taxes import AccountingTax, TaxCode

CategoryCode: TypeAlias = TaxCode | Literal["K"]
"""UNTDID 5305: standard, zero rated, exempt, reverse charge, export, not subject to tax; and K, the intra-community
supply of goods, which nothing of ours is yet.
"""

SPECIFICATION: Final = "urn:cen.eu:en16931:2017"
"""BT-24: the core of the standard, without the further rules of a country or network."""


@dataclass(frozen=True, slots=True)
class TaxGroup:
    """BG-23, and the lines that belong to it.

    `percent` as people say it, `reason` and `reason_code` (VATEX) for what is not taxed at a rate, `lines` the numbers
    of the invoice's lines.
    """

    code: CategoryCode
    percent: Decimal
    base_minor: int
    tax_minor: int
    lines: frozenset[int]
    reason: str = ""
    reason_code: str = ""


@dataclass(frozen=True, slots=True)
class Preceding:
    """BG-3: an earlier document that this one corrects, credits, cancels or replaces."""

    number: str
    issued_on: date


@dataclass(frozen=True, slots=True)
class EParty:
    """BG-4 and BG-7. `country` is ISO 3166 alpha-2; every other part but the name may be empty."""

    name: str
    country: str
    identifier: str = ""
    registration: str = ""
    vat_id: str = ""
    tax_number: str = ""
    contact: str = ""
    line1: str = ""
    line2: str = ""
    city: str = ""
    region: str = ""
    postal_code: str = ""


@dataclass(frozen=True, slots=True)
class Adjustment:
    """An allowance, or a charge: BG-20 and 21 of the document, BG-27 and 28 of a line. The amount is above zero.

    `code` and `percent` are of the document's only: a line's follow the line.
    """

    charge: bool
    amount_minor: int
    reason: str
    code: CategoryCode | None = None
    percent: Decimal = Decimal(0)


@dataclass(frozen=True, slots=True)
class ELine:
    """BG-25. The net amount is quantity × price, rounded to the cent, with its charges and less its allowances.

    `unit` is of UN/ECE Recommendation 20; the price is never below zero, the quantity is where money is given back.
    `attribute` (BG-32) names the sub-account that used it, where another one is invoiced.
    """

    id: str
    name: str
    description: str
    quantity: Decimal
    unit: str
    price: Decimal
    net_minor: int
    adjustments: tuple[Adjustment, ...]
    code: CategoryCode
    percent: Decimal
    first_day: date
    last_day: date
    attribute: tuple[str, str] | None = None


@dataclass(frozen=True, slots=True)
class PaymentMeans:
    """BG-16: a credit transfer, or how the money is collected. `code` is of UNTDID 4461 (BT-81).

    `iban` and `bic` are without spaces, the latter may be empty; all are where nothing is to be transferred.
    """

    code: str
    account_holder: str = ""
    iban: str = ""
    bic: str = ""


@dataclass(frozen=True, slots=True)
class EInvoice:
    """The whole of it. Amounts of a credit note are positive, as the standard wants; it is due on no day.

    `payment_reference` (BT-83) is the number under which it is paid.

    `paid_minor` (BT-113) was settled before it was issued, so what is due (BT-115) is the rest. `accounting_tax` is the
    tax in the seller's accounting currency, where that is another one (BT-6, BT-111).
    """

    number: str
    issued_on: date
    due_on: date | None
    credit_note: bool
    currency: str
    reference: str
    notes: tuple[str, ...]
    terms: str
    preceding: tuple[Preceding, ...]
    seller: EParty
    buyer: EParty
    first_day: date
    last_day: date
    payment: PaymentMeans | None
    adjustments: tuple[Adjustment, ...]
    taxes: tuple[TaxGroup, ...]
    lines: tuple[ELine, ...]
    paid_minor: int
    payment_reference: str
    accounting_tax: AccountingTax | None = None

    @property
    def within_union(self) -> bool:
        """Whether something of it is an intra-community supply."""
        return any(group.code == "K" for group in self.taxes)

    @property
    def lines_minor(self) -> int:
        """BT-106."""
        return sum(line.net_minor for line in self.lines)

    @property
    def allowances_minor(self) -> int:
        """BT-107."""
        return sum(one.amount_minor for one in self.adjustments if not one.charge)

    @property
    def charges_minor(self) -> int:
        """BT-108."""
        return sum(one.amount_minor for one in self.adjustments if one.charge)

    @property
    def net_minor(self) -> int:
        """BT-109."""
        return self.lines_minor - self.allowances_minor + self.charges_minor

    @property
    def tax_minor(self) -> int:
        """BT-110."""
        return sum(group.tax_minor for group in self.taxes)

    @property
    def gross_minor(self) -> int:
        """BT-112."""
        return self.net_minor + self.tax_minor

    @property
    def due_minor(self) -> int:
        """BT-115."""
        return self.gross_minor - self.paid_minor
