"""Credit that is granted: used by invoices in its order, settled, given back, lapsed, revoked, and in the books."""

from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import psycopg
import pytest

from milo_billing.accounts.types import Account
from milo_billing.app.ledger_ports import above_the_books
from milo_billing.controlplane.decoding import Draft
from milo_billing.infra.clock import SimulatedClock
from milo_billing.infra.database import EVERYWHERE, Tx
from milo_billing.invoicing.jobs import daily
from milo_billing.invoicing.operations import previewing
from milo_billing.invoicing.reads import grants as grant_reads
from milo_billing.invoicing.types.invoices import Invoice, Preview
from milo_billing.kernel.errors import Conflict, Invalid
from milo_billing.ledger import operations as ledger
from tests.db.invoicing.ground import ACME, DECLARED, NOVEMBER, Ground
from tests.db.invoicing.paying import as_it_stands, pay

DECEMBER = datetime(2026, 12, 2, 9, 30, tzinfo=UTC)
RECEIVABLE, PREPAID = "Assets:Receivable", "Liabilities:MoneyOnAccount:Prepaid"


@pytest.fixture
def account(ground: Ground) -> Account:
    return ground.declare_account()


def grant(
    ground: Ground, name: str, kind: str, amount: str, *, now: datetime = DECLARED, **spec: Any
) -> UUID:
    """Grant credit, as staff do; prepaid money came to the bank unless said otherwise."""
    wanted: dict[str, Any] = {
        "billingAccountRef": {"name": "main"},
        "kind": kind,
        "amount": amount,
        "currencyCode": "USD",
        "reason": "agreed",
        **({"receivedInto": "bank"} if kind == "Prepaid" else {}),
        **spec,
    }
    served = ground.engine.registry.get("billing.miloapis.com", "creditgrants")
    draft = Draft(name, "", "", "", "", {}, {}, wanted, {})
    return ground.write(
        lambda work: ground.engine.create(work, served, namespace=ACME, draft=draft), now=now
    ).uid


def act(ground: Ground, plural: str, name: str, action: str, *, now: datetime = NOVEMBER) -> None:
    served = ground.engine.registry.get("billing.miloapis.com", plural)
    ground.write(
        lambda work: ground.engine.act(
            work, served, namespace=ACME, name=name, action=action, request={"reason": "a mistake"}
        ),
        now=now,
    )


def credit(ground: Ground, invoice: Invoice, name: str = "cn", **spec: Any) -> dict[str, Any]:
    wanted = {"invoiceRef": {"name": invoice.name}, "reason": "an outage", **spec}
    served = ground.engine.registry.get("billing.miloapis.com", "creditnotes")
    draft = Draft(name, "", "", "", "", {}, {}, wanted, {})
    return ground.write(
        lambda work: ground.engine.create(work, served, namespace=ACME, draft=draft), now=NOVEMBER
    ).status


def status(ground: Ground, uid: UUID) -> tuple[str, ...]:
    """(phase, remaining, used) as the object says."""
    ((body,),) = ground.read("select status from controlplane.objects where uid = %s", uid)
    return body["phase"], body["remaining"], body["used"]


def moved(ground: Ground, uid: UUID) -> list[tuple[str, int]]:
    found = ground.reading(lambda tx: grant_reads.list_movements(tx, grant=uid, after=0, limit=50))
    return [(one.kind, one.amount_minor) for one in found]


def balances(ground: Ground) -> dict[str, int]:
    rows = ground.read(
        "select account, sum(amount_minor)::bigint from ledger.entries group by account having sum(amount_minor) <> 0"
    )
    return dict(rows)


def assert_books(ground: Ground) -> None:
    """Everything balances, and every subledger is the sum of its documents."""
    above = above_the_books()
    found = ground.reading(
        lambda tx: ledger.verify(tx, subledgers=(above.receivables, *above.others), everything=True)
    )
    assert found == ()


def issued(ground: Ground, account: Account, dollars: int = 100) -> Invoice:
    ground.spend(account, "2026-10-05", dollars)
    return as_it_stands(ground, ground.issued(account))


def previewed(ground: Ground, account: Account) -> Preview:
    return ground.reading(
        lambda tx: previewing.preview(
            tx, office=ground.office, account=account, month=(2026, 10), now=NOVEMBER
        )
    )


# -------------------------------------------------------------------------------------------------- each kind


