"""What is shipped: no dependency, typed, and a quick start that works as it is printed."""

import ast
import re
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

from tests.sdk.gateways import ScriptedGateway

SDK = Path(__file__).parents[2] / "sdk" / "python"
DOCUMENTS = (SDK / "README.md", SDK.parents[1] / "docs" / "how-to-emit-usage.md")


def test_nothing_but_the_standard_library_is_imported():
    allowed = sys.stdlib_module_names | {"milo_usage"}
    for path in (SDK / "milo_usage").glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Import):
                names = [alias.name for alias in node.names]
            elif isinstance(node, ast.ImportFrom):
                assert node.level == 0, path
                names = [str(node.module)]
            else:
                continue
            assert {name.split(".")[0] for name in names} <= allowed, path


def test_the_wheel_has_the_package_its_types_and_its_license_and_needs_nothing(tmp_path: Path):
    subprocess.run(
        [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(tmp_path)],
        cwd=SDK,
        check=True,
        capture_output=True,
    )
    (wheel,) = tmp_path.glob("milo_usage-*.whl")
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())
        (metadata,) = [archive.read(name).decode() for name in names if name.endswith("METADATA")]
    assert {f"milo_usage/{path.name}" for path in (SDK / "milo_usage").glob("*.py")} <= names
    assert "milo_usage/py.typed" in names
    assert any(name.endswith("licenses/LICENSE") for name in names)
    assert "Requires-Dist" not in metadata
    assert "Requires-Python: >=3.10" in metadata


def test_the_license_is_the_repositorys():
    assert (SDK / "LICENSE").read_text() == (SDK.parents[1] / "LICENSE").read_text()
    assert tomllib.loads((SDK / "pyproject.toml").read_text())["project"]["license"] == "Apache-2.0"


def test_every_quick_start_has_ten_lines_and_does_what_it_says(gateway: ScriptedGateway, tmp_path: Path):
    token = tmp_path / "token"
    token.write_text("secret")
    for number, document in enumerate(DOCUMENTS):
        match = re.search(r"```python\n(.*?)```", document.read_text(), re.DOTALL)
        assert match is not None
        program = match[1]
        assert len(program.splitlines()) <= 10
        for printed, here in (
            ("https://billing.example.com:8444", gateway.url),
            ("/etc/milo/token", str(token)),
            ("/var/spool/my-service", str(tmp_path / f"spool-{number}")),
        ):
            assert printed in program
            program = program.replace(printed, here)
        subprocess.run([sys.executable, "-c", program], check=True, capture_output=True, timeout=60)
        assert len(gateway.ids) == number + 1
