"""SEPA direct debit files, pain.008.001.08 (ISO 20022 CustomerDirectDebitInitiation).

Owns: the form of the file. What is written is validated against the schema that the package sepaxml
ships. Rules: EPC130-08 (Core) and EPC131-08 (B2B) implementation guidelines: SLEV, one PmtInf a scheme and sequence,
entries booked one by one so that a statement tells them apart.
"""

from collections.abc import Iterable
from decimal import Decimal
from functools import cache
from importlib.resources import files
from itertools import groupby
from typing import Any, Final, TypeAlias
from unicodedata import normalize

from lxml import etree

from milo_billing.adapters.bank_values import clean
from milo_billing.payments.types import Creditor, DebitFile, DebitOrder

Node: TypeAlias = Any
NAMESPACE: Final = "urn:iso:std:iso:20022:tech:xsd:pain.008.001.08"
_SCHEMA: Final = "pain.008.001.08.xsd"
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
_NAME_MAX: Final = 70
_TEXT_MAX: Final = 140


def write_pain008(file: DebitFile) -> bytes:
    """The file, one payment group for each scheme and sequence. Raises ValueError where the schema refuses it."""
    spaces: Any = {None: NAMESPACE}
    root = etree.Element(f"{{{NAMESPACE}}}Document", nsmap=spaces)
    body = _add(root, "CstmrDrctDbtInitn")
    header = _add(body, "GrpHdr")
    _add(header, "MsgId", file.message_id)
    _add(header, "CreDtTm", file.created_at.strftime("%Y-%m-%dT%H:%M:%SZ"))
    _add(header, "NbOfTxs", str(len(file.debits)))
    _add(header, "CtrlSum", _euros(sum(one.amount_minor for one in file.debits)))
    _add(_add(header, "InitgPty"), "Nm", sepa_text(file.creditor.name, most=_NAME_MAX))
    ordered = sorted(file.debits, key=lambda one: (one.scheme, one.sequence, one.end_to_end_id))
    groups = [list(group) for _, group in groupby(ordered, key=lambda one: (one.scheme, one.sequence))]
    for number, group in enumerate(groups, start=1):
        _payment_group(body, file, group, number=number)
    if not _schema().validate(root):
        raise ValueError(f"the direct debit file is not valid: {_schema().error_log.last_error}")
    return etree.tostring(root, xml_declaration=True, encoding="UTF-8", pretty_print=True)


def sepa_text(text: str, *, most: int) -> str:
    """A text in the characters that every SEPA bank takes, accents left out, others as a dot (EPC217-08)."""
    spelled = "".join(_SPELLED.get(letter, letter) for letter in clean(text))
    plain = (letter for letter in normalize("NFKD", spelled) if not "\u0300" <= letter <= "\u036f")
    return "".join(letter if letter in _ALLOWED else "." for letter in plain)[:most].strip()


def _payment_group(body: Node, file: DebitFile, group: Iterable[DebitOrder], *, number: int) -> None:
    debits = list(group)
    first, creditor = debits[0], file.creditor
    node = _add(body, "PmtInf")
    _add(node, "PmtInfId", f"{file.message_id[:30]}-{number}")
    _add(node, "PmtMtd", "DD")
    _add(node, "BtchBookg", "false")
    _add(node, "NbOfTxs", str(len(debits)))
    _add(node, "CtrlSum", _euros(sum(one.amount_minor for one in debits)))
    kind = _add(node, "PmtTpInf")
    _add(_add(kind, "SvcLvl"), "Cd", "SEPA")
    _add(_add(kind, "LclInstrm"), "Cd", first.scheme)
    _add(kind, "SeqTp", first.sequence)
    _add(node, "ReqdColltnDt", file.collect_on.isoformat())
    _add(_add(node, "Cdtr"), "Nm", sepa_text(creditor.name, most=_NAME_MAX))
    _add(_add(_add(node, "CdtrAcct"), "Id"), "IBAN", creditor.iban)
    _agent(node, "CdtrAgt", creditor.bic)
    _add(node, "ChrgBr", "SLEV")
    _scheme_id(node, creditor)
    for one in debits:
        _transaction(node, one)


def _scheme_id(node: Node, creditor: Creditor) -> None:
    other = _add(_add(_add(_add(node, "CdtrSchmeId"), "Id"), "PrvtId"), "Othr")
    _add(other, "Id", creditor.creditor_id)
    _add(_add(other, "SchmeNm"), "Prtry", "SEPA")


def _transaction(group: Node, one: DebitOrder) -> None:
    node = _add(group, "DrctDbtTxInf")
    _add(_add(node, "PmtId"), "EndToEndId", one.end_to_end_id)
    _add(node, "InstdAmt", _euros(one.amount_minor)).set("Ccy", "EUR")
    mandate = _add(_add(node, "DrctDbtTx"), "MndtRltdInf")
    _add(mandate, "MndtId", one.mandate)
    _add(mandate, "DtOfSgntr", one.signed_on.isoformat())
    _agent(node, "DbtrAgt", one.bic)
    _add(_add(node, "Dbtr"), "Nm", sepa_text(one.debtor, most=_NAME_MAX))
    _add(_add(_add(node, "DbtrAcct"), "Id"), "IBAN", one.iban)
    _add(_add(node, "RmtInf"), "Ustrd", sepa_text(one.text, most=_TEXT_MAX))


def _agent(node: Node, name: str, bic: str) -> None:
    bank = _add(_add(node, name), "FinInstnId")
    if bic:
        _add(bank, "BICFI", bic)
    else:
        _add(_add(bank, "Othr"), "Id", "NOTPROVIDED")


def _add(node: Node, name: str, text: str | None = None) -> Node:
    child = etree.SubElement(node, f"{{{NAMESPACE}}}{name}")
    child.text = text
    return child


def _euros(minor: int) -> str:
    return f"{Decimal(minor).scaleb(-2):.2f}"


@cache
def _schema() -> Any:
    return etree.XMLSchema(etree.fromstring(files("sepaxml").joinpath("schemas", _SCHEMA).read_bytes()))
