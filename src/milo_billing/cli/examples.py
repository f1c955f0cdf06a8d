"""How the help of commands is laid out: paragraphs as wide as the terminal, examples that can be copied from it.

A line of an example that the terminal breaks by itself is two commands when it is pasted; one that ends with a
backslash is one.
"""

import inspect
import re
from typing import Final

from cyclopts import App

COLUMNS_MAX: Final = 78
"""Of a line of an example: what fits into a terminal of 80."""

_WORD: Final = re.compile(r"""(?:--?[a-z][a-z-]*\x20(?=[^-\s]))?(?:[^\s'"]|'[^']*'|"[^"]*")+""")
"""A word of a command as a shell sees it, an option with its value."""

_TEXT: Final = re.compile(r"\s*(?!-+$|- |\* )\S")
"""A line of a sentence: no rule below a heading, no item of a list."""


def lay_out_help(app: App) -> None:
    """Unwrap the texts of every command below, and fold its examples."""
    for name in app:
        if name.startswith("-"):
            continue
        command = app[name]
        if isinstance(command.help_epilogue, str):
            command.help_epilogue = "\n".join(map(fold, command.help_epilogue.split("\n")))
        if command.default_command is not None and command.default_command.__doc__:
            command.default_command.__doc__ = unwrap(command.default_command.__doc__)
        lay_out_help(command)


def unwrap(text: str) -> str:
    """A docstring without the line breaks inside its paragraphs, which are those of the source."""
    lines: list[str] = []
    for line in inspect.cleandoc(text).split("\n"):
        before = lines[-1] if lines else ""
        if _TEXT.match(before) and _TEXT.match(line) and _indent(line) == _indent(before):
            lines[-1] = f"{before} {line.lstrip()}"
        else:
            lines.append(line)
    return "\n".join(lines)


def _indent(line: str) -> int:
    return len(line) - len(line.lstrip())


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
