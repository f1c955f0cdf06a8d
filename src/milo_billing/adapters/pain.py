"""What the files that ask a bank to move money have in common: ISO 20022 pain.001 and pain.008, in euro, within SEPA.

Owns: header, sums, banks, the characters that are allowed, the schema. Not: whose money moves where (pain001, pain008).
Schemas are those that the package sepaxml ships. Rules: EPC132-08, EPC130-08, EPC131-08 implementation guidelines.
"""

from collections.abc import Sequence
from datetime import datetime
from decimal import Decimal
from functools import cache
from importlib.resources import files
from typing import Any, Final, TypeAlias
from unicodedata import normalize

from lxml import etree

from milo_billing.adapters.bank_values import clean

Node: TypeAlias = Any
_SPACE: Final = "urn:iso:std:iso:20022:tech:xsd:"
_ALLOWED: Final = frozenset("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789/-?:().,'+ ")
_SPELLED: Final = {
    "ß": "ss",
    "æ": "ae",
    "Æ": "AE",
    "ø": "o",
    "Ø": "O",
    "ł": "l",
    "Ł": "L",
    "đ": "d",
    "&": "+",
}
NAME_MAX: Final = 70
TEXT_MAX: Final = 140


def document(message: str, body: str) -> Node:
    """The body of a document of this message, such as pain.001.001.09."""
    spaces: Any = {None: _SPACE + message}
    return add(etree.Element(f"{{{_SPACE}{message}}}Document", nsmap=spaces), body)


def add(node: Node, name: str, text: str | None = None) -> Node:
    """A new last child of the node, in its namespace."""
    child = etree.SubElement(node, f"{{{etree.QName(node).namespace}}}{name}")
    child.text = text
    return child


def header(body: Node, *, message_id: str, created_at: datetime, amounts: Sequence[int], name: str) -> None:
    """Who sends how many orders of which sum, in cents."""
    node = add(body, "GrpHdr")
    add(node, "MsgId", message_id)
    add(node, "CreDtTm", created_at.strftime("%Y-%m-%dT%H:%M:%SZ"))
    sums(node, amounts)
    party(node, "InitgPty", name)


def group(body: Node, *, message_id: str, number: int, method: str, amounts: Sequence[int]) -> Node:
    """A payment group. What it asks for is booked one by one, so that a statement tells it apart."""
    node = add(body, "PmtInf")
    add(node, "PmtInfId", f"{message_id[:30]}-{number}")
    add(node, "PmtMtd", method)
    add(node, "BtchBookg", "false")
    sums(node, amounts)
    return node


def sums(node: Node, amounts: Sequence[int]) -> None:
    """How many, and what they come to."""
    add(node, "NbOfTxs", str(len(amounts)))
    add(node, "CtrlSum", euros(sum(amounts)))


def party(node: Node, name: str, holder: str) -> None:
    """Somebody, by name."""
    add(add(node, name), "Nm", sepa_text(holder, most=NAME_MAX))


def account(node: Node, name: str, iban: str) -> None:
    """An account at a bank."""
    add(add(add(node, name), "Id"), "IBAN", iban)


def bank(node: Node, name: str, bic: str) -> None:
    """A bank where the format wants one, also where nobody said which."""
    found = add(add(node, name), "FinInstnId")
    if bic:
        add(found, "BICFI", bic)
    else:
        add(add(found, "Othr"), "Id", "NOTPROVIDED")


def remittance(node: Node, text: str) -> None:
    """What the other side reads."""
    add(add(node, "RmtInf"), "Ustrd", sepa_text(text, most=TEXT_MAX))


def written(body: Node) -> bytes:
    """The bytes of the document. Raises ValueError where the schema of its message refuses it."""
    root = body.getparent()
    message = etree.QName(root).namespace.removeprefix(_SPACE)
    if not _schema(message).validate(root):
        raise ValueError(f"the {message} file is not valid: {_schema(message).error_log.last_error}")
    return etree.tostring(root, xml_declaration=True, encoding="UTF-8", pretty_print=True)


def sepa_text(text: str, *, most: int) -> str:
    """A text in the characters that every SEPA bank takes, accents left out, others as a dot (EPC217-08)."""
    spelled = "".join(_SPELLED.get(letter, letter) for letter in clean(text))
    plain = (letter for letter in normalize("NFKD", spelled) if not "\u0300" <= letter <= "\u036f")
    return "".join(letter if letter in _ALLOWED else "." for letter in plain)[:most].strip()


def euros(minor: int) -> str:
    """Cents as the decimal that the formats want."""
    return f"{Decimal(minor).scaleb(-2):.2f}"


@cache
def _schema(message: str) -> Any:
    content = files("sepaxml").joinpath("schemas", f"{message}.xsd").read_bytes()
    return etree.XMLSchema(etree.fromstring(content))