def test_prepaid_credit_settles_the_invoice_that_is_issued(ground: Ground, account: Account) -> None:
    uid = grant(ground, "top-up", "Prepaid", "60.00")
    assert balances(ground) == {"Assets:Cash:Bank": 6_000, PREPAID: -6_000}
    invoice = issued(ground, account)
    assert (invoice.phase, invoice.total_minor, invoice.amount_due_minor) == ("PartiallyPaid", 10_000, 4_000)
    assert status(ground, uid) == ("UsedUp", "0.00", "60.00")
    assert balances(ground) == {
        "Assets:Cash:Bank": 6_000,
        RECEIVABLE: 4_000,
        "Income:Revenue:Usage": -10_000,
    }
    assert_books(ground)


def test_promotional_credit_is_a_discount_before_tax_and_stands_beside_revenue(
    ground: Ground, account: Account
) -> None:
    uid = grant(ground, "welcome", "Promotional", "30.00", displayName="Welcome credit")
    invoice = issued(ground, account)
    assert (invoice.subtotal_minor, invoice.discounts_minor, invoice.total_minor) == (10_000, -3_000, 7_000)
    assert balances(ground) == {
        RECEIVABLE: 7_000,
        "Income:ContraRevenue:Promotional": 3_000,
        "Income:Revenue:Usage": -10_000,
    }
    assert ground.read("select given_by, title, amount_minor, source from invoicing.line_discounts") == [
        ("CreditGrant", "Welcome credit", -3_000, uid)
    ]
    assert_books(ground)


def test_credit_that_covers_everything_leaves_an_invoice_over_zero(ground: Ground, account: Account) -> None:
    uid = grant(ground, "welcome", "Promotional", "130.00")
    invoice = issued(ground, account)
    assert (invoice.total_minor, invoice.phase) == (0, "Paid")
    assert status(ground, uid) == ("Active", "30.00", "100.00")
    assert_books(ground)


def test_goodwill_is_a_credit_note_of_the_transaction_that_issues(
    ground: Ground, account: Account, superuser_tx: Tx
) -> None:
    uid = grant(ground, "sorry", "Goodwill", "25.00", reason="The outage of 7 October")
    invoice = issued(ground, account)
    assert (invoice.phase, invoice.credited_minor, invoice.amount_due_minor) == (
        "PartiallyPaid",
        2_500,
        7_500,
    )
    ((number, reason),) = ground.read("select number, reason from invoicing.credit_notes")
    assert (number, reason) == ("CN-2026-000001", "The outage of 7 October")
    ((object_status,),) = ground.read(
        "select status from controlplane.objects where resource = 'creditnotes'"
    )
    assert (object_status["number"], object_status["total"]) == (number, "25.00")
    assert status(ground, uid) == ("UsedUp", "0.00", "25.00")
    assert balances(ground) == {
        RECEIVABLE: 7_500,
        "Income:ContraRevenue:Goodwill": 2_500,
        "Income:Revenue:Usage": -10_000,
    }
    assert_books(ground)
    told = (
        "select args ->> 'note' from jobs.procrastinate_jobs where task_name = 'invoicing.tell_credit_note'"
    )
    assert superuser_tx.execute(told.encode()).fetchall() == ground.read(
        "select uid::text from invoicing.credit_notes"
    )


def test_kinds_act_in_the_order_of_the_invoice(ground: Ground, account: Account) -> None:
    """Promotional before tax, goodwill off what is owed, prepaid money for the rest [CM-055, CR-072]."""
    for name, kind in (("a", "Prepaid"), ("b", "Goodwill"), ("c", "Promotional")):
        grant(ground, name, kind, "40.00")
    invoice = issued(ground, account)
    assert (invoice.total_minor, invoice.credited_minor, invoice.amount_paid_minor) == (6_000, 4_000, 2_000)
    assert invoice.phase == "Paid"
    assert_books(ground)


def test_grants_of_a_kind_burn_down_by_priority_expiry_age(ground: Ground, account: Account) -> None:
    first = grant(ground, "first", "Prepaid", "30.00", priority=1)
    soon = grant(ground, "soon", "Prepaid", "30.00", expiresAt="2026-12-01T00:00:00Z")
    old = grant(ground, "old", "Prepaid", "30.00")
    young = grant(ground, "young", "Prepaid", "30.00", now=datetime(2026, 9, 2, tzinfo=UTC))
    issued(ground, account)
    assert [status(ground, uid)[1] for uid in (first, soon, old, young)] == ["0.00", "0.00", "0.00", "20.00"]


