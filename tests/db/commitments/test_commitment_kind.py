"""The life of a commitment: offered, accepted, active, over; what is refused, what is protected, what is said."""

from datetime import UTC, datetime
from typing import Any

import pytest
from psycopg import errors

from milo_billing.accounts.resources.accounts import BillingAccount
from milo_billing.commitments import jobs
from milo_billing.commitments.resources.commitments import CommitmentKind
from milo_billing.commitments.types import UnableToAccept
from milo_billing.directory.resources import Project
from milo_billing.infra.database import EVERYWHERE
from milo_billing.kernel.errors import Conflict, Invalid
from tests.accounts_world import ACME
from tests.db.commitments.ground import Ground, gpu_only, minimum


def condition(status: dict[str, Any], type: str) -> tuple[str, str]:
    (found,) = [one for one in status["conditions"] if one["type"] == type]
    return found["status"], found["reason"]


def look(ground: Ground, at: datetime) -> dict[str, Any]:
    """What the worker's hourly look makes of the commitment at that time."""
    ground.world.clock.instant = at
    jobs.assess_all(ground.world.engine, ground.world.databases.app, ground.world.clock)
    return ground.status()


def account_version(ground: Ground) -> int:
    with ground.world.databases.app.transaction(reach=EVERYWHERE) as tx:
        row = tx.execute(
            "select resource_version from controlplane.objects where resource = 'billingaccounts' and name = 'main'"
        ).fetchone()
        assert row is not None
        return row[0]


def test_it_is_pending_active_and_fulfilled_and_says_so(ground: Ground) -> None:
    ground.offer(minimumSpends=[minimum("100", "Monthly")], termMonths=2)
    assert condition(ground.status(), "CommitmentActive") == ("False", "AwaitingAcceptance")
    accepted = ground.accept()
    assert accepted["acceptance"] == {"acceptedBy": "ann", "acceptedAt": "2026-10-01T12:00:00Z"}
    assert (accepted["phase"], accepted["endsOn"]) == ("Pending", "2027-01-01")
    ground.use("2026-11-05", "gpu", 120)
    status = look(ground, datetime(2026, 11, 20, tzinfo=UTC))
    assert (status["phase"], condition(status, "CommitmentViolation")) == (
        "Active",
        ("False", "NoIntervalEnded"),
    )
    status = look(ground, datetime(2026, 12, 2, tzinfo=UTC))
    assert condition(status, "CommitmentViolation") == ("False", "MinimumSpendMet")
    status = look(ground, datetime(2027, 1, 2, tzinfo=UTC))
    assert (status["phase"], condition(status, "CommitmentActive")) == ("Fulfilled", ("False", "TermOver"))
    assert condition(status, "CommitmentViolation") == ("True", "MinimumSpendNotMet")
    assert "0.00 USD from 2026-12-01 to 2027-01-01 is 100.00 USD below" in str(status["conditions"])
    assert look(ground, datetime(2027, 1, 2, 1, tzinfo=UTC)) == status


def test_a_missed_minimum_that_is_only_notified_makes_it_expire(ground: Ground) -> None:
    ground.promise(minimumSpends=[minimum("1", "Term")], violationPolicy={"type": "NotifyOnly"}, termMonths=1)
    assert look(ground, datetime(2026, 12, 2, tzinfo=UTC))["phase"] == "Expired"


def test_late_usage_mends_what_was_said(ground: Ground) -> None:
    ground.promise(minimumSpends=[minimum("100", "Monthly")])
    at = datetime(2026, 12, 2, tzinfo=UTC)
    assert condition(look(ground, at), "CommitmentViolation")[0] == "True"
    ground.use("2026-11-30", "gpu", 100)
    assert condition(look(ground, at), "CommitmentViolation")[0] == "False"


