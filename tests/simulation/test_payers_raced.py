"""Eight processes race to rebind one project and to delete its accounts, while the server is killed again and again."""

import json
import multiprocessing
import os
import random
import signal
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from multiprocessing.queues import Queue
from pathlib import Path
from time import monotonic, sleep
from typing import Any

import pytest
from demo.server import Running, start_server

from milo_billing.app.projections import compare_projections
from milo_billing.app.wiring import build_registry
from milo_billing.client.connection import read_kubeconfig
from milo_billing.client.errors import ApiError, UnableToConnect
from milo_billing.client.http import ApiClient
from milo_billing.infra.database import Tx, connect
from milo_billing.infra.postgres.server import PostgresServer, find_postmaster
from milo_billing.kernel.errors import Unavailable
from tests.accounts_auditor import History, audit, read_history, shrunk

PROCESSES = 8
ACCOUNTS = ("north", "east", "south", "west")
KILLS = ("api", "postgres", "api")
SEED = 20261003
OPERATIONS = 10_000
SERVED_AGAIN_S_MAX = 90.0
RACE_S_MAX = 1500.0

BILLING = "/apis/billing.miloapis.com/v1alpha1/namespaces/organization-raced"
DIRECTORY = "/apis/resourcemanager.miloapis.com/v1alpha1"


@dataclass
class Told:
    """What one process was told: bindings that were acknowledged, by uid, and answers that nobody may get."""

    bound: set[str] = field(default_factory=set[str])
    refused: int = 0
    doubtful: int = 0
    wrong: list[str] = field(default_factory=list[str])


def body(kind: str, name: str, spec: dict[str, Any]) -> dict[str, Any]:
    group = "resourcemanager" if kind in ("Organization", "Project") else "billing"
    return {
        "apiVersion": f"{group}.miloapis.com/v1alpha1",
        "kind": kind,
        "metadata": {"name": name},
        "spec": spec,
    }


def account(name: str) -> dict[str, Any]:
    return body("BillingAccount", name, {"currencyCode": "USD", "paymentProfile": {"type": "BankTransfer"}})


def race(kubeconfig: str, number: int, steps: int, done: "Queue[int]", told: "Queue[Told]") -> None:
    """One process: so many requests, most of them to rebind the project."""
    chance, mine = random.Random(f"{SEED} {number}"), Told()
    with ApiClient(read_kubeconfig(Path(kubeconfig), source=kubeconfig)) as api:
        for step in range(steps):
            _take_step(api, chance, mine, name=f"b-{number}-{step}")
            done.put(number)
    told.put(mine)


def _take_step(api: ApiClient, chance: random.Random, mine: Told, *, name: str) -> None:
    target, roll = chance.choice(ACCOUNTS), chance.random()
    try:
        if roll < 0.6:
            spec = {"billingAccountRef": {"name": target}, "projectRef": {"name": "raced"}}
            made = api.json(
                "POST",
                f"{BILLING}/billingaccountbindings",
                body=body("BillingAccountBinding", name, spec),
            )
            mine.bound.add(made["metadata"]["uid"])
        elif roll < 0.75:
            api.request("DELETE", f"{BILLING}/billingaccounts/{target}")
        elif roll < 0.9:
            api.request("POST", f"{BILLING}/billingaccounts", body=account(target))
        elif roll < 0.95:
            reason = {"reason": "Compliance"}
            api.request("POST", f"{BILLING}/billingaccounts/{target}/suspend", body=reason)
            api.request("POST", f"{BILLING}/billingaccounts/{target}/reactivate", body={})
        else:
            _unbind(api)
    except UnableToConnect:
        mine.doubtful += 1
        sleep(0.05)
    except ApiError as error:
        mine.refused += 1
        if error.code >= 500 and error.code not in (503, 504):
            mine.wrong.append(f"{error.code} {error.what} ({error.where}, {error.audit_id})")


def _unbind(api: ApiClient) -> None:
    """Delete the binding that stands; somebody else may have put another one in its place by then."""
    query = {"fieldSelector": "status.phase=Active"}
    for item in api.json("GET", f"{BILLING}/billingaccountbindings", params=query)["items"]:
        api.request("DELETE", f"{BILLING}/billingaccountbindings/{item['metadata']['name']}")