def test_credit_for_some_skus_pays_for_no_others(ground: Ground, account: Account) -> None:
    promotional = grant(ground, "promo", "Promotional", "500.00", skuSelectors=[{"cel": "name == 'tokens'"}])
    prepaid = grant(ground, "paid", "Prepaid", "500.00", skuSelectors=[{"cel": "name == 'requests'"}])
    ground.use(
        account, ("2026-10-01", "web", "tokens", 10_000_000), ("2026-10-05", "data", "requests", 1_500)
    )
    invoice = as_it_stands(ground, ground.issued(account))
    assert (invoice.subtotal_minor, invoice.discounts_minor) == (15_300, -2_500)
    assert (invoice.amount_paid_minor, invoice.phase) == (12_800, "Paid")
    assert (status(ground, promotional)[2], status(ground, prepaid)[2]) == ("25.00", "128.00")


def test_a_preview_shows_what_credit_will_do(ground: Ground, account: Account) -> None:
    grant(ground, "a", "Prepaid", "40.00")
    grant(ground, "b", "Goodwill", "20.00")
    grant(ground, "c", "Promotional", "30.00")
    ground.spend(account, "2026-10-05", 100)
    found = previewed(ground, account)
    assert (found.draft.total_minor, found.goodwill_minor, found.prepaid_minor) == (7_000, 2_000, 4_000)
    invoice = as_it_stands(ground, ground.issued(account))
    assert (invoice.total_minor, invoice.credited_minor, invoice.amount_paid_minor) == (7_000, 2_000, 4_000)


def test_credit_holds_from_its_first_instant_until_it_expires(ground: Ground, account: Account) -> None:
    later = grant(ground, "later", "Prepaid", "10.00", effectiveFrom="2026-11-15T00:00:00Z")
    over = grant(ground, "over", "Prepaid", "10.00", expiresAt="2026-11-01T00:00:00Z")
    assert status(ground, later)[0] == "Scheduled"
    invoice = issued(ground, account)
    assert invoice.amount_paid_minor == 0
    assert status(ground, over)[1] == "10.00"


# -------------------------------------------------------------------------------------------------- back again


def test_a_void_invoice_gives_everything_back(ground: Ground, account: Account) -> None:
    uids = [grant(ground, kind.lower(), kind, "20.00") for kind in ("Prepaid", "Goodwill", "Promotional")]
    before = balances(ground)
    invoice = issued(ground, account)
    act(ground, "invoices", invoice.name, "void")
    assert as_it_stands(ground, invoice).phase == "Void"
    assert [status(ground, uid) for uid in uids] == [("Active", "20.00", "0.00")] * 3
    assert balances(ground) == before
    assert_books(ground)
    again = as_it_stands(ground, ground.issued(account))
    assert (again.total_minor, again.amount_due_minor) == (8_000, 4_000)
    assert [status(ground, uid)[0] for uid in uids] == ["UsedUp"] * 3
    assert_books(ground)


def test_what_expired_meanwhile_stays_the_customers_where_he_paid_for_it(
    ground: Ground, account: Account
) -> None:
    until = "2026-11-20T00:00:00Z"
    uids = [
        grant(ground, kind.lower(), kind, "20.00", expiresAt=until)
        for kind in ("Prepaid", "Goodwill", "Promotional")
    ]
    invoice = issued(ground, account)
    act(ground, "invoices", invoice.name, "void", now=DECEMBER)
    assert [status(ground, uid)[1:] for uid in uids] == [("0.00", "20.00")] * 3
    found = balances(ground)
    assert found.pop("Liabilities:MoneyOnAccount") == -2_000
    assert PREPAID not in found and RECEIVABLE not in found
    assert_books(ground)


def test_an_invoice_that_other_money_paid_cannot_be_void(ground: Ground, account: Account) -> None:
    grant(ground, "paid", "Prepaid", "20.00")
    invoice = issued(ground, account)
    pay(ground, invoice, 1_000, "p1")
    with pytest.raises(Conflict, match="only an unpaid one can be void"):
        act(ground, "invoices", invoice.name, "void")


def test_a_credit_note_gives_promotional_credit_back_in_proportion(ground: Ground, account: Account) -> None:
    uid = grant(ground, "promo", "Promotional", "20.00")
    invoice = issued(ground, account)
    credit(ground, invoice, "cn1", lines=[{"line": 1, "amount": "40.00"}])
    assert status(ground, uid) == ("Active", "10.00", "10.00")
    assert balances(ground) == {
        RECEIVABLE: 4_000,
        "Income:ContraRevenue:Promotional": 1_000,
        "Income:Revenue:Usage": -5_000,
    }
    credit(ground, invoice, "cn2")
    assert moved(ground, uid) == [
        ("Granted", 2_000),
        ("Used", -2_000),
        ("GivenBack", 1_000),
        ("GivenBack", 1_000),
    ]
    assert balances(ground) == {}
    assert_books(ground)


