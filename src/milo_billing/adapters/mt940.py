"""Bank statements in MT940 (SWIFT customer statement message), as text blocks of one file or with SWIFT headers.

Owns: the fields :20:, :25:, :28C:, :60:, :61:, :62:, :86:, and the ways in which banks structure :86: (German ?nn
subfields with SEPA tags, Dutch /TAG/ pairs, free text). Not: whether balances add up (payments).

The package mt-940 is the oracle of the tests, not the reader: it puts all statements of a file into one, moves days
that do not exist to others, and leaves out what it cannot read; money wants a refusal instead.
"""

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from datetime import date, timedelta
from typing import Final

from milo_billing.adapters.bank_values import account_id, clean, minor_units
from milo_billing.kernel.ibans import is_iban
from milo_billing.kernel.money import minor_to_decimal
from milo_billing.payments.types import (
    STATEMENT_BYTES_MAX,
    STATEMENT_ENTRIES_MAX,
    BankEntry,
    BankStatement,
    UnreadableStatement,
)

_TAG: Final = re.compile(r":([0-9]{2}[A-Z]?|NS):(.*)", re.DOTALL)
_BALANCE: Final = re.compile(r"([DC])([0-9]{6})([A-Z]{3})([0-9]{1,15}(?:,[0-9]{0,5})?)")
_LINE: Final = re.compile(
    r"(?P<value>[0-9]{6})(?P<booked>[0-9]{4}|    )?(?P<sign>R?[DC])(?P<funds>[A-Z])?"
    r"(?P<amount>[0-9]{1,15},[0-9]{0,5})(?P<type>[A-Z][A-Z0-9 ]{3})?(?P<reference>(?:(?!//).){0,34})(?://(?P<bank>.*))?"
)
_SUBFIELD: Final = re.compile(r"\?([0-9]{2})")
_SEPA_TAGS: Final = ("EREF", "KREF", "MREF", "CRED", "DEBT", "SVWZ", "ABWA", "ABWE", "RREF", "IBAN", "BIC")
_SEPA: Final = re.compile(r"(" + "|".join(_SEPA_TAGS) + r")\+(.*)")
_SLASHED: Final = re.compile(
    r"/(EREF|KREF|MREF|MARF|IREF|PREF|CSID|BENM|ORDP|CNTP|REMI|RTRN|ISDT|PURP|TRTP|NAME|IBAN|BIC|CREF|ULTC|ULTD)/"
)
_REASON: Final = re.compile(r"[A-Z]{2}[0-9]{2}")
_NO_REFERENCE: Final = {"", "NONREF", "NOTPROVIDED", "NOTAVAILABLE"}
_GERMAN_REASONS: Final = {"903": "AC06", "914": "MS03"}
"""Text key extensions of ?34 that banks explain beside them; others are kept as DK and the number."""
_HALF_YEAR: Final = timedelta(days=183)
_STRUCTURED: Final = re.compile(r"RF[0-9]{2}[A-Z0-9]{1,21}")


@dataclass(slots=True)
class _Fields:
    """What has been read of the statement that is being read."""

    number: int
    account: str = ""
    statement_id: str = ""
    sequence: str = ""
    currency: str = ""
    opening: tuple[int, date] | None = None
    closing: tuple[int, date] | None = None
    more: bool = False
    entries: list[BankEntry] = field(default_factory=list[BankEntry])
    described: bool = True

    @property
    def where(self) -> str:
        return f"statement {self.number}"


