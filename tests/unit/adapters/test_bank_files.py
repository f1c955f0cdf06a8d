"""Bank statements: what a file says is what is read, and what is in doubt is refused with its place."""

from datetime import date

import pytest

from milo_billing.adapters.bank_files import read_statements
from milo_billing.payments.types import BankEntry, BankStatement, UnreadableStatement
from tests.bank_files import IBAN, PAYER, Told, camt053, mt940


def one_of(content: bytes | str) -> BankStatement:
    (statement,) = read_statements(content if isinstance(content, bytes) else content.encode())
    return statement


def entry_of(content: bytes | str) -> BankEntry:
    (entry,) = one_of(content).entries
    return entry


# ------------------------------------------------------------------------------------------------------ camt.053


@pytest.mark.parametrize("version", ["02", "04", "06", "08", "10"])
def test_an_entry_of_camt053_has_everything_that_the_bank_says(version: str) -> None:
    told = Told(
        11850,
        text="Invoice KC-2026-000017 & thanks",
        reference="RF18539007547034",
        end_to_end="E2E-1",
        name="Zoé Lefèvre",
        iban=PAYER,
        bank_reference="B-1",
    )
    statement = one_of(camt053(told, opening=-2000, version=version))
    assert statement.format == f"camt.053.001.{version}"
    assert (statement.account, statement.currency, statement.sequence) == (IBAN, "EUR", "7")
    assert (statement.opening_minor, statement.closing_minor) == (-2000, 9850)
    assert statement.entries == (
        BankEntry(
            position=1,
            amount_minor=11850,
            credit=True,
            reversal=False,
            booked_on=date(2026, 11, 20),
            valued_on=date(2026, 11, 20),
            bank_reference="B-1",
            end_to_end_id="E2E-1",
            references=("RF18539007547034",),
            remittance="Invoice KC-2026-000017 & thanks",
            counterparty_name="Zoé Lefèvre",
            counterparty_iban=PAYER,
        ),
    )


def test_a_return_names_its_reason_and_the_other_side() -> None:
    entry = entry_of(
        camt053(Told(-500, end_to_end="KC-1", reason="AM04", name="Zoé", iban=PAYER), opening=500)
    )
    assert (entry.credit, entry.reversal, entry.return_reason) == (False, True, "AM04")
    assert (entry.counterparty_name, entry.counterparty_iban) == ("Zoé", PAYER)


def test_pending_entries_are_left_out() -> None:
    assert len(one_of(camt053(Told(100), Told(50, status="PDNG"))).entries) == 1


def test_a_batch_is_split_where_its_transactions_make_up_its_amount() -> None:
    def batch(first: str, second: str) -> bytes:
        part = (
            '<TxDtls><Refs><EndToEndId>{0}</EndToEndId></Refs><Amt Ccy="EUR">{1}</Amt>'
            "<CdtDbtInd>CRDT</CdtDbtInd></TxDtls>"
        )
        content = camt053(Told(3000)).decode()
        head, tail = content.split("<TxDtls>")[0], content.split("</TxDtls>")[1]
        return (head + part.format("A", first) + part.format("B", second) + tail).encode()

    found = one_of(batch("10.00", "20.00")).entries
    assert [(one.position, one.end_to_end_id, one.amount_minor) for one in found] == [
        (1, "A", 1000),
        (2, "B", 2000),
    ]
    assert [one.amount_minor for one in one_of(batch("10.00", "10.00")).entries] == [3000]


BOMB = (
    b'<?xml version="1.0"?><!DOCTYPE x [<!ENTITY a "aaaaaaaaaa"><!ENTITY b "&a;&a;&a;&a;&a;&a;&a;&a;">]>'
    b'<Document xmlns="urn:iso:std:iso:20022:tech:xsd:camt.053.001.08"><BkToCstmrStmt><Stmt><Id>&b;</Id></Stmt>'
    b"</BkToCstmrStmt></Document>"
)
OUTSIDE = BOMB.replace(
    b'<!ENTITY a "aaaaaaaaaa"><!ENTITY b "&a;&a;&a;&a;&a;&a;&a;&a;">',
    b'<!ENTITY b SYSTEM "file:///etc/passwd">',
)
GOOD = camt053(Told(100))


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (BOMB, "DOCTYPE"),
        (OUTSIDE, "DOCTYPE"),
        (b"<Document>", "not well-formed"),
        (b"<Document/>", "not a Document of camt.053"),
        (GOOD.replace(b"camt.053.001.08", b"camt.054.001.08"), "a notification of single entries"),
        (GOOD.replace(b"camt.053.001.08", b"camt.053.001.99"), "is not known"),
        (GOOD.replace(b">CLBD<", b">CLAV<"), "closing"),
        (GOOD.replace(b'<Amt Ccy="EUR">1.00', b'<Amt Ccy="USD">1.00'), "in EUR and USD"),
        (GOOD.replace(b">1.00<", b">1.001<"), "more decimals"),
        (GOOD.replace(b">1.00<", b">1e2<"), "not an amount"),
        (GOOD.replace(b">1.00<", b">-1.00<"), "not an amount"),
        (GOOD.replace(b"2026-11-20</Dt></BookgDt>", b"2026-02-30</Dt></BookgDt>"), "not a day"),
        (b"a,b,c\n1,2,3\n", "neither camt.053"),
        (b"", "neither camt.053"),
    ],
)
def test_what_is_in_doubt_is_refused_with_its_place(content: bytes, message: str) -> None:
    with pytest.raises(UnreadableStatement, match=message):
        read_statements(content)


