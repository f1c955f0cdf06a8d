"""Which invoices a transfer pays: as tables of what was sent, what is open, and what follows."""

from datetime import date
from uuid import UUID

import pytest

from milo_billing.payments.rules.matching import Matched, OpenInvoice, Outcome, Waiting, match
from milo_billing.payments.rules.references import creditor_reference, read_creditor_reference
from milo_billing.payments.types import BankEntry
from tests.bank_files import PAYER

DAY = date(2026, 11, 20)


def invoice(
    sequence: int,
    minor: int,
    *,
    account: int = 1,
    currency: str = "EUR",
    due: int = 1,
    void: bool = False,
    **more: str,
) -> OpenInvoice:
    return OpenInvoice(
        uid=UUID(int=sequence),
        number=more.get("number", f"KC-2026-{sequence:06}"),
        account=account,
        currency=currency,
        open_minor=minor,
        due_on=date(2026, 11, due),
        void=void,
        names=(more.get("name", "Acme Robotics SARL"),),
        ibans=frozenset({more["iban"]} if "iban" in more else ()),
        aliases=frozenset({more["alias"]} if "alias" in more else ()),
    )


def entry(minor: int, text: str = "", **more: str) -> BankEntry:
    references = (more.pop("reference"),) if "reference" in more else ()
    return BankEntry(1, minor, True, False, DAY, DAY, remittance=text, references=references, **more)


def matched(outcome: Outcome) -> tuple[str, dict[int, int], int]:
    assert isinstance(outcome, Matched), outcome
    return (
        outcome.rule,
        {one.invoice.int: one.amount_minor for one in outcome.allocations},
        outcome.over_minor,
    )


def waiting(outcome: Outcome) -> tuple[str, list[int]]:
    assert isinstance(outcome, Waiting), outcome
    return outcome.reason, [one.invoice.int for one in outcome.candidates]


OPEN = (invoice(1, 10000), invoice(2, 5000, due=2), invoice(3, 7000, account=2, due=3))


@pytest.mark.parametrize(
    ("sent", "rule", "allocated", "unapplied"),
    [
        (entry(10000, "Invoice KC-2026-000001"), "FullAmount", {1: 10000}, 0),
        (entry(10000, "inv. kc-2026-000001, thanks"), "FullAmount", {1: 10000}, 0),
        (entry(10000, end_to_end_id="KC-2026-000001"), "FullAmount", {1: 10000}, 0),
        (entry(10000, reference="KC-2026-000001"), "FullAmount", {1: 10000}, 0),
        (entry(10000, reference=creditor_reference("KC-2026-000001") or ""), "FullAmount", {1: 10000}, 0),
        (entry(10000, f"pay {creditor_reference('KC-2026-000001')}"), "FullAmount", {1: 10000}, 0),
        (entry(4000, "KC-2026-000001"), "PartialAmount", {1: 4000}, 0),
        (entry(15000, "KC-2026-000001 KC-2026-000002"), "SeveralInvoices", {1: 10000, 2: 5000}, 0),
        (entry(15000, "KC-2026-000002/KC-2026-000001"), "SeveralInvoices", {1: 10000, 2: 5000}, 0),
        (entry(12000, "KC-2026-000001"), "OverPaid", {1: 10000}, 2000),
    ],
)
def test_what_is_certain_is_applied(
    sent: BankEntry, rule: str, allocated: dict[int, int], unapplied: int
) -> None:
    assert matched(match(sent, OPEN, currency="EUR")) == (rule, allocated, unapplied)


