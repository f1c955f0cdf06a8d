"""Names of objects made from the names of a list: readable, and different where those were different.

A name in the list that an object cannot bear keeps what it can and ends in a digest of what it was.
"""

import hashlib
import re
from typing import Final

NAME_CHARACTERS_MAX: Final = 253
DIGEST_CHARACTERS: Final = 10
LABEL_CHARACTERS_MAX: Final = 63
DISPLAY_CHARACTERS_MAX: Final = 128

_PLAIN = re.compile(r"[a-z0-9]([a-z0-9-]*[a-z0-9])?(\.[a-z0-9]([a-z0-9-]*[a-z0-9])?)*")


def plain(name: str) -> str:
    """The name itself where an object may bear it, in lower case with dashes and a digest where not."""
    if _PLAIN.fullmatch(name) and len(name) <= NAME_CHARACTERS_MAX // 2:
        return name
    kept = ".".join(
        part.strip("-") for part in re.sub(r"[^a-z0-9.]+", "-", name.lower()).split(".") if part.strip("-")
    )
    return f"{kept[: NAME_CHARACTERS_MAX // 2].rstrip('.-')}-{_digest(name)}".lstrip("-")


def lowered(name: str) -> str:
    """`plain`, but capitals alone cost no digest: for lists whose names do not differ in case only."""
    return name.lower() if _PLAIN.fullmatch(name.lower()) else plain(name)


def undotted(name: str) -> str:
    """`plain` without dots, for parts of a name that dots divide."""
    return plain(name) if "." not in name else plain(name).replace(".", "-") + "-" + _digest(name)


def _digest(name: str) -> str:
    return hashlib.sha256(name.encode()).hexdigest()[:DIGEST_CHARACTERS]


def words(name: str) -> str:
    """`input_tokens` as it is read: `input tokens`."""
    return name.replace("_", " ").replace("-", " ")


def shortened(name: str, *, characters_max: int) -> str:
    """At most that many characters, the last one an ellipsis where something is missing."""
    return name if len(name) <= characters_max else name[: characters_max - 1] + "…"