def test_the_account_says_whether_its_promises_are_met(ground: Ground) -> None:
    def said() -> tuple[str, str]:
        return condition(ground.world.status(BillingAccount, "main", namespace=ACME), "CommitmentMet")

    ground.offer(minimumSpends=[minimum("100", "Monthly")], termMonths=1)
    ground.offer("second", minimumSpends=[minimum("1", "Monthly")], startsOn="2026-12-01", termMonths=6)
    standing = ground.world.status(BillingAccount, "main", namespace=ACME)
    assert "CommitmentMet" not in str(standing)
    ground.accept()
    assert said() == ("Unknown", "NoIntervalEnded")
    ground.accept("second")
    look(ground, datetime(2026, 12, 2, tzinfo=UTC))
    assert said() == ("False", "MinimumSpendNotMet")
    standing = ground.world.status(BillingAccount, "main", namespace=ACME)
    assert 'Commitment "yearly": Spend of 0.00 USD from 2026-11-01 to 2026-12-01 is 100.00 USD' in str(
        standing
    )
    assert condition(standing, "Ready")[0] == "True"
    before = account_version(ground)
    look(ground, datetime(2026, 12, 2, 1, tzinfo=UTC))
    assert account_version(ground) == before
    ground.use("2026-11-30", "gpu", 100)
    look(ground, datetime(2026, 12, 3, tzinfo=UTC))
    assert said() == ("True", "MinimumSpendMet")


def test_what_ended_long_ago_no_longer_counts_beside_what_runs(ground: Ground) -> None:
    ground.promise(minimumSpends=[minimum("100", "Monthly")], termMonths=1)
    ground.promise("second", minimumSpends=[minimum("1", "Yearly")], startsOn="2026-12-01", termMonths=12)
    for day, reason in ((2, "MinimumSpendNotMet"), (16, "NoIntervalEnded")):
        look(ground, datetime(2027, 1, day, tzinfo=UTC))
        standing = ground.world.status(BillingAccount, "main", namespace=ACME)
        assert condition(standing, "CommitmentMet")[1] == reason


def test_ending_a_commitment_early_says_how_the_account_stands_at_once(ground: Ground) -> None:
    ground.promise(minimumSpends=[minimum("100", "Monthly")])
    look(ground, datetime(2026, 12, 2, tzinfo=UTC))
    ground.world.act(CommitmentKind, "yearly", "terminate", {"reason": "moved"})
    standing = ground.world.status(BillingAccount, "main", namespace=ACME)
    assert condition(standing, "CommitmentMet") == ("False", "MinimumSpendNotMet")


def test_accepting_again_changes_nothing_and_what_was_accepted_stays(ground: Ground) -> None:
    ground.promise(minimumSpends=[minimum("100", "Monthly")])
    ground.world.clock.forward(hours=1)
    assert ground.accept()["acceptance"]["acceptedAt"] == "2026-10-01T12:00:00Z"
    (said,) = ground.world.changes_refused(CommitmentKind, "yearly", {"termMonths": 1}, namespace=ACME)
    assert "immutable but for renewalPolicy" in said
    with pytest.raises(Conflict, match="was accepted and stays"):
        ground.world.delete(CommitmentKind, "yearly", namespace=ACME)


@pytest.mark.parametrize(
    "statement",
    [
        "update commitments.commitments set body = body || '{\"termMonths\": 1}'",
        "update commitments.commitments set accepted_at = null",
        "delete from commitments.commitments",
    ],
)
def test_the_database_keeps_what_was_accepted_too(ground: Ground, statement: str) -> None:
    ground.promise(minimumSpends=[minimum("100", "Monthly")])
    with (
        pytest.raises(errors.RestrictViolation),
        ground.world.databases.app.transaction(reach=EVERYWHERE) as tx,
    ):
        tx.execute(statement.encode())


def test_an_offer_can_be_changed_and_taken_back(ground: Ground) -> None:
    ground.offer(minimumSpends=[minimum("100", "Monthly")])
    ground.world.patch(CommitmentKind, "yearly", {"termMonths": 1}, namespace=ACME)
    assert ground.status()["endsOn"] == "2026-12-01"
    ground.world.delete(CommitmentKind, "yearly", namespace=ACME)


