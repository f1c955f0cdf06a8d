"""XML from outside: no entity is ever expanded, nothing outside the document is ever read, sizes are bounded."""

from typing import Any

from lxml import etree

from milo_billing.payments.types import STATEMENT_BYTES_MAX, UnreadableStatement


def parse_xml(content: bytes) -> Any:
    """The root element. Raises UnreadableStatement for what is too large, not well-formed, or declares a DTD."""
    if len(content) > STATEMENT_BYTES_MAX:
        raise UnreadableStatement(f"the file has {len(content)} bytes, at most {STATEMENT_BYTES_MAX}")
    parser = etree.XMLParser(
        resolve_entities=False,
        no_network=True,
        load_dtd=False,
        dtd_validation=False,
        huge_tree=False,
        remove_comments=True,
        remove_pis=True,
    )
    try:
        root = etree.fromstring(content, parser)
    except (etree.XMLSyntaxError, ValueError) as error:
        raise UnreadableStatement(f"the file is not well-formed XML: {error}") from error
    if root.getroottree().docinfo.internalDTD is not None:
        raise UnreadableStatement("the file declares a document type (DOCTYPE), which no bank's message does")
    return root
