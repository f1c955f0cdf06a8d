"""What many tests begin with is declared once by each worker; each test's own database is a copy of that one.

A fixture whose name begins with `standing_` makes it, with `stand`. A fixture that hands the world to a test asks for
it, and `clean_database` then copies the database of what stands instead of the empty one.
"""

import shutil
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from milo_billing.infra.database import Databases

PREFIX = "standing_"
KEYFILE = "keyfile"
"""Where a world keeps its keys, in the folder that it is given."""


@dataclass(frozen=True)
class Standing:
    """A database that nobody writes to any more, and the folder with the keys of what is sealed in it."""

    database: str
    folder: Path
    upon: "Standing | None" = None

    def lend_keys(self, folder: Path) -> None:
        """Put a copy of the keys into a test's folder; where nothing is sealed there are none."""
        if (self.folder / KEYFILE).exists():
            shutil.copyfile(self.folder / KEYFILE, folder / KEYFILE)
            (folder / KEYFILE).chmod(0o600)

    def is_upon(self, other: "Standing") -> bool:
        """Whether the other one was the beginning of this one."""
        return self == other or (self.upon is not None and self.upon.is_upon(other))


class Stand(Protocol):
    """Declares a world on a database of its own, or on a copy of what stands already."""

    def __call__(
        self, declare: Callable[[Databases, Path], object], *, upon: Standing | None = None
    ) -> Standing: ...


def last_of(standing: Iterable[Standing]) -> Standing | None:
    """The one that holds all the others; None of none."""
    last: Standing | None = None
    for one in standing:
        if last is None or one.is_upon(last):
            last = one
        else:
            assert last.is_upon(one), "a test cannot begin with two worlds that know nothing of each other"
    return last