def test_a_second_commitment_on_the_same_skus_is_refused_unless_both_say_how_they_stack(
    ground: Ground,
) -> None:
    everything, gpus = [minimum("1", "Term")], [minimum("1", "Term", skuSelectors=gpu_only())]
    ground.promise("first", minimumSpends=everything)
    ground.offer("second", minimumSpends=gpus, stacking="Best")
    with pytest.raises(UnableToAccept, match='same time as "first"'):
        ground.accept("second")
    ground.promise("after", minimumSpends=everything, startsOn="2027-11-01")
    ground.promise("a", minimumSpends=gpus, startsOn="2029-01-01", stacking="Best")
    ground.promise("b", minimumSpends=everything, startsOn="2029-01-01", stacking="Best")


def test_the_database_refuses_two_promises_on_everything_too(ground: Ground) -> None:
    ground.promise("first", minimumSpends=[minimum("1", "Term")])
    ground.offer("second", minimumSpends=[minimum("1", "Term")])
    with (
        pytest.raises(errors.ExclusionViolation),
        ground.world.databases.app.transaction(reach=EVERYWHERE) as tx,
    ):
        tx.execute("update commitments.commitments set accepted_at = now() where name = 'second'")


def test_it_cannot_be_accepted_into_an_invoiced_period_or_after_its_end(ground: Ground) -> None:
    ground.offer(minimumSpends=[minimum("1", "Term")], startsOn="2026-09-15", termMonths=3)
    with ground.world.databases.app.transaction(reach=EVERYWHERE) as tx:
        tx.execute("insert into accounts.billed select number, '2026-10-01Z', 1 from accounts.accounts")
    with pytest.raises(UnableToAccept, match="within an invoiced period"):
        ground.accept()
    ground.offer("old", minimumSpends=[minimum("1", "Term")], startsOn="2026-01-01", termMonths=1)
    with pytest.raises(UnableToAccept, match="ended on 2026-02-01"):
        ground.accept("old")
    assert ground.status("old")["phase"] == "Expired"


def test_protected_resources_stay_until_the_end(ground: Ground) -> None:
    resources = [{"type": "resourcemanager.miloapis.com/projects", "name": "web"}]
    ground.promise(resources=resources)
    with pytest.raises(Conflict, match="protects it during its term"):
        ground.world.delete(Project, "web")
    ground.world.act(CommitmentKind, "yearly", "terminate", {"reason": "customer left"})
    assert ground.status()["phase"] == "Terminated"
    ground.world.delete(Project, "web")


def test_the_account_of_a_promise_stays_and_an_offer_outlives_its_account(ground: Ground) -> None:
    ground.promise(minimumSpends=[minimum("1", "Term")])
    with pytest.raises(Conflict, match="protects it during its term"):
        ground.world.delete(BillingAccount, "main", namespace=ACME)
    ground.world.account("other")
    ground.offer("late", billingAccountRef={"name": "other"}, minimumSpends=[minimum("1", "Term")])
    ground.world.delete(BillingAccount, "other", namespace=ACME)
    look(ground, datetime(2026, 11, 20, tzinfo=UTC))
    with pytest.raises(UnableToAccept, match="archived or gone"):
        ground.accept("late")
    ground.world.delete(CommitmentKind, "late", namespace=ACME)


def test_ending_it_early_owes_the_minimum_of_the_days_until_then(ground: Ground) -> None:
    ground.promise(minimumSpends=[minimum("300", "Monthly")])
    ground.world.clock.instant = datetime(2026, 11, 11, 9, tzinfo=UTC)
    status = ground.world.act(CommitmentKind, "yearly", "terminate", {"reason": "merged"}).status
    assert (status["endsOn"], status["termination"]["reason"]) == ("2026-11-11", "merged")
    assert ground.charges(2026, 11) == [("Shortfall", 10000)]
    with pytest.raises(Conflict, match="is over: it is Terminated"):
        ground.world.act(CommitmentKind, "yearly", "terminate", {"reason": "again"})


