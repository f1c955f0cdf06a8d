"""Whose tax an address is under, where that is not its country's: parts of member states outside the Union's VAT, and
states that are treated as another.

Source: directive 2006/112/EC, articles 6 and 7. Postcodes are those of the national posts.
"""

import re
from typing import Final

from milo_billing.kernel.taxes import TaxPlace

_OUTSIDE: Final[tuple[tuple[str, str, re.Pattern[str]], ...]] = tuple(
    (country, name, re.compile(postcodes))
    for country, name, postcodes in (
        ("DE", "Büsingen", "78266"),
        ("DE", "Heligoland", "27498"),
        ("ES", "Canary Islands", r"(35|38)\d{3}"),
        ("ES", "Ceuta", r"51\d{3}"),
        ("ES", "Melilla", r"52\d{3}"),
        ("FI", "Åland", r"22\d{3}"),
        ("FR", "Guadeloupe", r"971\d{2}"),
        ("FR", "Martinique", r"972\d{2}"),
        ("FR", "Guyane", r"973\d{2}"),
        ("FR", "Réunion", r"974\d{2}"),
        ("FR", "Mayotte", r"976\d{2}"),
        ("GR", "Mount Athos", r"6308[67]"),
        ("IT", "Campione d'Italia", r"2206[01]"),
        ("IT", "Livigno", "23041"),
    )
)
"""Country, what the part is called, its postcodes."""

_TREATED_AS: Final = {"MC": "FR", "IM": "GB"}
"""Monaco belongs to France's VAT, the Isle of Man to the British one."""


def tax_place(country: str, *, region: str, postal_code: str) -> TaxPlace:
    """The place whose tax is due at an address.

    Of a part of a country outside its tax it has the part's name for a region, whatever the address calls it.
    """
    digits = re.sub(r"\D", "", postal_code)
    for of, name, postcodes in _OUTSIDE:
        if country == of and postcodes.fullmatch(digits):
            return TaxPlace(country, name, outside=True)
    return TaxPlace(_TREATED_AS.get(country, country), region)


def is_told_by_postcode(place: TaxPlace) -> bool:
    """Whether the region is such a part, so that addresses say whether they are in it without naming it."""
    return any((place.country, place.region) == (country, name) for country, name, _ in _OUTSIDE)
