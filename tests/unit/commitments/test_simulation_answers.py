"""One usage rated twice, side by side: which tables an answer has, in which order, and what stands in them."""

from collections.abc import Sequence
from datetime import UTC, date, datetime
from uuid import UUID

from milo_billing.commitments.rules.comparing import changed, compare
from milo_billing.commitments.rules.simulation_bodies import ROWS_MAX, simulation_body
from milo_billing.commitments.types import (
    ChargeKind,
    CommitmentCharge,
    Compared,
    ComposedLine,
    ComposedPeriod,
    Simulation,
    WhatIf,
)
from milo_billing.kernel.periods import DaySpan, billing_month
from milo_billing.pricing.types import RatedLine, Unpriced, UnpricedSku
from tests.unit.commitments.builders import discount
from tests.unit.pricing.builders import (
    END_DAY,
    FIRST_DAY,
    book,
    card,
    flat,
    per_unit,
    rate_october,
    sku,
    usage,
)

OCTOBER, NOVEMBER = (billing_month(2026, month, zone="Europe/Berlin") for month in (10, 11))
SKUS = [sku("calls", meter="calls"), sku("disk", meter="disk")]
AT = datetime(2026, 11, 2, 9, 30, tzinfo=UTC)


def rated(calls: str, disk: str) -> tuple[RatedLine, ...]:
    """Three calls of project 1, two of project 12 and one disk of project 12."""
    prices = card([book(per_unit(calls, sku="calls"), per_unit(disk, sku="disk"))], SKUS)
    used = [usage(3, meter="calls"), usage(2, meter="calls", project=12), usage(1, meter="disk", project=12)]
    return rate_october(used, prices).lines


def charge(kind: ChargeKind, name: str, amount_minor: int) -> CommitmentCharge:
    return CommitmentCharge(kind, UUID(int=9), name, DaySpan(FIRST_DAY, END_DAY), amount_minor, "standard")


def period(
    lines: Sequence[RatedLine], *charges: CommitmentCharge, november: bool = False, unpriced: int = 0
) -> ComposedPeriod:
    return ComposedPeriod(
        account=5,
        period=NOVEMBER if november else OCTOBER,
        closed=not november,
        currency="USD",
        lines=tuple(ComposedLine(line, (), ()) for line in lines),
        charges=charges,
        unpriced=tuple(Unpriced("mail", number + 1, (("zone", "a"),), 7, 2) for number in range(unpriced)),
        unpriced_skus=tuple(UnpricedSku("seats", date(2026, 10, 3)) for _ in range(unpriced)),
    )


def simulated() -> Simulation:
    """Two months; calls get dearer by 1 each, the disk cheaper by 5; the shortfall is a dollar less."""
    before, after = rated("1", "10"), rated("2", "5")
    return compare(
        [
            period(before, charge("Shortfall", "yearly", 300), charge("Prepayment", "chest", 50), unpriced=1),
            period(before, charge("Shortfall", "yearly", 100), november=True),
        ],
        [period(after, charge("Shortfall", "yearly", 300)), period(after, november=True, unpriced=2)],
    )


def test_periods_skus_projects_and_charges_stand_side_by_side_the_largest_difference_first() -> None:
    found = simulated()
    assert (found.account, found.currency, found.closed) == (5, "USD", False)
    assert found.periods == (Compared(OCTOBER, 1850, 1800), Compared(NOVEMBER, 1600, 1500))
    # five calls a month at 1.00, then at 2.00; equal differences are by name
    assert found.skus == (Compared("calls", 1000, 2000), Compared("disk", 2000, 1000))
    assert found.projects == (Compared(1, 600, 1200), Compared(12, 2400, 1800))
    assert found.charges == (
        Compared(("Shortfall", "yearly"), 400, 300),
        Compared(("Prepayment", "chest"), 50, 0),
    )
    assert found.total == Compared(None, 3450, 3300)
    assert [len(side) for side in found.unpriced] == [1, 2]
    assert [len(side) for side in found.unpriced_skus] == [1, 2]


def test_months_that_are_over_make_a_simulation_final() -> None:
    assert compare([period([])], [period([])]).closed


