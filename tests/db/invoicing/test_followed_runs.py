"""What follows a run of a month during which accounts changed who is invoiced for them, and who waits for it."""

import json
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from uuid import UUID

import pytest
from psycopg.errors import CheckViolation

from milo_billing.adapters.folder_blobs import FolderBlobs
from milo_billing.adapters.typst_documents import TypstDocuments
from milo_billing.cli.commands import app
from milo_billing.controlplane.doors import Door
from milo_billing.controlplane.edge import build_application
from milo_billing.infra.clock import SimulatedClock, new_uid
from milo_billing.infra.database import EVERYWHERE
from milo_billing.invoicing.engine import runs
from milo_billing.invoicing.jobs.runs import RunLane, run_steps
from milo_billing.invoicing.routes import routes
from milo_billing.invoicing.rules.runs import Run, RunStepState, StepDone
from tests.db.invoicing.ground import ACME, NOVEMBER, Ground
from tests.db.invoicing.test_consolidated import assert_books_right, below, change
from tests.db.invoicing.test_moved_accounts import move
from tests.serving import serving


def run_lane(ground: Ground, between: Mapping[str, Callable[[], None]], *, over: Sequence[str]) -> UUID:
    """A run of October over these accounts, in this order, with something done behind the step of each account; it is
    not finished yet.
    """
    run = Run(new_uid(), None, 2026, 10, "ann", "", new_uid(), NOVEMBER)
    with ground.databases.app.transaction(reach=EVERYWHERE) as tx:
        runs.open_run(tx, run, [ground.account(name) for name in over])
    lane = RunLane(ground.office, ground.databases.app, SimulatedClock(NOVEMBER), run)
    for name, _ in zip(over, lane.steps(), strict=True):
        between.get(name, lambda: None)()
    return run.id


def finish(ground: Ground, id: UUID) -> Run:
    run_steps(ground.office, ground.databases.app, SimulatedClock(NOVEMBER), id=id)
    return ground.reading(lambda tx: runs.get_run(tx, id=id, now=NOVEMBER))


def run_month(ground: Ground, between: Mapping[str, Callable[[], None]], *, over: Sequence[str]) -> list[str]:
    """What became of the steps of such a run and of those that followed."""
    done = [finish(ground, run_lane(ground, between, over=over))]
    while (again := done[-1].followed_by) is not None:
        done.append(finish(ground, again))
        assert done[-1].follows == done[-2].id
    return [
        f"{step.account.removeprefix(ACME + '/')} {step.state}"
        for run in done
        for step in ground.reading(
            lambda tx, id=run.id: runs.list_steps(tx, run=id, state=None, after=0, limit=9)
        )
    ]


def used(ground: Ground) -> list[tuple[str, int]]:
    """(who is invoiced, total) of every invoice."""
    return ground.read("select account_name, total_minor from invoicing.invoices order by sequence")


@pytest.fixture
def forest(ground: Ground) -> Ground:
    """Two payers, and an account below the second."""
    for name in ("first", "second"):
        ground.spend(ground.declare_account(name), "2026-10-05", 10)
    ground.spend(below(ground, "second", "a"), "2026-10-05", 5)
    return ground


def test_an_account_that_begins_to_pay_for_itself_between_two_steps_is_gone_over_again(
    forest: Ground,
) -> None:
    steps = run_month(
        forest, {"a": lambda: change(forest, "a", billingMode="Self")}, over=["a", "first", "second"]
    )
    assert steps == ["a skipped", "first issued", "second issued", "a issued"]
    assert used(forest) == [("first", 1_000), ("second", 1_000), ("a", 500)]
    assert_books_right(forest)


def test_an_account_that_moves_below_a_payer_whose_step_was_taken_is_on_one_more_invoice(
    forest: Ground,
) -> None:
    steps = run_month(forest, {"first": lambda: move(forest, "a", "first")}, over=["a", "first", "second"])
    assert steps == ["a skipped", "first issued", "second issued", "first issued"]
    assert used(forest) == [("first", 1_000), ("second", 1_000), ("first", 500)]
    assert_books_right(forest)


def test_an_account_whose_quarter_does_not_end_and_that_moves_below_a_payer_is_on_one_more_invoice(
    forest: Ground,
) -> None:
    quarterly = {"paymentTerms": {"invoiceFrequency": "Quarterly"}}
    alone = forest.declare_account("alone", **quarterly)
    forest.declare_account("idle", **quarterly)
    forest.spend(alone, "2026-10-05", 5)
    forest.declare_account("nothing")

    def move_alone() -> None:
        below_first = {"billingMode": "Parent", "parentRef": {"namespace": ACME, "name": "first"}}
        change(forest, "alone", **below_first, paymentTerms={"invoiceFrequency": "Monthly"})

    over = ["alone", "idle", "nothing", "first", "second"]
    steps = run_month(forest, {"first": move_alone}, over=over)
    assert steps == [
        "alone skipped",
        "idle skipped",
        "nothing skipped",
        "first issued",
        "second issued",
        "first issued",
    ]
    assert used(forest) == [("first", 1_000), ("second", 1_500), ("first", 500)]
    assert_books_right(forest)


def test_nothing_follows_a_run_in_which_nobody_moved(forest: Ground) -> None:
    assert run_month(forest, {}, over=["a", "first", "second"]) == [
        "a skipped",
        "first issued",
        "second issued",
    ]


