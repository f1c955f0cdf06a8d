"""A statement comes in: what is certain settles invoices and moves the books, the rest waits, nothing counts twice."""

from collections.abc import Mapping
from dataclasses import replace
from decimal import Decimal
from uuid import UUID

import psycopg
import pytest

from milo_billing.ledger.types import MONEY_ON_ACCOUNT, RECEIVABLE, UNAPPLIED_CASH, cash, payment_fees
from milo_billing.payments.engine.bank_deciding import UnableToApply
from milo_billing.payments.engine.bank_importing import Imported
from milo_billing.payments.engine.bank_rows import EntryState
from milo_billing.payments.engine.bank_worklist import assign, ignore
from milo_billing.payments.rules.bank_requests import Chosen
from milo_billing.payments.rules.references import creditor_reference
from milo_billing.payments.types import UnreadableStatement
from tests.bank_files import PAYER, Told, camt053, mt940
from tests.db.bank.bank_ground import BankGround
from tests.db.invoicing.ground import ACME

BANK = cash("6199")


def counts(imported: list[Imported]) -> Mapping[EntryState, int]:
    (one,) = imported
    return one.counts


def test_a_transfer_that_names_its_invoice_pays_it(bank: BankGround) -> None:
    _, (invoice,) = bank.customer("main", 25)
    done = bank.receive(camt053(Told(2500, text=f"Invoice {invoice.number}", bank_reference="B1")))
    assert counts(done) == {"Applied": 1}
    assert bank.stands(invoice) == ("Paid", 0)
    assert (bank.balance(BANK).minor, bank.balance(RECEIVABLE).minor) == (2500, 0)
    ((posted_on, at),) = bank.ground.read(
        "select t.posted_on::text, s.at::date::text from invoicing.settlements s "
        "join ledger.transactions t on t.key = s.posted"
    )
    assert (posted_on, at) == ("2026-11-20", "2026-11-20")


def test_partial_several_and_too_much_in_one_statement(bank: BankGround) -> None:
    _, (first, second) = bank.customer("main", 30, 20)
    _, (other,) = bank.customer("other", 10)
    done = bank.receive(
        camt053(
            Told(500, text=first.number, bank_reference="B1"),
            Told(4500, text=f"{second.number} + {first.number}", bank_reference="B2"),
            Told(1250, reference=creditor_reference(other.number) or "", bank_reference="B3"),
            Told(-700, text="bank charges", bank_reference="B4"),
        )
    )
    assert counts(done) == {"Applied": 3, "Outgoing": 1}
    assert [bank.stands(one) for one in (first, second, other)] == [("Paid", 0)] * 3
    assert (bank.balance(BANK).minor, bank.balance(RECEIVABLE).minor) == (6250, 0)
    assert bank.balance(MONEY_ON_ACCOUNT).minor == -250


def test_a_transfer_that_takes_the_discounts_of_two_invoices_closes_both(bank: BankGround) -> None:
    """2 % until the 10th day: 29.40 and 19.60 of the 30 and 20 euro that were issued on 2 November."""
    terms = {"earlyPaymentDiscountPercent": "2", "earlyPaymentDiscountDays": 20}
    _, (first, second) = bank.customer("main", 30, 20, paymentTerms=terms)
    done = bank.receive(camt053(Told(4900, text=f"{second.number} + {first.number}", bank_reference="B1")))
    assert counts(done) == {"Applied": 1}
    assert [bank.stands(one) for one in (first, second)] == [("Paid", 0)] * 2
    assert bank.read_rules() == ["EarlyPayment", "EarlyPayment"]
    assert bank.balance(RECEIVABLE).minor == 0