# --------------------------------------------------------------------------------------------------------- MT940


def test_an_entry_of_mt940_has_everything_that_the_bank_says() -> None:
    text = "Rechnung KC-2026-000017 vom 1. November 2026, vielen Dank"
    statement = one_of(
        mt940(Told(11850, text=text, end_to_end="E2E-1", name="Zoé", iban=PAYER, bank_reference="B1"))
    )
    assert (statement.format, statement.account, statement.sequence) == ("MT940", IBAN, "00007/001")
    (entry,) = statement.entries
    assert (entry.amount_minor, entry.credit, entry.bank_reference) == (11850, True, "B1")
    assert (entry.end_to_end_id, entry.remittance) == ("E2E-1", text)
    assert (entry.counterparty_name, entry.counterparty_iban) == ("Zoé", PAYER)


def test_latin_1_is_read_where_a_file_is_not_utf_8() -> None:
    (statement,) = read_statements(mt940(Told(100, name="Müller")).encode("latin-1"))
    assert statement.entries[0].counterparty_name == "Müller"


def test_dutch_fields_are_read() -> None:
    entry = entry_of(
        ":20:940S\r\n:25:NL71RABO0123456789 EUR\r\n:28C:1\r\n:60F:C261119EUR1000,00\r\n"
        ":61:261120C000000000025,00N541EREF//B1\r\nNL70ABNA0987654321\r\n"
        ":86:/EREF/E2E-9/ORDP//NAME/CONTRA ACCOUN\r\nT HOLDER/REMI/KC-2026-000003/ISDT/2026-11-20\r\n"
        ":62F:C261120EUR1025,00\r\n"
    )
    assert (entry.end_to_end_id, entry.remittance) == ("E2E-9", "KC-2026-000003")
    assert entry.counterparty_name == "CONTRA ACCOUNT HOLDER"


def test_reversals_go_the_other_way_and_returns_say_why() -> None:
    head, tail = ":20:X\n:25:1/2\n:28C:1\n:60F:C261119EUR100,00\n", ":62F:C261120EUR90,00\n-"
    entry = entry_of(
        f"{head}:61:2611201120RCR10,NRTINONREF//R1\n:86:109?00RUECKLASTSCHRIFT?20EREF+KC-1?34914\n{tail}"
    )
    assert (entry.signed_minor, entry.reversal, entry.return_reason, entry.end_to_end_id) == (
        -1000,
        True,
        "MS03",
        "KC-1",
    )


def test_pages_become_one_statement_and_statements_stay_apart() -> None:
    first = ":20:A\n:25:1/2\n:28C:4/1\n:60F:C261119EUR100,\n:61:261120C5,NTRFNONREF\n:62M:C261120EUR105,\n-\n"
    second = ":20:A2\n:25:1/2\n:28C:4/2\n:60M:C261120EUR105,\n:61:261120C7,NTRFNONREF\n:62F:C261120EUR112,\n:86:x\n-\n"
    third = ":20:B\n:25:3/4\n:28C:1\n:60F:D261119EUR1,\n:62F:D261120EUR1,\n-\n"
    pages, other = read_statements((first + second + third).encode())
    assert (pages.opening_minor, pages.closing_minor, len(pages.entries)) == (10000, 11200, 2)
    assert (other.account, other.opening_minor, other.entries) == ("3/4", -100, ())


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ((":62F:C", ":62X:C"), "closing balance"),
        ((":60F:C", ":60X:C"), "before the opening balance"),
        ((":61:2611201120", ":61:2602301120"), "not a day"),
        ((":61:2611201120", ":61:2611209920"), "not a day"),
        ((",00NTRF", ".00NTRF"), "cannot be read"),
        ((":62F:C261120EUR", ":62F:C261120USD"), "EUR and USD"),
        ((f":25:{IBAN}\r\n", ""), "account"),
    ],
)
def test_a_field_that_cannot_be_read_is_refused_with_its_place(change: tuple[str, str], message: str) -> None:
    with pytest.raises(UnreadableStatement, match=message):
        read_statements(mt940(Told(100)).replace(*change).encode())
