"""VAT numbers of the European Union: which one an account has, and which country it is of."""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from milo_billing.kernel.taxes import EUROPEAN_UNION

UNION_SCHEME: Final = "eu_vat"
_PREFIXES: Final = {"EL": "GR"}
"""Where the number begins otherwise than the country's code in ISO 3166."""


@dataclass(frozen=True, slots=True)
class VatNumber:
    """A number without separators, in capitals, with its prefix: `DE123456789`. `country` is ISO 3166-1."""

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


def union_number(tax_ids: Iterable[tuple[str, str]]) -> VatNumber | None:
    """The VAT number of a member state among tax ids given as (type, value), None where there is none.

    Northern Ireland's (XI) count for goods only, and services are what is sold here.
    """
    for type, value in tax_ids:
        text = re.sub(r"[\s.\-]", "", value).upper()
        country = _PREFIXES.get(text[:2], text[:2])
        if type == UNION_SCHEME and country in EUROPEAN_UNION:
            return VatNumber(text, country)
    return None
