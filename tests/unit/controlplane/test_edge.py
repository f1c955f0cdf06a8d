"""What the edge does where no handler can: a client that goes away in the middle of its body is no defect of ours."""

import asyncio
from collections.abc import MutableMapping
from typing import Any

import pytest
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from milo_billing.controlplane.edge import build_application, read_body

Message = MutableMapping[str, Any]


async def take(request: Request) -> Response:
    await read_body(request, bytes_max=100)
    return Response()


def test_a_body_that_ends_early_is_answered_as_the_clients_mistake(capsys: pytest.CaptureFixture[str]):
    said: list[Message] = []
    heard: list[Message] = [
        {"type": "http.request", "body": b"half of", "more_body": True},
        {"type": "http.disconnect"},
    ]

    async def receive() -> Message:
        return heard.pop(0)

    async def send(message: Message) -> None:
        said.append(message)

    scope: Message = {"type": "http", "method": "POST", "path": "/", "headers": [], "query_string": b""}
    application = build_application([Route("/", take, methods=["POST"])])
    asyncio.run(application(scope, receive, send))
    assert said[0]["status"] == 400
    assert "request_failed" not in "".join(capsys.readouterr())
