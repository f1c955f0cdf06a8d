"""Bank statements in camt.053 (ISO 20022 BankToCustomerStatement), versions 001.02 to 001.13.

Owns: where each value stands. Not: whether balances add up (payments), what an entry pays (payments). Between versions
differ: a party stands in `Pty` from 001.07 on, a status in `Sts/Cd` from 001.07 on, and before 001.03 the amount of a
transaction in `AmtDtls/TxAmt/Amt`. Source: the ISO 20022 message definition reports of camt.053.
"""

import re
from collections.abc import Iterator
from dataclasses import replace
from datetime import date
from typing import Any, Final, TypeAlias

from lxml import etree

from milo_billing.adapters.bank_values import account_id, clean, day, is_iban, minor_units
from milo_billing.payments.types import (
    STATEMENT_BYTES_MAX,
    STATEMENT_ENTRIES_MAX,
    BankEntry,
    BankStatement,
    UnreadableStatement,
)

Node: TypeAlias = Any
"""An element; lxml has no public name for its type."""

_NAMESPACE: Final = re.compile(r"urn:iso:std:iso:20022:tech:xsd:((camt\.05[0-9])\.001\.([0-9]{2}))")
_VERSIONS: Final = range(2, 14)
_OPENINGS: Final = ("OPBD", "PRCD")
_CLOSINGS: Final = ("CLBD",)
_INTERIM: Final = "ITBD"
_UNKNOWN_REFERENCES: Final = {"NOTPROVIDED", "NOTAVAILABLE", "NONREF"}
_STATEMENTS_MAX: Final = 1000
_MORE: Final = {
    "camt.052": "an intraday report, which is provisional: import the statement of the day, camt.053",
    "camt.054": "a notification of single entries without balances: import the statement of the day, camt.053",
}


def read_camt053(content: bytes) -> tuple[BankStatement, ...]:
    """Every statement of the file, booked entries only. Raises UnreadableStatement, naming the place."""
    root = _parse(content)
    version = _version(root)
    found = [
        _statement(node, version=version, where=f"Stmt[{number}]")
        for number, node in enumerate(_all(root, "BkToCstmrStmt", "Stmt"), start=1)
    ]
    if not found:
        raise UnreadableStatement("the document holds no statement: BkToCstmrStmt/Stmt is missing")
    if len(found) > _STATEMENTS_MAX:
        raise UnreadableStatement(f"the document holds {len(found)} statements, at most {_STATEMENTS_MAX}")
    return tuple(found)


def _parse(content: bytes) -> Node:
    """The root of the document; no entity is ever expanded, nothing outside it is ever read."""
    if len(content) > STATEMENT_BYTES_MAX:
        raise UnreadableStatement(f"the file has {len(content)} bytes, at most {STATEMENT_BYTES_MAX}")
    parser = etree.XMLParser(
        resolve_entities=False,
        no_network=True,
        load_dtd=False,
        dtd_validation=False,
        huge_tree=False,
        remove_comments=True,
        remove_pis=True,
    )
    try:
        root = etree.fromstring(content, parser)
    except (etree.XMLSyntaxError, ValueError) as error:
        raise UnreadableStatement(f"the file is not well-formed XML: {error}") from error
    if root.getroottree().docinfo.internalDTD is not None:
        raise UnreadableStatement("the file declares a document type (DOCTYPE), which no bank statement does")
    return root


def _version(root: Node) -> str:
    name = etree.QName(root)
    found = _NAMESPACE.fullmatch(name.namespace or "")
    if found is None or name.localname != "Document":
        raise UnreadableStatement(f"the root element is {name.text[:120]!r}, not a Document of camt.053")
    message, family, number = found.groups()
    if family != "camt.053":
        raise UnreadableStatement(f"this is {message}, " + _MORE.get(family, "not a statement (camt.053)"))
    if int(number) not in _VERSIONS:
        raise UnreadableStatement(f"{message} is not known; 001.02 to 001.13 are")
    return message


# ---------------------------------------------------------------------------------------------------- reading


def _all(node: Node, *path: str) -> Iterator[Node]:
    """The elements at the end of a path, in the namespace of the document."""
    yield from node.iterfind("/".join(f"{{*}}{step}" for step in path))


