"""Recorders on spools of their own, and gateways to send to."""

import socket
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from milo_usage import Recorder

from tests.sdk.gateways import ScriptedGateway, scripted_gateway


@pytest.fixture
def gateway() -> Iterator[ScriptedGateway]:
    """Takes everything, unless the test says otherwise."""
    with scripted_gateway() as gateway:
        yield gateway


@pytest.fixture
def nowhere() -> Iterator[str]:
    """The URL of a port where nobody listens, and nobody else can."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        yield f"http://127.0.0.1:{taken.getsockname()[1]}"


@pytest.fixture
def make(tmp_path: Path) -> Iterator[Callable[..., Recorder]]:
    """Makes recorders on the same spool, and closes them."""
    made: list[Recorder] = []

    def make(url: str, **options: Any) -> Recorder:
        chosen: dict[str, Any] = {"url": url, "token": "secret", "linger_s": 0.0, **options}
        recorder = Recorder(spool=tmp_path / "spool", **chosen)
        made.append(recorder)
        return recorder

    yield make
    for recorder in made:
        recorder.close(timeout=0)
