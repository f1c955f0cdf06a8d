"""What the invoices must come to, computed from the generated readings alone.

This is written from the guides in docs/ and the sample's terms, not from the server's code, and shares nothing with
it: payer by the time of each reading, tiers on the sum of an account's month, each tier converted where it must be and
rounded half up to a cent, percentages of a commitment inside the line, a shortfall, a discount on the whole invoice,
tax once on what is left.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction

from demo.agreements import PROMISE, RATES, TAKEN, WELCOME
from demo.month import LAST_DAY, REBOUND_AT, Reading
from demo.provider import (
    ACCOUNTS,
    DEFAULT_CURRENCY,
    PROJECTS,
    REBOUND,
    SKUS,
    VAT_COUNTRY,
    VAT_PERCENT,
    Account,
    Sku,
    Tiers,
    find_account,
    prices_of,
)

_HALF = Fraction(1, 2)
_LISTED = ("USD", "EUR")


@dataclass(frozen=True, slots=True)
class Line:
    """A line of an invoice. `amount` has the discounts inside the line, `net` its part of those on the whole too."""

    amount: Decimal
    net: Decimal


@dataclass(frozen=True, slots=True)
class Bill:
    """What an invoice must say, in the account's currency: its lines by Sku or by commitment, and its one tax group.

    `category` is S where the customer is in the provider's country, AE where a business elsewhere in the Union owes the
    tax itself, and G abroad.
    """

    lines: Mapping[str, Line]
    category: str
    tax: Decimal

    @property
    def total(self) -> Decimal:
        return sum((line.net for line in self.lines.values()), self.tax)


def expected_invoices(counted: Iterable[Reading]) -> dict[str, Bill]:
    """Account key → its invoice. What was not used has no line, and who used nothing no invoice."""
    used = _quantities(counted)
    accounts = {account.key: account for account in ACCOUNTS}
    invoices: dict[str, Bill] = {}
    for key in sorted({account for account, _ in used}):
        account = accounts[key]
        cents = {
            sku.name: _line_cents(sku, used[key, sku.name], account)
            for sku in SKUS
            if (key, sku.name) in used
        }
        missing = _cents(PROMISE.monthly) - sum(cents.values()) if account == PROMISE.account else 0
        charged = {PROMISE.name: missing} if missing > 0 else {}
        off: dict[str, int] = (
            _spread(_percent_of(sum(cents.values()), WELCOME.percent), cents)
            if account == WELCOME.account
            else {}
        )
        gross = {**cents, **charged}
        category = _category(account)
        net = sum(gross.values()) - sum(off.values())
        invoices[key] = Bill(
            lines={
                name: Line(_decimal(minor), _decimal(minor - off.get(name, 0)))
                for name, minor in gross.items()
            },
            category=category,
            tax=_decimal(_percent_of(net, VAT_PERCENT) if category == "S" else 0),
        )
    return invoices


def _category(account: Account) -> str:
    if dict(account.address)["country"] == VAT_COUNTRY:
        return "S"
    return "AE" if account.vat_number else "G"


def expected_spend(counted: Iterable[Reading]) -> Decimal:
    """What the account of the commitment had spent with these readings, before what the commitment charges."""
    lines = expected_invoices(counted)[PROMISE.account.key].lines
    return sum((line.net for name, line in lines.items() if name != PROMISE.name), Decimal(0))


def quantity_of(counted: Iterable[Reading], account: Account, sku: str) -> int:
    """How much of a Sku an account used, in the meter's unit."""
    return _quantities(counted)[account.key, sku]


def _quantities(counted: Iterable[Reading]) -> dict[tuple[str, str], int]:
    """(account, Sku) → metered units."""
    payers = {project.name: find_account(project.organization, project.account).key for project in PROJECTS}
    skus = {(sku.meter, value): sku.name for sku in SKUS for value in sku.match or ("",)}
    quantities: dict[tuple[str, str], int] = defaultdict(int)
    for reading in counted:
        account = payers[reading.project]
        if reading.project == REBOUND and reading.at >= REBOUND_AT:
            account = "organization-acme/research"
        sku = skus.get((reading.meter, ""), skus.get((reading.meter, reading.dimensions[0][1]), ""))
        quantities[account, sku] += reading.value
    return dict(quantities)


def _line_cents(sku: Sku, quantity: int, account: Account) -> int:
    """A line with the percentage of the commitment, where it has one."""
    cents = sum(_part_cents(sku, quantity, account))
    if account == PROMISE.account and sku.family == PROMISE.family:
        cents -= _percent_of(cents, PROMISE.percent)
    return cents


def _part_cents(sku: Sku, quantity: int, account: Account) -> list[int]:
    """What each tier comes to. A tier is converted before it is rounded, and rounded once."""
    rate = Fraction(1) if account.currency in _LISTED else _rate(DEFAULT_CURRENCY, account.currency)
    left, below = Fraction(quantity, sku.per), Fraction(0)
    parts: list[int] = []
    for up_to, price in _tiers(sku, account):
        within = left if up_to is None else min(left, up_to - below)
        parts.append(_rounded(within * Fraction(price) * rate * 100))
        left -= within
        below = Fraction(up_to or 0)
        if left == 0:
            break
    return parts


def _tiers(sku: Sku, account: Account) -> Tiers:
    if account == TAKEN.account and sku.name in TAKEN.prices:
        return TAKEN.prices[sku.name]
    return prices_of(sku, account.currency if account.currency in _LISTED else DEFAULT_CURRENCY)


def _rate(from_currency: str, to_currency: str) -> Fraction:
    """Through the euro, with the numbers of the last day of the file that is not after the month."""
    header, *rows = [line.split(",") for line in RATES.read_text().splitlines()]
    last = max((row for row in rows if row[0] <= LAST_DAY), key=lambda row: row[0])
    per_euro = dict(zip(header[1:], map(Fraction, last[1:]), strict=True))
    return per_euro[to_currency] / per_euro[from_currency]


def _spread(total: int, over: Mapping[str, int]) -> dict[str, int]:
    """The total in proportion to cents; what is left over goes to the largest remainders."""
    whole = sum(over.values())
    parts = {name: total * cents // whole for name, cents in over.items()}
    remainders: Sequence[str] = sorted(over, key=lambda name: -(total * over[name] % whole))
    for name in remainders[: total - sum(parts.values())]:
        parts[name] += 1
    return parts


def _percent_of(cents: int, percent: int) -> int:
    return _rounded(Fraction(cents * percent, 100))


def _rounded(exact: Fraction) -> int:
    """Half up; nothing here is below zero."""
    return int(exact + _HALF)


def _cents(amount: Decimal) -> int:
    return int(amount * 100)


def _decimal(cents: int) -> Decimal:
    return Decimal(cents).scaleb(-2)