def test_a_step_says_who_is_invoiced_for_its_account(forest: Ground) -> None:
    run_month(forest, {}, over=["a", "first"])
    ((id,),) = forest.read("select id from invoicing.runs")
    steps = forest.reading(lambda tx: runs.list_steps(tx, run=id, state=None, after=0, limit=9))
    assert [(step.state, step.invoiced_with, step.reason) for step in steps] == [
        ("skipped", f"{ACME}/second", "invoiced with second"),
        ("issued", None, None),
    ]


@pytest.mark.parametrize(
    ("state", "payer"), [("failed", "second"), ("skipped", "a")], ids=["who failed", "itself"]
)
def test_a_step_that_names_a_payer_was_skipped_for_another_account(
    forest: Ground, state: RunStepState, payer: str
) -> None:
    run = Run(new_uid(), None, 2026, 10, "ann", "", new_uid(), NOVEMBER)
    done = StepDone(state, reason="as it is", invoiced_with=forest.account(payer).number)
    with pytest.raises(CheckViolation), forest.databases.app.transaction(reach=EVERYWHERE) as tx:
        runs.open_run(tx, run, [forest.account("a")])
        runs.note_step(tx, run=run.id, step=1, done=done, at=NOVEMBER)


@pytest.mark.parametrize("over", [["a"], ["a", "first"]])
def test_a_run_that_was_not_asked_for_the_payer_does_not_go_over_it(forest: Ground, over: list[str]) -> None:
    assert run_month(forest, {}, over=over)[0] == "a skipped"
    assert forest.read("select count(*) from invoicing.runs") == [(1,)]


def test_who_failed_is_not_gone_over_again_by_the_run_itself(forest: Ground) -> None:
    forest.use(forest.account("second"), ("2026-10-06", "web", "bytes", 1))
    assert run_month(forest, {}, over=["a", "second"]) == ["a skipped", "second failed"]
    assert forest.read("select count(*) from invoicing.runs") == [(1,)]


# ---------------------------------------------------------------------------------------------------- who waits for it


@pytest.fixture
def command_line(forest: Ground, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Commands speak to a server over this ground."""
    door = Door(forest.databases.app, forest.engine.authorizer, SimulatedClock(NOVEMBER))
    found = routes(door, forest.office, TypstDocuments(), FolderBlobs(tmp_path / "archive"))
    with serving(build_application(found)) as url:
        monkeypatch.setenv("MILO_BILLING_SERVER", url)
        monkeypatch.setenv("MILO_BILLING_TOKEN", "ann")
        yield


def resumed(run: UUID, *options: str) -> int:
    command = ("invoices", "run", "--resume", str(run), *options)
    return app(command, exit_on_error=False, result_action="return_value")


@pytest.mark.usefixtures("command_line")
def test_who_waits_for_a_run_waits_for_the_one_that_follows_it(
    forest: Ground, capsys: pytest.CaptureFixture[str]
) -> None:
    meanwhile = {"a": lambda: change(forest, "a", billingMode="Self")}
    id = run_lane(forest, meanwhile, over=["a", "first", "second"])
    again = finish(forest, id).followed_by
    assert again is not None
    worker = threading.Timer(0.5, finish, (forest, again))  # who waits has asked by then
    worker.start()
    capsys.readouterr()  # what was logged
    code = resumed(id)
    worker.join()
    lines = capsys.readouterr().out.splitlines()
    assert code == 0
    assert [" ".join(line.split()) for line in lines if line] == [
        "ACCOUNT STATE NUMBER TOTAL CURRENCY REASON",
        f"{ACME}/a skipped invoiced with second",
        f"{ACME}/first issued KC-2026-000001 10.00 USD",
        f"{ACME}/second issued KC-2026-000002 10.00 USD",
        "2 issued, 0 unchanged, 1 skipped, 0 failed",
        f"Accounts changed who is invoiced for them meanwhile; run {again} followed, over who is now:",
        "ACCOUNT STATE NUMBER TOTAL CURRENCY REASON",
        f"{ACME}/a issued KC-2026-000003 5.00 USD",
        "1 issued, 0 unchanged, 0 skipped, 0 failed",
    ]
    assert resumed(id, "--output", "json") == 0
    said = json.loads(capsys.readouterr().out)
    (followed,) = said["followingRuns"]
    assert (said["id"], said["followedBy"], said["follows"]) == (str(id), str(again), None)
    assert (followed["id"], followed["followedBy"], followed["follows"]) == (str(again), None, str(id))
    assert [one["account"] for one in followed["accounts"]] == [f"{ACME}/a"]


@pytest.mark.usefixtures("command_line")
def test_a_run_fails_where_the_one_that_follows_it_does(
    forest: Ground, capsys: pytest.CaptureFixture[str]
) -> None:
    def end_alone() -> None:
        change(forest, "a", billingMode="Self")
        forest.use(forest.account("a"), ("2026-10-06", "web", "bytes", 1))

    id = run_lane(forest, {"a": end_alone}, over=["a", "second"])
    again = finish(forest, id).followed_by
    assert again is not None
    finish(forest, again)
    assert resumed(id) == 1
    assert "has no price" in capsys.readouterr().out
