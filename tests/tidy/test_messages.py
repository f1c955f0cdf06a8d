"""What people read says money as they write it: 12.34 EUR, and no count of minor units."""

import ast
from collections.abc import Iterator
from pathlib import Path

SOURCE = Path(__file__).parents[2] / "src" / "milo_billing"
ARITHMETIC = {SOURCE / "kernel" / "money.py"}
MISUSE = ("ValueError(", "AssertionError(")
"""What raises there or these was called wrongly by a programmer."""


def _said_in_minor_units(path: Path) -> Iterator[str]:
    """Messages that are made of text and of an amount that is not written as money."""
    for node in ast.walk(ast.parse(path.read_text())):
        if not isinstance(node, ast.Raise) or node.exc is None or ast.unparse(node.exc).startswith(MISUSE):
            continue
        for text in ast.walk(node.exc):
            if isinstance(text, ast.Constant) and isinstance(text.value, str) and "minor unit" in text.value:
                yield f"{path.relative_to(SOURCE)}:{text.lineno}"
            if isinstance(text, ast.FormattedValue):
                name = ast.unparse(text.value)
                if name.endswith(("_minor", ".minor")):
                    yield f"{path.relative_to(SOURCE)}:{text.lineno}: {name}"


def test_no_message_counts_minor_units() -> None:
    found = [
        one
        for path in sorted(SOURCE.rglob("*.py"))
        if path not in ARITHMETIC
        for one in _said_in_minor_units(path)
    ]
    # a code without minor units is no currency that amounts can be kept in: this speaks of the code
    assert [one for one in found if "currency" not in one] == []
