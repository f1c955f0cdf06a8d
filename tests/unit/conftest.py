"""Unit tests reach nothing: no network, no database."""

import socket
from typing import Any

import pytest


@pytest.fixture(autouse=True)
def _no_sockets(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(_: socket.socket, address: Any) -> None:
        raise RuntimeError(
            f"a unit test must not connect ({address}): it belongs into tests/db or tests/flow"
        )

    monkeypatch.setattr(socket.socket, "connect", refuse)
