"""Over HTTP: who pays for a project at an instant and ever, what an account pays for, what is below it."""

from collections.abc import AsyncGenerator, Iterator
from contextlib import asynccontextmanager
from typing import Any

import httpx
import pytest
from starlette.applications import Starlette

from milo_billing.accounts.resources.accounts import BillingAccount
from milo_billing.accounts.routes import READ, routes
from milo_billing.controlplane.doors import Door
from milo_billing.controlplane.edge import build_application
from milo_billing.directory.resources import Project
from milo_billing.infra.database import EVERYWHERE
from tests.accounts_world import ACME, World
from tests.serving import client_of, serving


@pytest.fixture
def http(world: World) -> Iterator[httpx.Client]:
    @asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncGenerator[None]:
        yield

    door = Door(database=world.databases.app, authorizer=world.grants, clock=world.clock)
    with (
        serving(build_application(routes(door), lifespan=lifespan)) as url,
        client_of(url, token="ann") as client,
    ):
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


# --------------------------------------------------------------------------------------------------- time lines


def pages(http: httpx.Client, path: str, **query: str) -> list[list[dict[str, Any]]]:
    """The items of every page, from the first to the one after which nothing continues."""
    found: list[list[dict[str, Any]]] = []
    after = ""
    while True:
        answer = http.get(path, params={**query, **({"continue": after} if after else {})})
        assert answer.status_code == 200, answer.text
        body: dict[str, Any] = answer.json()
        found.append(body["items"])
        after = body["continue"]
        if not after:
            return found


def test_the_time_line_of_a_project_has_everybody_who_paid(bound: World, http: httpx.Client):
    bound.account("other")
    bound.clock.forward(hours=1)
    bound.bind("second", project="web", account="other")
    bound.clock.forward(hours=1)
    bound.unbind("second")
    answer = http.get("/v1/projects/web/payers").json()
    assert (answer["project"], answer["continue"]) == ("web", "")
    assert [
        (i["account"]["name"], i["binding"]["name"], i["since"][11:16], i["until"][11:16])
        for i in answer["items"]
    ] == [("main", "web-main", "12:00", "13:00"), ("other", "second", "13:00", "14:00")]
    assert pages(http, "/v1/projects/web/payers", limit="1") == [[item] for item in answer["items"]]


def test_the_time_line_of_a_name_tells_its_projects_apart(bound: World, http: httpx.Client):
    bound.clock.forward(hours=1)
    bound.unbind("web-main")
    bound.delete(Project, "web")
    bound.project("web")
    bound.bind("again", project="web")
    items = http.get("/v1/projects/web/payers").json()["items"]
    assert len({item["projectUID"] for item in items}) == 2


def test_an_account_shows_the_projects_it_pays_for_at_an_instant(bound: World, http: httpx.Client):
    for name in ("api", "db", "mail"):
        bound.project(name)
        bound.bind(f"{name}-main", project=name)
    bound.clock.forward(hours=1)
    bound.unbind("db-main")
    path = "/v1/accounts/organization-acme/main/projects"
    answer = http.get(path).json()
    assert [item["project"] for item in answer["items"]] == ["api", "mail", "web"]
    assert answer["items"][2] == {
        "project": "web",
        "binding": {
            "name": "web-main",
            "uid": answer["items"][2]["binding"]["uid"],
        },
        "since": "2026-10-01T12:00:00.000000Z",
        "until": None,
    }
    found = pages(http, path, limit="3", at="2026-10-01T12:30:00Z")
    assert [[item["project"] for item in page] for page in found] == [["api", "db", "mail"], ["web"]]
    assert http.get(path, params={"at": "2026-10-01T11:00:00Z"}).json()["items"] == []


def test_an_account_that_has_gone_still_shows_what_it_paid_for(bound: World, http: httpx.Client):
    bound.clock.forward(hours=1)
    bound.unbind("web-main")
    bound.delete(BillingAccount, "main", namespace=ACME)
    path = "/v1/accounts/organization-acme/main/projects"
    assert http.get(path).status_code == 404
    items = http.get(path, params={"at": "2026-10-01T12:00:00Z"}).json()["items"]
    assert [item["project"] for item in items] == ["web"]


def test_a_tree_shows_each_level_what_is_below_it(bound: World, http: httpx.Client):
    for name, parent, mode in (
        ("east", "main", "Self"),
        ("west", "main", "Parent"),
        ("far-west", "west", "Parent"),
    ):
        bound.account(name, parentRef={"namespace": ACME, "name": parent}, billingMode=mode)
    for project, account in (("a", "west"), ("b", "far-west"), ("c", "far-west")):
        bound.project(project)
        bound.bind(project, project=project, account=account)
    answer = http.get("/v1/accounts/organization-acme/main/tree").json()
    assert answer["account"] == answer["invoicedAccount"] == {"namespace": ACME, "name": "main"}
    assert [
        ("/".join(i["path"]), i["billingMode"], i["projects"], i["projectsBelow"]) for i in answer["items"]
    ] == [("east", "Self", 0, 0), ("west", "Parent", 1, 2), ("west/far-west", "Parent", 2, 0)]
    assert pages(http, "/v1/accounts/organization-acme/main/tree", limit="1") == [
        [item] for item in answer["items"]
    ]
    leaf = http.get("/v1/accounts/organization-acme/far-west/tree").json()
    assert ([one["name"] for one in leaf["ancestors"]], leaf["items"]) == (["west", "main"], [])
    assert leaf["invoicedAccount"]["name"] == "main"


@pytest.mark.parametrize(
    ("path", "code"),
    [
        ("/v1/projects/nothing/payers", 404),
        ("/v1/projects/web/payers?continue=next", 400),
        ("/v1/projects/web/payers?limit=0", 400),
        ("/v1/projects/web/payers?limit=1001", 400),
        ("/v1/accounts/organization-acme/nothing/projects", 404),
        ("/v1/accounts/organization-acme/main/projects?at=now", 400),
        ("/v1/accounts/organization-acme/main/projects?limit=x", 400),
        ("/v1/accounts/organization-acme/nothing/tree", 404),
    ],
)
def test_time_lines_that_cannot_be_shown(bound: World, http: httpx.Client, path: str, code: int):
    answer = http.get(path)
    assert (answer.status_code, answer.json()["kind"]) == (code, "Status")


@pytest.mark.parametrize(
    "path",
    [
        "/v1/projects/web/payers",
        "/v1/accounts/organization-acme/main/projects",
        "/v1/accounts/organization-acme/main/tree",
    ],
)
def test_time_lines_are_for_those_who_may_read_the_account(bound: World, http: httpx.Client, path: str):
    bound.grants.granted[READ] = frozenset({2})
    assert http.get(path).status_code == 404
    bound.grants.granted.clear()
    assert http.get(path).status_code == 403