def _first(node: Node, *path: str) -> Node | None:
    return next(_all(node, *path), None)


def _text(node: Node, *path: str) -> str:
    """The text of the first element at the path, tidied; empty where there is none."""
    found = _first(node, *path)
    return "" if found is None else clean(found.text or "")


def _any_text(node: Node, *paths: tuple[str, ...]) -> str:
    """The text at the first of the paths that has one."""
    return next((text for path in paths if (text := _text(node, *path))), "")


# ------------------------------------------------------------------------------------------------- statements


def _statement(node: Node, *, version: str, where: str) -> BankStatement:
    account = account_id(_any_text(node, ("Acct", "Id", "IBAN"), ("Acct", "Id", "Othr", "Id")))
    if not account:
        raise UnreadableStatement(f"{where}/Acct/Id: the account has neither IBAN nor other identification")
    balances = [_balance(one, where=f"{where}/Bal[{n}]") for n, one in enumerate(_all(node, "Bal"), start=1)]
    opening = _chosen(balances, _OPENINGS, interim=0, what="opening (OPBD or PRCD)", where=where)
    closing = _chosen(balances, _CLOSINGS, interim=-1, what="closing (CLBD)", where=where)
    currency = opening[1]
    if closing[1] != currency:
        raise UnreadableStatement(f"{where}: the balances are in {currency} and {closing[1]}")
    entries = tuple(_entries(node, currency=currency, closed_on=closing[3], where=where))
    return BankStatement(
        format=version,
        account=account,
        statement_id=_text(node, "Id"),
        sequence=_any_text(node, ("LglSeqNb",), ("ElctrncSeqNb",)),
        currency=currency,
        opening_minor=opening[2],
        closing_minor=closing[2],
        opened_on=opening[3],
        closed_on=closing[3],
        entries=entries,
    )


_Balance: TypeAlias = tuple[str, str, int, date]
"""Type, currency, signed minor units, day."""


def _balance(node: Node, *, where: str) -> _Balance:
    currency, minor = _amount(node, "Amt", where=where)
    signed = minor if _is_credit(node, where=where) else -minor
    on = _day(node, "Dt", where=where)
    return _text(node, "Tp", "CdOrPrtry", "Cd"), currency, signed, on


def _chosen(
    balances: list[_Balance], types: tuple[str, ...], *, interim: int, what: str, where: str
) -> _Balance:
    """The balance of the first type that is there; on a page of a longer statement an interim one."""
    for wanted in types:
        if found := [one for one in balances if one[0] == wanted]:
            if len({one[1:3] for one in found}) > 1:
                raise UnreadableStatement(f"{where}: the {what} balance is given twice, differently")
            return found[0]
    pages = [one for one in balances if one[0] == _INTERIM]
    if not pages:
        raise UnreadableStatement(f"{where}: the {what} balance is missing")
    return pages[interim]


def _amount(node: Node, *path: str, where: str) -> tuple[str, int]:
    found = _first(node, *path)
    if found is None:
        raise UnreadableStatement(f"{where}/{'/'.join(path)} is missing")
    currency = found.get("Ccy") or ""
    return currency, minor_units(
        (found.text or "").strip(), currency=currency, where=f"{where}/{'/'.join(path)}"
    )


def _is_credit(node: Node, *, where: str) -> bool:
    sign = _text(node, "CdtDbtInd")
    if sign not in ("CRDT", "DBIT"):
        raise UnreadableStatement(f"{where}/CdtDbtInd: {sign[:20]!r} is neither CRDT nor DBIT")
    return sign == "CRDT"


def _day(node: Node, name: str, *, where: str) -> date:
    return day(_any_text(node, (name, "Dt"), (name, "DtTm")), where=f"{where}/{name}")


# ---------------------------------------------------------------------------------------------------- entries


def _entries(node: Node, *, currency: str, closed_on: date, where: str) -> Iterator[BankEntry]:
    position = 0
    for number, entry in enumerate(_all(node, "Ntry"), start=1):
        place = f"{where}/Ntry[{number}]"
        if _any_text(entry, ("Sts", "Cd"), ("Sts",)) != "BOOK":
            continue
        for one in _split(entry, currency=currency, closed_on=closed_on, where=place):
            position += 1
            if position > STATEMENT_ENTRIES_MAX:
                raise UnreadableStatement(f"{place}: more than {STATEMENT_ENTRIES_MAX} entries")
            yield replace(one, position=position)


