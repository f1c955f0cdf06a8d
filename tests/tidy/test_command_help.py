"""The help of every command is a document: it has an example, and says how the answer can be written."""

import pytest

from milo_billing.cli.commands import app
from tests.unit.cli.test_commands import COMMANDS


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_every_command_has_help_with_an_example_and_an_output_option(
    command: list[str], capsys: pytest.CaptureFixture[str]
):
    with pytest.raises(SystemExit) as caught:
        app([*command, "--help"])
    help_text = " ".join(capsys.readouterr().out.replace("│", " ").split())
    assert caught.value.code == 0
    assert "Example" in help_text
    assert f"milo-billing {' '.join(command)}" in help_text.rsplit("Example", 1)[1]
    assert "--output" in help_text
    assert "choices: table, json, yaml" in help_text
