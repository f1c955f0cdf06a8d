"""When an entitlement holds, what may change about that, and what a review answers."""

from datetime import date
from uuid import UUID

import pytest

from milo_billing.accounts.types import Account, AccountPhase
from milo_billing.entitlements.rules import terms
from milo_billing.entitlements.rules.reviews import Ground, decide
from milo_billing.entitlements.types import HeldEntitlement, Term

TODAY = date(2026, 10, 15)


def day(number: int) -> date:
    return date(2026, 10, number)


@pytest.mark.parametrize(
    ("term", "phase"),
    [
        (Term(day(16), None), "Scheduled"),
        (Term(day(15), None), "Active"),
        (Term(day(1), day(16)), "Active"),
        (Term(day(1), day(15)), "Ended"),  # the day it ends on is not one of its days
        (Term(day(15), day(15)), "Ended"),
    ],
)
def test_a_phase_follows_from_the_days(term: Term, phase: str) -> None:
    assert terms.phase_on(term, today=TODAY) == phase
    assert (TODAY in term) == (phase == "Active")


@pytest.mark.parametrize(
    ("starts", "billed", "granted", "said"),
    [
        (15, None, False, None),
        (14, None, False, "needs grant"),
        (14, None, True, None),
        (14, 15, True, "invoiced up to 2026-10-15"),
        (14, 14, True, None),
    ],
)
def test_a_start_in_the_past_needs_staff_and_days_that_no_invoice_has(
    starts: int, billed: int | None, granted: bool, said: str | None
) -> None:
    errors = list(
        terms.start_errors(
            Term(day(starts), None),
            today=TODAY,
            billed_until=None if billed is None else day(billed),
            may_backdate=granted,
            permission="grant",
        )
    )
    assert [said is not None and said in error.message for error in errors] == [True] * (said is not None)


@pytest.mark.parametrize(
    ("before", "after", "allowed"),
    [
        (None, 20, True),
        (None, 15, True),
        (None, 14, False),
        (20, None, True),
        (20, 18, True),
        (15, 20, False),  # it ended today
        (15, 15, True),
    ],
)
def test_an_end_may_move_while_it_is_to_come(before: int | None, after: int | None, allowed: bool) -> None:
    old, new = (Term(day(1), None if end is None else day(end)) for end in (before, after))
    assert (list(terms.end_errors(old, new, today=TODAY)) == []) == allowed


@pytest.mark.parametrize(
    ("term", "left"),
    [
        (Term(day(1), None), Term(day(1), day(15))),
        (Term(day(1), day(10)), Term(day(1), day(10))),
        (Term(day(20), None), Term(day(20), day(20))),  # it never held
    ],
)
def test_a_deleted_entitlement_keeps_its_days_before_today(term: Term, left: Term) -> None:
    assert terms.ended_now(term, today=TODAY) == left


def account(phase: AccountPhase = "Ready") -> Account:
    return Account(1, UUID(int=1), "organization-acme", "main", 1, "USD", "Etc/UTC", phase, None, 1)


READY = account()


def held(
    name: str, starts: int, ends: int | None, *services: str, offer: str | None = None
) -> HeldEntitlement:
    term = Term(day(starts), None if ends is None else day(ends))
    return HeldEntitlement(name, term, services or ("compute",), offer, "", 1)


def ask(
    *entitlements: HeldEntitlement,
    payer: Account | None = READY,
    exists: bool = True,
    service_phase: str | None = "Published",
) -> tuple[str, str | None]:
    verdict = decide(
        Ground("web", "compute", exists, service_phase, payer, TODAY if payer else None, entitlements)
    )
    assert verdict.allowed == (verdict.reason == "Entitled")
    assert verdict.message
    return verdict.reason, None if verdict.entitlement is None else verdict.entitlement.name


def test_a_review_says_the_first_reason_that_stands_against_it() -> None:
    good = held("pro", 1, None)
    assert ask(good) == ("Entitled", "pro")
    assert ask(good, exists=False) == ("ProjectNotFound", None)
    assert ask(good, service_phase=None) == ("ServiceNotFound", None)
    assert ask(good, service_phase="Draft") == ("ServiceNotOffered", None)
    assert ask(good, service_phase="Deprecated") == ("Entitled", "pro")
    assert ask(good, payer=None) == ("NoBillingAccount", None)
    assert ask(good, payer=account("Suspended")) == ("AccountSuspended", None)
    assert ask(good, payer=account("Archived")) == ("AccountArchived", None)
    assert ask(good, payer=account("Provisioning")) == ("Entitled", "pro")
    assert ask() == ("NotEntitled", None)
    assert ask(held("storage", 1, None, "storage")) == ("NotEntitled", None)
    assert ask(held("late", 20, None), held("soon", 16, None)) == ("NotStarted", "soon")
    assert ask(held("old", 1, 5), held("older", 1, 3)) == ("Ended", "old")
    assert ask(held("short", 1, 20), held("long", 1, None), held("b", 1, None)) == ("Entitled", "b")