def _split(entry: Node, *, currency: str, closed_on: date, where: str) -> list[BankEntry]:
    """The entry, or the transactions of a booked batch where their amounts make up the entry's."""
    own, minor = _amount(entry, "Amt", where=where)
    if own != currency:
        raise UnreadableStatement(f"{where}: the entry is in {own}, the account in {currency}")
    credit = _is_credit(entry, where=where)
    booked = _day(entry, "BookgDt", where=where) if _first(entry, "BookgDt") is not None else closed_on
    valued = _day(entry, "ValDt", where=where) if _first(entry, "ValDt") is not None else booked
    whole = BankEntry(
        position=0,
        amount_minor=minor,
        credit=credit,
        reversal=_text(entry, "RvslInd") in ("true", "1"),
        booked_on=booked,
        valued_on=valued,
        bank_reference=_any_text(entry, ("AcctSvcrRef",), ("NtryRef",)),
    )
    if not minor:
        return []
    transactions = list(_all(entry, "NtryDtls", "TxDtls"))
    details = [_details(whole, one) for one in transactions]
    amounts = [_part(one, currency=currency, credit=credit, where=where) for one in transactions]
    if len(details) > 1 and all(amounts) and sum(amounts) == minor:
        return [replace(one, amount_minor=amount) for one, amount in zip(details, amounts, strict=True)]
    if len(details) == 1:
        return details
    remittance = clean(" ".join(one.remittance for one in details)) or _text(entry, "AddtlNtryInf")
    references = tuple(reference for one in details for reference in one.references)
    return [replace(whole, remittance=remittance, references=references)]


def _part(node: Node, *, currency: str, credit: bool, where: str) -> int:
    """The amount of one transaction of a batch; 0 where it is not said, or said in another currency or direction."""
    sign = _text(node, "CdtDbtInd")
    if sign and (sign == "CRDT") != credit:
        return 0
    for path in (("Amt",), ("AmtDtls", "TxAmt", "Amt")):
        if _first(node, *path) is not None:
            own, minor = _amount(node, *path, where=f"{where}/NtryDtls/TxDtls")
            return minor if own == currency else 0
    return 0


def _details(entry: BankEntry, node: Node) -> BankEntry:
    """The entry with what one transaction says of it."""
    # of a returned payment the parties are those of the original, so both sides are looked at
    sides = ("Dbtr", "Cdtr") if entry.credit else ("Cdtr", "Dbtr")
    reason = _text(node, "RtrInf", "Rsn", "Cd")
    if reason:
        sides = (sides[1], sides[0])
    side = next((one for one in sides if _party(node, one)), sides[0])
    iban = account_id(_text(node, "RltdPties", f"{side}Acct", "Id", "IBAN"))
    references = tuple(_all_texts(node, "RmtInf", "Strd", "CdtrRefInf", "Ref"))
    end_to_end = _text(node, "Refs", "EndToEndId")
    return replace(
        entry,
        bank_reference=_text(node, "Refs", "AcctSvcrRef") or entry.bank_reference,
        end_to_end_id="" if end_to_end in _UNKNOWN_REFERENCES else end_to_end,
        mandate=_text(node, "Refs", "MndtId"),
        references=references,
        remittance=clean(" ".join(_all_texts(node, "RmtInf", "Ustrd"))) or _text(node, "AddtlTxInf"),
        counterparty_name=_party(node, side),
        counterparty_iban=iban if is_iban(iban) else "",
        return_reason=reason,
        reversal=entry.reversal or bool(reason),
    )


def _party(node: Node, side: str) -> str:
    return _any_text(
        node,
        ("RltdPties", f"Ultmt{side}", "Pty", "Nm"),
        ("RltdPties", f"Ultmt{side}", "Nm"),
        ("RltdPties", side, "Pty", "Nm"),
        ("RltdPties", side, "Nm"),
    )


def _all_texts(node: Node, *path: str) -> list[str]:
    return [text for found in _all(node, *path) if (text := clean(found.text or ""))]