def test_a_renewal_that_is_taken_back_ends_with_the_running_term(ground: Ground) -> None:
    ground.promise(termMonths=1, renewalPolicy="Restart", minimumSpends=[minimum("10", "Term")])
    status = look(ground, datetime(2027, 2, 10, tzinfo=UTC))
    assert (status["phase"], status.get("endsOn")) == ("Active", None)
    ground.world.patch(CommitmentKind, "yearly", {"renewalPolicy": "None"}, namespace=ACME)
    assert ground.status()["endsOn"] == "2027-03-01"
    assert look(ground, datetime(2027, 3, 2, tzinfo=UTC))["phase"] == "Fulfilled"
    assert [ground.charges(2027, month) for month in (2, 3)] == [[("Shortfall", 1000)], []]


@pytest.mark.parametrize(
    ("spec", "said"),
    [
        ({}, "spec: Required value: a commitment has minimumSpends"),
        ({"startsOn": "2026-02-30", "prepayment": {"amount": "1"}}, "is not a date of the calendar"),
        ({"minimumSpends": [minimum("1", "Term", currencyCode="EUR")]}, 'billing account "main" is in USD'),
        ({"startsOn": "9999-12-31", "prepayment": {"amount": "1"}}, "must lie in the years 2000 to 2200"),
        ({"prepayment": {"amount": "0"}}, "spec.prepayment.amount: Invalid value"),
        ({"minimumSpends": [minimum("0", "Term")]}, "spec.minimumSpends[0].amount"),
        ({"skuDiscounts": [{"percentage": "101"}]}, "must be above 0 and at most 100"),
        (
            {"skuDiscounts": [{"percentage": "1", "skuSelectors": [{"cel": "labels.x == 'y'"}]}]},
            "spec.skuDiscounts[0].priority: Required value",
        ),
        (
            {"skuDiscounts": [{"percentage": "1", "priority": 1, "skuSelectors": [{"cel": "labels.x =="}]}]},
            "spec.skuDiscounts[0].skuSelectors[0].cel: Invalid value",
        ),
        (
            {"skuDiscounts": [{"percentage": "1"}, {"percentage": "2"}]},
            "spec.skuDiscounts[1]: Invalid value: may select the same Sku as skuDiscounts[0]",
        ),
        ({"prepayment": {"amount": "1"}, "overageFactor": "2"}, "spec.overageFactor: Forbidden"),
        (
            {"prepayment": {"amount": "1"}, "violationPolicy": {"type": "GracePeriod"}},
            "spec.violationPolicy.days: Required value",
        ),
        ({"resources": [{"type": "a.b/c", "name": "x"}]}, 'spec.resources[0].name: Not found: "x"'),
        (
            {"billingAccountRef": {"name": "none"}, "prepayment": {"amount": "1"}},
            'spec.billingAccountRef.name: Not found: "none"',
        ),
    ],
)
def test_what_cannot_be_promised_is_refused_at_its_field(
    ground: Ground, spec: dict[str, Any], said: str
) -> None:
    wanted = {"billingAccountRef": {"name": "main"}, "startsOn": "2026-11-01", "termMonths": 12, **spec}
    refused = ground.world.refusals(CommitmentKind, "yearly", wanted, namespace=ACME)
    assert any(said in one for one in refused), refused


def test_another_organizations_objects_cannot_be_protected(ground: Ground) -> None:
    ground.world.project("theirs", organization="rival")
    with pytest.raises(Invalid, match=r"spec\.resources"):
        ground.offer(resources=[{"type": "resourcemanager.miloapis.com/projects", "name": "theirs"}])
