"""What pricing needs from outside; adapters implement it."""

from typing import Protocol


class RateSource(Protocol):
    """Somebody who publishes exchange rates in the form that `rules.fx.parse_rates` reads."""

    def fetch(self) -> bytes:
        """The newest file. Raises Unavailable where there is none to be had; later there may be."""
        ...
