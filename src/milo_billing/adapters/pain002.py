"""A bank's answer to a file of direct debits: pain.002 (ISO 20022 CustomerPaymentStatusReport), 001.03 to 001.14.

Owns: where each value stands. Only what is refused is read: what is accepted shows on a statement.
"""

import re
from typing import Any, Final, TypeAlias

from lxml import etree

from milo_billing.adapters.bank_values import clean
from milo_billing.adapters.secure_xml import parse_xml
from milo_billing.payments.types import DebitRefusal, UnreadableStatement

Node: TypeAlias = Any
_NAMESPACE: Final = re.compile(r"urn:iso:std:iso:20022:tech:xsd:pain\.002\.001\.(0[3-9]|1[0-4])")


def read_pain002(content: bytes) -> tuple[DebitRefusal, ...]:
    """What the bank refuses: single debits, or a whole file or group. Raises UnreadableStatement."""
    root = parse_xml(content)
    name = etree.QName(root)
    if name.localname != "Document" or _NAMESPACE.fullmatch(name.namespace or "") is None:
        raise UnreadableStatement(f"the root element is {name.text[:120]!r}, not a Document of pain.002")
    report = root.find("{*}CstmrPmtStsRpt")
    if report is None:
        raise UnreadableStatement("the document holds no status report: CstmrPmtStsRpt is missing")
    message = _text(report, "OrgnlGrpInfAndSts", "OrgnlMsgId")
    found = [
        DebitRefusal(message, _text(one, "OrgnlEndToEndId"), _reason(one))
        for one in report.iterfind("{*}OrgnlPmtInfAndSts/{*}TxInfAndSts")
        if _text(one, "TxSts") == "RJCT"
    ]
    group = report.find("{*}OrgnlGrpInfAndSts")
    if group is not None and _text(group, "GrpSts") == "RJCT" and not found:
        found.append(DebitRefusal(message, "", _reason(group)))
    return tuple(found)


def _text(node: Node, *path: str) -> str:
    found = node.find("/".join(f"{{*}}{step}" for step in path))
    return "" if found is None else clean(found.text or "")


def _reason(node: Node) -> str:
    return _text(node, "StsRsnInf", "Rsn", "Cd") or _text(node, "StsRsnInf", "Rsn", "Prtry")
