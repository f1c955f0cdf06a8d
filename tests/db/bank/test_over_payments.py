"""Money that is more than its invoices can take: on account where it was for invoices, else unapplied cash."""

from datetime import timedelta

import psycopg
import pytest

from milo_billing.controlplane.work import Work
from milo_billing.infra.clock import new_uid
from milo_billing.invoicing.operations import life
from milo_billing.invoicing.types.invoices import Invoice
from milo_billing.ledger.types import MONEY_ON_ACCOUNT, RECEIVABLE, UNAPPLIED_CASH, cash
from milo_billing.payments.engine.bank_worklist import assign
from milo_billing.payments.operations import receiving
from milo_billing.payments.rules.bank_requests import Chosen
from tests.bank_files import Told, camt053
from tests.db.bank.bank_ground import NOW, BankGround
from tests.db.invoicing.ground import ACME
from tests.db.invoicing.paying import pay

BANK = cash("6199")


def held(bank: BankGround) -> tuple[int, int]:
    """Owed to customers as unapplied cash, and as money on account."""
    return -bank.balance(UNAPPLIED_CASH).minor, -bank.balance(MONEY_ON_ACCOUNT).minor


def use_balance(bank: BankGround, invoice: Invoice, *, hours: int = 0) -> None:
    def use(work: Work) -> None:
        found = life.lock_invoice(work, engine=bank.ground.engine, invoice=invoice.uid)
        receiving.use_balance(work, bank.ground.engine, invoice=found)

    bank.ground.write(use, now=NOW + timedelta(hours=hours))


def assigned(bank: BankGround, *invoices: Invoice) -> None:
    """A person says what the entry that waits is for: these invoices, or the account and nothing else."""
    ((entry,),) = bank.ground.read("select uid from payments.statement_entries where state = 'Waiting'")
    chosen = [Chosen(ACME, one.name) for one in invoices]
    account = None if chosen else (ACME, "main")
    bank.ground.write(
        lambda work: assign(work, bank.ground.office, uid=entry, chosen=chosen, account=account), now=NOW
    )


@pytest.mark.parametrize(
    ("text", "came", "chosen", "expected", "detail"),
    [
        ("{0}", 2500, None, (0, 0), ""),  # it names an invoice of 25
        ("{0}", 3000, None, (0, 500), "5.00 EUR on account"),
        ("{0} {1}", 4600, None, (0, 600), "6.00 EUR on account"),  # it names two, of 40 together
        ("thanks", 3000, (0,), (0, 500), "by ann, 5.00 EUR on account"),  # a person says which invoice
        (
            "thanks",
            3000,
            (),
            (3000, 0),
            "by ann, 30.00 EUR unapplied",
        ),  # a person says whose it is, not what for
    ],
)
def test_what_is_over_is_on_account_where_it_is_known_what_the_money_was_for(
    bank: BankGround,
    text: str,
    came: int,
    chosen: tuple[int, ...] | None,
    expected: tuple[int, int],
    detail: str,
) -> None:
    _, invoices = bank.customer("main", 15, 25)
    told = text.format(*(one.number for one in invoices))
    bank.receive(camt053(Told(came, text=told, bank_reference="B1")))
    if chosen is not None:
        assigned(bank, *(invoices[one] for one in chosen))
    assert held(bank) == expected
    assert bank.ground.read("select state, detail from payments.statement_entries") == [("Applied", detail)]
    assert bank.differences() == []


def test_an_invoice_that_is_paid_twice_leaves_the_second_payment_on_account(bank: BankGround) -> None:
    _, (invoice,) = bank.customer("main", 25)
    bank.receive(camt053(Told(2500, text=invoice.number, bank_reference="B1")))
    bank.receive(camt053(Told(2500, text=invoice.number, bank_reference="B2"), opening=2500, statement="S-2"))
    assert (bank.stands(invoice), held(bank)) == (("Paid", 0), (0, 2500))
    assert bank.differences() == []


def test_what_was_paid_too_much_pays_the_next_invoice(bank: BankGround) -> None:
    _, (first, second) = bank.customer("main", 15, 25)
    bank.receive(camt053(Told(3000, text=first.number, bank_reference="B1")))
    use_balance(bank, second)
    assert (bank.stands(second), held(bank)) == (("PartiallyPaid", 1000), (0, 0))
    assert bank.differences() == []


