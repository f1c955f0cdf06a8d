"""Sums that are exact, and what waits: why in words, and its candidates, ranked."""

from dataclasses import replace

import pytest

from milo_billing.payments.rules.matching import (
    CANDIDATES_MAX,
    OpenInvoice,
    Waiting,
    allocate_in_full,
    match,
    rank,
)
from milo_billing.payments.types import BankEntry
from tests.bank_files import PAYER
from tests.unit.payments.test_matching import entry, invoice, matched, waiting

ONE, TWO, OTHER = invoice(1, 10000), invoice(2, 5000, due=2), invoice(3, 7000, account=2, due=3)


def early(one: OpenInvoice, minor: int) -> OpenInvoice:
    return replace(one, early_minor=minor)


@pytest.mark.parametrize(
    ("sent", "rule", "allocated", "unapplied"),
    [
        (entry(9800, "KC-2026-000001"), "EarlyPayment", {1: 9800}, 0),
        (entry(9799, "KC-2026-000001"), "PartialAmount", {1: 9799}, 0),
        (entry(9801, "KC-2026-000001"), "PartialAmount", {1: 9801}, 0),
        (entry(10000, "KC-2026-000001"), "FullAmount", {1: 10000}, 0),
        (entry(14700, "KC-2026-000001 KC-2026-000002"), "EarlyPayment", {1: 9800, 2: 4900}, 0),
        (entry(15000, "KC-2026-000001 KC-2026-000002"), "SeveralInvoices", {1: 10000, 2: 5000}, 0),
        (entry(15001, "KC-2026-000001 KC-2026-000002"), "OverPaid", {1: 10000, 2: 5000}, 1),
        (entry(9800, "October", counterparty_iban=PAYER), "OldestOfKnownPayer", {1: 9800}, 0),
        (entry(10000, "October", counterparty_iban=PAYER), "OldestOfKnownPayer", {1: 10000}, 0),
        (entry(14700, "October", counterparty_iban=PAYER), "OldestOfKnownPayer", {1: 9800, 2: 4900}, 0),
    ],
)
def test_who_pays_early_pays_all_that_is_asked_less_the_discounts(
    sent: BankEntry, rule: str, allocated: dict[int, int], unapplied: int
) -> None:
    open_ = (
        early(invoice(1, 10000, iban=PAYER), 200),
        early(invoice(2, 5000, due=2, iban=PAYER), 100),
    )
    assert matched(match(sent, open_, currency="EUR")) == (rule, allocated, unapplied)


def test_the_smallest_coin_is_allocated_too() -> None:
    assert matched(match(entry(1, "KC-2026-000001"), (invoice(1, 1),), currency="EUR")) == (
        "FullAmount",
        {1: 1},
        0,
    )
    paid_already = (invoice(1, 0, iban=PAYER), invoice(2, 1, due=2, iban=PAYER))
    sent = entry(1, "October", counterparty_iban=PAYER)
    assert matched(match(sent, paid_already, currency="EUR")) == ("OldestOfKnownPayer", {2: 1}, 0)
    # with nothing due an amount of zero pays nobody
    assert waiting(match(entry(0, "", counterparty_iban=PAYER), paid_already[:1], currency="EUR")) == (
        "UnknownReference",
        [1],
    )


def test_the_account_whose_invoices_are_paid_is_known() -> None:
    assert allocate_in_full([OTHER], amount_minor=7000, rule="Assigned").account == 2


@pytest.mark.parametrize(("number", "named"), [("A-12", False), ("A-123", True), ("12345", False)])
def test_a_number_in_a_text_has_five_characters_and_a_letter(number: str, named: bool) -> None:
    outcome = match(entry(100, f"pay {number}"), (invoice(1, 100, number=number),), currency="EUR")
    assert isinstance(outcome, Waiting) is not named


SCORES: list[tuple[BankEntry, dict[str, str], int, list[str]]] = [
    (entry(1, "KC-2026-000001"), {}, 60, ["its number is named"]),
    (entry(1, "KC 2026 000001"), {}, 40, ["something like its number is named"]),
    (entry(1, counterparty_iban=PAYER), {"iban": PAYER}, 30, ["the account has paid from this IBAN"]),
    (entry(10000), {}, 25, ["the amount is what it can take"]),
    (entry(1, counterparty_name="ACME ROBOTICS"), {}, 15, ["the payer's name is like the addressee's"]),
    (
        entry(10000, "KC-2026-000001", counterparty_iban=PAYER, counterparty_name="Acme-Robotics"),
        {"iban": PAYER},
        130,
        [
            "its number is named",
            "the account has paid from this IBAN",
            "the amount is what it can take",
            "the payer's name is like the addressee's",
        ],
    ),
    (
        entry(10000, "KC-2026-000001"),
        {"currency": "CHF"},
        40,
        ["its number is named", "it is in another currency"],
    ),
]


