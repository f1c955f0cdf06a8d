"""Bank statements: amounts are exact in every currency, another reader agrees, and damage is read or refused."""

import mt940 as oracle
from hypothesis import given, settings
from hypothesis import strategies as st

from milo_billing.adapters.bank_files import read_statements
from milo_billing.kernel.money import settle
from milo_billing.payments.types import BankStatement, UnreadableStatement
from tests.bank_files import PAYER, Told, camt053, mt940

GOOD = camt053(Told(100))


def one_of(content: bytes | str) -> BankStatement:
    (statement,) = read_statements(content if isinstance(content, bytes) else content.encode())
    return statement


words = st.text("ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789- .,", max_size=60).map(
    lambda text: " ".join(text.split())
)
entries = st.lists(
    st.builds(
        Told,
        minor=st.integers(-(10**11), 10**11).filter(bool),
        text=words,
        name=st.sampled_from(["", "ACME SARL", "Müller & Co"]),
        iban=st.sampled_from(["", PAYER]),
        bank_reference=st.from_regex(r"[A-Z0-9]{0,12}", fullmatch=True),
    ),
    max_size=6,
)


@settings(max_examples=60, deadline=None)
@given(
    entries,
    st.integers(-(10**11), 10**11),
    st.sampled_from(["EUR", "JPY", "KWD"]),
    st.sampled_from(["02", "08"]),
)
def test_amounts_of_camt053_are_exact(told: list[Told], opening: int, currency: str, version: str) -> None:
    found = one_of(camt053(*told, opening=opening, currency=currency, version=version))
    assert [one.signed_minor for one in found.entries] == [one.minor for one in told]
    assert found.opening_minor + sum(one.signed_minor for one in found.entries) == found.closing_minor
    assert [one.remittance for one in found.entries] == [one.text for one in told]


@settings(max_examples=60, deadline=None)
@given(entries, st.integers(-(10**11), 10**11), st.sampled_from(["EUR", "JPY", "KWD"]))
def test_amounts_of_mt940_are_exact_and_another_reader_agrees(
    told: list[Told], opening: int, currency: str
) -> None:
    content = mt940(*told, opening=opening, currency=currency)
    found = one_of(content)
    assert [one.signed_minor for one in found.entries] == [one.minor for one in told]
    assert found.opening_minor + sum(one.signed_minor for one in found.entries) == found.closing_minor
    other = [one.data["amount"].amount for one in oracle.parse(content) if "amount" in one.data]
    assert [settle(amount, currency).minor for amount in other] == [one.minor for one in told]


@settings(max_examples=300, deadline=None)
@given(st.data())
def test_a_damaged_file_is_read_or_refused_and_nothing_else(data: st.DataObject) -> None:
    whole = data.draw(st.sampled_from([GOOD, mt940(Told(100, text="KC-1", iban=PAYER), Told(-70)).encode()]))
    content = bytearray(whole)
    for _ in range(data.draw(st.integers(1, 4))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    try:
        found = read_statements(bytes(content[: data.draw(st.integers(0, len(content)))]))
    except UnreadableStatement:
        return
    assert all(one.amount_minor > 0 for statement in found for one in statement.entries)
