"""The form of what an account says about its owner: e-mail addresses, countries, tax numbers.

The form only: nobody is asked whether the address is read or the number is somebody's.
"""

import re
from collections.abc import Iterator, Sequence
from datetime import date
from typing import Final

from milo_billing.accounts.rules import wording
from milo_billing.kernel.errors import FieldError

# an addr-spec of RFC 5322 without quoting; a domain may be one label, as Milo's own service admits
_EMAIL = re.compile(
    r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+(\.[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+)*"
    r"@[A-Za-z0-9]([A-Za-z0-9-]*[A-Za-z0-9])?(\.[A-Za-z0-9]([A-Za-z0-9-]*[A-Za-z0-9])?)*",
    re.ASCII,
)

# ISO 3166-1 alpha-2, officially assigned: https://www.iso.org/obp/ui/#search/code
COUNTRIES: Final = frozenset(
    re.findall(
        "[A-Z]{2}",
        "AD AE AF AG AI AL AM AO AQ AR AS AT AU AW AX AZ BA BB BD BE BF BG BH BI BJ BL BM BN BO BQ BR BS BT "
        "BV BW BY BZ CA CC CD CF CG CH CI CK CL CM CN CO CR CU CV CW CX CY CZ DE DJ DK DM DO DZ EC EE EG EH "
        "ER ES ET FI FJ FK FM FO FR GA GB GD GE GF GG GH GI GL GM GN GP GQ GR GS GT GU GW GY HK HM HN HR HT "
        "HU ID IE IL IM IN IO IQ IR IS IT JE JM JO JP KE KG KH KI KM KN KP KR KW KY KZ LA LB LC LI LK LR LS "
        "LT LU LV LY MA MC MD ME MF MG MH MK ML MM MN MO MP MQ MR MS MT MU MV MW MX MY MZ NA NC NE NF NG NI "
        "NL NO NP NR NU NZ OM PA PE PF PG PH PK PL PM PN PR PS PT PW PY QA RE RO RS RU RW SA SB SC SD SE SG "
        "SH SI SJ SK SL SM SN SO SR SS ST SV SX SY SZ TC TD TF TG TH TJ TK TL TM TN TO TR TT TV TW TZ UA UG "
        "UM US UY UZ VA VC VE VG VI VN VU WF WS YE YT ZA ZM ZW",
    )
)

_EUROPEAN_UNION = "EU"
"""Reserved in ISO 3166 for the Union, which has a tax scheme of its own."""

# Without separators, which people write in many ways. Sources: https://ec.europa.eu/taxation_customs/vies (question 11
# of its FAQ) for the Union and Northern Ireland (XI), https://www.gov.uk/hmrc-internal-manuals/vat-registration-manual
_BRITISH = r"(\d{9}|\d{12}|GD\d{3}|HA\d{3})"
_EU_VAT: Final = {
    "AT": r"U\d{8}",
    "BE": r"[01]\d{9}",
    "BG": r"\d{9,10}",
    "CY": r"\d{8}[A-Z]",
    "CZ": r"\d{8,10}",
    "DE": r"\d{9}",
    "DK": r"\d{8}",
    "EE": r"\d{9}",
    "EL": r"\d{9}",
    "ES": r"[A-Z0-9]\d{7}[A-Z0-9]",
    "FI": r"\d{8}",
    "FR": r"[A-HJ-NP-Z0-9]{2}\d{9}",
    "HR": r"\d{11}",
    "HU": r"\d{8}",
    "IE": r"(\d{7}[A-W][A-I]?|\d[A-Z+*]\d{5}[A-Z])",
    "IT": r"\d{11}",
    "LT": r"(\d{9}|\d{12})",
    "LU": r"\d{8}",
    "LV": r"\d{11}",
    "MT": r"\d{8}",
    "NL": r"[A-Z0-9+*]{12}",
    "PL": r"\d{10}",
    "PT": r"\d{9}",
    "RO": r"\d{2,10}",
    "SE": r"\d{12}",
    "SI": r"\d{8}",
    "SK": r"\d{10}",
    "XI": _BRITISH,
}
_VAT: Final = {
    "eu_vat": re.compile("|".join(f"{country}{form}" for country, form in _EU_VAT.items()), re.ASCII),
    "gb_vat": re.compile(f"GB{_BRITISH}", re.ASCII),
    "ch_vat": re.compile(r"CHE\d{9}(MWST|TVA|IVA)", re.ASCII),
    "no_vat": re.compile(r"(NO)?\d{9}MVA", re.ASCII),
}
"""Tax numbers whose form is checked; any other scheme is kept as it is given."""

_VAT_EXAMPLES: Final = {
    "eu_vat": "DE123456789",
    "gb_vat": "GB123456789",
    "ch_vat": "CHE-123.456.789 MWST",
    "no_vat": "123456789MVA",
}


def email_errors(emails: Sequence[tuple[str, str]]) -> Iterator[FieldError]:
    """What is wrong with e-mail addresses, given as (field path, address)."""
    for field, email in emails:
        if not _EMAIL.fullmatch(email):
            yield wording.invalid(field, email, "must be a valid email address")


def country_errors(field: str, country: str) -> Iterator[FieldError]:
    """What is wrong with the code of a country."""
    if country not in COUNTRIES:
        yield wording.invalid(field, country, "must be an ISO 3166-1 alpha-2 code of a country, such as DE")


def tax_id_errors(tax_ids: Sequence[tuple[str, str]], *, field: str) -> Iterator[FieldError]:
    """What is wrong with tax numbers, given as (type, value), where each type may stand once."""
    for index, (type, value) in enumerate(tax_ids):
        jurisdiction = type.partition("_")[0].upper()
        if jurisdiction not in COUNTRIES and jurisdiction != _EUROPEAN_UNION:
            message = (
                "must begin with eu or the ISO 3166-1 alpha-2 code of a country, such as eu_vat or us_ein"
            )
            yield wording.invalid(f"{field}[{index}].type", type, message)
        form = _VAT.get(type)
        if form is not None and not form.fullmatch(re.sub(r"[\s.\-]", "", value).upper()):
            message = f"must have the form of {type} in its country, such as {_VAT_EXAMPLES[type]}"
            yield wording.invalid(f"{field}[{index}].value", value, message)
    yield from wording.duplicates(
        [(f"{field}[{index}].type", type) for index, (type, _) in enumerate(tax_ids)]
    )


def day_errors(since_field: str, since: str, until_field: str, until: str | None) -> Iterator[FieldError]:
    """What is wrong with the days `[since, until)`, given as YYYY-MM-DD; None is without end."""
    known: list[date] = []
    for field, text in ((since_field, since), (until_field, until)):
        if text is None:
            continue
        try:
            known.append(date.fromisoformat(text))
        except ValueError:
            yield wording.invalid(field, text, "must be a day of the calendar, YYYY-MM-DD")
            return
    if len(known) == 2 and known[0] >= known[1]:
        yield wording.invalid(until_field, until or "", f"must be after {since}")
