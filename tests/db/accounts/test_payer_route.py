"""GET /v1/projects/{project}/payer over HTTP."""

from collections.abc import AsyncGenerator, Iterator
from contextlib import asynccontextmanager
from typing import Any

import httpx
import pytest
from starlette.applications import Starlette

from milo_billing.accounts.routes import READ, routes
from milo_billing.controlplane.doors import Door
from milo_billing.controlplane.edge import build_application
from milo_billing.infra.database import EVERYWHERE
from tests.accounts_world import World
from tests.serving import serving


@pytest.fixture
def http(world: World) -> Iterator[httpx.Client]:
    @asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncGenerator[None]:
        yield

    door = Door(database=world.databases.app, authorizer=world.grants, clock=world.clock)
    with serving(build_application(routes(door), lifespan=lifespan)) as url:
        headers = {"Authorization": "Bearer ann"}
        with httpx.Client(base_url=url, headers=headers, timeout=10) as client:
            yield client


@pytest.fixture
def bound(world: World) -> World:
    world.grants.granted[READ] = EVERYWHERE
    world.account()
    world.project("web")
    world.bind("web-main", project="web")
    return world


def test_it_names_the_account_and_the_interval(bound: World, http: httpx.Client):
    assert http.get("/v1/projects/web/payer").json() == {
        "project": "web",
        "at": "2026-10-01T12:00:00.000000Z",
        "account": {"namespace": "organization-acme", "name": "main"},
        "since": "2026-10-01T12:00:00.000000Z",
        "until": None,
    }


def test_it_tells_when_the_interval_ended(bound: World, http: httpx.Client):
    bound.clock.forward(hours=1)
    bound.unbind("web-main")
    answer = http.get("/v1/projects/web/payer", params={"at": "2026-10-01T14:30:00+02:00"}).json()
    assert (answer["at"], answer["until"]) == ("2026-10-01T12:30:00.000000Z", "2026-10-01T13:00:00.000000Z")


def test_before_the_first_binding_nobody_pays(bound: World, http: httpx.Client):
    answer = http.get("/v1/projects/web/payer", params={"at": "2026-10-01T00:00:00Z"}).json()
    assert (answer["account"], answer["since"], answer["until"]) == (None, None, None)


@pytest.mark.parametrize(
    ("path", "code", "reason"),
    [
        ("/v1/projects/nothing/payer", 404, "NotFound"),
        ("/v1/projects/web/payer?at=yesterday", 400, "BadRequest"),
    ],
)
def test_what_it_cannot_answer_is_a_status(
    bound: World, http: httpx.Client, path: str, code: int, reason: str
):
    answer = http.get(path)
    body: dict[str, Any] = answer.json()
    assert (answer.status_code, body["kind"], body["reason"]) == (code, "Status", reason)


def test_others_do_not_learn_that_the_project_exists(bound: World, http: httpx.Client):
    bound.grants.granted[READ] = frozenset({2})
    assert http.get("/v1/projects/web/payer").status_code == 404


def test_it_needs_its_permission(bound: World, http: httpx.Client):
    bound.grants.granted.clear()
    assert http.get("/v1/projects/web/payer").status_code == 403
