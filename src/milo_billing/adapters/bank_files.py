"""Read a file of bank statements, whichever format it is in."""

from milo_billing.adapters.mt940 import read_mt940
from milo_billing.payments.types import BankStatement, UnreadableStatement


def read_statements(content: bytes) -> tuple[BankStatement, ...]:
    """The statements of a file in camt.053 or MT940. Raises UnreadableStatement.

    The XML library loads on first use: most processes never read a statement.
    """
    head = content[:4096].lstrip(b"\xef\xbb\xbf \t\r\n")
    if head.startswith((b"<", b"\xff\xfe", b"\xfe\xff")):
        from milo_billing.adapters.camt053 import read_camt053

        return read_camt053(content)
    if b":20:" in content[:65536]:
        return read_mt940(content)
    raise UnreadableStatement("the file is neither camt.053 (XML) nor MT940 (text with fields such as :20:)")
