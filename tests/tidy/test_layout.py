"""The house rules that no tool knows: names, sizes, and what must not stand in a file."""

import ast
import re
import subprocess
import warnings
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PACKAGE = ROOT / "src" / "milo_billing"
PACKAGES = (PACKAGE, ROOT / "sdk" / "python" / "milo_usage")

FILE_LINES_MAX, FUNCTION_LINES_MAX = 600, 80
"""A fence, well above the guide of 500 and 60 lines, which is printed."""
FILE_LINES_GUIDE, FUNCTION_LINES_GUIDE = 500, 60

GENERATED = {"src/milo_billing/client/generated.py", "src/milo_billing/kernel/currencies.py"}

# written so that this file does not hold them itself
MARKS = {
    "an unfinished place": r"(#|--|//|<!--).*\b(TO" r"DO|FIX" r"ME|XX" r"X|HA" r"CK)\b",
    "a silenced type error": r"#\s*type:\s*ign" r"ore",
    "a stub": r"raise NotImplemented" r"Error",
    "a registry": r"(pypi|pythonhosted|npmjs|registry\.npm)\." r"(org|com)",
    "a place of one machine": r"/(work|root)/(main|shared|\.pyenv|\.cache)|file:///" r"opt",
    "a tool of one workplace": r"\.lib" r"rary/",
}

ROOMS = {"routes", "jobs", "resources", "operations", "engine", "store", "reads", "ports", "rules", "types"}
NOT_SLICES = {"app", "cli", "console", "adapters", "controlplane", "infra", "client", "kernel"}
BARRED_WORDS = {"utils", "util", "helpers", "helper", "common", "misc", "manager", "service"}


def tracked() -> list[Path]:
    """Every text file of the repository, those not yet committed included."""
    listed = subprocess.run(
        ["git", "ls-files", "-co", "--exclude-standard"], cwd=ROOT, capture_output=True, text=True, check=True
    )
    paths = [ROOT / line for line in listed.stdout.splitlines()]
    return [path for path in paths if path.is_file() and b"\0" not in path.read_bytes()[:4096]]


def sources() -> list[Path]:
    return [path for path in tracked() if path.suffix == ".py"]


def modules() -> list[Path]:
    return [path for package in PACKAGES for path in package.rglob("*.py")]


def named(path: Path) -> str:
    return str(path.relative_to(ROOT))


def slices() -> list[Path]:
    return sorted(
        path for path in PACKAGE.iterdir() if path.is_dir() and path.name not in NOT_SLICES | {"__pycache__"}
    )


@pytest.mark.parametrize("what", MARKS)
def test_no_file_holds(what: str) -> None:
    pattern = re.compile(MARKS[what])
    found = [
        f"{named(path)}:{number}: {line.strip()}"
        for path in tracked()
        for number, line in enumerate(path.read_text(errors="replace").splitlines(), start=1)
        if pattern.search(line)
    ]
    assert found == []


@pytest.mark.parametrize("slice_", slices(), ids=lambda path: path.name)
def test_a_slice_has_only_the_rooms_of_the_house(slice_: Path) -> None:
    rooms = {
        path.stem for path in slice_.iterdir() if path.suffix == ".py" or (path / "__init__.py").exists()
    }
    assert rooms - ROOMS == {"__init__"}


@pytest.mark.parametrize("slice_", slices(), ids=lambda path: path.name)
def test_a_slice_that_has_more_than_types_says_what_it_owns(slice_: Path) -> None:
    rooms = {path.stem for path in slice_.glob("*.py")}
    assert rooms <= {"__init__", "types"} or (slice_ / "README.md").exists()


def test_a_packages_init_holds_only_its_docstring() -> None:
    for path in PACKAGE.rglob("__init__.py"):
        body = ast.parse(path.read_text()).body
        assert len(body) == 1, named(path)
        assert isinstance(body[0], ast.Expr), named(path)
        assert isinstance(body[0].value, ast.Constant), named(path)


def test_no_module_has_a_name_that_says_nothing() -> None:
    wrong = [named(path) for path in modules() if BARRED_WORDS & set(path.stem.split("_"))]
    assert wrong == []


def test_every_module_says_what_it_is() -> None:
    silent = [named(path) for path in modules() if not ast.get_docstring(ast.parse(path.read_text()))]
    assert silent == []


def functions(path: Path) -> Iterator[tuple[str, int]]:
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.end_lineno is not None:
            yield node.name, node.end_lineno - node.lineno + 1


def test_files_and_functions_have_a_size_that_a_reader_holds_in_the_head() -> None:
    too_long: list[str] = []
    long: list[str] = []
    for path in sources():
        if named(path) in GENERATED:
            continue
        sizes = [(named(path), len(path.read_text().splitlines()), FILE_LINES_GUIDE, FILE_LINES_MAX)]
        sizes += [
            (f"{named(path)} {name}", lines, FUNCTION_LINES_GUIDE, FUNCTION_LINES_MAX)
            for name, lines in functions(path)
        ]
        for what, lines, guide, most in sizes:
            if lines > most:
                too_long.append(f"{what}: {lines} lines, at most {most}")
            elif lines > guide:
                long.append(f"{what}: {lines} lines")
    if long:
        print("longer than the guide:", *long, sep="\n  ")
    assert too_long == []


def test_warnings_are_errors_in_tests() -> None:
    with pytest.raises(UserWarning):
        warnings.warn("heard", stacklevel=1)