def test_a_credit_note_gives_other_money_back_before_prepaid_credit(ground: Ground, account: Account) -> None:
    uid = grant(ground, "paid", "Prepaid", "60.00")
    invoice = issued(ground, account)
    pay(ground, invoice, 4_000, "p1")
    credit(ground, invoice, "cn1", amount="50.00")
    assert status(ground, uid) == ("Active", "10.00", "50.00")
    found = balances(ground)
    assert (found["Liabilities:MoneyOnAccount"], found[PREPAID]) == (-4_000, -1_000)
    credit(ground, invoice, "cn2")
    assert status(ground, uid) == ("Active", "60.00", "0.00")
    assert balances(ground)[PREPAID] == -6_000
    assert_books(ground)


# ------------------------------------------------------------------------------------------- the end of a grant


def test_expired_credit_lapses_and_money_becomes_breakage(ground: Ground, account: Account) -> None:
    uids = [
        grant(ground, kind.lower(), kind, "20.00", expiresAt="2026-11-01T00:00:00Z")
        for kind in ("Prepaid", "Goodwill")
    ]
    for _ in range(2):
        daily.lapse_credit(ground.office, ground.databases.app, SimulatedClock(NOVEMBER))
    assert [status(ground, uid) for uid in uids] == [("Expired", "0.00", "0.00")] * 2
    assert balances(ground) == {"Assets:Cash:Bank": 2_000, "Income:Revenue:Breakage": -2_000}
    assert_books(ground)


def test_revoked_money_is_money_on_account_again(ground: Ground, account: Account) -> None:
    uid = grant(ground, "paid", "Prepaid", "20.00")
    act(ground, "creditgrants", "paid", "revoke")
    assert status(ground, uid) == ("Revoked", "0.00", "0.00")
    assert balances(ground) == {"Assets:Cash:Bank": 2_000, "Liabilities:MoneyOnAccount": -2_000}
    with pytest.raises(Conflict, match="nothing is left"):
        act(ground, "creditgrants", "paid", "revoke")
    again = grant(ground, "again", "Prepaid", "15.00", receivedInto="")
    assert balances(ground)[PREPAID] == -1_500
    assert status(ground, again)[0] == "Active"
    assert_books(ground)


# ------------------------------------------------------------------------------------------------- what is refused


@pytest.mark.parametrize(
    ("kind", "spec", "message"),
    [
        ("Prepaid", {"receivedInto": ""}, "has 0.00 USD with kestrel"),
        ("Promotional", {"receivedInto": "bank"}, "nobody pays for Promotional credit"),
        ("Goodwill", {"currencyCode": "EUR"}, "is in USD"),
        ("Goodwill", {"amount": "0.001"}, "say more than zero"),
        ("Goodwill", {"expiresAt": "2026-08-01T00:00:00Z"}, "would have expired before"),
        ("Goodwill", {"expiresAt": "2026-13-01T00:00:00Z"}, "is no instant"),
        ("Goodwill", {"billingAccountRef": {"name": "other"}}, 'Not found: "other"'),
    ],
)
def test_what_cannot_be_granted_is_refused(
    ground: Ground, account: Account, kind: str, spec: dict[str, Any], message: str
) -> None:
    with pytest.raises(Invalid) as refused:
        grant(ground, "wrong", kind, spec.pop("amount", "10.00"), **spec)
    assert message in str(refused.value)


def test_the_database_lets_nobody_use_more_than_there_is(ground: Ground, account: Account) -> None:
    uid = grant(ground, "sorry", "Goodwill", "10.00")
    use = (
        "insert into invoicing.grant_movements (credit_grant, step, owner_org, kind, amount_minor, cause, at) "
        "select uid, 2, owner_org, %s, %s, 'test', granted_at from invoicing.credit_grants where uid = %s"
    )
    with (
        pytest.raises(psycopg.errors.CheckViolation),
        ground.databases.app.transaction(reach=EVERYWHERE) as tx,
    ):
        tx.execute(use.encode(), ("Expired", -1_001, uid))
    for change in (
        "update invoicing.credit_grants set remaining_minor = 5",
        "delete from invoicing.grant_movements",
    ):
        with (
            pytest.raises(psycopg.errors.InsufficientPrivilege),
            ground.databases.app.transaction(reach=EVERYWHERE) as tx,
        ):
            tx.execute(change.encode())
