"""The mirror of a resource manager elsewhere, which is a second instance of this very API."""

import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import psycopg
import pytest

from milo_billing.accounts import operations as accounts
from milo_billing.adapters.remote_directory import RemoteDirectory, connect
from milo_billing.directory import operations, reads
from milo_billing.directory.jobs import Following
from milo_billing.directory.operations import Mirror
from milo_billing.directory.ports import PositionLost
from milo_billing.directory.resources import Organization, Project
from milo_billing.directory.types import Mirrored, ProjectEntry
from milo_billing.infra.certificates import ensure_certificates
from milo_billing.infra.database import EVERYWHERE, open_databases
from milo_billing.kernel.errors import Forbidden, Unavailable
from tests.accounts_world import World, make_world
from tests.conftest import TestServer
from tests.contract.conftest import Cluster
from tests.contract.examples import DIRECTORY, ORGANIZATION, PROJECT, Manifest, manifest
from tests.serving import client_of

TURN_S = 1


def project(name: str, *, organization: str = "acme", **spec: Any) -> Manifest:
    owner = {"ownerRef": {"kind": "Organization", "name": organization}, **spec}
    return manifest(DIRECTORY, "Project", name, owner)


@pytest.fixture
def here(postgres: TestServer, worker_id: str, tmp_path: Path) -> Iterator[World]:
    """The instance that mirrors, on a database of its own."""
    name = f"mirror_{worker_id}"
    databases = open_databases(postgres.clone(name), pool_max=4)
    yield make_world(databases, tmp_path / "here", mirrored=True)
    databases.close()
    postgres.execute(f"drop database if exists {name} with (force)")


@pytest.fixture
def there(cluster: Cluster) -> Cluster:
    """The instance that is mirrored, with one organization and one project."""
    for one in (ORGANIZATION, PROJECT):
        cluster.created(one)
    return cluster


@pytest.fixture
def source(there: Cluster) -> Iterator[RemoteDirectory]:
    with client_of(there.url, token=there.token) as client:
        yield RemoteDirectory(client)


@pytest.fixture
def mirror(here: World, source: RemoteDirectory) -> Mirror:
    return Mirror(here.engine, here.databases.app, source)


def eventually(true: Callable[[], bool]) -> None:
    until = time.monotonic() + 20
    while not true():
        assert time.monotonic() < until, "not within 20 s"
        time.sleep(0.05)


def find(world: World, name: str) -> ProjectEntry | None:
    with world.databases.app.transaction(reach=EVERYWHERE) as tx:
        return reads.find_project(tx, name=name, at=world.clock.now())


def get(world: World, name: str) -> ProjectEntry:
    found = find(world, name)
    assert found is not None
    return found


def test_everything_that_lives_there_is_here_and_a_second_time_nothing_happens(
    here: World, source: RemoteDirectory
):
    assert operations.mirror(here.engine, here.databases.app, source) == Mirrored(created=2)
    web = get(here, "web")
    with here.databases.app.transaction(reach=EVERYWHERE) as tx:
        acme = reads.find_organization(tx, name="acme")
    assert acme is not None and web.owner_org == acme.number
    assert operations.mirror(here.engine, here.databases.app, source) == Mirrored()
    here.account()
    here.bind("web-main", project="web")


def test_more_than_a_page_is_listed_whole(here: World, there: Cluster, source: RemoteDirectory):
    many = [project(f"p-{number:03}") for number in range(510)]
    for one in many:
        there.created(one)
    listing = source.list_all("projects")
    assert sorted(entry.name for entry in listing.entries) == sorted(
        ["web", *(one["metadata"]["name"] for one in many)]
    )


def test_changes_are_followed_in_their_order(here: World, there: Cluster, mirror: Mirror):
    assert mirror.advance(seconds=TURN_S) == Mirrored(created=2)  # the first turn compares everything
    there.created(manifest(DIRECTORY, "Organization", "new", {}))
    there.created(project("shop", organization="new", displayName="Shop"))
    there.merge(PROJECT, {"spec": {"displayName": "Web shop"}})
    assert mirror.advance(seconds=TURN_S) == Mirrored(created=2, changed=1)
    here.clock.forward(hours=1)
    there.http.delete(there.path(project("shop", organization="new")))
    there.http.delete(there.path(manifest(DIRECTORY, "Organization", "new", {})))
    # the organization's turn comes before that of its project: it waits within the turn, and then goes
    assert mirror.advance(seconds=TURN_S) == Mirrored(deleted=2)
    assert find(here, "shop") is None
    assert mirror.advance(seconds=TURN_S) == Mirrored()


def test_a_project_that_is_made_again_there_is_another_one_here(here: World, there: Cluster, mirror: Mirror):
    mirror.synchronize()
    first = get(here, "web")
    there.http.delete(there.path(PROJECT))
    there.created(PROJECT)
    here.clock.forward(hours=1)
    assert mirror.synchronize().created == 1
    assert get(here, "web").number != first.number


def test_a_project_that_is_paid_for_waits_until_it_is_not(here: World, there: Cluster, mirror: Mirror):
    mirror.synchronize()
    here.account()
    here.bind("web-main", project="web")
    there.http.delete(there.path(PROJECT))
    (waiting,) = mirror.advance(seconds=TURN_S).waiting
    assert (waiting.resource, waiting.name) == ("projects", "web")
    assert 'billing account binding "web-main" makes an account pay for it' in waiting.why
    assert mirror.synchronize().waiting == (waiting,)
    here.unbind("web-main")
    assert mirror.advance(seconds=TURN_S) == Mirrored(deleted=1)
    with here.databases.app.transaction(reach=EVERYWHERE) as tx:
        assert accounts.compare_projections(tx) == ()


