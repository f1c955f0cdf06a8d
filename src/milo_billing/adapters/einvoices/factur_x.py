"""Says in a PDF/A-3 that the invoice attached to it is one after Factur-X 1.0 (ZUGFeRD 2), profile EN 16931.

The attachment itself is made by whoever writes the PDF, as FILE with the relation Alternative. What is missing is said
in the file's metadata (XMP), which Typst does not let a document add to: so the metadata are written again behind the
file, as an incremental update (ISO 32000-1 §7.5.6). The library factur-x would write the whole file again and put the
time into it, so the same invoice would not be the same bytes.
"""

import re
from typing import Final

FILE: Final = "factur-x.xml"
_NAMESPACE: Final = "urn:factur-x:pdfa:CrossIndustryDocument:invoice:1p0#"
_VALUES: Final = {
    "DocumentFileName": (FILE, "The name of the embedded XML document"),
    "DocumentType": ("INVOICE", "The type of the hybrid document in capital letters"),
    "Version": ("1.0", "The version of the standard applying to the embedded XML document"),
    "ConformanceLevel": ("EN 16931", "The conformance level of the embedded XML document"),
}
_METADATA: Final = re.compile(rb"(\d+) 0 obj\n<</Length (\d+)/Type/Metadata/Subtype/XML>>\nstream\n")
_TRAILER: Final = re.compile(rb"trailer\n<<(.*?)>>\nstartxref\n(\d+)\n%%EOF\s*\Z", re.DOTALL)
_BAG: Final = b"<pdfaExtension:schemas><rdf:Bag>"
_END: Final = b"</rdf:RDF>"


def mark_factur_x(pdf: bytes) -> bytes:
    """The PDF with the metadata that Factur-X asks for, and its schema, as PDF/A-3 wants it beside them.

    Raises AssertionError for a PDF that is not as Typst writes it.
    """
    found, trailer = _METADATA.search(pdf), _TRAILER.search(pdf)
    assert found is not None and trailer is not None, "a PDF by Typst has metadata and a table of its objects"
    packet = pdf[found.end() : found.end() + int(found[2])]
    assert _BAG in packet and _END in packet, "a PDF/A by Typst says what its further metadata are"
    packet = packet.replace(_BAG, _BAG + _schema(), 1).replace(_END, _values() + _END, 1)
    number = int(found[1])
    start = len(pdf) + 1
    updated = (
        b"\n%d 0 obj\n<</Length %d/Type/Metadata/Subtype/XML>>\nstream\n" % (number, len(packet))
        + packet
        + b"\nendstream\nendobj\n"
    )
    table = len(pdf) + len(updated)
    return b"".join(
        (
            pdf,
            updated,
            b"xref\n0 1\n0000000000 65535 f\r\n%d 1\n%010d 00000 n\r\n" % (number, start),
            b"trailer\n<<" + trailer[1] + b"/Prev " + trailer[2] + b">>\n",
            b"startxref\n%d\n%%%%EOF\n" % table,
        )
    )


def _values() -> bytes:
    values = "".join(f"<fx:{name}>{value}</fx:{name}>" for name, (value, _) in _VALUES.items())
    return f'<rdf:Description rdf:about="" xmlns:fx="{_NAMESPACE}">{values}</rdf:Description>'.encode()


def _schema() -> bytes:
    properties = "".join(
        '<rdf:li rdf:parseType="Resource">'
        "<pdfaProperty:category>external</pdfaProperty:category>"
        f"<pdfaProperty:description>{description}</pdfaProperty:description>"
        f"<pdfaProperty:name>{name}</pdfaProperty:name>"
        "<pdfaProperty:valueType>Text</pdfaProperty:valueType>"
        "</rdf:li>"
        for name, (_, description) in _VALUES.items()
    )
    return (
        '<rdf:li rdf:parseType="Resource">'
        "<pdfaSchema:schema>Factur-X PDFA Extension Schema</pdfaSchema:schema>"
        f"<pdfaSchema:namespaceURI>{_NAMESPACE}</pdfaSchema:namespaceURI>"
        "<pdfaSchema:prefix>fx</pdfaSchema:prefix>"
        f"<pdfaSchema:property><rdf:Seq>{properties}</rdf:Seq></pdfaSchema:property>"
        "</rdf:li>"
    ).encode()
