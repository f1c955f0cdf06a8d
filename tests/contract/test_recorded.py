"""The requests recorded against a real kube-apiserver, sent to this server; how many answers are alike.

What differs, and why, stands in docs/kubernetes-compatibility.md: this test holds the two together.
"""

import dataclasses
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from milo_billing.access import store as access_store
from milo_billing.access.operations import hash_token
from milo_billing.infra.database import EVERYWHERE
from milo_billing.infra.runtime import Runtime
from tests.contract.conftest import Cluster, prepare, serving_cluster

DOCUMENT = Path(__file__).parents[2] / "docs" / "kubernetes-compatibility.md"
ALIKE_MIN = 118


@pytest.fixture
def recorded() -> Path:
    """The folder with the recorded answers and the programs that belong to them."""
    folder = Path(__file__).parents[3] / "shared" / "kubernetes"
    if not folder.is_dir():
        if os.environ.get("CI") == "true":
            pytest.fail(f"{folder} is missing, and CI=true")
        pytest.skip(f"{folder} is not on this machine")
    return folder


@pytest.fixture
def cluster(runtime: Runtime) -> Iterator[Cluster]:
    """A server that admits the namespace of the recording, the one that every request names."""
    settings = runtime.settings.model_copy(update={"plain_namespaces": ("default",)})
    adapted = dataclasses.replace(runtime, settings=settings)
    with serving_cluster(adapted, token=prepare(adapted)) as cluster:
        yield cluster


def _token_of_alice(runtime: Runtime) -> str:
    """The token of a user called as in the recording, to whom nothing was granted."""
    token = "milo_" + "a" * 43
    with runtime.databases.app.transaction(reach=EVERYWHERE) as tx:
        access_store.insert_token(
            tx,
            sha256=hash_token(token),
            subject="alice",
            service_account=None,
            owner_org=0,
            created_at=runtime.clock.now(),
            expires_at=None,
        )
    return token


def test_answers_are_those_of_a_real_api_server(
    cluster: Cluster, runtime: Runtime, recorded: Path, tmp_path: Path
) -> None:
    stranger = _token_of_alice(runtime)
    sent = subprocess.run(
        [sys.executable, str(recorded / "exercise.py"), cluster.url, cluster.token, stranger],
        capture_output=True,
        text=True,
        timeout=240,
        cwd=tmp_path,
        check=False,
    )
    assert sent.returncode == 0, sent.stderr[-2000:]
    mine = tmp_path / "mine.txt"
    mine.write_text(sent.stdout)
    compared = subprocess.run(
        [sys.executable, str(recorded / "compare.py"), str(recorded / "recorded.txt"), str(mine)],
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    ).stdout
    found = re.search(r"^(\d+) of (\d+) same", compared, re.MULTILINE)
    assert found is not None, compared
    print(compared)
    different = set(re.findall(r"^(?:MISSING )?(.+?)(?:: real .*)?$", compared, re.MULTILINE)[:-1])
    explained = set(re.findall(r"^\| `([^`]+)` \|", DOCUMENT.read_text(), re.MULTILINE))
    assert different == explained, "docs/kubernetes-compatibility.md lists exactly the answers that differ"
    assert int(found[1]) >= ALIKE_MIN
