"""What a PDF shows, read by a program that had no part in writing it."""

import re
from typing import Any

import pypdfium2

PATH, IMAGE = 2, 3
"""Kinds of page objects (pdfium's FPDF_PAGEOBJ_*)."""


def read_pages(content: bytes) -> list[str]:
    """The text of each page, with ordinary spaces and line ends."""
    pdf: Any = pypdfium2.PdfDocument(content)
    try:
        return [_plain(page.get_textpage().get_text_range()) for page in pdf]
    finally:
        pdf.close()


def count_objects(content: bytes, *, kind: int) -> int:
    """How many drawings or pictures the first page has."""
    pdf: Any = pypdfium2.PdfDocument(content)
    try:
        return sum(1 for one in pdf[0].get_objects() if one.type == kind)
    finally:
        pdf.close()


def embedded_fonts(content: bytes) -> set[str]:
    """The fonts whose outlines are in the file."""
    return {name.decode() for name in re.findall(rb"/FontName/[A-Z]{6}\+([\w-]+)[^>]*/FontFile3", content)}


def heights(content: bytes, *texts: str) -> list[float]:
    """How far above the foot of the first page each text stands, in points: of its first letter."""
    pdf: Any = pypdfium2.PdfDocument(content)
    try:
        page = pdf[0].get_textpage()
        return [page.get_charbox(page.search(text).get_next()[0])[1] for text in texts]
    finally:
        pdf.close()


def _plain(text: str) -> str:
    return re.sub("[\u00a0\u2009\u202f]", " ", text).replace("\r\n", "\n")