def test_a_transfer_that_comes_back_takes_what_was_over_from_where_it_went(bank: BankGround) -> None:
    """30 for an invoice of 25, and 12 of which nobody knows: the 5 that were over, not the 12."""
    _, (invoice,) = bank.customer("main", 25)
    bank.receive(camt053(Told(3000, text=invoice.number, end_to_end="E1", bank_reference="B1")))
    bank.receive(camt053(Told(1200, text="thanks", bank_reference="B2"), opening=3000, statement="S-2"))
    assigned(bank)
    assert held(bank) == (1200, 500)
    returned = Told(-3000, end_to_end="E1", reason="AC04", bank_reference="R1")
    bank.receive(camt053(returned, opening=4200, statement="S-3"))
    assert (bank.stands(invoice), held(bank)) == (("Issued", 2500), (1200, 0))
    assert (bank.balance(BANK).minor, bank.balance(RECEIVABLE).minor) == (1200, 2500)
    assert bank.differences() == []


def test_other_money_of_the_account_goes_before_anything_is_below_zero(bank: BankGround) -> None:
    """Another transfer paid it too and is on account; a refund opened the invoice again."""
    _, (invoice,) = bank.customer("main", 25)
    bank.receive(camt053(Told(2500, text=invoice.number, end_to_end="E1", bank_reference="B1")))
    bank.receive(camt053(Told(1000, text=invoice.number, bank_reference="B2"), opening=2500, statement="S-2"))
    pay(bank.ground, invoice, 1000, "refund", kind="PaymentReversal", now=NOW)
    returned = Told(-2500, end_to_end="E1", reason="AC04", bank_reference="R1")
    bank.receive(camt053(returned, opening=3500, statement="S-3"))
    assert (bank.stands(invoice), held(bank)) == (("Issued", 2500), (0, 0))


def test_unapplied_cash_below_zero_is_filled_up_before_money_is_put_on_account(bank: BankGround) -> None:
    """It is 12 below zero since the refund of an invoice was paid out of what did not come after all."""
    _, (invoice,) = bank.customer("main", 25)
    bank.receive(camt053(Told(3700, text=invoice.number, end_to_end="E1", bank_reference="B1")))
    pay(bank.ground, invoice, 1200, "refund", kind="PaymentReversal", now=NOW)
    use_balance(bank, invoice)
    returned = Told(-3700, end_to_end="E1", reason="AC04", bank_reference="R1")
    bank.receive(camt053(returned, opening=3700, statement="S-2"))
    assert held(bank) == (-1200, 0)
    bank.receive(camt053(Told(5000, text=invoice.number, bank_reference="B2"), statement="S-3"))
    assert (bank.stands(invoice), held(bank)) == (("Paid", 0), (0, 1300))
    query = "select detail from payments.statement_entries where bank_reference = 'B2'"
    assert bank.ground.read(query) == [("13.00 EUR on account and 12.00 EUR unapplied",)]


def test_the_database_puts_nothing_on_account_that_is_not_over(bank: BankGround) -> None:
    account, _ = bank.customer("main", 25)
    bank.receive(camt053(Told(1200, text="thanks", bank_reference="B1")))
    assigned(bank)
    ((entry, posted),) = bank.ground.read("select entry, posted from payments.matches")
    put = (
        "insert into payments.on_account (posted, owner_org, account, entity, currency, amount_minor, payment, entry) "
        "values (%s, %s, %s, 'lumen', 'EUR', %s, %s, %s)"
    )
    for minor, payment, of, message in (
        (1200, None, entry, "which is not over of a payment"),  # nobody said what it was for
        (1200, new_uid(), None, "violates foreign key|which is not over of a payment"),
        (0, None, entry, "violates check"),
        (1200, None, None, "violates check"),
    ):
        with (
            pytest.raises((psycopg.errors.CheckViolation, psycopg.errors.ForeignKeyViolation), match=message),
            bank.ground.databases.app.transaction(reach="*") as tx,
        ):
            tx.execute(put, (posted, account.owner_org, account.number, minor, payment, of))