def test_the_same_file_again_changes_nothing_and_another_file_with_the_same_entries_neither(
    bank: BankGround,
) -> None:
    _, (invoice,) = bank.customer("main", 25)
    told = (Told(1000, text=invoice.number, bank_reference="B1"), Told(300, text="who?", bank_reference="B2"))
    (first,) = bank.receive(camt053(*told))
    (again,) = bank.receive(camt053(*told))
    assert (again.again, again.statement.uid, again.counts) == (True, first.statement.uid, first.counts)
    assert counts(bank.receive(mt940(*told).encode())) == {"Known": 2}
    assert bank.stands(invoice) == ("PartiallyPaid", 1500)
    assert len(bank.worklist()) == 1


def test_an_equal_entry_without_a_reference_waits_as_a_possible_duplicate(bank: BankGround) -> None:
    _, (invoice,) = bank.customer("main", 25)
    bank.receive(camt053(Told(1000, text=invoice.number)))
    bank.receive(camt053(Told(1000, text=invoice.number), statement="S-2"))
    (waiting,) = bank.worklist()
    assert waiting.row.reason == "PossibleDuplicate"
    assert waiting.candidates[0].number == invoice.number
    assert bank.stands(invoice) == ("PartiallyPaid", 1500)


def test_a_statement_that_does_not_add_up_leaves_nothing(bank: BankGround) -> None:
    _, (invoice,) = bank.customer("main", 25)
    with pytest.raises(UnreadableStatement, match="does not add up"):
        bank.receive(camt053(Told(2500, text=invoice.number), closing=9999))
    assert bank.stands(invoice) == ("Issued", 2500)
    assert bank.ground.read("select from payments.statements") == []


def test_a_statement_that_is_missing_is_told(bank: BankGround) -> None:
    assert bank.receive(camt053(Told(100, bank_reference="B1"), opening=0))[0].gap == ""
    assert bank.receive(camt053(opening=100, statement="S-2"))[0].gap == ""
    assert "100 EUR" in bank.receive(camt053(opening=900, statement="S-3"))[0].gap.replace("1.00", "100")


def test_a_payer_is_known_by_iban_from_then_on(bank: BankGround) -> None:
    _, (first, second) = bank.customer("main", 30, 20)
    bank.receive(camt053(Told(2000, text=first.number, iban=PAYER, bank_reference="B1")))
    bank.receive(
        camt053(Told(3000, text="October", iban=PAYER, bank_reference="B2"), opening=2000, statement="S-2")
    )
    assert (bank.stands(first), bank.stands(second)) == (("Paid", 0), ("Paid", 0))


def test_the_worklist_ranks_candidates_by_number_amount_and_name(bank: BankGround) -> None:
    _, (first, second) = bank.customer("main", 30, 20)
    spaced = first.number.replace("-", " ")
    bank.receive(camt053(Told(3000, text=spaced, name="ACME ROBOTICS", bank_reference="B1")))
    ((listed),) = bank.worklist()
    assert [one.number for one in listed.candidates] == [first.number, second.number]
    assert listed.candidates[0].why == (
        "something like its number is named",
        "the payer's name is like the addressee's",
    )
    assert listed.candidates[1].why == (
        "the amount is what it can take",
        "the payer's name is like the addressee's",
    )
    assert (listed.row.entry.counterparty_name, listed.row.entry.remittance) == ("ACME ROBOTICS", spaced)
    ((sealed,),) = bank.ground.read("select sealed from payments.statement_entries")
    assert "ACME" not in sealed


def waiting_entry(bank: BankGround) -> UUID:
    (listed,) = bank.worklist()
    return listed.row.uid


