"""Elements of a document whose prefixes are fixed: made in the order in which they are to stand."""

import re
from collections.abc import Iterable, Mapping
from decimal import Decimal
from typing import Final, TypeAlias
from xml.etree import ElementTree

from milo_billing.invoicing.types.errors import NoEInvoice
from milo_billing.kernel.money import minor_to_decimal

Element: TypeAlias = ElementTree.Element
Content: TypeAlias = "Element | str | Iterable[Element | None] | None"

_UNFIT: Final = re.compile("[^\t\n\r -\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
"""What XML 1.0 cannot carry, not even escaped."""


def fit(text: str) -> str:
    """The text without the characters that no document can have."""
    return _UNFIT.sub("", text)


def node(tag: str, *content: Content, attributes: Mapping[str, str] | None = None) -> Element:
    """An element with its text, or its children in this order; what is None or empty text is left out."""
    made = ElementTree.Element(tag, dict(attributes or {}))
    for one in content:
        if isinstance(one, str):
            made.text = fit(one)
        elif ElementTree.iselement(one):
            made.append(one)
        elif one is not None:
            made.extend(child for child in one if child is not None)
    return made


def said(tag: str, text: str, *, attributes: Mapping[str, str] | None = None) -> Element | None:
    """The element, where there is something to say: an empty one is refused by the rules."""
    return node(tag, text, attributes=attributes) if fit(text).strip() else None


def group(tag: str, *content: Content) -> Element | None:
    """The element, where it has children."""
    made = node(tag, *content)
    return made if len(made) else None


def to_bytes(root: Element) -> bytes:
    """The document, in UTF-8: the same element gives the same bytes."""
    return ElementTree.tostring(root, encoding="UTF-8", xml_declaration=True)


def amount(minor: int, currency: str) -> str:
    """An amount with at most two decimals, exactly.

    Raises NoEInvoice where it has a third: EN 16931 knows none (BR-DEC-01 to 28).
    """
    exact = minor_to_decimal(minor, currency)
    shown = f"{exact:f}"
    whole, _, decimals = shown.partition(".")
    if decimals[2:].strip("0"):
        raise NoEInvoice(
            f"an amount of {shown} {currency} has a third decimal, and an electronic invoice after EN 16931 can "
            "have two: use the PDF"
        )
    return f"{whole}.{decimals[:2]}" if decimals else whole


def plain(number: Decimal) -> str:
    """All digits of a number, without an exponent and without zeros at the end."""
    text = f"{number:f}"
    return text.rstrip("0").rstrip(".") if "." in text else text
