"""SEPA credit transfer files, pain.001.001.09 (ISO 20022 CustomerCreditTransferInitiation).

Owns: the form of the file. Rules: EPC132-08 implementation guidelines: SLEV, one payment group.
"""

from typing import Final

from milo_billing.adapters import pain
from milo_billing.adapters.pain import Node, add
from milo_billing.payments.ports import TransferFile, TransferOrder

MESSAGE: Final = "pain.001.001.09"


def write_pain001(file: TransferFile) -> bytes:
    """The file, one payment group. Raises ValueError where the schema refuses it."""
    body = pain.document(MESSAGE, "CstmrCdtTrfInitn")
    ordered = sorted(file.transfers, key=lambda one: one.end_to_end_id)
    amounts, message_id = [one.amount_minor for one in ordered], file.message_id
    pain.header(
        body, message_id=message_id, created_at=file.created_at, amounts=amounts, name=file.payer.holder
    )
    group = pain.group(body, message_id=message_id, number=1, method="TRF", amounts=amounts)
    add(add(add(group, "PmtTpInf"), "SvcLvl"), "Cd", "SEPA")
    add(add(group, "ReqdExctnDt"), "Dt", file.execute_on.isoformat())
    pain.party(group, "Dbtr", file.payer.holder)
    pain.account(group, "DbtrAcct", file.payer.iban)
    pain.bank(group, "DbtrAgt", file.payer.bic)
    add(group, "ChrgBr", "SLEV")
    for one in ordered:
        _transaction(group, one)
    return pain.written(body)


def _transaction(group: Node, one: TransferOrder) -> None:
    node = add(group, "CdtTrfTxInf")
    add(add(node, "PmtId"), "EndToEndId", one.end_to_end_id)
    add(add(node, "Amt"), "InstdAmt", pain.euros(one.amount_minor)).set("Ccy", "EUR")
    if one.payee.bic:
        pain.bank(node, "CdtrAgt", one.payee.bic)
    pain.party(node, "Cdtr", one.payee.holder)
    pain.account(node, "CdtrAcct", one.payee.iban)
    pain.remittance(node, one.text)
