"""Offers and entitlements through the real engine: who may give what, phases by the account's day, books, reviews."""

from datetime import UTC, date, datetime
from typing import Any

import psycopg
import pytest

from milo_billing.accounts import operations as accounts
from milo_billing.accounts.reads import accounts as account_reads
from milo_billing.entitlements import jobs, operations, reads
from milo_billing.entitlements.jobs import settle_due
from milo_billing.entitlements.resources.entitlements import GRANT, Entitlement
from milo_billing.entitlements.resources.offers import Offer
from milo_billing.entitlements.types import AccountBook, ReviewReason, Term
from milo_billing.infra.database import EVERYWHERE, connect
from milo_billing.kernel.errors import Conflict
from tests.accounts_world import ACME, World
from tests.db.entitlements.ground import PRO, entitle, publish, terms

SERVICES = {"services": [{"name": "storage"}]}
ACME_BOOK = {"priceBookRef": {"name": "acme-usd"}}


@pytest.fixture
def staffed(world: World) -> World:
    """Everybody is staff."""
    world.grants.granted[GRANT] = EVERYWHERE
    return world


def phase(world: World, name: str = "main-pro") -> str:
    return world.status(Entitlement, name, namespace=ACME)["phase"]


def settle(world: World, *instant: int) -> bool:
    """Let it be that instant of UTC, and the job run; whether it found something to do."""
    world.clock.instant = datetime(2026, *instant, tzinfo=UTC)
    return settle_due(world.engine, world.databases.app, world.clock, after=0) is not None


def review(world: World, service: str = "llm", *, project: str = "web") -> ReviewReason:
    with world.databases.app.transaction(reach=EVERYWHERE) as tx:
        verdict, _ = operations.review(tx, project=project, service=service, now=world.clock.now())
    return verdict.reason


def list_books(world: World, *, start: date = date(2026, 10, 1)) -> list[AccountBook]:
    with world.databases.app.transaction(reach=EVERYWHERE) as tx:
        account = account_reads.find_account(tx, namespace=ACME, name="main")
        assert account is not None
        return [*reads.list_account_books(tx, account=account.number, start=start, end=date(2026, 11, 1))]


def test_an_entitlement_starts_and_ends_at_midnight_of_its_account(world: World) -> None:
    entitle(world, startsAt="2026-10-10", endsAt="2026-10-20")
    assert phase(world) == "Scheduled"
    assert review(world) == "NotStarted"
    assert not settle(world, 10, 10, 3, 59)  # 23:59 in New York
    assert review(world) == "NotStarted"
    world.clock.instant = datetime(2026, 10, 10, 4, tzinfo=UTC)
    assert (phase(world), review(world)) == ("Scheduled", "Entitled")  # access does not wait for the job
    assert settle(world, 10, 10, 4, 0)
    status = world.status(Entitlement, "main-pro", namespace=ACME)
    assert (status["phase"], status["trialEndsAt"]) == ("Active", "2026-10-24")
    assert [(c["type"], c["status"], c["reason"]) for c in status["conditions"]] == [
        ("Active", "True", "Active")
    ]
    assert not settle(world, 10, 10, 4, 5)
    assert settle(world, 10, 20, 4, 0)
    assert (phase(world), review(world)) == ("Ended", "Ended")


