"""The bank on the other side of direct debit: the files that it has, and what it made of each order in them."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import date


@dataclass(frozen=True)
class HandedIn:
    """A file of debits: cents by end-to-end id, to be collected on a day."""

    collect_on: date
    orders: dict[str, int]


@dataclass
class Bank:
    """Every order is waiting, or booked, refused, or booked and returned since."""

    files: dict[str, HandedIn] = field(default_factory=dict[str, HandedIn])
    booked: dict[str, int] = field(default_factory=dict[str, int])
    returned: set[str] = field(default_factory=set[str])
    refused: set[str] = field(default_factory=set[str])

    def take(self, message_id: str, collect_on: date, orders: dict[str, int]) -> None:
        """A file is handed in."""
        self.files[message_id] = HandedIn(collect_on, orders)

    def waiting(self) -> Iterator[tuple[str, str]]:
        """(message id, end-to-end id) of what the bank has done nothing about."""
        done = self.booked.keys() | self.returned | self.refused
        for message_id, file in self.files.items():
            yield from ((message_id, id) for id in file.orders if id not in done)

    def due(self, today: date) -> list[tuple[str, int]]:
        """What it can collect by now."""
        return sorted(
            (id, self.files[message_id].orders[id])
            for message_id, id in self.waiting()
            if self.files[message_id].collect_on <= today
        )
