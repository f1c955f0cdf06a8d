"""The same usage under other prices and promises: what differs, whose it is, and that nothing is written."""

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import orjson
import pytest

from milo_billing.accounts.reads import accounts as account_reads
from milo_billing.catalog.resources.books import PriceBook
from milo_billing.commitments import operations
from milo_billing.commitments.resources import simulations
from milo_billing.commitments.types import Compared, Simulation
from milo_billing.infra.database import EVERYWHERE, forbid_writes
from milo_billing.kernel.errors import Invalid
from tests.accounts_world import ACME
from tests.db.commitments.ground import LATER, Ground, gpu_only, minimum


def simulate(ground: Ground, *, now: datetime = LATER, **question: Any) -> Simulation:
    """Ask as a body would: November unless the question says another month."""
    if "from" not in question:
        question = {"month": "2026-11", **question}
    body = orjson.dumps({"billingAccountRef": {"namespace": ACME, "name": "main"}, **question})
    asked = simulations.read_simulation(body, "application/json")
    with ground.world.databases.app.transaction(reach=EVERYWHERE) as tx:
        forbid_writes(tx)
        account = account_reads.find_account(tx, namespace=ACME, name="main")
        book_kind = ground.world.engine.registry.instance(PriceBook)
        assert account is not None
        periods, what_if = simulations.resolve(tx, asked, account=account, book_kind=book_kind)
        return operations.simulate(tx, account=account.number, periods=periods, now=now, what_if=what_if)


def total(found: Simulation) -> tuple[int, int]:
    return found.total.today_minor, found.total.simulated_minor


def by(rows: tuple[Compared[Any], ...]) -> dict[Any, tuple[int, int]]:
    return {one.of: (one.today_minor, one.simulated_minor) for one in rows}


def priced(sku: str, price: str, **more: Any) -> dict[str, Any]:
    return {"skuRef": {"name": sku}, "model": "PerUnit", "unitPrice": price, **more}


@pytest.fixture
def used(ground: Ground) -> Ground:
    """100 gpu and 30 disk at 1 USD in November; 10 gpu in December."""
    ground.use("2026-11-05", "gpu", 100)
    ground.use("2026-11-20", "disk", 30)
    ground.use("2026-12-05", "gpu", 10)
    return ground


def test_with_nothing_other_nothing_differs(used: Ground) -> None:
    used.promise(skuDiscounts=[{"percentage": "20"}], minimumSpends=[minimum("500", "Quarterly")])
    used.discount("all", scope="Invoice", amount="7", currencyCode="USD")
    own_book: dict[str, Any] = {"priceBookRef": {"name": "list"}, "precedence": "Only"}
    questions: tuple[dict[str, Any], ...] = ({}, own_book, {"from": "2026-10", "to": "2027-03"})
    for question in questions:
        found = simulate(used, **question)
        rows = (*found.periods, *found.skus, *found.projects, *found.charges, found.total)
        assert [one for one in rows if one.difference_minor] == []
    assert total(simulate(used))[0] == used.rated(2026, 11).total.minor


def test_a_book_that_is_not_declared_goes_before_the_accounts_own(used: Ground) -> None:
    found = simulate(used, priceBook={"prices": [priced("gpu", "0.8")]})
    assert by(found.skus) == {"gpu": (10000, 8000), "disk": (3000, 3000)}
    assert [one.of for one in found.skus] == ["gpu", "disk"]  # what differs most comes first
    assert total(found) == (13000, 11000)
    assert [one.difference_minor for one in found.projects] == [-2000]


def test_a_book_alone_reports_what_it_does_not_price(used: Ground) -> None:
    found = simulate(used, priceBook={"prices": [priced("gpu", "2")]}, precedence="Only")
    assert total(found) == (13000, 20000)
    assert [[one.meter_name for one in side] for side in found.unpriced] == [[], ["example.com/disk"]]


def test_another_list_leaves_what_was_negotiated_before_it(used: Ground) -> None:
    used.world.create(
        PriceBook,
        "deal",
        {
            "bookName": "deal",
            "role": "Negotiated",
            "effectiveFrom": "2026-01-01",
            "currencyCode": "USD",
            "phase": "Published",
            "prices": [priced("gpu", "0.5")],
        },
    )
    kinds = {kind.plural: type(kind) for kind in used.world.engine.registry.kinds}
    used.world.create(kinds["services"], "compute", {"phase": "Published"})
    used.world.grants.granted["billing.miloapis.com/entitlements.grant"] = EVERYWHERE
    used.world.create(
        kinds["entitlements"],
        "deal",
        {
            "billingAccountRef": {"name": "main"},
            "services": [{"name": "compute"}],
            "priceBookRef": {"name": "deal"},
            "startsAt": "2026-11-01",
        },
        namespace=ACME,
    )
    wanted: dict[str, Any] = {"priceBook": {"prices": [priced("gpu", "3"), priced("disk", "3")]}}
    assert by(simulate(used, **wanted, precedence="List").skus) == {"gpu": (5000, 5000), "disk": (3000, 9000)}
    assert by(simulate(used, **wanted).skus) == {"gpu": (5000, 30000), "disk": (3000, 9000)}


def test_a_version_that_is_still_a_draft_holds_from_the_first_day(used: Ground) -> None:
    used.world.create(
        PriceBook,
        "list-2027",
        {
            "bookName": "list",
            "effectiveFrom": "2027-01-01",
            "currencyCode": "USD",
            "prices": [
                {
                    "skuSelector": {"matchLabels": [{"key": "family", "op": "In", "values": ["gpu"]}]},
                    "model": "PerUnit",
                    "unitPrice": "1.1",
                }
            ],
        },
    )
    found = simulate(used, priceBookRef={"version": "list-2027"}, precedence="List")
    assert by(found.skus)["gpu"] == (10000, 11000)
    # the list that it stands in for held disks; the draft does not
    assert [one.meter_name for one in found.unpriced[1]] == ["example.com/disk"]


