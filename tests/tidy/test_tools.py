"""The tools that judge the sources, each as a test: what they say is in the report."""

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]

TOOLS = {
    "ruff format": ["ruff", "format", "--check", "."],
    "ruff check": ["ruff", "check", "."],
    "pyright": ["pyright"],
    "lint-imports": ["lint-imports", "--no-cache"],
    "squawk": ["squawk", "--config", ".squawk.toml"],
    "milo-billing generate": ["milo-billing", "generate", "--check"],
}


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=pytest.mark.early) if name == "pyright" else name for name in TOOLS]
)
def test_has_nothing_to_say(name: str) -> None:
    program, *arguments = TOOLS[name]
    if program == "squawk":
        arguments += [str(path) for path in later_migrations()]
        if not later_migrations():
            arguments = ["--version"]
    command = [str(Path(sys.executable).with_name(program)), *arguments]
    answer = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert answer.returncode == 0, f"{name}:\n{answer.stdout}{answer.stderr}"


def later_migrations() -> list[Path]:
    """Those that meet databases with data in them; the first one makes an empty database."""
    return sorted(
        path for path in (ROOT / "db" / "migrations").glob("*.sql") if not path.name.startswith("0001_")
    )


def test_the_command_line_imports_neither_the_server_nor_the_database():
    code = "import sys, milo_billing.cli.commands; print(*sys.modules)"
    loaded = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    ).stdout.split()
    assert not {"psycopg", "starlette", "numpy", "procrastinate", "typst"} & set(loaded)
