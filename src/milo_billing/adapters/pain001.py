"""SEPA credit transfer files, pain.001.001.09 (ISO 20022 CustomerCreditTransferInitiation).

Owns: the form of the file. What is written is validated against the schema that the package sepaxml ships. Rules:
EPC132-08 implementation guidelines: SLEV, transfers booked one by one so that a statement tells them apart.
"""

from decimal import Decimal
from functools import cache
from importlib.resources import files
from typing import Any, Final, TypeAlias

from lxml import etree

from milo_billing.adapters.pain008 import sepa_text
from milo_billing.payments.ports import TransferFile, TransferOrder

Node: TypeAlias = Any
NAMESPACE: Final = "urn:iso:std:iso:20022:tech:xsd:pain.001.001.09"
_SCHEMA: Final = "pain.001.001.09.xsd"
_NAME_MAX: Final = 70
_TEXT_MAX: Final = 140


def write_pain001(file: TransferFile) -> bytes:
    """The file, one payment group. Raises ValueError where the schema refuses it."""
    spaces: Any = {None: NAMESPACE}
    root = etree.Element(f"{{{NAMESPACE}}}Document", nsmap=spaces)
    body = _add(root, "CstmrCdtTrfInitn")
    ordered = sorted(file.transfers, key=lambda one: one.end_to_end_id)
    count, total = str(len(ordered)), _euros(sum(one.amount_minor for one in ordered))
    header = _add(body, "GrpHdr")
    _add(header, "MsgId", file.message_id)
    _add(header, "CreDtTm", file.created_at.strftime("%Y-%m-%dT%H:%M:%SZ"))
    _add(header, "NbOfTxs", count)
    _add(header, "CtrlSum", total)
    _add(_add(header, "InitgPty"), "Nm", sepa_text(file.payer.holder, most=_NAME_MAX))
    group = _add(body, "PmtInf")
    _add(group, "PmtInfId", f"{file.message_id[:30]}-1")
    _add(group, "PmtMtd", "TRF")
    _add(group, "BtchBookg", "false")
    _add(group, "NbOfTxs", count)
    _add(group, "CtrlSum", total)
    _add(_add(_add(group, "PmtTpInf"), "SvcLvl"), "Cd", "SEPA")
    _add(_add(group, "ReqdExctnDt"), "Dt", file.execute_on.isoformat())
    _add(_add(group, "Dbtr"), "Nm", sepa_text(file.payer.holder, most=_NAME_MAX))
    _add(_add(_add(group, "DbtrAcct"), "Id"), "IBAN", file.payer.iban)
    bank = _add(_add(group, "DbtrAgt"), "FinInstnId")
    if file.payer.bic:
        _add(bank, "BICFI", file.payer.bic)
    else:
        _add(_add(bank, "Othr"), "Id", "NOTPROVIDED")
    _add(group, "ChrgBr", "SLEV")
    for one in ordered:
        _transaction(group, one)
    if not _schema().validate(root):
        raise ValueError(f"the credit transfer file is not valid: {_schema().error_log.last_error}")
    return etree.tostring(root, xml_declaration=True, encoding="UTF-8", pretty_print=True)


def _transaction(group: Node, one: TransferOrder) -> None:
    node = _add(group, "CdtTrfTxInf")
    _add(_add(node, "PmtId"), "EndToEndId", one.end_to_end_id)
    _add(_add(node, "Amt"), "InstdAmt", _euros(one.amount_minor)).set("Ccy", "EUR")
    if one.payee.bic:
        _add(_add(_add(node, "CdtrAgt"), "FinInstnId"), "BICFI", one.payee.bic)
    _add(_add(node, "Cdtr"), "Nm", sepa_text(one.payee.holder, most=_NAME_MAX))
    _add(_add(_add(node, "CdtrAcct"), "Id"), "IBAN", one.payee.iban)
    _add(_add(node, "RmtInf"), "Ustrd", sepa_text(one.text, most=_TEXT_MAX))


def _add(node: Node, name: str, text: str | None = None) -> Node:
    child = etree.SubElement(node, f"{{{NAMESPACE}}}{name}")
    child.text = text
    return child


def _euros(minor: int) -> str:
    return f"{Decimal(minor).scaleb(-2):.2f}"


@cache
def _schema() -> Any:
    return etree.XMLSchema(etree.fromstring(files("sepaxml").joinpath("schemas", _SCHEMA).read_bytes()))
