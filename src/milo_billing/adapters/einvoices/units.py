"""UCUM units as UN/ECE Recommendation 20 codes them, which is what an electronic invoice may say.

What has no code is `C62` (one), and the line's description names the unit: no code at all would be refused, and a
code that is nearly right would be read as if it were right.
"""

import re
from types import MappingProxyType
from typing import Final

ONE: Final = "C62"

CODES: Final = MappingProxyType(
    {
        "1": ONE,
        "bit": "A99",
        "By": "AD",
        "kBy": "2P",
        "MBy": "4L",
        "GBy": "E34",
        "TBy": "E35",
        "PBy": "E36",
        "KiBy": "E64",
        "MiBy": "E63",
        "GiBy": "E62",
        "TiBy": "E61",
        "PiBy": "E60",
        "ms": "C26",
        "s": "SEC",
        "min": "MIN",
        "h": "HUR",
        "d": "DAY",
        "wk": "WEE",
        "mo": "MON",
        "a": "ANN",
        "g": "GRM",
        "kg": "KGM",
        "t": "TNE",
        "m": "MTR",
        "km": "KMT",
        "m2": "MTK",
        "m3": "MTQ",
        "l": "LTR",
        "L": "LTR",
        "W": "WTT",
        "kW": "KWT",
        "MW": "MAW",
        "W.h": "WHR",
        "kW.h": "KWH",
        "MW.h": "MWH",
        "Hz": "HTZ",
        "MHz": "MHZ",
        "GHz": "A86",
    }
)
"""By the unit as UCUM writes it."""

COUNTS: Final = MappingProxyType(
    {"10*2": "CEN", "10*3": "MIL", "10*6": "MIO", "10*9": "MLD", "12": "DZN", "100": "CEN", "1000": "MIL"}
)
"""Where what is counted is something in braces: hundred, thousand, million, milliard, dozen."""
_ANNOTATION: Final = re.compile(r"\{[^{}]*\}")


def unit_code(ucum: str) -> str:
    """The code of a pricing unit: `GiBy` is E62, `10*6.{token}` is MIO, `{request}` and `GiBy.h` are C62."""
    if (code := CODES.get(ucum)) is not None:
        return code
    bare = _ANNOTATION.sub("", ucum).replace("^", "*").strip(".")
    return COUNTS.get(bare) or CODES.get(bare or "1", ONE)


def is_coded(ucum: str) -> bool:
    """Whether the code says all that the unit says, but for what is counted."""
    bare = _ANNOTATION.sub("", ucum).replace("^", "*").strip(".")
    return bare in ("", *COUNTS, *CODES)
