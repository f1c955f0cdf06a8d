"""Typing what a document says: its commands into one shell, its printed lines compared with what they print."""

import re
import subprocess
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]

_UID = re.compile(r"\b[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}\b")
_TIME = re.compile(r"T\d\d:\d\d:\d\d\.\d+Z")
_MESSAGE = re.compile(r"\bMB\d{14}[0-9A-F]+\b")
_AGE = re.compile(r"\b\d+(s|m\d+s|m|h|d)\b")


@dataclass(frozen=True, slots=True)
class Step:
    """A block of commands, and what the document says that they print; empty when it does not say."""

    commands: str
    prints: str


def read_steps(markdown: str) -> list[Step]:
    """The blocks `sh` of a document, each with the block `text` that follows it."""
    blocks = re.findall(r"^```(\w*)\n(.*?)^```$", markdown, re.MULTILINE | re.DOTALL)
    steps: list[Step] = []
    for language, content in blocks:
        if language == "sh":
            steps.append(Step(content, ""))
        elif language == "text":
            steps[-1] = Step(steps[-1].commands, content)
    return steps


def _stable(text: str) -> list[list[str]]:
    """Words of each line; how old something is, its uid and its time of day differ from run to run."""
    for pattern, instead in ((_UID, "UID"), (_TIME, ""), (_MESSAGE, "MESSAGE"), (_AGE, "AGE")):
        text = pattern.sub(instead, text)
    lines = [line.split() for line in text.strip().splitlines()]
    return [line for line in lines if line]


def _printed_by(step: Step, text: str) -> list[list[str]]:
    """The lines in order, but for a watch in the background, which prints when it is told."""
    lines = _stable(text)
    return sorted(lines) if " -w &" in step.commands else lines


def follow(*documents: str, folder: Path, environment: dict[str, str]) -> subprocess.CompletedProcess[str]:
    """Type every command of the documents into one shell; compare what it prints where a document says it."""
    steps = [step for document in documents for step in read_steps((ROOT / document).read_text())]
    assert len(steps) >= 5
    marker = "----- end of step"
    script = "set -euo pipefail\n" + "".join(f"{step.commands}\necho '{marker}'\n" for step in steps)
    done = subprocess.run(
        ["bash", "-c", script],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=600,
    )
    assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"
    printed = done.stdout.split(marker + "\n")
    for step, output in zip(steps, printed, strict=False):
        if step.prints:
            said = f"{step.commands}printed:\n{output}"
            assert _printed_by(step, output) == _printed_by(step, step.prints), said
    return done