@pytest.fixture
def server(open_folder: Path) -> Iterator[Running]:
    """A server that keeps what it acknowledges through a kill, with the project and its four accounts."""
    server = start_server(open_folder / "data", log=open_folder / "log", settings={})
    try:
        with ApiClient(server.connection()) as api:
            api.request("POST", f"{DIRECTORY}/organizations", body=body("Organization", "raced", {}))
            owner = {"ownerRef": {"kind": "Organization", "name": "raced"}}
            api.request("POST", f"{DIRECTORY}/projects", body=body("Project", "raced", owner))
            for name in ACCOUNTS:
                api.request("POST", f"{BILLING}/billingaccounts", body=account(name))
        yield server
    finally:
        server.stop()


def conninfo_of(folder: Path) -> str:
    """How to connect to the server's own database; the same after every restart."""
    data = folder / "data" / "postgres"
    found = find_postmaster(data)
    assert found is not None
    return PostgresServer(folder=data, socket_dir=found.socket_dir, pid=found.pid, child=None).conninfo()


@contextmanager
def database(conninfo: str) -> Generator[Tx]:
    """The database as soon as it answers, in one snapshot of everything."""
    until = monotonic() + SERVED_AGAIN_S_MAX
    while True:
        try:
            tx = connect(conninfo, role="milo_app")
            break
        except Unavailable:
            if monotonic() > until:
                raise
            sleep(0.1)
    with tx:
        tx.execute("set transaction isolation level repeatable read")
        tx.execute("select set_config('milo.reach', '*', true)")
        yield tx


def kill(folder: Path, what: str) -> None:
    """SIGKILL to the process that does this at present."""
    if what == "postgres":
        postmaster = find_postmaster(folder / "data" / "postgres")
        assert postmaster is not None
        os.kill(postmaster.pid, signal.SIGKILL)
        return
    # libraries write to stderr too: not every line is the log's
    lines = [line for line in (folder / "log").read_text().splitlines() if line.startswith("{")]
    started = [
        line["child"]
        for line in map(json.loads, lines)
        if (line["event"], line.get("name")) == ("started", what)
    ]
    os.kill(started[-1], signal.SIGKILL)


def check(conninfo: str, before: History) -> History:
    """The rules hold in the middle of the race, in one snapshot of the database; the history as it is now."""
    with database(conninfo) as tx:
        after = read_history(tx)
        assert audit(tx) == []
        assert shrunk(before, after) == []
        return after


def raced(server: Running, folder: Path, *, operations_: int, kills: tuple[str, ...]) -> None:
    context = multiprocessing.get_context("spawn")
    done: Queue[int] = context.Queue()
    told: Queue[Told] = context.Queue()
    steps, conninfo = operations_ // PROCESSES, conninfo_of(folder)
    arguments = [(str(server.kubeconfig), number, steps, done, told) for number in range(PROCESSES)]
    racers = [context.Process(target=race, args=one, daemon=True) for one in arguments]
    for racer in racers:
        racer.start()
    history: History = {}
    try:
        for count in range(1, steps * PROCESSES + 1):
            done.get(timeout=SERVED_AGAIN_S_MAX)
            # a kill comes after each equal part of the race, so that there is a race before and after it
            if count % (steps * PROCESSES // (len(kills) + 1)) == 0 and kills:
                kill(folder, kills[0])
                kills = kills[1:]
                history = check(conninfo, history)
        answers = [told.get(timeout=RACE_S_MAX) for _ in racers]
    finally:
        for racer in racers:
            racer.join(timeout=10)
            racer.kill()
    history = check(conninfo, history)
    with database(conninfo) as tx:
        assert compare_projections(tx, build_registry()) == ()
    assert [wrong for one in answers for wrong in one.wrong] == []
    acknowledged = set[str]().union(*(one.bound for one in answers))
    assert acknowledged <= {str(binding) for binding in history}
    assert sum(one.doubtful for one in answers), "nothing was in flight when it was killed"
    assert len(acknowledged) > operations_ // 20, "hardly anybody could bind"


@pytest.mark.long
def test_who_pays_is_beyond_doubt_whoever_races_and_whatever_is_killed(server: Running, open_folder: Path):
    raced(server, open_folder, operations_=OPERATIONS, kills=KILLS * 3)
