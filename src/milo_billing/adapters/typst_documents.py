"""Writes the PDF of an invoice with Typst: PDF/A-3b, tagged, the same bytes for the same invoice.

Owns: the renderer, its fonts, logos. Not: what is printed (invoice_page), where (templates), what an invoice says
(invoicing). The renderer is loaded with the first document.
"""

import threading
from base64 import b64encode
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, cast

import orjson
import structlog

from milo_billing.adapters.credit_note_page import page_of
from milo_billing.adapters.einvoices.factur_x import FILE, mark_factur_x
from milo_billing.adapters.einvoices.writing import write_electronic
from milo_billing.adapters.font_coverage import FONT_SUFFIXES, fit, read_coverage
from milo_billing.adapters.payment_codes import code_picture, transfer_text
from milo_billing.invoicing.types.documents import InvoiceDocument, Logo, Syntax, WrittenDocument
from milo_billing.invoicing.types.errors import UnableToRender

if TYPE_CHECKING:
    import typst

TEMPLATE: Final = "invoice/4"
"""Changes with the look of the document; kept beside each document that was written."""

_FOLDER: Final = Path(__file__).parent
_log: Final[structlog.stdlib.BoundLogger] = structlog.get_logger(__name__)


class TypstDocuments:
    """A DocumentWriter. Thread-safe.

    `fonts_dir` holds fonts for scripts that the shipped ones lack; the machine's own fonts are never used.
    """

    def __init__(self, *, fonts_dir: Path | None = None) -> None:
        self._folders = [_FOLDER / "fonts", *([fonts_dir] if fonts_dir is not None else [])]
        self._lock = threading.Lock()
        self._renderer: _Renderer | None = None

    def write(self, document: InvoiceDocument, *, attached: WrittenDocument | None = None) -> WrittenDocument:
        """The invoice as a PDF; with an invoice in CII attached to it, as Factur-X.

        A character that no font has is printed as □; a logo that cannot be read is left out, with a warning in the
        log. Raises UnableToRender where the template fails.
        """
        with self._lock:
            if self._renderer is None:
                self._renderer = _Renderer.load(self._folders)
        content = self._renderer.render(document, attached)
        return WrittenDocument(media_type="application/pdf", template=TEMPLATE, content=content)

    def write_electronic(self, document: InvoiceDocument, *, syntax: Syntax) -> WrittenDocument:
        """The invoice after EN 16931, as XML. Raises NoEInvoice."""
        return write_electronic(document, syntax=syntax)


@dataclass(frozen=True, slots=True)
class _Renderer:
    fonts: "typst.Fonts"
    further_families: tuple[str, ...]
    coverage: frozenset[int]

    @classmethod
    def load(cls, folders: Sequence[Path]) -> "_Renderer":
        import typst  # 25 MB that a server without documents does not need

        files = [
            f for folder in folders for f in sorted(folder.iterdir()) if f.suffix.lower() in FONT_SUFFIXES
        ]
        fonts = typst.Fonts(
            include_system_fonts=False, include_embedded_fonts=False, font_paths=[str(f) for f in folders]
        )
        shipped = str(folders[0])
        further = sorted({f.family for f in fonts.fonts() if f.path and not f.path.startswith(shipped)})
        return cls(fonts=fonts, further_families=tuple(further), coverage=read_coverage(files))

    def render(self, document: InvoiceDocument, attached: WrittenDocument | None) -> bytes:
        import typst

        data = page_of(document)
        data["fonts"] = list(self.further_families)
        data = _fit_all(data, coverage=self.coverage)
        # markup, not text to be set
        data["logo"] = None if document.logo is None else _as_svg(document.logo)
        transfer = transfer_text(document)
        data["code"] = None if transfer is None else code_picture(transfer)
        try:
            return self._compile(data, document, attached)
        except typst.TypstError as error:
            if document.logo is None:
                raise UnableToRender(
                    f"invoice {document.number} cannot be printed: {error.message}"
                ) from error
            # an issued invoice keeps the logo it was issued with: one that turns out to be broken is left out
            _log.warning("logo_left_out", invoice=document.number, error=error.message)
            return self.render(replace(document, logo=None), attached)

    def _compile(
        self, data: dict[str, Any], document: InvoiceDocument, attached: WrittenDocument | None
    ) -> bytes:
        import typst

        inputs = {"data": orjson.dumps(data).decode()}
        if attached is not None:
            inputs |= {"attached": attached.content.decode(), "attached-name": FILE}
        content = typst.compile(
            str(_FOLDER / "templates" / "invoice.typ"),
            font_paths=self.fonts,
            format="pdf",
            pdf_standards="a-3b",
            sys_inputs=inputs,
            timestamp=int(document.issued_at.timestamp()),
        )
        return content if attached is None else mark_factur_x(content)


def _as_svg(logo: Logo) -> str:
    """The logo as SVG: a PNG stands inside one, since the template's data are text."""
    if logo.media_type == "image/svg+xml":
        return logo.content.decode("utf-8", "replace")
    width, height = (int.from_bytes(logo.content[at : at + 4], "big") for at in (16, 20))  # PNG's IHDR
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}">'
        f'<image width="{width}" height="{height}" '
        f'href="data:image/png;base64,{b64encode(logo.content).decode()}"/></svg>'
    )


def _fit_all(value: Any, *, coverage: frozenset[int]) -> Any:
    if isinstance(value, str):
        return fit(value, coverage=coverage)
    if isinstance(value, dict):
        return {key: _fit_all(item, coverage=coverage) for key, item in cast("dict[str, Any]", value).items()}
    if isinstance(value, list):
        return [_fit_all(item, coverage=coverage) for item in cast("Iterable[Any]", value)]
    return value
