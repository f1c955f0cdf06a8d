"""The tour of the README and the tutorials that use kubectl, word for word."""

import os
import re
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path
from time import sleep, time

import pytest

from tests.flow.conftest import temporary_server
from tests.flow.tutorials import ROOT, follow
from tests.kubectl import EVERY_VERSION, NEWEST, kubectl


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Where the user types: a checkout, as far as the tour needs it."""
    shutil.copytree(ROOT / "docs" / "tour", tmp_path / "docs" / "tour")
    return tmp_path


@pytest.fixture
def environment(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[dict[str, str]]:
    """What the user's second terminal has: the commands on PATH, and a server that was started in the first."""
    programs = tmp_path / "programs"
    programs.mkdir()
    (programs / "kubectl").symlink_to(kubectl(request.param))
    (programs / "milo-billing").symlink_to(Path(sys.executable).with_name("milo-billing"))
    with temporary_server() as server:
        yield {
            "PATH": f"{programs}:{Path(sys.executable).parent}:{os.environ['PATH']}",
            "HOME": str(tmp_path),
            "MILO_BILLING_DATA_DIR": str(server.kubeconfig.parent),
        }


@pytest.mark.early
@pytest.mark.parametrize(
    "environment",
    # what kubectl can do is compared version by version in tests/contract; here it is what we wrote that is tested
    EVERY_VERSION,
    indirect=True,
)
def test_the_tour_and_then_the_tutorial_work_word_for_word(folder: Path, environment: dict[str, str]):
    tour = follow("README.md", folder=folder, environment=environment)
    assert (folder / "tour-invoice.pdf").read_bytes().startswith(b"%PDF-")
    assert 'billing account has active binding "toy-chat" for project "toy-chat"' in tour.stderr
    tutorial = follow("docs/tutorial-first-invoice.md", folder=folder, environment=environment)
    assert (folder / "SF-000001.pdf").read_bytes().startswith(b"%PDF-")
    assert {path.name for path in (folder / "invoices").iterdir()} == {"SF-000001.pdf", "TOUR-000001.pdf"}
    assert "a published price book is immutable" in tutorial.stderr


MIDNIGHT_S = 120.0


@pytest.fixture
def one_day() -> None:
    """What the tutorial does today happens on one day, also when it is typed at midnight."""
    left_s = 86_400 - time() % 86_400
    if left_s < MIDNIGHT_S:
        sleep(left_s + 1)


@pytest.mark.long
@pytest.mark.usefixtures("one_day")
@pytest.mark.parametrize("environment", [NEWEST], indirect=True)
def test_a_newcomer_follows_the_way_from_a_meter_to_a_bill(folder: Path, environment: dict[str, str]):
    done = follow("docs/tutorial-metering.md", folder=folder, environment=environment)
    shown = re.findall(r"fabrikam-files +files.example/(\w+) +\w+ +(\d+) ", done.stdout)
    assert shown == [
        ("people", "2"),  # ann came twice
        ("stored", "62"),  # replayed: 55 in one region, 7 in the other
        ("stored", "47"),  # without the 55, which was voided
        ("stored", "240"),
        ("people", "3"),
    ]
    assert done.stdout.count("fabrikam-files   files.example/people") - 2 == 4, "the line's events"