def test_the_job_goes_over_all_that_are_due_in_bounded_steps(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("milo_billing.entitlements.jobs.AT_ONCE_MAX", 2)
    for number in range(3):
        entitle(world, f"e{number}", startsAt="2026-10-10")
    world.clock.instant = datetime(2026, 10, 11, tzinfo=UTC)
    (job,) = jobs.tasks(engine=world.engine, database=world.databases.app, clock=world.clock)
    job.task.run(timestamp=0)
    assert {phase(world, f"e{number}") for number in range(3)} == {"Active"}


def test_a_customer_takes_offers_and_staff_give_the_rest(world: World) -> None:
    entitle(world, quantity=3)
    for given in (SERVICES, ACME_BOOK, {"limits": {"seats": "5"}}):
        refused = world.refusals(Entitlement, "self-served", terms(**given), namespace=ACME)
        assert [GRANT in message for message in refused] == [True], refused
    assert (
        "needs " + GRANT
        in world.refusals(Entitlement, "early", terms(startsAt="2026-09-30"), namespace=ACME)[0]
    )
    world.grants.granted[GRANT] = frozenset({1})  # an administrator of acme holds everything, but only there
    assert world.refusals(Entitlement, "cheap", terms(**ACME_BOOK), namespace=ACME)
    world.grants.granted[GRANT] = EVERYWHERE
    entitle(world, "cheap", **SERVICES, **ACME_BOOK, limits={"seats": "5"}, startsAt="2026-09-01")
    world.grants.granted.clear()
    assert world.changes_refused(Entitlement, "cheap", {"endsAt": "2027-10-01"}, namespace=ACME)


def test_what_an_entitlement_refers_to_must_be_there(staffed: World) -> None:
    staffed.create(Offer, "later", {**PRO, "phase": "Draft"})
    publish(staffed, "draft-usd", phase="Draft")
    publish(staffed, "rivals", organizationRef={"name": "rival"})
    cases: list[tuple[dict[str, Any], str]] = [
        ({"billingAccountRef": {"name": "none"}}, "spec.billingAccountRef.name: Not found"),
        ({"offerRef": {"name": "none"}}, "spec.offerRef.name: Not found"),
        ({"offerRef": {"name": "later"}}, "is a draft"),
        ({"offerRef": {"name": "pro"}, **SERVICES}, "exactly one of offerRef and services"),
        ({"services": [{"name": "none"}]}, "spec.services[0].name: Not found"),
        ({"services": []}, "exactly one of offerRef and services"),
        ({"priceBookRef": {"name": "none"}}, "spec.priceBookRef.name"),
        ({"priceBookRef": {"name": "draft-usd"}}, "published Negotiated book"),
        ({"priceBookRef": {"name": "rivals"}}, "published Negotiated book"),
        ({"endsAt": "2026-10-01"}, "must be after startsAt"),
        ({"startsAt": "2026-02-30"}, "spec.startsAt"),
    ]
    for spec, said in cases:
        refused = staffed.refusals(Entitlement, "wrong", terms(**spec), namespace=ACME)
        assert any(said in message for message in refused), (said, refused)


def test_only_end_quantity_and_limits_change(staffed: World) -> None:
    entitle(staffed)
    staffed.patch(Entitlement, "main-pro", {"quantity": 7, "endsAt": "2026-10-20"}, namespace=ACME)
    for path, value in (
        ("startsAt", "2026-10-02"),
        ("billingAccountRef", {"name": "other"}),
        ("priceBookRef", {"name": "acme-usd"}),
        ("endsAt", "2026-09-30"),
    ):
        refused = staffed.changes_refused(Entitlement, "main-pro", {path: value}, namespace=ACME)
        assert any(message.startswith(f"spec.{path}") for message in refused), refused
    staffed.clock.instant = datetime(2026, 10, 21, 12, tzinfo=UTC)
    refused = staffed.changes_refused(Entitlement, "main-pro", {"endsAt": "2026-12-01"}, namespace=ACME)
    assert "it ended on 2026-10-20" in refused[0]


def test_an_entitlement_does_not_reach_back_into_invoiced_days(staffed: World) -> None:
    with staffed.databases.app.transaction(reach=EVERYWHERE) as tx:
        account = account_reads.find_account(tx, namespace=ACME, name="main")
        assert account is not None
        accounts.hold_fence(tx, exclusive=False)
        accounts.hold_billing(tx, accounts=[account.number])
        accounts.mark_billed(tx, account=account.number, until=datetime(2026, 9, 1, 4, tzinfo=UTC))
    refused = staffed.refusals(Entitlement, "early", terms(startsAt="2026-08-31"), namespace=ACME)
    assert "invoiced up to 2026-09-01" in refused[0]
    entitle(staffed, startsAt="2026-09-01")


def test_books_come_negotiated_first_and_the_latest_first(staffed: World) -> None:
    publish(staffed, "old-usd")
    entitle(staffed, "pro", startsAt="2026-09-01")
    entitle(staffed, "acme", **SERVICES, priceBookRef={"name": "old-usd"}, startsAt="2026-09-02")
    entitle(staffed, "newer", **SERVICES, **ACME_BOOK, endsAt="2026-10-20")
    open_term = Term(date(2026, 9, 2), None)
    assert list_books(staffed) == [
        AccountBook("newer", None, "acme-usd", Term(date(2026, 10, 1), date(2026, 10, 20))),
        AccountBook("acme", None, "old-usd", open_term),
        AccountBook("pro", "pro", "pro-usd", Term(date(2026, 9, 1), None)),
    ]
    assert [book.book for book in list_books(staffed, start=date(2026, 10, 20))] == ["old-usd", "pro-usd"]


def test_deleting_ends_today_and_leaves_what_was_charged(staffed: World) -> None:
    entitle(staffed, startsAt="2026-09-01")
    entitle(staffed, "coming", startsAt="2026-11-01")
    staffed.clock.instant = datetime(2026, 10, 15, 3, tzinfo=UTC)  # the 14th in New York
    for name in ("main-pro", "coming"):
        staffed.delete(Entitlement, name, namespace=ACME)
    assert [book.term for book in list_books(staffed)] == [Term(date(2026, 9, 1), date(2026, 10, 14))]
    assert review(staffed) == "Ended"
    entitle(staffed, startsAt="2026-10-14")  # the name is free again
    assert review(staffed) == "Entitled"


def test_a_published_offer_stays_as_it_is_while_it_is_taken(staffed: World) -> None:
    entitle(staffed)
    assert staffed.changes_refused(Offer, "pro", {"tier": "Max"}) == [
        "spec: Forbidden: a published offer is immutable; publish another one"
    ]
    with pytest.raises(Conflict, match="organization-acme/main-pro"):
        staffed.delete(Offer, "pro")
    staffed.delete(Entitlement, "main-pro", namespace=ACME)
    staffed.delete(Offer, "pro")


def test_an_offer_is_published_with_services_and_prices_that_there_are(world: World) -> None:
    refused = world.refusals(
        Offer,
        "odd",
        {**PRO, "services": [{"name": "llm"}, {"name": "none"}], "priceBookRef": {"name": "none"}},
    )
    assert [message.split(":")[0] for message in refused] == [
        "spec.services[1].name",
        "spec.priceBookRef.name",
    ]
    assert world.refusals(Offer, "odd", {**PRO, "services": [{"name": "llm"}, {"name": "llm"}]})


def test_reviews_follow_the_payer_and_his_standing(staffed: World) -> None:
    entitle(staffed)
    assert [review(staffed), review(staffed, "storage"), review(staffed, "none")] == [
        "Entitled",
        "NotEntitled",
        "ServiceNotFound",
    ]
    assert review(staffed, project="none") == "ProjectNotFound"
    staffed.account("other")
    staffed.clock.forward(minutes=1)
    staffed.bind("web-other", project="web", account="other")
    staffed.clock.forward(minutes=1)
    assert review(staffed) == "NotEntitled"


def test_the_database_keeps_the_history_of_entitlements(staffed: World) -> None:
    entitle(staffed)
    for statement in (
        "delete from entitlements.entitlements",
        "update entitlements.entitlements set book = 'cheap'",
        "update entitlements.entitlements set starts_on = '2020-01-01'",
    ):
        with (
            connect(staffed.databases.app.conninfo, role="milo_owner") as tx,
            pytest.raises(psycopg.errors.RestrictViolation),
        ):
            tx.execute(statement.encode())
