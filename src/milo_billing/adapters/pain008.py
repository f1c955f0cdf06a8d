"""SEPA direct debit files, pain.008.001.08 (ISO 20022 CustomerDirectDebitInitiation).

Owns: the form of the file. Rules: EPC130-08 (Core) and EPC131-08 (B2B) implementation guidelines: SLEV, one PmtInf a
scheme and sequence.
"""

from collections.abc import Sequence
from itertools import groupby
from typing import Final

from milo_billing.adapters import pain
from milo_billing.adapters.pain import Node, add
from milo_billing.payments.types import Creditor, DebitFile, DebitOrder

MESSAGE: Final = "pain.008.001.08"


def write_pain008(file: DebitFile) -> bytes:
    """The file, one payment group for each scheme and sequence. Raises ValueError where the schema refuses it."""
    body = pain.document(MESSAGE, "CstmrDrctDbtInitn")
    pain.header(
        body,
        message_id=file.message_id,
        created_at=file.created_at,
        amounts=[one.amount_minor for one in file.debits],
        name=file.creditor.name,
    )
    ordered = sorted(file.debits, key=lambda one: (one.scheme, one.sequence, one.end_to_end_id))
    groups = [list(group) for _, group in groupby(ordered, key=lambda one: (one.scheme, one.sequence))]
    for number, group in enumerate(groups, start=1):
        _payment_group(body, file, group, number=number)
    return pain.written(body)


def _payment_group(body: Node, file: DebitFile, debits: Sequence[DebitOrder], *, number: int) -> None:
    first, creditor = debits[0], file.creditor
    amounts = [one.amount_minor for one in debits]
    node = pain.group(body, message_id=file.message_id, number=number, method="DD", amounts=amounts)
    kind = add(node, "PmtTpInf")
    add(add(kind, "SvcLvl"), "Cd", "SEPA")
    add(add(kind, "LclInstrm"), "Cd", first.scheme)
    add(kind, "SeqTp", first.sequence)
    add(node, "ReqdColltnDt", file.collect_on.isoformat())
    pain.party(node, "Cdtr", creditor.name)
    pain.account(node, "CdtrAcct", creditor.iban)
    pain.bank(node, "CdtrAgt", creditor.bic)
    add(node, "ChrgBr", "SLEV")
    _scheme_id(node, creditor)
    for one in debits:
        _transaction(node, one)


def _scheme_id(node: Node, creditor: Creditor) -> None:
    other = add(add(add(add(node, "CdtrSchmeId"), "Id"), "PrvtId"), "Othr")
    add(other, "Id", creditor.creditor_id)
    add(add(other, "SchmeNm"), "Prtry", "SEPA")


def _transaction(group: Node, one: DebitOrder) -> None:
    node = add(group, "DrctDbtTxInf")
    add(add(node, "PmtId"), "EndToEndId", one.end_to_end_id)
    add(node, "InstdAmt", pain.euros(one.amount_minor)).set("Ccy", "EUR")
    mandate = add(add(node, "DrctDbtTx"), "MndtRltdInf")
    add(mandate, "MndtId", one.mandate)
    add(mandate, "DtOfSgntr", one.signed_on.isoformat())
    pain.bank(node, "DbtrAgt", one.bic)
    pain.party(node, "Dbtr", one.debtor)
    pain.account(node, "DbtrAcct", one.iban)
    pain.remittance(node, one.text)