def read_mt940(content: bytes) -> tuple[BankStatement, ...]:
    """Every statement of the file; pages that say "to be continued" (:62M:) become one with those that follow.

    Raises UnreadableStatement, naming the statement and the field.
    """
    if len(content) > STATEMENT_BYTES_MAX:
        raise UnreadableStatement(f"the file has {len(content)} bytes, at most {STATEMENT_BYTES_MAX}")
    found: list[BankStatement] = []
    open_: _Fields | None = None
    for tag, value in _tags(_decoded(content)):
        if tag == "20":
            open_ = _next(open_, number=len(found) + 1)
        if open_ is None:
            raise UnreadableStatement(f"field :{tag}: stands before the first :20:")
        _take(open_, tag, value)
        if tag == "62F":
            found.append(_finished(open_))
            open_ = _Fields(number=len(found) + 1)
        elif tag == "62M":
            open_.more = True
    if open_ is not None and (open_.entries or open_.opening is not None):
        raise UnreadableStatement(f"{open_.where}: the closing balance (:62F:) is missing")
    if not found:
        raise UnreadableStatement("the file holds no statement: there is no :20: and :62F:")
    return tuple(found)


def _decoded(content: bytes) -> str:
    """UTF-8, else Latin-1, which holds all of SWIFT's own characters."""
    text = content.decode("utf-8-sig", errors="replace")
    return content.decode("latin-1") if "\ufffd" in text else text


def _tags(text: str) -> Iterator[tuple[str, str]]:
    """The fields in order, continuation lines joined by line ends. SWIFT blocks and separators are left out."""
    tag, lines = "", list[str]()
    for raw in text.replace("\r\n", "\n").replace("\r", "\n").split("\n"):
        line = raw.rstrip("\x03\x1a")
        if (start := line.find("{4:")) >= 0:
            line = line[start + 3 :]
        started = _TAG.fullmatch(line)
        if started is not None or line.strip() in ("-", "-}") or line.startswith(("-}", "{1:")):
            if tag:
                yield tag, "\n".join(lines)
            tag, lines = (started[1], [started[2]]) if started is not None else ("", [])
        elif tag:
            lines.append(line)
    if tag:
        yield tag, "\n".join(lines)


def _next(standing: _Fields | None, *, number: int) -> _Fields:
    """A new statement, or the next page of the one that was to be continued."""
    if standing is None or standing.opening is None:
        return _Fields(number=number)
    if not standing.more:
        raise UnreadableStatement(f"{standing.where}: the closing balance (:62F:) is missing")
    return standing


def _take(fields: _Fields, tag: str, value: str) -> None:
    match tag:
        case "20":
            fields.statement_id = fields.statement_id or clean(value)
        case "25" | "25P":
            _take_account(fields, value)
        case "28" | "28C":
            fields.sequence = fields.sequence or clean(value)
        case "60F" | "60M":
            _take_opening(fields, value)
        case "62F" | "62M":
            fields.closing = _balance(fields, value, tag=tag)
        case "61":
            _take_line(fields, value)
        case "86":
            _take_description(fields, value)
        case _:
            fields.described = True


def _take_account(fields: _Fields, value: str) -> None:
    # some banks put the currency behind the IBAN, some the bank's code before the account's number
    first = value.split("\n")[0].strip()
    compact = re.sub(r"[ ]?[A-Z]{3}$", "", first)
    account = account_id(compact if is_iban(account_id(compact)) else first)
    if fields.account and account != fields.account:
        raise UnreadableStatement(f"{fields.where}: {fields.account} is continued by account {account}")
    fields.account = account


def _take_opening(fields: _Fields, value: str) -> None:
    opening = _balance(fields, value, tag="60")
    if fields.opening is None:
        fields.opening = opening
    elif fields.closing is None or opening[0] != fields.closing[0]:
        raise UnreadableStatement(
            f"{fields.where}: the next page opens with {_money(opening[0], fields)}, the one before "
            + (
                "was never closed"
                if fields.closing is None
                else f"closed with {_money(fields.closing[0], fields)}"
            )
            + ": a page is missing; ask the bank for the whole statement"
        )
    fields.more = False


def _money(minor: int, fields: _Fields) -> str:
    return f"{minor_to_decimal(minor, fields.currency)} {fields.currency}"


