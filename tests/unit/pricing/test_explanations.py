"""How a price comes about: which books were asked, which one answered, and what a person is shown of the line."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import date
from decimal import Decimal
from fractions import Fraction
from typing import Any

import pytest

from milo_billing.catalog.types import Book, Price, QuantityRounding, Sku
from milo_billing.pricing.rules.explaining import explain
from milo_billing.pricing.rules.representations import explanation_body, rate_body
from milo_billing.pricing.types import (
    BookSource,
    ExchangeRate,
    PriceExplanation,
    RateCard,
    SourceKind,
    UnableToRate,
)
from tests.unit.pricing.builders import (
    END_DAY,
    FIRST_DAY,
    book,
    graduated,
    meter,
    per_unit,
    percentage,
    sku,
    tier,
    volume,
)

CHF = ExchangeRate("ECB", date(2026, 10, 30), "USD", "CHF", Decimal("1.25"), Decimal("0.9375"))
FIRST_THAT_PRICES = "the first that prices the Sku on this day"
ONE_BEFORE = "one before it prices the Sku"


def october(day: int) -> date:
    return date(2026, 10, day)


def source(
    kind: SourceKind, *books: Book, by: str = "", first: int | None = None, end: int | None = None
) -> BookSource:
    return BookSource(
        kind,
        books[0].book_name,
        books,
        by=by,
        first_day=None if first is None else october(first),
        end_day=None if end is None else october(end),
    )


def explained(
    *sources: BookSource,
    day: int = 15,
    quantity: Fraction | int = 1,
    sold: Sku | None = None,
    currency: str = "USD",
    with_meter: bool = True,
) -> PriceExplanation:
    sold = sold or sku()
    known = {one.name: one for one in (sold, sku("other", meter="other"))}
    meters = {one.meter_name: meter(one.meter_name) for one in known.values()} if with_meter else {}
    card = RateCard(currency, sources, known, meters, {"USD": CHF})
    return explain(
        card,
        sku=sold,
        day=october(day),
        first_day=FIRST_DAY,
        end_day=END_DAY,
        metered=Fraction(quantity),
    )


def told(found: PriceExplanation) -> list[tuple[str, bool, str]]:
    return [(one.source.kind, one.chosen, one.reason) for one in found.candidates]


LIST = source("List", book(per_unit("1")))


def firm(price: str, since: date = date(2026, 1, 1), number: int = 1) -> Book:
    return book(graduated(tier(None, price)), number=number, since=since)


@pytest.mark.parametrize(
    ("sources", "day", "expected"),
    [
        ([LIST], 15, [("List", True, FIRST_THAT_PRICES)]),
        (
            [source("Entitlement", book(per_unit("0.5"))), LIST],
            15,
            [("Entitlement", True, FIRST_THAT_PRICES), ("List", False, ONE_BEFORE)],
        ),
        (
            [source("Entitlement", book(per_unit("0.5", sku="other"))), LIST],
            15,
            [("Entitlement", False, "it does not price the Sku"), ("List", True, FIRST_THAT_PRICES)],
        ),
        (
            [source("Entitlement", book(per_unit("0.5")), first=16), LIST],
            15,
            [("Entitlement", False, "it is given from 2026-10-16 on"), ("List", True, FIRST_THAT_PRICES)],
        ),
        (
            [source("Entitlement", book(per_unit("0.5")), first=15), LIST],
            15,
            [("Entitlement", True, FIRST_THAT_PRICES), ("List", False, ONE_BEFORE)],
        ),
        (
            [source("Entitlement", book(per_unit("0.5")), end=15), LIST],
            15,
            [("Entitlement", False, "it was given up to 2026-10-15"), ("List", True, FIRST_THAT_PRICES)],
        ),
        (
            [source("Entitlement", book(per_unit("0.5")), end=16), LIST],
            15,
            [("Entitlement", True, FIRST_THAT_PRICES), ("List", False, ONE_BEFORE)],
        ),
        (
            [source("Entitlement", book(per_unit("0.5"), since=october(16))), LIST],
            15,
            [
                ("Entitlement", False, "its first version is in force from 2026-10-16 on"),
                ("List", True, FIRST_THAT_PRICES),
            ],
        ),
        # tiers of the list book began with the period: neither the negotiated price nor a next version takes over
        (
            [source("Entitlement", book(per_unit("0.5")), first=11), source("List", firm("1"))],
            15,
            [
                (
                    "Entitlement",
                    False,
                    "a price that counts over the whole rating period began on 2026-10-01 and is kept to the end",
                ),
                ("List", True, FIRST_THAT_PRICES),
            ],
        ),
        # both begin on the day: what goes before simply does
        (
            [source("Entitlement", firm("0.5"), first=15), source("List", firm("1"), first=15)],
            15,
            [("Entitlement", True, FIRST_THAT_PRICES), ("List", False, ONE_BEFORE)],
        ),
        (
            [source("List", firm("1"), firm("2", since=october(11), number=2))],
            15,
            [
                (
                    "List",
                    True,
                    "it began on 2026-10-01, counts over the whole rating period, and is kept to its end",
                )
            ],
        ),
        ([source("List", book(per_unit("1")), book(per_unit("1"), number=2, since=october(11)))], 15, [
            ("List", True, FIRST_THAT_PRICES)  # a version that repeats a price divides nothing
        ]),
        ([source("List", book(per_unit("1", sku="other")))], 15, [
            ("List", False, "it does not price the Sku")
        ]),
    ],
)  # fmt: skip
def test_each_book_that_was_asked_says_why_it_prices_the_sku_or_does_not(
    sources: Sequence[BookSource], day: int, expected: list[tuple[str, bool, str]]
) -> None:
    assert told(explained(*sources, day=day)) == expected


@pytest.mark.parametrize(("day", "amount"), [(10, 100), (11, 200)])
def test_the_price_of_the_day_is_explained(day: int, amount: int) -> None:
    versions = source("List", book(per_unit("1")), book(per_unit("2"), number=2, since=october(11)))
    found = explained(versions, day=day)
    assert found.line is not None
    assert found.book is versions.books[day // 11]
    assert found.candidates[0].book is found.book
    assert (found.line.amount_minor, found.line.events) == (amount, 1)
    assert (found.day, found.first_day, found.end_day) == (october(day), FIRST_DAY, END_DAY)


def test_what_is_kept_to_the_end_is_the_version_that_began() -> None:
    old, new = firm("1"), firm("2", since=october(11), number=2)
    (candidate,) = explained(source("List", old, new)).candidates
    assert candidate.book is old


def test_a_book_that_was_not_chosen_is_shown_in_the_version_of_the_day() -> None:
    old, new = book(per_unit("3")), book(per_unit("4"), number=2, since=october(11))
    _, candidate = explained(source("Entitlement", book(per_unit("1"))), source("List", old, new)).candidates
    assert candidate.book is new


def test_a_percentage_has_no_price_of_a_quantity() -> None:
    support = replace(sku("support", meter=""), charge_type="Usage")
    priced = source(
        "List", book(percentage("10", ["requests", "disk"], sku="support"), per_unit("1", sku="other"))
    )
    with pytest.raises(UnableToRate) as refused:
        explained(priced, sold=support)
    assert str(refused.value) == (
        "the price of Sku support is a percentage of what other Skus come to, not of a quantity: "
        "ask for the price of disk, requests"
    )


# ------------------------------------------------------------------------------------------- what is shown


def test_an_explanation_shows_every_step_from_what_was_metered_to_the_amount() -> None:
    sold = sku(unit_factor=Fraction(1, 1000), rounding=QuantityRounding("Up", 1))
    price = graduated(
        tier("2", "1.50", flat="3"), tier(None, "1.00"), included="1", minimum="0.50", maximum="9.00"
    )
    listed = source("List", book(price))
    body = explanation_body(explained(listed, sold=sold, quantity=4321), account="main")
    assert body == {
        "account": "main",
        "sku": "requests",
        "day": "2026-10-15",
        "period": {"firstDay": "2026-10-01", "endDay": "2026-11-01"},
        "candidates": [
            {
                "source": "List",
                "priceBook": "list",
                "by": None,
                "currencyCode": "USD",
                "effectiveFrom": "2026-01-01",
                "chosen": True,
                "reason": FIRST_THAT_PRICES,
            }
        ],
        "price": {
            "source": "List",
            "priceBook": "list",
            "effectiveFrom": "2026-01-01",
            "currencyCode": "USD",
            "model": "Graduated",
            "firstDay": "2026-10-01",
            "endDay": "2026-11-01",
            "minimum": "0.50",
            "maximum": "9.00",
        },
        "quantity": {
            "metered": "4321",
            "meterUnit": "1",
            "unitFactor": "1/1000",
            "converted": "4.321",
            "pricingUnit": "1",
            "rounding": {"mode": "Up", "decimals": 1},
            "charged": "4.4",
            "included": "1",
            "billable": "3.4",
        },
        # 3.00 to enter the first tier, 2 × 1.50, 1.4 × 1.00
        "parts": [
            part("FlatFee", 1, None, None, None, "3.00"),
            part("Usage", 1, "2", "1.50", "3", "3.00"),
            part("Usage", 2, "1.4", "1.00", "1.4", "1.40"),
        ],
        "conversion": None,
        "amount": "7.40",
        "currencyCode": "USD",
    }


def part(
    kind: str, tier: int | None, quantity: str | None, unit_price: str | None, exact: str | None, amount: str
) -> dict[str, Any]:
    return {
        "kind": kind,
        "tier": tier,
        "quantity": quantity,
        "unitPrice": unit_price,
        "exact": exact,
        "amount": amount,
    }


def test_an_amount_of_another_currency_shows_both_and_the_rate_between() -> None:
    listed = source("Entitlement", book(per_unit("0.125")), by="acme-2026")
    body = explanation_body(explained(listed, quantity=Fraction(10, 3), currency="CHF"), account="main")
    assert body["candidates"][0]["by"] == "acme-2026"
    assert (body["price"]["minimum"], body["price"]["maximum"]) == (None, None)
    # a third is cut for display; what is charged is 10/3 × 0.125 × 0.75
    assert body["quantity"]["metered"] == "3.333333333333"
    assert body["quantity"]["rounding"] is None
    usage = part("Usage", None, "3.333333333333", "0.125", "0.416666666667", "0.42")
    assert body["parts"] == [{**usage, "converted": "0.31"}]
    assert body["conversion"] == {
        "from": "USD",
        "to": "CHF",
        "rate": "0.75",
        "day": "2026-10-30",
        "source": "ECB",
        "perEuro": {"from": "1.25", "to": "0.9375"},
        "amount": "0.42",
    }
    assert (body["amount"], body["currencyCode"]) == ("0.31", "CHF")


def test_what_nothing_prices_shows_the_quantity_alone() -> None:
    other = source("List", book(per_unit("1", sku="other"), since=october(16)))
    body = explanation_body(explained(other, quantity=7, with_meter=False), account="main")
    assert {
        key: body[key] for key in ("price", "parts", "conversion", "amount", "currencyCode")
    } == dict.fromkeys(("price", "parts", "conversion", "amount", "currencyCode"))
    assert body["candidates"][0]["effectiveFrom"] is None
    assert body["quantity"] == {
        "metered": "7",
        "meterUnit": None,
        "unitFactor": "1",
        "converted": "7",
        "pricingUnit": "1",
        "rounding": None,
        "charged": None,
        "included": None,
        "billable": None,
    }


def test_a_rate_is_shown_to_twelve_decimals_and_its_legs_as_they_were_published() -> None:
    rate = ExchangeRate("ECB", date(2026, 10, 30), "JPY", "USD", Decimal("1E+2"), Decimal("1.10"))
    assert rate_body(rate)["rate"] == "0.011"
    assert rate_body(rate)["perEuro"] == {"from": "100", "to": "1.10"}
    assert rate_body(replace(rate, from_per_euro=Decimal(3)))["rate"] == "0.366666666667"


@pytest.mark.parametrize(
    ("price", "fields"),
    [
        (per_unit("1E+2", minimum="1E+3", maximum="1E+4"), {"minimum": "1000", "maximum": "10000"}),
        (volume(tier(None, "1E+2")), {"model": "Volume"}),
    ],
)
def test_amounts_are_shown_without_exponents(price: Price, fields: dict[str, str]) -> None:
    body = explanation_body(explained(source("List", book(price)), quantity=20), account="main")
    assert fields.items() <= body["price"].items()
    assert body["parts"][0]["unitPrice"] == "100"