def test_a_person_assigns_an_entry_and_the_rest_is_on_account(bank: BankGround) -> None:
    _, (first, second) = bank.customer("main", 30, 20)
    bank.receive(camt053(Told(6000, text="thanks", iban=PAYER, bank_reference="B1")))
    uid = waiting_entry(bank)
    chosen = [Chosen(ACME, second.name, Decimal("10.00")), Chosen(ACME, first.name)]
    row = bank.ground.write(
        lambda work: assign(work, bank.ground.office, uid=uid, chosen=chosen, account=None)
    )
    assert (row.state, row.reason, row.detail) == ("Applied", "Assigned", "by ann, 30.00 EUR on account")
    assert (bank.stands(first), bank.stands(second)) == (("Paid", 0), ("PartiallyPaid", 2000))
    assert bank.balance(MONEY_ON_ACCOUNT).minor == -3000
    assert bank.worklist() == ()
    with pytest.raises(UnableToApply, match="is Applied already"):
        bank.ground.write(lambda work: assign(work, bank.ground.office, uid=uid, chosen=chosen, account=None))


def test_money_of_an_account_without_invoices_is_unapplied(bank: BankGround) -> None:
    bank.customer("main")
    bank.receive(camt053(Told(6000, text="deposit", bank_reference="B1")))
    uid = waiting_entry(bank)
    bank.ground.write(
        lambda work: assign(work, bank.ground.office, uid=uid, chosen=[], account=(ACME, "main"))
    )
    assert bank.balance(UNAPPLIED_CASH).minor == -6000


def test_what_makes_no_sense_is_refused_with_figures(bank: BankGround) -> None:
    _, (first,) = bank.customer("main", 30)
    _, (other,) = bank.customer("other", 10)
    bank.receive(camt053(Told(6000, text="thanks", bank_reference="B1")))
    uid, office = waiting_entry(bank), bank.ground.office
    for chosen, message in (
        ([Chosen(ACME, first.name, Decimal("30.01"))], "can take 30.00 EUR"),
        ([Chosen(ACME, first.name), Chosen(ACME, other.name)], "several accounts"),
        ([Chosen(ACME, first.name, Decimal("0.001"))], "more decimals"),
        ([Chosen(ACME, first.name, Decimal(1)), Chosen(ACME, first.name, Decimal(1))], "named twice"),
        ([], "name invoices"),
    ):
        with pytest.raises(UnableToApply, match=message):
            bank.ground.write(
                lambda work, chosen=chosen: assign(work, office, uid=uid, chosen=chosen, account=None)
            )
    bank.ground.write(lambda work: ignore(work, office, uid=uid, reason="a loan"))
    assert bank.worklist() == ()
    with pytest.raises(UnableToApply, match="a loan"):
        bank.ground.write(lambda work: ignore(work, office, uid=uid, reason="again"))


def test_a_returned_payment_is_owed_again_and_the_banks_fee_is_an_expense(bank: BankGround) -> None:
    _, (invoice,) = bank.customer("main", 25)
    bank.receive(camt053(Told(2500, text=invoice.number, end_to_end="E1", bank_reference="B1")))
    returned = Told(-2850, end_to_end="E1", reason="AM04", bank_reference="R1")
    assert counts(bank.receive(camt053(returned, opening=2500, statement="S-2"))) == {"Returned": 1}
    assert bank.stands(invoice) == ("Issued", 2500)
    assert (bank.balance(BANK).minor, bank.balance(RECEIVABLE).minor) == (-350, 2500)
    assert bank.balance(payment_fees("bank")).minor == 350
    twice = replace(returned, bank_reference="R2")
    assert counts(bank.receive(camt053(twice, opening=-350, statement="S-3"))) == {"Waiting": 1}
    (listed,) = bank.worklist()
    assert (listed.row.reason, listed.candidates) == ("UnknownReturn", ())


def test_the_database_refuses_an_entry_that_is_not_applied_as_a_whole(bank: BankGround) -> None:
    bank.customer("main", 25)
    bank.receive(camt053(Told(6000, text="thanks", bank_reference="B1")))
    uid = waiting_entry(bank)
    with (
        pytest.raises(psycopg.errors.CheckViolation, match="is Applied: 0 of its 6000"),
        bank.ground.databases.app.transaction(reach="*") as tx,
    ):
        tx.execute("update payments.statement_entries set state = 'Applied' where uid = %s", (uid,))
