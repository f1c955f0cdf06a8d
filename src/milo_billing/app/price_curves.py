"""Draw the curves of docs/pricing.md: of every example on that page, what the engine charges over its quantities.

The page says the prices and how far to draw; the engine says the amounts. Nothing here knows how a model works.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction
from pathlib import Path
from typing import Any, Final

import yaml

from milo_billing.catalog.rules.prices import parse_price
from milo_billing.catalog.types import Price
from milo_billing.pricing.rules.charges import charge, prepare

CURRENCY: Final = "USD"
WIDTH, HEIGHT = 480, 240
LEFT, RIGHT, TOP, BOTTOM = 56, 16, 20, 40
POINTS: Final = 416
"""Quantities that are computed, one for each pixel between the axes and a few more."""

_SECTION = re.compile(
    r"^## (?P<model>\w+)\n.*?\(curves/(?P<file>[a-z-]+\.svg)\).*?```yaml\n(?P<yaml>.*?)```\n\n"
    r"\| (?P<unit>\w+) \| charge \|[^\n]*\n\|[-|]+\n(?P<rows>(?:\|[^\n]*\n)+)",
    re.MULTILINE | re.DOTALL,
)


@dataclass(frozen=True, slots=True)
class Example:
    """A price of the page. `rows` are its table: a quantity, or the amount of a base, and the charge it says."""

    model: str
    file: str
    price: Price
    unit: str
    rows: tuple[tuple[Decimal, Decimal], ...]

    def charge(self, quantity: Fraction) -> Decimal:
        """What the engine charges for the quantity, or for a base of that amount."""
        of_base = self.price.model == "Percentage"
        parts = charge(
            prepare(self.price, currency=CURRENCY),
            Fraction(0) if of_base else quantity,
            base_minor=quantity * 100 if of_base else Fraction(0),
        )
        return Decimal(sum(part.amount_minor for part in parts)) / 100


def read_examples(page: str) -> tuple[Example, ...]:
    """The examples of the page, in its order."""
    return tuple(_example(found.groupdict()) for found in _SECTION.finditer(page))


def _example(found: Mapping[str, str]) -> Example:
    (body,) = yaml.safe_load(found["yaml"])
    cells = [[cell.strip() for cell in row.split("|")[1:3]] for row in found["rows"].splitlines()]
    return Example(
        model=found["model"],
        file=found["file"],
        price=parse_price(_with_defaults(body), sku=body["skuRef"]["name"]),
        unit=found["unit"],
        rows=tuple((Decimal(quantity), Decimal(amount)) for quantity, amount in cells),
    )


def _with_defaults(body: Mapping[str, Any]) -> dict[str, Any]:
    tiers = [{"flatFee": "0", "chargeAtZero": False, **tier} for tier in body.get("tiers", ())]
    return {"includedQuantity": "0", **body, "tiers": tiers}


def render_curve(page: Path, file: str) -> str:
    """The picture of the example that names the file."""
    (example,) = [one for one in read_examples(page.read_text()) if one.file == file]
    most = max(quantity for quantity, _ in example.rows)
    quantities = [Fraction(most) * step / POINTS for step in range(POINTS + 1)]
    amounts = [example.charge(quantity) for quantity in quantities]
    highest = _above(max(amounts))
    across, down = WIDTH - LEFT - RIGHT, HEIGHT - TOP - BOTTOM
    path = " ".join(
        f"{LEFT + across * float(quantity / Fraction(most)):.1f},{TOP + down * (1 - float(amount / highest)):.1f}"
        for quantity, amount in zip(quantities, amounts, strict=True)
    )
    return _picture(example, path, across=_ticks(Decimal(most)), up=_ticks(highest))


def _picture(example: Example, path: str, *, across: Sequence[Decimal], up: Sequence[Decimal]) -> str:
    right, bottom = WIDTH - RIGHT, HEIGHT - BOTTOM
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" width="{WIDTH}" height="{HEIGHT}" '
        f'font-family="Inter, Helvetica, Arial, sans-serif" font-size="11" role="img" '
        f'aria-label="{example.model}: charge by {example.unit}">',
        f'  <rect width="{WIDTH}" height="{HEIGHT}" fill="#fff"/>',
    ]
    for tick in up:
        y = bottom - (bottom - TOP) * float(tick / up[-1])
        lines.append(f'  <path d="M{LEFT} {y:.1f}H{right}" stroke="#dde5ea"/>')
        lines.append(
            f'  <text x="{LEFT - 6}" y="{y + 4:.1f}" text-anchor="end" fill="#445566">{tick:,f}</text>'
        )
    for tick in across:
        x = LEFT + (right - LEFT) * float(tick / across[-1])
        lines.append(f'  <path d="M{x:.1f} {bottom}v4" stroke="#5b6b7a"/>')
        lines.append(
            f'  <text x="{x:.1f}" y="{bottom + 16}" text-anchor="middle" fill="#445566">{tick:,f}</text>'
        )
    return "\n".join(
        [
            *lines,
            f'  <path d="M{LEFT} {TOP}V{bottom}H{right}" fill="none" stroke="#5b6b7a"/>',
            f'  <polyline points="{path}" fill="none" stroke="#0f5e8c" stroke-width="2" stroke-linejoin="round"/>',
            f'  <text x="{(LEFT + right) // 2}" y="{HEIGHT - 6}" text-anchor="middle" fill="#17324a">'
            f"{example.unit}</text>",
            f'  <text x="{LEFT}" y="12" text-anchor="middle" fill="#17324a">charge, {CURRENCY}</text>',
            "</svg>",
            "",
        ]
    )


def _above(amount: Decimal) -> Decimal:
    """A round number above the amount, so that the curve ends below the top; a fourth of it is round, too."""
    power = Decimal(10) ** (len(str(int(amount))) - 1)
    return next(power * digit for digit in (2, 4, 6, 8, 10, 20) if power * digit >= amount * Decimal("1.05"))


def _ticks(most: Decimal) -> list[Decimal]:
    """Nought, three between, and the most; without zeros at the end."""
    return [Decimal(f"{(most * part / 4).normalize():f}") for part in range(5)]
