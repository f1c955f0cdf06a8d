"""What an IssuerProfile must say so that its invoices can be printed and paid."""

import base64
import binascii
import re
from collections.abc import Iterable, Iterator
from typing import Any, Final

from milo_billing.invoicing.types.documents import BankDetails, Logo, Party, PostalAddress, TaxId
from milo_billing.kernel.errors import FieldError

LOGO_BYTES_MAX: Final = 128 * 1024
PNG_SIDE_MAX: Final = 4096
DEFAULT_COLOR: Final = "#1f4b99"
"""What a document is coloured with where the brand says nothing."""
_YEAR: Final = re.compile(r"(?:19|20)\d\d-$")
_PNG: Final = b"\x89PNG\r\n\x1a\n"
_DATA_URI: Final = re.compile(r"data:(image/svg\+xml|image/png);base64,([A-Za-z0-9+/=]+)")
_IBAN: Final = re.compile(r"[A-Z]{2}[0-9]{2}[A-Z0-9]{11,30}")
_UNSAFE_SVG: Final = re.compile(
    r"<!DOCTYPE|<!ENTITY|<script|<foreignObject|<\?xml-stylesheet|@import"
    r"|(?:xlink:)?href\s*=\s*[\"'](?!\s*(?:#|data:image/))",
    re.IGNORECASE,
)


class UnreadableLogo(ValueError):
    """The data URI holds no picture that can be printed; the message says why."""


def read_logo(uri: str) -> Logo:
    """The picture in a base64 data URI, SVG or PNG.

    Raises UnreadableLogo for anything else, for more than LOGO_BYTES_MAX, and for an SVG that refers to anything
    outside itself or carries code: documents are rendered by the server.
    """
    if (match := _DATA_URI.fullmatch(uri)) is None:
        raise UnreadableLogo("must be data:image/svg+xml;base64,… or data:image/png;base64,…")
    try:
        content = base64.b64decode(match[2], validate=True)
    except binascii.Error:
        raise UnreadableLogo("must be valid base64 after the comma") from None
    if len(content) > LOGO_BYTES_MAX:
        raise UnreadableLogo(f"must be at most {LOGO_BYTES_MAX // 1024} KiB")
    if match[1] == "image/png":
        _assert_png(content)
        return Logo(media_type="image/png", content=content)
    _assert_svg(content)
    return Logo(media_type="image/svg+xml", content=content)


def profile_errors(*, logo: str, iban: str) -> Iterator[FieldError]:
    """What the shape of the fields alone does not show: the picture, and the check digits of the IBAN."""
    if logo:
        try:
            read_logo(logo)
        except UnreadableLogo as error:
            yield FieldError("spec.brand.logo", "FieldValueInvalid", f"Invalid value: {error}")
    if iban and not is_iban(iban):
        yield FieldError(
            "spec.bankDetails.iban",
            "FieldValueInvalid",
            f'Invalid value: "{iban}": must be an IBAN without spaces, with right check digits',
        )


def is_iban(text: str) -> bool:
    """Whether the check digits are right (ISO 13616-1: the rearranged number is 1 modulo 97)."""
    if _IBAN.fullmatch(text) is None:
        return False
    return int("".join(str(int(character, 36)) for character in text[4:] + text[:4])) % 97 == 1


def issuer_party(body: dict[str, Any]) -> Party:
    """The seller as it is printed, from the profile's spec."""
    address = body["address"]
    return Party(
        name=body["legalName"],
        contact="",
        address=PostalAddress(
            country=address["country"],
            line1=address.get("line1", ""),
            line2=address.get("line2", ""),
            city=address.get("city", ""),
            region=address.get("region", ""),
            postal_code=address.get("postalCode", ""),
        ),
        tax_ids=tuple(_tax_ids(body.get("taxIds", ()))),
    )


def issuer_bank(body: dict[str, Any]) -> BankDetails | None:
    """Where to pay, from the profile's spec."""
    bank = body.get("bankDetails")
    if not bank:
        return None
    return BankDetails(
        account_holder=bank["accountHolder"],
        iban=bank.get("iban", ""),
        bic=bank.get("bic", ""),
        bank_name=bank.get("bankName", ""),
    )


def _tax_ids(tax_ids: Iterable[dict[str, str]]) -> Iterator[TaxId]:
    for tax_id in tax_ids:
        yield TaxId(type=tax_id["type"], value=tax_id["value"])


def _assert_png(content: bytes) -> None:
    if not content.startswith(_PNG) or content[12:16] != b"IHDR" or len(content) < 33:
        raise UnreadableLogo("is no PNG picture")
    width, height = (int.from_bytes(content[at : at + 4], "big") for at in (16, 20))
    if not (0 < width <= PNG_SIDE_MAX and 0 < height <= PNG_SIDE_MAX):
        raise UnreadableLogo(f"must be at most {PNG_SIDE_MAX} pixels wide and high")


def _assert_svg(content: bytes) -> None:
    try:
        text = content.decode("utf-8")
    except UnicodeDecodeError:
        raise UnreadableLogo("must be an SVG in UTF-8") from None
    if "<svg" not in text:
        raise UnreadableLogo("is no SVG picture")
    if (unsafe := _UNSAFE_SVG.search(text)) is not None:
        raise UnreadableLogo(
            f"must not have {unsafe[0].strip()!r}: a logo stands for itself, without code or links"
        )


def same_series(prefix: str, other: str) -> bool:
    """Whether numbers with the two prefixes may be of one series, also where one has the year in it."""
    return _YEAR.sub("", prefix) == _YEAR.sub("", other)
