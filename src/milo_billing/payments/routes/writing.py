"""How the doors of this slice write: what a request asks for, in one transaction that the engine ends."""

from collections.abc import Callable
from typing import TypeVar

from starlette.requests import Request

from milo_billing.controlplane.doors import Door, repeated
from milo_billing.controlplane.engine import Engine
from milo_billing.controlplane.work import Work

R = TypeVar("R")


def written(door: Door, engine: Engine, request: Request, permission: str, write: Callable[[Work], R]) -> R:
    """What `write` makes for a sender who holds the permission; tried again where it lost a deadlock."""

    def once() -> R:
        with door.open(request, permission=permission) as call:
            work = call.work()
            made = write(work)
            engine.commit(work)
        return made

    return repeated(once)