def test_projects_of_one_difference_are_by_number_behind_what_is_the_accounts_own() -> None:
    prices = card([book(per_unit("1", sku="calls"), flat("20", sku="disk", at_zero=True))], SKUS)
    used = [usage(1, meter="calls", project=project) for project in (16, 9)]
    both = [period(rate_october(used, prices).lines)]
    assert [row.of for row in compare(both, both).projects] == [None, 9, 16]


def test_what_is_left_out_is_by_uid_and_what_is_added_comes_last() -> None:
    one, other, added = (discount(number) for number in (1, 2, 3))
    assert changed([one, other], [added], WhatIf(without=frozenset({one.uid}))) == (other, added)


def body(found: Simulation) -> dict[str, object]:
    return simulation_body(
        found, account="acme/main", zone="Europe/Berlin", projects={1: "shop", 12: "site"}, at=AT
    )


def amounts(today: str, simulated: str, difference: str) -> dict[str, str]:
    return {"today": today, "simulated": simulated, "difference": difference}


def test_the_answer_has_decimal_amounts_days_of_the_account_and_names() -> None:
    nothing = {"count": 0, **amounts("0.00", "0.00", "0.00")}
    mail = {"meterName": "mail", "dimensions": {"zone": "a"}, "sum": "7", "count": 2}
    seats = {"sku": "seats", "day": "2026-10-03"}
    assert body(simulated()) == {
        "account": "acme/main",
        "currencyCode": "USD",
        "at": "2026-11-02T09:30:00Z",
        "provisional": True,
        "total": amounts("34.50", "33.00", "-1.50"),
        "periods": [
            {"firstDay": "2026-10-01", "endDay": "2026-11-01", **amounts("18.50", "18.00", "-0.50")},
            {"firstDay": "2026-11-01", "endDay": "2026-12-01", **amounts("16.00", "15.00", "-1.00")},
        ],
        "skus": {
            "items": [
                {"sku": "calls", **amounts("10.00", "20.00", "10.00")},
                {"sku": "disk", **amounts("20.00", "10.00", "-10.00")},
            ],
            "others": nothing,
        },
        "projects": {
            "items": [
                {"project": "shop", **amounts("6.00", "12.00", "6.00")},
                {"project": "site", **amounts("24.00", "18.00", "-6.00")},
            ],
            "others": nothing,
        },
        "charges": [
            {"kind": "Shortfall", "commitment": "yearly", **amounts("4.00", "3.00", "-1.00")},
            {"kind": "Prepayment", "commitment": "chest", **amounts("0.50", "0.00", "-0.50")},
        ],
        "unpriced": {
            "today": {"usage": [{**mail, "project": "shop"}], "skus": [seats], "others": 0},
            "simulated": {
                # a project that is gone has its number for a name
                "usage": [{**mail, "project": "shop"}, {**mail, "project": "2"}],
                "skus": [seats, seats],
                "others": 0,
            },
        },
    }


def test_a_table_ends_after_a_thousand_rows_and_sums_up_the_rest() -> None:
    assert ROWS_MAX == 1_000
    lines = period([], unpriced=1_003)
    found = compare([lines], [period([])])
    rows: list[Compared[int | None]] = [Compared(number, 100 + number, 1) for number in range(1_002)]
    answer = simulation_body(
        Simulation(
            found.account,
            "USD",
            True,
            found.periods,
            tuple(Compared(f"sku-{row.of}", row.today_minor, 1) for row in rows),
            (rows[0], Compared(None, 1, 2)),
            found.charges,
            found.total,
            found.unpriced,
            found.unpriced_skus,
        ),
        account="acme/main",
        zone="UTC",
        projects={},
        at=AT,
    )
    assert len(answer["skus"]["items"]) == 1_000
    assert answer["skus"]["items"][0]["sku"] == "sku-0"
    assert answer["skus"]["others"] == {"count": 2, **amounts("22.01", "0.02", "-21.99")}
    assert [row["project"] for row in answer["projects"]["items"]] == ["0", None]
    assert answer["provisional"] is False
    assert answer["unpriced"]["today"]["others"] == 6
    assert len(answer["unpriced"]["today"]["usage"]) == len(answer["unpriced"]["today"]["skus"]) == 1_000
