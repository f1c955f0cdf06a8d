"""The words of tax: where it is due, who sells to whom, how a line is taxed, and what an invoice has of each tax.

Owns: values and the category codes of EN 16931. Not: which treatment a line gets and what it comes to
(invoicing.rules), rates (the TaxRate kind).
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from typing import Final, Literal, TypeAlias

TaxCode: TypeAlias = Literal["S", "Z", "E", "AE", "G", "O"]
"""UNTDID 5305 as EN 16931 uses it: standard (and reduced) rate, zero rated, exempt, reverse charge, export, out of
scope. Only S has a percentage above zero."""

VATEX_REVERSE_CHARGE: Final = "VATEX-EU-AE"
VATEX_EXPORT: Final = "VATEX-EU-G"
VATEX_OUT_OF_SCOPE: Final = "VATEX-EU-O"
"""Reason codes of the CEF VATEX list, which hold in the European Union."""

EUROPEAN_UNION: Final = frozenset(re.findall("..", "ATBEBGCYCZDEDKEEESFIFRGRHRHUIEITLTLULVMTNLPLPTROSESISK"))
"""Member states, ISO 3166-1."""


@dataclass(frozen=True, slots=True, order=True)
class TaxPlace:
    """Whose tax it is: a country, ISO 3166-1 alpha-2, or a region of it as its addresses write it (`CA`, `QC`).

    `outside` is a region in which the country's own tax does not hold, nor the Union's (the Canary Islands).
    """

    country: str
    region: str = ""
    outside: bool = False

    def __str__(self) -> str:
        return f"{self.country}-{self.region}" if self.region else self.country

    def holds(self, other: "TaxPlace") -> bool:
        """Whether the other place is this one or lies in it; people write regions in capitals or not."""
        within = (other.region.casefold(),) if other.outside else ("", other.region.casefold())
        return self.country == other.country and self.region.casefold() in within

    @property
    def in_union(self) -> bool:
        """Whether the European Union's VAT holds there."""
        return self.country in EUROPEAN_UNION and not self.outside


@dataclass(frozen=True, slots=True)
class TaxRegistration:
    """Where the seller collects tax, from `since` up to and without `until`, None being without end.

    With `one_stop` it also collects, through this registration, what consumers all over the European Union owe.
    """

    place: TaxPlace
    one_stop: bool = False
    since: date | None = None
    until: date | None = None


@dataclass(frozen=True, slots=True)
class TaxExemption:
    """A certificate by which the buyer owes no tax in a place, from `since` up to and without `until`."""

    place: TaxPlace
    certificate: str
    reason: str = ""
    reason_code: str = ""
    since: date | None = None
    until: date | None = None


@dataclass(frozen=True, slots=True)
class TaxSeller:
    """Who issues: where it is established, and where it collects tax. Without registrations it collects none."""

    place: TaxPlace
    registrations: tuple[TaxRegistration, ...] = ()


@dataclass(frozen=True, slots=True)
class TaxBuyer:
    """Who is invoiced. `place` is None where nobody said it; `business_in` is the country whose VAT number of the
    buyer has been confirmed by its register, None where there is none or nobody asked.
    """

    place: TaxPlace | None
    business_in: str | None = None
    exemptions: tuple[TaxExemption, ...] = ()


@dataclass(frozen=True, slots=True)
class TaxRateEntry:
    """One rate in force: what the place's tax `name` takes of lines of a Sku's tax category.

    `code` is S, Z or E. `reason` is printed where nothing is taken.
    """

    place: TaxPlace
    name: str
    category: str
    code: TaxCode
    percent: Decimal
    reason: str = ""
    reason_code: str = ""


@dataclass(frozen=True, slots=True)
class TaxQuestion:
    """How lines of these tax categories are taxed between the two on a day."""

    seller: TaxSeller
    buyer: TaxBuyer
    categories: frozenset[str]
    day: date


@dataclass(frozen=True, slots=True)
class TaxTreatment:
    """How a line is taxed by one tax. `percent` is above zero only for S, whose place and name say whose tax it is.

    Where nothing is taken, `reason` says why in words and `reason_code` by the VATEX list, where that has one.
    """

    code: TaxCode
    percent: Decimal
    name: str
    place: str
    reason: str = ""
    reason_code: str = ""

    def __post_init__(self) -> None:
        if (self.code == "S") != (self.percent > 0) or not 0 <= self.percent <= 100:
            raise ValueError(f"category {self.code} cannot be taxed at {self.percent} %: only S is above 0")
        if self.code == "S" and not (self.name and self.place):
            raise ValueError("what is taxed says by which tax of which place")
        if self.code not in ("S", "Z") and not self.reason:
            raise ValueError(f"category {self.code} needs a reason why nothing is taken")


TaxDecision: TypeAlias = Mapping[str, tuple[TaxTreatment, ...]]
"""For each tax category its treatments: one, but where several taxes are taken of the same line."""


@dataclass(frozen=True, slots=True)
class TaxGroup:
    """All lines of an invoice with one treatment: what they come to after every discount, and the tax on that.

    The tax is rounded here, once, half-up away from zero (EN 16931 BR-CO-17) [CR-057, CR-060..069].
    """

    treatment: TaxTreatment
    basis_minor: int
    tax_minor: int


@dataclass(frozen=True, slots=True)
class AccountingTax:
    """The tax of an invoice in the currency of its issuer's books, where that is another one (EN 16931 BT-111).

    `rate` is units of `currency` for one of the invoice's, as people read it, as `source` published it on `day`.
    """

    currency: str
    tax_minor: int
    rate: Decimal
    day: date
    source: str


@dataclass(frozen=True, slots=True)
class VatNumber:
    """A number of the Union without separators, with its prefix: `DE123456789`. `country` is ISO 3166-1."""

    text: str
    country: str

    @property
    def prefix(self) -> str:
        """What the register calls the country: EL for Greece."""
        return self.text[:2]

    @property
    def digits(self) -> str:
        """The number without the country."""
        return self.text[2:]


@dataclass(frozen=True, slots=True)
class VatAnswer:
    """What a register said of a VAT number. `source` is its name.

    `reference` is what it gives as a proof that it was asked, empty where it gives none.
    """

    valid: bool
    source: str
    reference: str


@dataclass(frozen=True, slots=True)
class VatCheck:
    """What a register answered about an account's VAT number, which is `sealed` under the account's key.

    `reference` is what the register gives as a proof of the question, empty where it gives none.
    """

    sealed: str
    valid: bool
    checked_at: datetime
    source: str
    reference: str