def test_what_is_mirrored_can_be_changed_there_only(here: World, mirror: Mirror):
    mirror.synchronize()
    for write in (
        lambda: here.project("mine"),
        lambda: here.patch(Project, "web", {"displayName": "Mine"}),
        lambda: here.patch(Organization, "acme", {"displayName": "Mine"}),
        lambda: here.delete(Project, "web"),
        lambda: here.delete(Organization, "acme"),
    ):
        with pytest.raises(Forbidden, match=r"mirrored from https://milo\.example; change them there"):
            write()


def test_what_was_declared_here_before_is_left_alone(
    postgres: TestServer, worker_id: str, tmp_path: Path, source: RemoteDirectory
):
    name = f"mirror_{worker_id}"
    databases = open_databases(postgres.clone(name), pool_max=4)
    try:
        world = make_world(databases, tmp_path / "here")  # has an acme of its own
        found = operations.mirror(world.engine, databases.app, source)
        assert [(one.resource, one.name) for one in found.waiting] == [("organizations", "acme")]
        assert found.created == 1
        # the server is told to mirror: what was declared before is in the way, and may go
        mirroring = make_world(databases, tmp_path / "here", mirrored=True)
        with pytest.raises(Forbidden, match="mirrored from"):
            mirroring.patch(Organization, "rival", {"displayName": "Mine"})
        mirroring.delete(Organization, "rival")
    finally:
        databases.close()
        postgres.execute(f"drop database if exists {name} with (force)")


def test_a_position_that_was_forgotten_leads_to_a_comparison(
    there: Cluster, source: RemoteDirectory, here: World
):
    class Forgetful:
        """The source, but every watch finds its position gone."""

        list_all = staticmethod(source.list_all)

        @staticmethod
        def watch(*_: Any, **__: Any) -> Any:
            raise PositionLost("projects")

    mirror = Mirror(here.engine, here.databases.app, Forgetful())
    mirror.advance(seconds=TURN_S)
    there.created(project("api"))
    assert mirror.advance(seconds=TURN_S) == Mirrored(created=1)


def test_a_position_from_another_time_is_lost(source: RemoteDirectory, here: World):
    with pytest.raises(PositionLost):
        list(source.watch("projects", since="1", seconds=TURN_S))


def test_of_two_workers_one_follows_and_the_other_takes_over(
    here: World, there: Cluster, source: RemoteDirectory, clean_database: str
):
    conninfo = here.databases.app.conninfo
    turns: dict[str, int] = {"first": 0, "second": 0}

    def following(name: str) -> Following:
        class Counted(Mirror):
            """Says that it had a turn."""

            def advance(self, *, seconds: int) -> Mirrored:
                turns[name] += 1
                return super().advance(seconds=seconds)

        one = Following(Counted(here.engine, here.databases.app, source), conninfo, standby_s=0.1)
        one.start()
        return one

    first = following("first")
    eventually(lambda: turns["first"] > 0)
    second = following("second")
    there.created(project("api"))
    eventually(lambda: find(here, "api") is not None)
    assert turns["second"] == 0
    assert (first.problem(), second.problem()) == (None, None)
    first.stop()
    there.created(project("shop"))
    eventually(lambda: find(here, "shop") is not None)
    second.stop()
    assert turns["second"] > 0


def test_what_fails_is_tried_again(here: World, source: RemoteDirectory):
    failures: list[Exception] = [Unavailable("not there"), KeyError("metadata"), psycopg.OperationalError()]

    class Failing(Mirror):
        """Fails in different ways before it goes well."""

        def synchronize(self) -> Mirrored:
            if failures:
                raise failures.pop()
            return super().synchronize()

    following = Following(
        Failing(here.engine, here.databases.app, source), here.databases.app.conninfo, backoff_s=0.01
    )
    following.start()
    eventually(lambda: find(here, "web") is not None)
    assert following.problem() is None
    following.stop()


def test_the_token_is_read_anew_and_a_file_that_is_missing_is_named(tmp_path: Path, there: Cluster):
    token, authority = tmp_path / "token", tmp_path / "ca.pem"
    with pytest.raises(Unavailable, match="MILO_BILLING_DIRECTORY_CA_FILE"):
        connect(there.url, token_file=token, authority_file=authority)
    ensure_certificates(tmp_path, names=(), now=datetime.now(UTC))
    remote = connect(there.url, token_file=token, authority_file=authority)
    with pytest.raises(Unavailable, match="MILO_BILLING_DIRECTORY_TOKEN_FILE"):
        remote.find_any("projects")
    token.write_text("milo_wrong\n")
    with pytest.raises(Unavailable, match="answered 401"):
        remote.find_any("projects")
    token.write_text(there.token)
    assert remote.find_any("projects") is not None
    remote.close()


def test_a_source_that_does_not_answer_or_refuses_is_unavailable(there: Cluster):
    with client_of(there.url) as nobody, pytest.raises(Unavailable, match="answered 40"):
        RemoteDirectory(nobody).list_all("projects")
    with (
        client_of("http://127.0.0.1:9") as nowhere,
        pytest.raises(Unavailable, match="does not answer"),
    ):
        RemoteDirectory(nowhere).list_all("projects")
