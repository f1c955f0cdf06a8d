"""Examples in the help of commands, folded so that they can be copied from a narrow terminal.

A line that the terminal breaks by itself is two commands when it is pasted; one that ends with a backslash is one.
"""

import re
from typing import Final

from cyclopts import App

COLUMNS_MAX: Final = 78
"""Of a line of an example: what fits into a terminal of 80."""

_WORD: Final = re.compile(r"""(?:--?[a-z][a-z-]*\x20(?=[^-\s]))?(?:[^\s'"]|'[^']*'|"[^"]*")+""")
"""A word of a command as a shell sees it, an option with its value."""


def fold_examples(app: App) -> None:
    """Fold the examples of every command below."""
    for name in app:
        if name.startswith("-"):
            continue
        command = app[name]
        if isinstance(command.help_epilogue, str):
            command.help_epilogue = "\n".join(map(fold, command.help_epilogue.split("\n")))
        fold_examples(command)


def fold(line: str) -> str:
    """An indented command that is too long, continued on further lines; everything else as it is."""
    if len(line) <= COLUMNS_MAX or not line.startswith("  "):
        return line
    indent = "  "
    lines: list[str] = []
    current = ""
    for word in _WORD.findall(line):
        # two columns are for the backslash
        if current and len(indent) + len(current) + 1 + len(word) + 2 > COLUMNS_MAX:
            lines.append(f"{indent}{current} \\")
            indent, current = "    ", word
        else:
            current = f"{current} {word}" if current else word
    return "\n".join([*lines, f"{indent}{current}"])
