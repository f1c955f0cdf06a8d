"""What a field's pattern asks for, in words and with an example: a person who wrote a wrong value reads no expression.

One entry for each pattern of the kinds' specs. A pattern without words is shown as it is, as the API server does.
"""

from typing import Final

_NOT_NEGATIVE: Final = "a number of zero or more, with at most {} digits before the point and {} behind it"
_NAME_OF_DIMENSION: Final = (
    "a name of at most 63 letters, digits and _ . / -, that begins with a letter "
    "and ends with a letter or a digit"
)
_VATEX: Final = ("a code of the VATEX code list in capitals", "VATEX-EU-132")

WORDS: Final[dict[str, tuple[str, str]]] = {
    r"^[A-Z]{3}$": ("a currency code of ISO 4217, three capitals", "EUR"),
    r"^[A-Z]{2}$": ("a country code of ISO 3166-1, two capitals", "DE"),
    r"^[0-9]{4}-[0-9]{2}-[0-9]{2}$": ("a day written YYYY-MM-DD", "2026-10-31"),
    r"^\d{4}-\d\d-\d\d$": ("a day written YYYY-MM-DD", "2026-10-31"),
    r"^[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}(\.[0-9]{1,6})?Z$": (
        "an instant in UTC written YYYY-MM-DDThh:mm:ssZ",
        "2026-10-31T09:30:00Z",
    ),
    r"^(([01][0-9]|2[0-3]):[0-5][0-9]|24:00)$": ("a time of day from 00:00 to 24:00", "08:30"),
    r"^[0-9]{1,12}(\.[0-9]{1,6})?$": (_NOT_NEGATIVE.format(12, 6), "12.50"),
    r"^[0-9]{1,15}(\.[0-9]{1,30})?$": (_NOT_NEGATIVE.format(15, 30), "12.50"),
    r"^[0-9]{1,19}(\.[0-9]{1,4})?$": (_NOT_NEGATIVE.format(19, 4), "12.50"),
    r"^[0-9]{1,19}(\.[0-9]{1,12})?$": (_NOT_NEGATIVE.format(19, 12), "1.5"),
    r"^[0-9]{1,3}(\.[0-9]{1,6})?$": (_NOT_NEGATIVE.format(3, 6), "12.5"),
    r"^[0-9]{1,3}(\.[0-9]{1,4})?$": (
        "percent without the sign, with at most 4 digits behind the point",
        "8.1",
    ),
    r"^(100(\.0{1,4})?|[0-9]{1,2}(\.[0-9]{1,4})?)$": (
        "percent from 0 to 100 without the sign, with at most 4 digits behind the point",
        "2.5",
    ),
    r"^-?[0-9]{1,19}(\.[0-9]{1,4})?$": (
        "an amount with at most 19 digits before the point and 4 behind it, below zero with a minus sign",
        "12.50",
    ),
    r"^-?[0-9]{1,19}$": ("a whole number of at most 19 digits, below zero with a minus sign", "-1200"),
    r"^[0-9]{1,18}$": ("a whole number of zero or more, with at most 18 digits", "1000"),
    r"^[a-z]{2,3}(-[A-Z]{2})?$": ("a language code, with a country where it matters", "de-CH"),
    r"^[a-z]{2,3}(-[A-Za-z0-9]{2,8})*$": ("a language tag of BCP 47", "de-CH"),
    r"^[a-z]{2}_[a-z][a-z_]*$": (
        "a country in small letters, _ and the kind of tax id in small letters",
        "de_vat",
    ),
    r"^[a-z]{2}_[a-z0-9]{1,20}$": (
        "a country in small letters, _ and the kind of tax id in small letters and digits",
        "de_vat",
    ),
    r"^VATEX-[A-Z0-9-]{2,40}$": _VATEX,
    r"^(VATEX-[A-Z0-9-]{2,40})?$": _VATEX,
    r"^([A-Z]{6}[A-Z0-9]{2}([A-Z0-9]{3})?)?$": ("a BIC of 8 or 11 capitals and digits", "DEUTDEFF"),
    r"^([A-Z]{2}[0-9]{2}[A-Z0-9]{3}[A-Z0-9]{1,28})?$": (
        "a SEPA creditor identifier in capitals and digits, without spaces",
        "DE98ZZZ09999999999",
    ),
    r"^([A-Z0-9-]*[A-Z-])?$": ("capitals, digits and -, and the last of them no digit", "INV-2026-"),
    r"^([A-Za-z0-9][A-Za-z0-9-]{0,62})?$": (
        "at most 63 letters, digits and -, that begin with a letter or a digit",
        "main-bank",
    ),
    r"^#[0-9a-fA-F]{6}$": ("a colour of # and six hexadecimal digits", "#1a5fb4"),
    r"^[A-Za-z]([A-Za-z0-9_./-]{0,61}[A-Za-z0-9])?$": (_NAME_OF_DIMENSION, "region"),
    r"^[A-Za-z0-9]([A-Za-z0-9._/-]*[A-Za-z0-9])?$": (
        "letters, digits and . _ / -, that begin and end with a letter or a digit",
        "compute.example.com/cpu",
    ),
    r"^[a-z0-9.-]{1,190}/[a-z]{1,63}$": (
        "an API group, / and a plural name in small letters",
        "compute.example.com/instances",
    ),
}

# What a real API server answers to an account's wrong currency is recorded, and ours is compared with it word by word.
_AS_RECORDED: Final = frozenset({("spec.currencyCode", r"^[A-Z]{3}$")})


def what_matches(pattern: str, *, path: str) -> str:
    """What the field at `path` must be, as the second half of a sentence."""
    if pattern not in WORDS or (path, pattern) in _AS_RECORDED:
        return f"{path} in body should match '{pattern}'"
    words, example = WORDS[pattern]
    return f"must be {words}, such as {example}"