def _balance(fields: _Fields, value: str, *, tag: str) -> tuple[int, date]:
    found = _BALANCE.fullmatch(value.strip())
    if found is None:
        raise UnreadableStatement(f"{fields.where}, :{tag}:: {value[:40]!r} is not a balance")
    sign, on, currency, amount = found.groups()
    if fields.currency and currency != fields.currency:
        raise UnreadableStatement(f"{fields.where}: the balances are in {fields.currency} and {currency}")
    fields.currency = currency
    minor = minor_units(amount, currency=currency, where=f"{fields.where}, :{tag}:")
    return minor if sign == "C" else -minor, _day(on, where=f"{fields.where}, :{tag}:")


def _day(text: str, *, where: str) -> date:
    """YYMMDD; 80 and later are of the last century, as SWIFT has it."""
    century = 1900 if int(text[:2]) >= 80 else 2000
    try:
        return date(century + int(text[:2]), int(text[2:4]), int(text[4:6]))
    except ValueError as error:
        raise UnreadableStatement(f"{where}: {text!r} is not a day of the calendar") from error


def _booked(text: str, *, valued: date, where: str) -> date:
    """MMDD in the year that brings it nearest to the value date."""
    found: list[date] = []
    for year in (valued.year - 1, valued.year, valued.year + 1):
        try:
            found.append(date(year, int(text[:2]), int(text[2:4])))
        except ValueError:  # 29 February of another year
            continue
    near = [one for one in found if abs(one - valued) <= _HALF_YEAR]
    if not near:
        raise UnreadableStatement(f"{where}: {text!r} is not a day of the calendar")
    return min(near, key=lambda one: abs(one - valued))


# ----------------------------------------------------------------------------------------------------- entries


def _take_line(fields: _Fields, value: str) -> None:
    where = f"{fields.where}, :61: number {len(fields.entries) + 1}"
    if fields.opening is None:
        raise UnreadableStatement(f"{where} stands before the opening balance")
    if len(fields.entries) >= STATEMENT_ENTRIES_MAX:
        raise UnreadableStatement(f"{where}: more than {STATEMENT_ENTRIES_MAX} entries")
    first, _, more = value.partition("\n")
    found = _LINE.fullmatch(first.rstrip())
    if found is None:
        raise UnreadableStatement(f"{where}: {first[:60]!r} cannot be read")
    valued = _day(found["value"], where=where)
    booked = (found["booked"] or "").strip()
    sign = found["sign"]
    minor = minor_units(found["amount"], currency=fields.currency, where=where)
    reference = clean(found["reference"])
    fields.described = not minor
    if not minor:
        return
    fields.entries.append(
        BankEntry(
            position=len(fields.entries) + 1,
            amount_minor=minor,
            # RC takes a credit back, so money goes out; RD the other way round
            credit=sign in ("C", "RD"),
            reversal=sign.startswith("R"),
            booked_on=_booked(booked, valued=valued, where=where) if booked else valued,
            valued_on=valued,
            bank_reference=clean(found["bank"] or ""),
            end_to_end_id="" if reference in _NO_REFERENCE or reference == "KREF+" else reference,
            remittance=clean(more),
        )
    )


def _take_description(fields: _Fields, value: str) -> None:
    """What :86: says of the entry before it; behind the closing balance it is of the statement."""
    if fields.described or not fields.entries:
        return
    fields.described = True
    entry = fields.entries[-1]
    if re.match(r"[0-9]{3}\?", value.lstrip()):
        fields.entries[-1] = _german(entry, value.replace("\n", ""))
    elif _SLASHED.search(value) is not None:
        fields.entries[-1] = _slashed(entry, value.replace("\n", ""))
    else:
        fields.entries[-1] = _referenced(replace(entry, remittance=clean(f"{entry.remittance} {value}")))


