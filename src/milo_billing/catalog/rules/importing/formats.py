"""The formats of price lists by name."""

from collections.abc import Callable, Mapping
from typing import Final, Literal, TypeAlias

from milo_billing.catalog.rules.importing import aws, aws_offers, gcp, llm, oci
from milo_billing.catalog.rules.importing.values import PriceList

Format: TypeAlias = Literal["llm", "oci", "gcp", "aws"]


def _read_aws(content: bytes, *, source: str, currency: str) -> PriceList:
    """An offer file where it is JSON, CSV otherwise."""
    read = aws_offers.read if content.lstrip(b"\xef\xbb\xbf \t\r\n").startswith(b"{") else aws.read
    return read(content, source=source, currency=currency)


_READERS: Final[Mapping[Format, Callable[..., PriceList]]] = {
    "llm": llm.read,
    "oci": oci.read,
    "gcp": gcp.read,
    "aws": _read_aws,
}


def read_price_list(content: bytes, *, format: Format, source: str, currency: str) -> PriceList:
    """What the file lists in the currency; its meters and Skus are called after `source`.

    Raises UnableToReadPrices where the file is of another format. Single entries that are bad are the list's problems.
    """
    return _READERS[format](content, source=source, currency=currency)
