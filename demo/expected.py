"""What the invoices must come to, computed from the generated readings alone.

This is written from docs/architecture.md and the price list, not from the server's code, and shares nothing
with it: payer by the time of each reading, tiers on the sum of an account's month, each tier rounded half up
to a cent.
"""

from collections import defaultdict
from collections.abc import Iterable
from decimal import Decimal
from fractions import Fraction

from demo.month import REBOUND_AT, Reading
from demo.provider import ACCOUNTS, PROJECTS, REBOUND, SKUS, Sku, prices_of


def expected_lines(counted: Iterable[Reading]) -> dict[str, dict[str, Decimal]]:
    """Account key → Sku name → amount in the account's currency. Lines that come to nothing are left out."""
    used = _quantities(counted)
    currencies = {account.key: account.currency for account in ACCOUNTS}
    lines: dict[str, dict[str, Decimal]] = defaultdict(dict)
    for (account, sku_name), quantity in sorted(used.items()):
        sku = next(sku for sku in SKUS if sku.name == sku_name)
        lines[account][sku_name] = _amount(sku, quantity, currencies[account])
    return dict(lines)


def _quantities(counted: Iterable[Reading]) -> dict[tuple[str, str], int]:
    """(account, Sku) → metered units."""
    payers = {project.name: f"organization-{project.organization}/{project.account}" for project in PROJECTS}
    skus = {(sku.meter, value): sku.name for sku in SKUS for value in sku.match or ("",)}
    quantities: dict[tuple[str, str], int] = defaultdict(int)
    for reading in counted:
        account = payers[reading.project]
        if reading.project == REBOUND and reading.at >= REBOUND_AT:
            account = "organization-acme/research"
        sku = skus.get((reading.meter, ""), skus.get((reading.meter, reading.dimensions[0][1]), ""))
        quantities[account, sku] += reading.value
    return dict(quantities)


def _amount(sku: Sku, quantity: int, currency: str) -> Decimal:
    left, below, cents = Fraction(quantity, sku.per), Fraction(0), 0
    for up_to, price in prices_of(sku, currency):
        within = left if up_to is None else min(left, up_to - below)
        cents += int(within * Fraction(price) * 100 + Fraction(1, 2))
        left -= within
        below = Fraction(up_to or 0)
        if left == 0:
            break
    return Decimal(cents).scaleb(-2)
