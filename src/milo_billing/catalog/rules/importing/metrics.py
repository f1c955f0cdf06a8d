"""Units in words, as price lists write them (`OCPU Per Hour`, `10k requests`, `GB-seconds`), in UCUM.

A price is for `multiplier` things, bytes or neither, times a stretch of time or none. Usage comes in whole numbers, so
the meter counts in the smallest unit that is meant: seconds, bytes, and megabytes where a second multiplies them.
`Per Month` says over which time is counted, and a rating period is a month: it is not part of the unit.
"""

import re
from dataclasses import dataclass
from typing import Final

from milo_billing.catalog.rules.importing.reading import UnableToReadPrices

_THING_CHARACTERS_MAX: Final = 36

_MULTIPLIER = re.compile(r"(?P<digits>\d[\d,]*)\s?(?P<scale>MIL|million|[kKMB])?\s+(?P<rest>.+)")
_SCALES: Final = {
    "": 1,
    "k": 10**3,
    "thousand": 10**3,
    "m": 10**6,
    "mil": 10**6,
    "million": 10**6,
    "b": 10**9,
    "billion": 10**9,
}
_TIMES: Final = {"second": "s", "minute": "min", "hour": "h", "day": "d"}
_TIME = re.compile(r"(?:^|[\s-])(?:per\s+)?(second|minute|hour|day)s?$", re.IGNORECASE)
_TIME_FIRST = re.compile(r"^(second|minute|hour|day)s? of .+", re.IGNORECASE)
_BYTES = re.compile(r"(?<!per )\b(kilo|mega|giga|tera|peta|kibi|mebi|gibi|tebi|pebi)bytes?\b", re.IGNORECASE)
_BYTES_SHORT = re.compile(r"(?<!per )\b([kKMGTP])(i?)B\b")


@dataclass(frozen=True, slots=True)
class Metric:
    """What a price is for: the unit of the meter, and the unit of the price, both UCUM. The price is for `multiplier`
    of what is counted, which the pricing unit says too.
    """

    meter_unit: str
    pricing_unit: str
    multiplier: int = 1


def read_metric(words: str, *, binary: bool, field: str) -> Metric:
    """The units behind words. `binary`: the list means 1024 by the step from kilo to mega even where it says `GB`.

    Raises UnableToReadPrices where nothing is counted.
    """
    bare = re.sub(r"\([^)]*\)", " ", words)
    bare = re.sub(r"\bper\s+month\s*$", "", " ".join(bare.split()), flags=re.IGNORECASE).strip()
    multiplier, bare = _multiplier(bare)
    bare = re.sub(r"^per\s+", "", bare, flags=re.IGNORECASE)
    time, thing = _time(bare)
    stored = _bytes(thing, binary=binary)
    if stored is not None:
        fine = ("MiBy" if "i" in stored else "MBy") if time else "By"
        coarse = stored
    else:
        fine = coarse = _annotation(thing) if thing else ""
    if not coarse and not time:
        raise UnableToReadPrices(f'"{words}" does not say what is counted', field=field)
    return Metric(
        meter_unit=".".join(part for part in (fine, "s" if time else "") if part),
        pricing_unit=".".join(part for part in (_factor(multiplier), coarse, time) if part),
        multiplier=multiplier,
    )


def whole_unit(factor: int, unit: str) -> str:
    """A number of units as one unit: `10*6.{token}`, `86400.s`."""
    return ".".join(part for part in (_factor(factor), unit) if part)


def scale_of(word: str) -> int:
    """What a short word for a thousand, a million or a billion stands for: 1000 for `K`; 1 for none."""
    return _SCALES[word.lower()]


def _multiplier(words: str) -> tuple[int, str]:
    first, _, rest = words.partition(" ")
    if rest and first.lower() in ("thousand", "million", "billion"):
        return _SCALES[first.lower()], rest
    found = _MULTIPLIER.fullmatch(words)
    if found is None:
        return 1, words
    return int(found["digits"].replace(",", "")) * scale_of(found["scale"] or ""), found["rest"]


def _time(words: str) -> tuple[str, str]:
    """The UCUM code of the time that ends or begins the words, and the words without it."""
    if (first := _TIME_FIRST.match(words)) is not None:
        return _TIMES[first[1].lower()], ""
    if (last := _TIME.search(words)) is not None:
        return _TIMES[last[1].lower()], words[: last.start()].strip()
    return "", words


def _bytes(words: str, *, binary: bool) -> str | None:
    if (long := _BYTES.search(words)) is not None:
        prefix = long[1].lower()
        two = prefix.endswith("bi") or binary
        return f"{prefix[0].upper()}iBy" if two else f"{_decimal_prefix(prefix[0].upper())}By"
    if (short := _BYTES_SHORT.search(words)) is not None:
        prefix = short[1].upper()
        return f"{prefix}iBy" if short[2] or binary else f"{_decimal_prefix(prefix)}By"
    return None


def _decimal_prefix(letter: str) -> str:
    return "k" if letter == "K" else letter


def _annotation(words: str) -> str:
    kept = re.sub(r"[^a-z0-9]+", "-", words.lower()).strip("-")[:_THING_CHARACTERS_MAX].strip("-")
    return f"{{{kept or 'unit'}}}"


def _factor(multiplier: int) -> str:
    if multiplier == 1:
        return ""
    zeros = len(str(multiplier)) - 1
    return f"10*{zeros}" if multiplier == 10**zeros else f"{multiplier}"