def test_an_offer_is_tried_before_it_is_accepted(used: Ground) -> None:
    used.offer(skuDiscounts=[{"percentage": "20"}], minimumSpends=[minimum("150", "Monthly")])
    question: dict[str, Any] = {"from": "2026-11", "to": "2026-12", "commitments": [{"name": "yearly"}]}
    found = simulate(used, **question)
    assert [(one.today_minor, one.simulated_minor) for one in found.periods] == [
        (13000, 15000),
        (1000, 15000),
    ]
    # 130 less 20 % is 104, 10 less 20 % is 8
    assert by(found.charges) == {("Shortfall", "yearly"): (0, 4600 + 14200)}
    assert used.status()["phase"] == "Pending"


def test_a_promise_that_nobody_wrote_down_takes_the_place_of_an_accepted_one(used: Ground) -> None:
    used.promise(skuDiscounts=[{"percentage": "10"}])
    supposed = {"spec": {"startsOn": "2026-11-01", "termMonths": 1, "skuDiscounts": [{"percentage": "30"}]}}
    with pytest.raises(Invalid, match='the same time as "yearly"'):
        simulate(used, commitments=[supposed])
    instead = [{"kind": "Commitment", "name": "yearly"}]
    assert total(simulate(used, commitments=[supposed], without=instead)) == (11700, 9100)
    assert total(simulate(used, without=instead)) == (11700, 13000)


def test_discounts_are_supposed_and_left_out(used: Ground) -> None:
    used.discount("launch", percentage="50", skuSelectors=gpu_only())
    assert total(simulate(used, without=[{"kind": "Discount", "name": "launch"}])) == (8000, 13000)
    fixed = {"spec": {"startsOn": "2026-11-01", "scope": "Invoice", "amount": "10"}}
    found = simulate(used, discounts=[fixed])
    assert total(found) == (8000, 7000)
    assert sum(one.simulated_minor for one in found.projects) == 7000


def test_a_period_that_runs_counts_what_came_in_so_far(used: Ground) -> None:
    early = datetime(2026, 11, 10, tzinfo=UTC)
    assert not simulate(used, now=early).closed
    assert simulate(used, now=LATER).closed


def test_the_example_of_the_documentation_comes_to_what_it_says(used: Ground) -> None:
    page = (Path(__file__).parents[3] / "docs/previews-and-simulations.md").read_text()
    question = orjson.loads(page.split("```json\n")[1].split("```")[0])
    del question["billingAccountRef"]
    found = simulate(used, **question)
    shown = {**by(found.skus), "Total": total(found)}
    shown |= {f"{name}: {kind}": amounts for (kind, name), amounts in by(found.charges).items()}
    for name, (today, simulated) in shown.items():
        cells = [name, *(f"{minor / 100:.2f}" for minor in (today, simulated, simulated - today))]
        assert f"| {' | '.join(cells)} |" in page


REFUSED: list[tuple[dict[str, Any], list[str]]] = [
    ({"month": "2026-13"}, ["month"]),
    ({"from": "2026-01"}, ["month"]),
    ({"from": "2026-01", "to": "2027-01"}, ["to"]),
    ({"precedence": "Only"}, ["precedence"]),
    ({"priceBook": {"prices": []}, "priceBookRef": {"name": "list"}}, ["priceBookRef"]),
    ({"priceBookRef": {}}, ["priceBookRef"]),
    ({"priceBookRef": {"name": "none"}}, ["priceBookRef.name"]),
    ({"priceBookRef": {"version": "none"}}, ["priceBookRef.version"]),
    ({"priceBook": {"colour": "red", "currencyCode": "USX", "prices": []}}, ["priceBook.colour"]),
    ({"priceBook": {"currencyCode": "USX", "prices": []}}, ["priceBook.currencyCode"]),
    ({"priceBook": {"effectiveFrom": "2026-02-30", "prices": []}}, ["priceBook.effectiveFrom"]),
    ({"priceBook": {"prices": [priced("none", "1")]}}, ["priceBook.prices[0].skuRef.name"]),
    (
        {"priceBook": {"prices": [{"model": "Flat"}]}},
        ["priceBook.prices[0].skuRef", "priceBook.prices[0].unitPrice"],
    ),
    ({"commitments": [{}]}, ["commitments[0].spec"]),
    ({"commitments": [{"name": "none"}]}, ["commitments[0].name"]),
    ({"commitments": [{"spec": {"startsOn": "2026-11-01"}}]}, ["commitments[0].spec.termMonths"]),
    ({"commitments": [{"spec": {"startsOn": "2026-11-01", "termMonths": 1}}]}, ["commitments[0].spec"]),
    ({"discounts": [{"spec": {"startsOn": "2026-11-01"}}]}, ["discounts[0].spec"]),
    ({"discounts": [{"name": "none"}]}, ["discounts[0].name"]),
    ({"without": [{"kind": "Discount", "name": "none"}]}, ["without[0].name"]),
    (
        {
            "without": [{"kind": "Discount", "name": "none"}],
            "commitments": [{"name": "none"}],
            "priceBookRef": {"version": "none"},
        },
        ["without[0].name", "priceBookRef.version", "commitments[0].name"],
    ),
]


@pytest.mark.parametrize(("question", "fields"), REFUSED)
def test_what_cannot_be_asked_is_refused_by_its_field(
    ground: Ground, question: dict[str, Any], fields: list[str]
) -> None:
    with pytest.raises(Invalid) as refused:
        simulate(ground, **question)
    assert [error.field for error in refused.value.errors] == fields
