"""What names an invoice in a payer's words, at its bounds."""

import pytest

from milo_billing.payments.rules import references
from tests.unit.payments.test_matching import entry


@pytest.mark.parametrize(
    ("number", "reference"),
    [
        ("", None),
        ("---", None),
        ("1", "RF741"),
        ("A" * 21, "RF47" + "A" * 21),
        ("A" * 22, None),
        ("kc-2026-1", "RF65KC20261"),
    ],
)
def test_a_creditor_reference_holds_from_one_to_21_characters(number: str, reference: str | None) -> None:
    made = references.creditor_reference(number)
    assert made == reference
    assert made is None or references.read_creditor_reference(made) == references.compacted(number)


def test_words_are_looked_up_in_capitals_and_structured_ones_whole() -> None:
    sent = entry(1, "pay kc-1, b/2", reference="kc/2026/1", end_to_end_id="e2e id")
    assert references.tokens(sent) == {
        "KC/2026/1",
        "KC",
        "2026",
        "1",
        "E2E ID",
        "E2E",
        "ID",
        "PAY",
        "KC-1",
        "B",
        "2",
    }


def test_a_text_without_end_is_looked_up_for_so_many_words() -> None:
    endless = entry(1, " ".join(f"W{n}" for n in range(1000)))
    assert len(references.tokens(endless)) == 200
    assert "W199" in references.tokens(endless)
    # what a structured field says is there however long the text is
    more = entry(1, " ".join(f"W{n}" for n in range(1000)), reference="KC-1", end_to_end_id="DD-7")
    assert {"KC-1", "DD-7"} < references.tokens(more)


@pytest.mark.parametrize(
    ("number", "text", "alike"),
    [
        ("AB-12", "order AB 12", False),  # four characters are found in every text
        ("AB-123", "order ab 123", True),
        ("KC-0125815", "kc oi zs b is", True),
        ("KC-0125815", "KC Q1 ZS 8 L5", True),
        ("KC-0125815", "KC D1 2S 8 L5", True),
        ("KC-0125815", "KC 0125816", False),
    ],
)
def test_letters_for_digits_and_other_separators_are_alike(number: str, text: str, alike: bool) -> None:
    assert references.resembles(number, entry(1, text)) is alike


def test_the_database_compares_the_same_spellings() -> None:
    sent = entry(1, "kc-oi zs", end_to_end_id="Q-1", reference="RF18 b")
    assert references.resembling(sent) == "KC0125 01 RF188"
    letters, digits = references.ALIKE
    assert letters.isupper() and digits.isdigit() and len(letters) == len(digits)
