"""What a user gets wrong before a server is asked: said in a line with the next step, exit code 1, no traceback."""

import re
from pathlib import Path

import pytest

from milo_billing.app.main import main

REFERENCE = (Path(__file__).parents[3] / "docs" / "reference" / "commands.md").read_text()


@pytest.mark.parametrize(
    ("words", "says"),
    [
        ("payments statements import no-such.xml", "The file cannot be read: No such file or directory."),
        ("payments debit-file", "Say --due to make a file, or which file to save again."),
        ("payments debit-file --due", "Say where to save the file: --to pain008.xml"),
        ("payments transfers file", "Say --wanted to make a file, or which file to save again."),
        ("payments transfers file --wanted", "Say where to save the file: --to pain001.xml"),
        ("payments debit-answer no-such.xml", "The file cannot be read: No such file or directory."),
        ("payments secrets cards --from no-such.env", "The file cannot be read: No such file or directory."),
        ("invoices credit INV-1 --reason x --line 1=", "'1=' is no line."),
        ("invoices credit INV-1 --reason x --line a=5", "'a=5' is no line."),
        ("payments assign 0192 --invoice a/b=", "'a/b=' is no invoice with an amount."),
        ("payments assign 0192 --invoice a/b=1 --invoice =2", "'=2' is no invoice with an amount."),
        ("rates import no-such.csv", "The file cannot be read: No such file or directory."),
        ("tax import no-such.json", "The file cannot be read: No such file or directory."),
    ],
)
def test_a_mistake_is_said_in_a_line(words: str, says: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        main(words.split())
    assert (caught.value.code, capsys.readouterr().err.splitlines()[0]) == (1, f"error: {says}")


def test_every_option_says_what_it_is() -> None:
    assert re.findall(r"^\* `(.+)`: *(?:\*|$)", REFERENCE, re.MULTILINE) == []