@pytest.mark.parametrize(
    ("sent", "reason", "candidates"),
    [
        (entry(10000, "thanks"), "UnknownReference", [1]),
        (entry(10000, "KC 2026 000001"), "UnknownReference", [1]),  # other separators are a guess
        (entry(10000, "KC-2O26-OOOOO1"), "UnknownReference", [1]),  # letters taken for digits too
        (entry(10000, "KC-2026-0000012"), "UnknownReference", [1]),  # another number that begins alike
        (entry(10000, reference="RF99KC2026000001"), "UnknownReference", [1]),  # wrong check digits
        (entry(12000, "KC-2026-000001 KC-2026-000002"), "LessThanNamed", [1, 2]),
        (entry(17000, "KC-2026-000001 KC-2026-000003"), "SeveralAccounts", [1, 3]),
        (entry(123, "hello", counterparty_name="ACME ROBOTICS"), "UnknownReference", [1, 2, 3]),
        (entry(123, "hello"), "UnknownReference", []),
    ],
)
def test_what_is_in_doubt_waits_with_candidates(sent: BankEntry, reason: str, candidates: list[int]) -> None:
    assert waiting(match(sent, OPEN, currency="EUR")) == (reason, candidates)


def test_another_currency_waits() -> None:
    assert waiting(match(entry(10000, "KC-2026-000001"), OPEN, currency="CHF")) == ("WrongCurrency", [1])


def test_a_void_invoice_waits_and_is_no_candidate() -> None:
    assert waiting(match(entry(10000, "KC-2026-000001"), (invoice(1, 0, void=True),), currency="EUR")) == (
        "VoidInvoice",
        [],
    )


def test_a_number_that_two_issuers_gave_waits() -> None:
    twice = (invoice(1, 100, number="A-2026-1"), invoice(2, 100, number="A-2026-1"))
    assert waiting(match(entry(100, "A-2026-1"), twice, currency="EUR")) == ("AmbiguousReference", [1, 2])


def test_an_invoice_that_is_paid_twice_leaves_unapplied_cash() -> None:
    assert matched(match(entry(10000, "KC-2026-000001"), (invoice(1, 0),), currency="EUR")) == (
        "OverPaid",
        {},
        10000,
    )


def test_a_number_of_digits_alone_is_certain_only_where_a_reference_is_meant() -> None:
    plain = (invoice(1, 100, number="2026017"),)
    assert waiting(match(entry(100, "order 2026017"), plain, currency="EUR"))[0] == "UnknownReference"
    assert matched(match(entry(100, reference="2026017"), plain, currency="EUR"))[0] == "FullAmount"


def test_an_end_to_end_id_of_ours_names_its_invoice() -> None:
    debited = (invoice(1, 100, alias="DD-77"),)
    assert matched(match(entry(100, end_to_end_id="DD-77"), debited, currency="EUR"))[0] == "FullAmount"


def test_a_known_payer_who_sends_the_sum_of_the_oldest_invoices_pays_those() -> None:
    known = (
        invoice(1, 10000, iban=PAYER),
        invoice(2, 5000, due=2, iban=PAYER),
        invoice(4, 1000, due=4, iban=PAYER),
        invoice(3, 7000, account=2),
    )
    sent = entry(15000, "October", counterparty_iban=PAYER)
    assert matched(match(sent, known, currency="EUR")) == ("OldestOfKnownPayer", {1: 10000, 2: 5000}, 0)
    # not the second alone: which one is meant is not certain
    second = match(entry(5000, "October", counterparty_iban=PAYER), known, currency="EUR")
    assert waiting(second) == ("UnknownReference", [2, 1, 4])


def test_candidates_say_why_and_the_likeliest_is_first() -> None:
    outcome = match(entry(5000, "KC 2026 000001", counterparty_name="Acme Robotics"), OPEN, currency="EUR")
    assert isinstance(outcome, Waiting)
    first, second, third = outcome.candidates
    assert (first.number, first.why) == (
        "KC-2026-000001",
        ("something like its number is named", "the payer's name is like the addressee's"),
    )
    assert (second.invoice.int, third.invoice.int) == (2, 3)
    assert first.score > second.score > third.score


def test_creditor_references_are_those_of_the_standard() -> None:
    assert read_creditor_reference("RF18 5390 0754 7034") == "539007547034"
    assert creditor_reference("5390-0754-7034") == "RF18539007547034"
    assert read_creditor_reference("RF19 5390 0754 7034") is None
    assert creditor_reference("K" * 22) is None
