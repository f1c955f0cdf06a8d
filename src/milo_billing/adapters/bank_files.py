"""Files that go to and fro between us and banks: statements in whichever format, direct debits, credit transfers.

The XML library loads on first use: most processes never read or write one.
"""

from milo_billing.adapters.mt940 import read_mt940
from milo_billing.payments.ports import TransferFile
from milo_billing.payments.types import BankStatement, DebitFile, DebitRefusal, UnreadableStatement


def read_statements(content: bytes) -> tuple[BankStatement, ...]:
    """The statements of a file in camt.053 or MT940. Raises UnreadableStatement."""
    head = content[:4096].lstrip(b"\xef\xbb\xbf \t\r\n")
    if head.startswith((b"<", b"\xff\xfe", b"\xfe\xff")):
        from milo_billing.adapters.camt053 import read_camt053

        return read_camt053(content)
    if b":20:" in content[:65536]:
        return read_mt940(content)
    raise UnreadableStatement("the file is neither camt.053 (XML) nor MT940 (text with fields such as :20:)")


def write_debits(file: DebitFile) -> bytes:
    """A file of direct debits, pain.008.001.08. Raises ValueError where the schema of the format refuses it."""
    from milo_billing.adapters.pain008 import write_pain008

    return write_pain008(file)


def write_transfers(file: TransferFile) -> bytes:
    """A file of credit transfers, pain.001.001.09. Raises ValueError where the schema of the format refuses it."""
    from milo_billing.adapters.pain001 import write_pain001

    return write_pain001(file)


def read_refusals(content: bytes) -> tuple[DebitRefusal, ...]:
    """What a bank refuses of a file of debits or transfers, from pain.002. Raises UnreadableStatement."""
    from milo_billing.adapters.pain002 import read_pain002

    return read_pain002(content)
