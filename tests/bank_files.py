"""Writers of bank statements for tests: the fields that banks fill, in the layouts that they use."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from html import escape

from milo_billing.kernel.money import exponent, minor_to_decimal

IBAN = "DE75512108001245126199"
PAYER = "FR1420041010050500013M02606"


@dataclass(frozen=True)
class Told:
    """One entry as a test wants a bank to tell it; a negative amount goes out."""

    minor: int
    text: str = ""
    reference: str = ""
    end_to_end: str = ""
    name: str = ""
    iban: str = ""
    bank_reference: str = ""
    reason: str = ""
    mandate: str = ""
    status: str = "BOOK"


def amount(minor: int, currency: str) -> str:
    return str(minor_to_decimal(abs(minor), currency))


def camt053(
    *entries: Told,
    opening: int = 0,
    closing: int | None = None,
    currency: str = "EUR",
    version: str = "08",
    account: str = IBAN,
    statement: str = "S-1",
    on: date = date(2026, 11, 20),
) -> bytes:
    """One statement; the closing balance is what follows unless another is wanted."""
    end = opening + sum(one.minor for one in entries if one.status == "BOOK") if closing is None else closing
    body = "".join(_entry(one, currency=currency, version=version, on=on) for one in entries)
    return (
        f'<?xml version="1.0" encoding="UTF-8"?>'
        f'<Document xmlns="urn:iso:std:iso:20022:tech:xsd:camt.053.001.{version}"><BkToCstmrStmt>'
        f"<GrpHdr><MsgId>M1</MsgId><CreDtTm>{on}T20:00:00Z</CreDtTm></GrpHdr>"
        f"<Stmt><Id>{statement}</Id><ElctrncSeqNb>7</ElctrncSeqNb>"
        f"<Acct><Id><IBAN>{account}</IBAN></Id><Ccy>{currency}</Ccy></Acct>"
        f"{_balance('OPBD', opening, currency, on)}{_balance('CLBD', end, currency, on)}{body}"
        f"</Stmt></BkToCstmrStmt></Document>"
    ).encode()


def _balance(kind: str, minor: int, currency: str, on: date) -> str:
    return (
        f"<Bal><Tp><CdOrPrtry><Cd>{kind}</Cd></CdOrPrtry></Tp>"
        f'<Amt Ccy="{currency}">{amount(minor, currency)}</Amt>'
        f"<CdtDbtInd>{'DBIT' if minor < 0 else 'CRDT'}</CdtDbtInd><Dt><Dt>{on}</Dt></Dt></Bal>"
    )


def _entry(one: Told, *, currency: str, version: str, on: date) -> str:
    newer = int(version) >= 7
    status = f"<Cd>{one.status}</Cd>" if newer else one.status
    side = "Dbtr" if (one.minor > 0) != bool(one.reason) else "Cdtr"
    name = f"<Nm>{escape(one.name)}</Nm>"
    party = f"<{side}>{f'<Pty>{name}</Pty>' if newer else name}</{side}>" if one.name else ""
    account = f"<{side}Acct><Id><IBAN>{one.iban}</IBAN></Id></{side}Acct>" if one.iban else ""
    structured = (
        f"<Strd><CdtrRefInf><Ref>{escape(one.reference)}</Ref></CdtrRefInf></Strd>" if one.reference else ""
    )
    text = "".join(f"<Ustrd>{escape(one.text[n : n + 140])}</Ustrd>" for n in range(0, len(one.text), 140))
    returned = f"<RtrInf><Rsn><Cd>{one.reason}</Cd></Rsn></RtrInf>" if one.reason else ""
    mandate = f"<MndtId>{one.mandate}</MndtId>" if one.mandate else ""
    return (
        f'<Ntry><Amt Ccy="{currency}">{amount(one.minor, currency)}</Amt>'
        f"<CdtDbtInd>{'DBIT' if one.minor < 0 else 'CRDT'}</CdtDbtInd><Sts>{status}</Sts>"
        f"<BookgDt><Dt>{on}</Dt></BookgDt><ValDt><Dt>{on}</Dt></ValDt>"
        f"<AcctSvcrRef>{escape(one.bank_reference)}</AcctSvcrRef>"
        f"<NtryDtls><TxDtls><Refs><EndToEndId>{escape(one.end_to_end) or 'NOTPROVIDED'}</EndToEndId>{mandate}</Refs>"
        f"<RltdPties>{party}{account}</RltdPties><RmtInf>{text}{structured}</RmtInf>{returned}"
        f"</TxDtls></NtryDtls></Ntry>"
    )


def mt940(
    *entries: Told, opening: int = 0, closing: int | None = None, currency: str = "EUR", account: str = IBAN
) -> str:
    """One statement with German subfields, as most German banks write them."""
    end = opening + sum(one.minor for one in entries) if closing is None else closing
    lines = [":20:STARTUMS", f":25:{account}", ":28C:00007/001", f":60F:{_swift(opening, currency)}"]
    for one in entries:
        sign = "C" if one.minor > 0 else "D"
        lines.append(f":61:2611201120{sign}{_comma(one.minor, currency)}NTRFNONREF//{one.bank_reference}")
        lines += wrapped(f":86:166?00GUTSCHRIFT?109310{''.join(_subfields(one))}")
    return "\r\n".join([*lines, f":62F:{_swift(end, currency)}", "-", ""])


def _subfields(one: Told) -> Sequence[str]:
    tags = [f"{tag}+{value}" for tag, value in (("EREF", one.end_to_end), ("SVWZ", one.text)) if value]
    found = [tag[n : n + 27] for tag in tags for n in range(0, len(tag), 27)]
    return [
        *(f"?{code}{piece}" for code, piece in zip(range(20, 30), found, strict=False)),
        *([f"?31{one.iban}"] if one.iban else []),
        *([f"?32{one.name[:27]}"] if one.name else []),
    ]


def wrapped(field: str) -> list[str]:
    return [field[n : n + 65] for n in range(0, len(field), 65)]


def _comma(minor: int, currency: str) -> str:
    text = amount(minor, currency).replace(".", ",")
    return text if exponent(currency) else f"{text},"


def _swift(minor: int, currency: str) -> str:
    return f"{'D' if minor < 0 else 'C'}261120{currency}{_comma(minor, currency)}"
