"""Exchange rates from where they are published, as a file to be read by pricing."""

from dataclasses import dataclass
from typing import Final

from milo_billing.adapters.outbound import fetch

BYTES_MAX: Final = 8 * 1024 * 1024
"""Of the file as it comes; the whole history since 1999 is 1.9 MB, and 0.6 zipped."""


@dataclass(frozen=True, slots=True)
class PublishedRates:
    """A `pricing.ports.RateSource` at an https URL."""

    url: str

    def fetch(self) -> bytes:
        """The file as it is now. Raises Unavailable."""
        return fetch(self.url, bytes_max=BYTES_MAX)
