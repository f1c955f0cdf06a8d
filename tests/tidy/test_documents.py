"""What is written about the product: links lead somewhere, commands exist, each word is defined once."""

import re
from pathlib import Path

import pytest

from milo_billing.cli.commands import app

ROOT = Path(__file__).parents[2]
SERVER_COMMANDS = {"serve", "doctor", "migrate", "generate", "manifests"}  # mounted by the entry point


def documents() -> list[Path]:
    found = [
        *ROOT.glob("*.md"),
        *ROOT.glob("docs/**/*.md"),
        *ROOT.glob("src/**/README.md"),
        *ROOT.glob("bench/*.md"),
        *ROOT.glob("sdk/**/*.md"),
    ]
    return sorted(found)


def named(path: Path) -> str:
    return str(path.relative_to(ROOT))


@pytest.mark.parametrize("document", documents(), ids=named)
def test_every_link_to_a_file_leads_to_one(document: Path):
    broken: list[str] = []
    for target in re.findall(r"\]\(([^)\s]+)\)", document.read_text()):
        path, _, anchor = target.partition("#")
        if "://" in target or target.startswith("mailto:"):
            continue
        file = (document.parent / path).resolve() if path else document
        if not file.exists() or (anchor and anchor not in anchors(file)):
            broken.append(target)
    assert broken == []


def anchors(document: Path) -> set[str]:
    headings = re.findall(r"^#+ (.+)$", document.read_text(), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).strip().replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("document", documents(), ids=named)
def test_a_document_names_no_folder_of_the_machine_it_was_written_on(document: Path):
    assert re.findall(r"(?<![\w.])/(?:work|root|home|tmp)/\S*", document.read_text()) == []


@pytest.mark.parametrize("document", documents(), ids=named)
def test_every_command_that_a_document_names_exists(document: Path):
    unknown: list[str] = []
    for command in re.findall(r"milo-billing((?: [a-z][a-z-]*){1,2})", document.read_text()):
        first, *rest = command.split()
        if first in SERVER_COMMANDS or first not in tuple(app):
            if first not in SERVER_COMMANDS and f"`milo-billing {first}" in document.read_text():
                unknown.append(first)
            continue
        below = [name for name in app[first] if not name.startswith("-")]
        if below and rest and rest[0] not in below:
            unknown.append(" ".join([first, *rest]))
    assert unknown == []


def test_the_readme_leads_to_every_page():
    index = (ROOT / "README.md").read_text()
    pages = sorted(path.name for path in (ROOT / "docs").glob("*.md"))
    assert [page for page in pages if f"](docs/{page})" not in index] == []


def test_every_decision_is_listed():
    index = (ROOT / "docs/adr/README.md").read_text()
    pages = sorted(path.name for path in (ROOT / "docs/adr").glob("0*.md"))
    assert [page for page in pages if f"]({page})" not in index] == []
    assert [page[:4] for page in pages] == [f"{number:04}" for number in range(1, len(pages) + 1)]


def test_the_glossary_defines_each_word_once():
    words = re.findall(r"\*\*([^*]+)\*\* – ", (ROOT / "docs/glossary.md").read_text())
    assert len(words) > 60
    assert sorted(words) == sorted(set(words))