def _german(entry: BankEntry, value: str) -> BankEntry:
    """?20 to ?29 and ?60 to ?63 are the text, with SEPA tags; ?31 the account, ?32 and ?33 the name, ?34 the reason."""
    pieces = _SUBFIELD.split(value)
    parts = dict[str, str]()
    for code, text in zip(pieces[1::2], pieces[2::2], strict=True):
        parts[code] = parts.get(code, "") + text
    tagged = _sepa(parts.get(f"{number}", "") for number in (*range(20, 30), *range(60, 64)))
    account = account_id(tagged.get("IBAN") or parts.get("31", ""))
    name = clean(parts.get("32", "") + parts.get("33", ""))
    extension = parts.get("34", "").strip()
    reason = _GERMAN_REASONS.get(extension, f"DK{extension}") if re.fullmatch(r"9[0-9]{2}", extension) else ""
    return _referenced(
        replace(
            entry,
            end_to_end_id=_given(tagged.get("EREF", "")) or entry.end_to_end_id,
            mandate=clean(tagged.get("MREF", "")),
            remittance=clean(tagged.get("SVWZ") or tagged.get("", "")),
            counterparty_name=clean(tagged.get("ABWA", "")) or name,
            counterparty_iban=account if is_iban(account) else "",
            return_reason=reason,
            reversal=entry.reversal or bool(reason),
        )
    )


def _slashed(entry: BankEntry, value: str) -> BankEntry:
    tagged = _tagged(value, _SLASHED)
    account = account_id(tagged.get("IBAN", "").strip("/"))
    reason = _REASON.match(tagged.get("RTRN", "").strip("/"))
    found = replace(
        entry,
        end_to_end_id=_given(tagged.get("EREF", "").strip("/")) or entry.end_to_end_id,
        mandate=clean((tagged.get("MARF") or tagged.get("MREF", "")).strip("/")),
        remittance=clean(re.sub(r"^/+|^USTD//|^STRD/CUR/|/+$", "", tagged.get("REMI", ""))),
        counterparty_name=clean(tagged.get("NAME", "").strip("/")),
        counterparty_iban=account if is_iban(account) else "",
    )
    if reason is not None:
        found = replace(found, return_reason=reason[0], reversal=True)
    return _referenced(found)


def _sepa(subfields: Iterable[str]) -> dict[str, str]:
    """What stands behind each SEPA tag, which begins a subfield; under the empty one the rest."""
    found, tag = {"": ""}, ""
    for text in subfields:
        begun = _SEPA.fullmatch(text)
        if begun is not None:
            tag = begun[1]
        found[tag] = found.get(tag, "") + (text if begun is None else begun[2])
    return found


def _tagged(text: str, pattern: re.Pattern[str]) -> dict[str, str]:
    """What stands behind each tag; under the empty one what stands before the first."""
    pieces = pattern.split(text)
    found = {"": pieces[0]}
    for tag, value in zip(pieces[1::2], pieces[2::2], strict=True):
        found.setdefault(tag, value)
    return found


def _given(text: str) -> str:
    return "" if (found := clean(text)) in _NO_REFERENCE else found


def _referenced(entry: BankEntry) -> BankEntry:
    """The entry with the creditor references (ISO 11649) that its text holds, for MT940 has no field for them."""
    return replace(entry, references=tuple(_STRUCTURED.findall(entry.remittance)))


def _finished(fields: _Fields) -> BankStatement:
    if fields.opening is None or fields.closing is None:
        raise UnreadableStatement(f"{fields.where}: the opening balance (:60F:) is missing")
    if not fields.account:
        raise UnreadableStatement(f"{fields.where}: the account (:25:) is missing")
    return BankStatement(
        format="MT940",
        account=fields.account,
        statement_id=fields.statement_id,
        sequence=fields.sequence,
        currency=fields.currency,
        opening_minor=fields.opening[0],
        closing_minor=fields.closing[0],
        opened_on=fields.opening[1],
        closed_on=fields.closing[1],
        entries=tuple(fields.entries),
    )
