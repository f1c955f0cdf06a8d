"""Taking back: credit notes in full and in part, void invoices and their replacement, write-off and recovery."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import date
from typing import Any

import psycopg
import pytest

from milo_billing.app.projections import compare_projections
from milo_billing.controlplane.decoding import Draft
from milo_billing.controlplane.kinds import AnyKind
from milo_billing.controlplane.work import Preconditions, Work
from milo_billing.invoicing.reads import invoices as invoice_reads
from milo_billing.invoicing.reads import notes as note_reads
from milo_billing.invoicing.types.errors import UnableToSettle
from milo_billing.invoicing.types.invoices import Invoice
from milo_billing.kernel.errors import Conflict, Invalid
from tests.db.invoicing.ground import ACME, ISSUER, NOVEMBER, Ground
from tests.db.invoicing.paying import as_it_stands, pay


@pytest.fixture
def invoice(ground: Ground) -> Invoice:
    """Line 1: 1,500 requests for 128.00 in three parts; line 2: 10 million tokens for 25.00."""
    account = ground.declare_account()
    ground.use(
        account, ("2026-10-01", "web", "tokens", 10_000_000), ("2026-10-05", "data", "requests", 1_500)
    )
    return ground.issued(account)


def credit(ground: Ground, invoice: Invoice, name: str = "cn", **spec: Any) -> dict[str, Any]:
    """Declare a credit note, as staff do; its status."""
    wanted = {"invoiceRef": {"name": invoice.name}, "reason": "an outage", **spec}
    kind = next(kind for kind in ground.engine.registry.kinds if kind.plural == "creditnotes")
    draft = Draft(name, "", "", "", "", {}, {}, wanted, {})
    row = ground.write(
        lambda work: ground.engine.create(work, kind, namespace=ACME, draft=draft), now=NOVEMBER
    )
    return row.status


def act(ground: Ground, invoice: Invoice, action: str, reason: str = "billed by mistake") -> None:
    kind = next(kind for kind in ground.engine.registry.kinds if kind.plural == "invoices")
    ground.write(
        lambda work: ground.engine.act(
            work, kind, namespace=ACME, name=invoice.name, action=action, request={"reason": reason}
        ),
        now=NOVEMBER,
    )


def balances(ground: Ground) -> dict[str, int]:
    rows = ground.read(
        "select account, sum(amount_minor)::bigint from ledger.entries group by account having sum(amount_minor) <> 0"
    )
    return dict(rows)


def status_of(ground: Ground, invoice: Invoice) -> tuple[str, ...]:
    ((status,),) = ground.read("select status from controlplane.objects where uid = %s", invoice.uid)
    return tuple(
        status[name] for name in ("phase", "amountPaid", "amountCredited", "amountWrittenOff", "amountDue")
    )


# ------------------------------------------------------------------------------------------------ credit notes


def test_a_partial_credit_note_is_numbered_and_lowers_what_is_due(ground: Ground, invoice: Invoice) -> None:
    status = credit(ground, invoice, lines=[{"line": 2, "amount": "10.00"}])
    assert (status["number"], status["net"], status["total"]) == ("CN-2026-000001", "10.00", "10.00")
    assert (status["settled"], status["onAccount"], status["invoiceNumber"]) == (
        "10.00",
        "0.00",
        invoice.number,
    )
    assert status_of(ground, invoice) == ("PartiallyPaid", "0.00", "10.00", "0.00", "143.00")
    assert balances(ground) == {"Assets:Receivable": 14_300, "Income:Revenue:Usage": -14_300}
    assert ground.reading(lambda tx: compare_projections(tx, ground.engine.registry)) == ()


def test_a_quantity_is_credited_at_what_it_cost(ground: Ground, invoice: Invoice) -> None:
    status = credit(ground, invoice, lines=[{"line": 2, "quantity": "4"}, {"line": 1, "quantity": "1"}])
    assert status["total"] == "10.09"  # 4 of 10 for 25.00, and 1 of 1,500 for 128.00: 0.0853
    rest = credit(ground, invoice, "rest", lines=[{"line": 2, "quantity": "10"}])
    assert rest["total"] == "15.00"  # what is left of the line, not what it was


def test_an_amount_is_spread_over_what_is_left_and_the_last_note_takes_the_rest(
    ground: Ground, invoice: Invoice
) -> None:
    first = credit(ground, invoice, "one", amount="100.00")
    assert first["total"] == "100.00"
    lines = ground.reading(lambda tx: note_reads.list_credited(tx, invoice=invoice.uid))
    assert lines == {1: 8_366, 2: 1_634}
    assert credit(ground, invoice, "two")["total"] == "53.00"
    assert status_of(ground, invoice) == ("Paid", "0.00", "153.00", "0.00", "0.00")
    with pytest.raises(Invalid, match="nothing is left"):
        credit(ground, invoice, "three")
    assert balances(ground) == {}


def test_what_had_been_paid_becomes_money_on_account(ground: Ground, invoice: Invoice) -> None:
    pay(ground, invoice, 15_000, "p1")
    status = credit(ground, invoice, lines=[{"line": 2}])
    assert (status["total"], status["settled"], status["onAccount"]) == ("25.00", "3.00", "22.00")
    assert status_of(ground, invoice) == ("Paid", "150.00", "3.00", "0.00", "0.00")
    assert balances(ground) == {
        "Assets:Cash:Bank": 15_000,
        "Income:Revenue:Usage": -12_800,
        "Liabilities:MoneyOnAccount": -2_200,
    }


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ({"amount": "153.01"}, r"spec.amount: .*of the invoice 153\.00 USD is left"),
        ({"amount": "1.001"}, "spec.amount: .*fewer decimals"),
        ({"lines": [{"line": 3}]}, r"spec.lines\[0\].line: .*no line 3"),
        ({"lines": [{"line": 2, "amount": "25.01"}]}, r"spec.lines\[0\].amount: .*25\.00 USD is left"),
        ({"lines": [{"line": 2, "amount": "-1"}]}, r"spec.lines\[0\].amount"),
        ({"lines": [{"line": 2, "quantity": "10.1"}]}, r"spec.lines\[0\].quantity: .*line 2 has 10"),
        ({"lines": [{"line": 2}, {"line": 2}]}, "spec.lines: .*once in a note"),
        ({"lines": [{"line": 2}], "amount": "1"}, "spec.amount: Forbidden"),
        ({"lines": [{"line": 2, "amount": "1", "quantity": "1"}]}, r"spec.lines\[0\].quantity: Forbidden"),
        ({"invoiceRef": {"name": "other"}}, "spec.invoiceRef.name: Not found"),
    ],
)
def test_a_credit_note_over_more_than_there_is_is_refused_where_it_says_so(
    ground: Ground, invoice: Invoice, spec: dict[str, Any], message: str
) -> None:
    with pytest.raises(Invalid, match=message):
        credit(ground, invoice, **spec)


def test_two_credit_notes_at_once_do_not_take_back_more_than_was_charged(
    ground: Ground, invoice: Invoice
) -> None:
    def attempt(name: str) -> bool:
        try:
            credit(ground, invoice, name, amount="100.00")
        except (Invalid, Conflict):
            return False
        return True

    with ThreadPoolExecutor(2) as crowd:
        assert sorted(crowd.map(attempt, ("one", "two"))) == [False, True]
    assert ground.read("select number from invoicing.credit_notes") == [("CN-2026-000001",)]


def test_a_credit_note_never_changes_and_stays(
    ground: Ground, invoice: Invoice, as_owner: Callable[[str], None]
) -> None:
    credit(ground, invoice, lines=[{"line": 2, "amount": "1.00"}])
    for change in (
        "update invoicing.credit_notes set reason = 'other'",
        "delete from invoicing.credit_lines",
        "truncate invoicing.credit_notes cascade",
        "insert into invoicing.credit_lines select uid, 1, owner_org, invoice, 1, null from invoicing.credit_notes",
    ):
        with pytest.raises(psycopg.errors.RestrictViolation):
            as_owner(change)
    kind = next(kind for kind in ground.engine.registry.kinds if kind.plural == "creditnotes")
    with pytest.raises(Conflict, match="stays"):
        ground.write(lambda work: _delete(ground, work, kind))


def _delete(ground: Ground, work: Work, kind: AnyKind) -> None:
    ground.engine.delete(work, kind, namespace=ACME, name="cn", preconditions=Preconditions())


def test_the_database_refuses_to_credit_beyond_a_line(
    ground: Ground, invoice: Invoice, as_owner: Callable[[str], None]
) -> None:
    credit(ground, invoice, lines=[{"line": 2, "amount": "24.00"}])
    copy = (
        "insert into invoicing.credit_lines select '{uid}', 2, owner_org, invoice, {minor}, null "
        "from invoicing.credit_notes; "
        "insert into invoicing.credit_taxes select '{uid}', tax, owner_org, invoice, {minor}, 0 "
        "from invoicing.credit_taxes; "
        "insert into invoicing.credit_notes select '{uid}', owner_org, namespace, 'x', invoice, account, false, "
        "issuer, issuer_version, series, 99, 'x', currency, {note}, 0, {note}, 0, 'x', issued_at, issued_on "
        "from invoicing.credit_notes limit 1; set constraints all immediate"
    )
    uid = "0198c3f0-0000-7000-8000-000000000001"
    for minor, note, message in (
        (101, 101, "line 2 .* beyond what was charged"),
        (100, 99, "sum of its lines"),
    ):
        with pytest.raises(psycopg.errors.CheckViolation, match=message):
            as_owner(copy.format(uid=uid, minor=minor, note=note))


def test_credit_notes_have_a_series_of_their_own(ground: Ground) -> None:
    same = {**ISSUER, "isDefault": False, "creditNoteSeries": {"prefix": "KC-2026-", "perYear": False}}
    with pytest.raises(Invalid, match="invoices are numbered with it"):
        ground.declare("issuerprofiles", "other", same)


# -------------------------------------------------------------------------------------------------------- void


def test_a_void_invoice_is_credited_as_a_whole_and_its_days_are_invoiced_again(
    ground: Ground, invoice: Invoice
) -> None:
    act(ground, invoice, "void", "wrong address")
    assert status_of(ground, invoice) == ("Void", "0.00", "153.00", "0.00", "0.00")
    assert balances(ground) == {}
    ((name, spec, status),) = ground.read(
        "select name, spec, status from controlplane.objects where resource = 'creditnotes'"
    )
    assert (name, status["number"], status["total"], status["voids"]) == (
        "cn-2026-000001",
        "CN-2026-000001",
        "153.00",
        True,
    )
    assert spec["reason"] == "wrong address"
    again = ground.issued(ground.account())
    assert (again.number, again.total_minor) == ("KC-2026-000002", invoice.total_minor)
    assert (again.replaces, again.replaces_name) == (invoice.uid, invoice.name)
    ((replaces,),) = ground.read(
        "select status ->> 'replaces' from controlplane.objects where uid = %s", again.uid
    )
    assert replaces == invoice.name
    assert ground.reading(lambda tx: compare_projections(tx, ground.engine.registry)) == ()
    details = ground.read(
        "select detail from access.audit_records where target_uid = %s and verb = 'void'", invoice.uid
    )
    assert details[0][0]["request"] == {"reason": "wrong address"}


def test_each_void_invoice_has_one_replacement(ground: Ground, invoice: Invoice) -> None:
    act(ground, invoice, "void")
    second = ground.issued(ground.account())
    act(ground, second, "void")
    third = ground.issued(ground.account())
    assert (second.replaces, third.replaces) == (invoice.uid, second.uid)


def test_a_partly_credited_invoice_is_void_with_what_is_left(ground: Ground, invoice: Invoice) -> None:
    credit(ground, invoice, amount="100.00")
    act(ground, invoice, "void")
    assert ground.read("select total_minor from invoicing.credit_notes order by sequence") == [
        (10_000,),
        (5_300,),
    ]
    assert as_it_stands(ground, invoice).phase == "Void"
    assert balances(ground) == {}


def test_only_an_unpaid_invoice_becomes_void(ground: Ground, invoice: Invoice) -> None:
    pay(ground, invoice, 100, "p1")
    with pytest.raises(UnableToSettle, match="only an unpaid one can be void"):
        act(ground, invoice, "void")
    pay(ground, invoice, 100, "r1", kind="PaymentReversal")
    act(ground, invoice, "void")
    for action in ("void", "writeOff"):
        with pytest.raises(UnableToSettle, match=r"[Vv]oid"):
            act(ground, invoice, action)
    with pytest.raises(UnableToSettle, match="is void"):
        pay(ground, invoice, 100, "p2")
    with pytest.raises(Invalid, match="is void"):
        credit(ground, invoice)


def test_what_a_void_invoice_took_from_a_prepayment_is_there_again(ground: Ground) -> None:
    account = ground.declare_account()
    ground.promise(prepayment={"amount": "1000"})
    ground.spend(account, "2026-10-03", 300)
    first = ground.issued(account)
    before = balances(ground)
    act(ground, first, "void")
    assert balances(ground) == {}
    second = ground.issued(account)
    assert (second.total_minor, second.replaces) == (first.total_minor, first.uid)
    assert balances(ground) == before


# --------------------------------------------------------------------------------------------------- write-off


def test_what_was_written_off_is_bad_debt_until_it_is_paid_after_all(
    ground: Ground, invoice: Invoice
) -> None:
    pay(ground, invoice, 5_300, "p1")
    act(ground, invoice, "writeOff", "insolvent")
    assert status_of(ground, invoice) == ("Uncollectible", "53.00", "0.00", "100.00", "0.00")
    assert balances(ground)["Expenses:BadDebt"] == 10_000
    settled = pay(ground, invoice, 4_000, "p2")
    assert (settled.recovered_minor, settled.invoice.phase) == (4_000, "Uncollectible")
    assert pay(ground, invoice, 6_000, "p3").invoice.phase == "Paid"
    assert balances(ground) == {
        "Assets:Cash:Bank": 15_300,
        "Expenses:BadDebt": 10_000,
        "Income:BadDebtRecovery": -10_000,
        "Income:Revenue:Usage": -15_300,
    }


def test_a_credit_note_over_what_was_written_off_lowers_the_loss(ground: Ground, invoice: Invoice) -> None:
    act(ground, invoice, "writeOff")
    status = credit(ground, invoice, lines=[{"line": 2}])
    assert (status["settled"], status["onAccount"]) == ("25.00", "0.00")
    assert status_of(ground, invoice) == ("Uncollectible", "0.00", "25.00", "128.00", "0.00")
    assert balances(ground) == {"Expenses:BadDebt": 12_800, "Income:Revenue:Usage": -12_800}
    found = ground.reading(lambda tx: invoice_reads.list_settlements(tx, invoice=invoice.uid, limit=9))
    assert [(one.kind, one.amount_minor) for one in found] == [
        ("WriteOff", 15_300),
        ("Recovery", -2_500),
        ("CreditNote", 2_500),
    ]


@pytest.mark.parametrize("request_", [{}, {"reason": " "}, {"reason": 7}, {"reason": "x", "force": True}])
def test_an_action_needs_its_reason_and_nothing_else(
    ground: Ground, invoice: Invoice, request_: dict[str, Any]
) -> None:
    kind = next(kind for kind in ground.engine.registry.kinds if kind.plural == "invoices")
    with pytest.raises(Invalid):
        ground.write(
            lambda work: ground.engine.act(
                work, kind, namespace=ACME, name=invoice.name, action="void", request=request_
            )
        )
    assert as_it_stands(ground, invoice).issued_on == date(2026, 11, 2)


# --------------------------------------------------------------------------------------------------------- tax


@pytest.fixture
def taxed(bare_ground: Ground) -> Invoice:
    """153.00 at 23 %: 35.19 of Irish VAT."""
    bare_ground.declare("taxrates", "ie", {"country": "IE", "percent": "23", "startsOn": "2021-03-01"})
    bare_ground.declare(
        "issuerprofiles",
        "taxed",
        {**ISSUER, "taxRegistrations": [{"country": "IE"}]},
    )
    home: dict[str, Any] = {
        "contactInfo": {"email": "a@example.com", "address": {"country": "IE"}},
        "taxIds": None,
    }
    account = bare_ground.declare_account(**home)
    bare_ground.use(
        account, ("2026-10-01", "web", "tokens", 10_000_000), ("2026-10-05", "data", "requests", 1_500)
    )
    return bare_ground.issued(account)


def test_tax_comes_back_with_what_is_credited_to_the_cent(bare_ground: Ground, taxed: Invoice) -> None:
    assert (taxed.tax_minor, taxed.total_minor) == (3_519, 18_819)
    first = credit(bare_ground, taxed, "one", lines=[{"line": 2, "amount": "10.01"}])
    assert (first["net"], first["tax"], first["total"]) == ("10.01", "2.30", "12.31")
    assert balances(bare_ground)["Liabilities:TaxPayable:IE"] == -3_289
    last = credit(bare_ground, taxed, "two")
    assert (last["net"], last["tax"], last["total"]) == ("142.99", "32.89", "175.88")
    assert balances(bare_ground) == {}
    assert status_of(bare_ground, taxed) == ("Paid", "0.00", "188.19", "0.00", "0.00")


def test_cents_of_tax_that_many_small_notes_round_up_are_not_given_twice(
    bare_ground: Ground, taxed: Invoice
) -> None:
    # 0.03 at 23 % is 0.0069, a cent each: the rest has less than the sum would be
    for number in range(3):
        assert (
            credit(bare_ground, taxed, f"n{number}", lines=[{"line": 2, "amount": "0.03"}])["tax"] == "0.01"
        )
    assert credit(bare_ground, taxed)["tax"] == "35.16"
    assert balances(bare_ground) == {}


def test_a_taxed_invoice_becomes_void_with_its_tax(bare_ground: Ground, taxed: Invoice) -> None:
    act(bare_ground, taxed, "void")
    assert balances(bare_ground) == {}
    assert bare_ground.read("select net_minor, tax_minor from invoicing.credit_notes") == [(15_300, 3_519)]
    assert bare_ground.issued(bare_ground.account()).replaces == taxed.uid
