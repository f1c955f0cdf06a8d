"""Which characters a set of font files can show.

PDF/A forbids a glyph that is missing, so a text is fitted to the fonts before it is set. Reads the `cmap` table of
OpenType files and collections (ISO/IEC 14496-22 §5.2.1), formats 4 and 12: those that Unicode fonts carry.
"""

import struct
import unicodedata
from collections.abc import Iterable
from pathlib import Path

REPLACEMENT = "□"
FONT_SUFFIXES = frozenset({".otf", ".ttf", ".ttc", ".otc"})


def read_coverage(paths: Iterable[Path]) -> frozenset[int]:
    """The code points that at least one of the font files maps to a glyph.

    Raises ValueError, naming the file, for one that is not an OpenType font.
    """
    covered: set[int] = set()
    for path in paths:
        data = path.read_bytes()
        try:
            for offset in _face_offsets(data):
                covered |= _face_coverage(data, offset)
        except (struct.error, LookupError) as error:
            raise ValueError(f"{path} is not an OpenType font: {error}") from error
    return frozenset(covered)


def fit(text: str, *, coverage: frozenset[int]) -> str:
    """The text with only characters that can be shown: composed (NFC), without controls, □ for what is missing."""
    if text.isascii() and text.isprintable():
        return text  # every font has these, and most texts are nothing else
    shown: list[str] = []
    for character in unicodedata.normalize("NFC", text):
        if ord(character) in coverage:
            shown.append(character)
        elif character.isspace():
            shown.append(" ")
        elif unicodedata.category(character) not in ("Cc", "Cf", "Mn", "Me"):
            shown.append(REPLACEMENT)
    return "".join(shown)


def _face_offsets(data: bytes) -> tuple[int, ...]:
    if data[:4] != b"ttcf":
        return (0,)
    (count,) = struct.unpack_from(">I", data, 8)
    return struct.unpack_from(f">{count}I", data, 12)


def _face_coverage(data: bytes, offset: int) -> set[int]:
    (table_count,) = struct.unpack_from(">H", data, offset + 4)
    tables: dict[bytes, int] = {}
    for index in range(table_count):
        tag, _, start, _ = struct.unpack_from(">4sIII", data, offset + 12 + 16 * index)
        tables[tag] = start
    cmap = tables[b"cmap"]
    (encoding_count,) = struct.unpack_from(">H", data, cmap + 2)
    covered: set[int] = set()
    for index in range(encoding_count):
        (start,) = struct.unpack_from(">I", data, cmap + 4 + 8 * index + 4)
        (form,) = struct.unpack_from(">H", data, cmap + start)
        if form == 4:
            covered |= _segments(data, cmap + start)
        elif form == 12:
            covered |= _groups(data, cmap + start)
    return covered


def _segments(data: bytes, start: int) -> set[int]:
    """Format 4. A code whose glyph is 0 is missing; that needs the glyph arrays only where idRangeOffset is set."""
    count = struct.unpack_from(">H", data, start + 6)[0] // 2
    ends = struct.unpack_from(f">{count}H", data, start + 14)
    firsts = struct.unpack_from(f">{count}H", data, start + 16 + 2 * count)
    deltas = struct.unpack_from(f">{count}H", data, start + 16 + 4 * count)
    ranges_at = start + 16 + 6 * count
    ranges = struct.unpack_from(f">{count}H", data, ranges_at)
    covered: set[int] = set()
    for index, (first, last, delta, range_offset) in enumerate(
        zip(firsts, ends, deltas, ranges, strict=True)
    ):
        for code in range(first, min(last, 0xFFFE) + 1):
            glyph = code
            if range_offset:
                at = ranges_at + 2 * index + range_offset + 2 * (code - first)
                (glyph,) = struct.unpack_from(">H", data, at)
                if glyph == 0:
                    continue
            if (glyph + delta) & 0xFFFF:
                covered.add(code)
    return covered


def _groups(data: bytes, start: int) -> set[int]:
    (count,) = struct.unpack_from(">I", data, start + 12)
    covered: set[int] = set()
    for index in range(count):
        first, last, glyph = struct.unpack_from(">III", data, start + 16 + 12 * index)
        covered.update(range(first if glyph else first + 1, last + 1))
    return covered