@pytest.mark.parametrize(("sent", "more", "score", "why"), SCORES)
def test_each_mark_of_a_candidate_has_its_weight_and_its_words(
    sent: BankEntry, more: dict[str, str], score: int, why: list[str]
) -> None:
    (found,) = rank(sent, [invoice(1, 10000, account=7, **more)], currency="EUR")  # pyright: ignore[reportArgumentType]
    assert (found.score, list(found.why)) == (score, why)
    assert (found.account, found.open_minor, found.number) == (7, 10000, "KC-2026-000001")


def test_another_currency_alone_makes_no_candidate_and_ten_are_enough() -> None:
    assert rank(entry(10000), [invoice(1, 10000, currency="CHF")], currency="EUR") == ()
    found = rank(entry(10000), [invoice(n, 10000) for n in range(1, 13)], currency="EUR")
    assert [one.invoice.int for one in found] == list(range(1, 11))
    assert len(found) == CANDIDATES_MAX


@pytest.mark.parametrize(
    ("payer", "addressee", "alike"),
    [
        ("Acme", "ACME GmbH", True),
        *(
            (f"Acme {form}", "Acme", True)
            for form in [
                "AG",
                "KG",
                "SARL",
                "SAS",
                "SA",
                "Ltd",
                "Limited",
                "Inc.",
                "LLC",
                "B.V.",
                "NV",
                "SRL",
                "SpA",
            ]
        ),
        ("GmbH", "GmbH", False),  # nothing but a legal form
        ("Acme Robotics", "Acme", False),  # half of the words is not most
        ("Acme Robotics", "Acme Tools", False),
        ("Acme Robotics Paris", "Acme Robotics", True),
        ("Acme-Robotics", "Robotics Acme", True),
        ("A C Me", "Me", True),  # single letters say nothing
        ("", "Acme", False),
        ("", "", False),
    ],
)
def test_names_are_alike_by_most_of_their_words(payer: str, addressee: str, alike: bool) -> None:
    found = rank(entry(1, counterparty_name=payer), [invoice(1, 10000, name=addressee)], currency="EUR")
    assert bool(found) is alike


@pytest.mark.parametrize(
    ("sent", "invoices", "currency", "detail", "candidates"),
    [
        (entry(10000, "thanks"), (ONE,), "EUR", "it names no invoice", [(1, 25)]),
        (
            entry(100, "A-2026-1 B-2026-1"),
            tuple(invoice(n, 100, number=number) for n, number in enumerate(["B-2026-1", "A-2026-1"] * 2)),
            "EUR",
            "A-2026-1, B-2026-1 is the number of two invoices",
            [(1, 85), (3, 85), (0, 85), (2, 85)],
        ),
        (
            entry(7, "KC-2026-000001 KC-2026-000002"),
            (invoice(1, 0, void=True), invoice(2, 0, void=True), OTHER),
            "EUR",
            "KC-2026-000001, KC-2026-000002 is void",
            [],
        ),
        (
            entry(7000, "KC-2026-000001"),
            (invoice(1, 0, void=True), OTHER),
            "EUR",
            "KC-2026-000001 is void",
            [(3, 25)],
        ),
        (
            entry(10000, "KC-2026-000001 KC-2026-000004 KC-2026-000005"),
            (ONE, invoice(4, 10000, currency="USD"), invoice(5, 10000, currency="CHF")),
            "CHF",
            "the account is in CHF, the invoice in EUR, USD",
            [(5, 85), (1, 40), (4, 40)],
        ),
        (
            entry(10000, "KC-2026-000001 KC-2026-000003"),
            (ONE, OTHER),
            "EUR",
            "it names invoices of several accounts",
            [(1, 85), (3, 60)],
        ),
        (
            entry(10000, "KC-2026-000001 KC-2026-000002"),
            (ONE, TWO),
            "EUR",
            "it names 2 invoices and is less than they are together",
            [(1, 85), (2, 60)],
        ),
    ],
)
def test_what_waits_says_why_and_ranks_what_it_may_be(
    sent: BankEntry,
    invoices: tuple[OpenInvoice, ...],
    currency: str,
    detail: str,
    candidates: list[tuple[int, int]],
) -> None:
    outcome = match(sent, invoices, currency=currency)
    assert isinstance(outcome, Waiting)
    assert outcome.detail == detail
    assert [(one.invoice.int, one.score) for one in outcome.candidates] == candidates
