"""What was used, by the meter's aggregation: as docs/meters.md says it, and as the API says it."""

import json
from collections import defaultdict
from collections.abc import Iterable, Mapping
from datetime import date, datetime, time, timedelta
from fractions import Fraction
from typing import Any, Final, TypeAlias
from zoneinfo import ZoneInfo

from milo_billing.accounts.reads import accounts as account_reads
from milo_billing.infra.database import Tx
from milo_billing.usage import reads
from milo_billing.usage.types import Grouping
from tests.simulation.usage_simulation.declared import Declared, Paid
from tests.simulation.usage_simulation.provider import ZONES, namespace_of
from tests.simulation.usage_simulation.rollups import Fact

Asked: TypeAlias = tuple[bool, bool, bool]
"""Whether totals are told apart by project, day and region."""

ASKED: Final[tuple[Asked, ...]] = (
    (True, False, False),
    (False, False, False),
    (True, True, False),
    (False, False, True),
)
FROM, TO = date(2026, 1, 1), date(2027, 1, 1)
_ADDITIVE = ("Sum", "Count")

Used: TypeAlias = dict[tuple[object, ...], Fraction]
"""(what was asked, account, meter, project, day, region) → quantity."""


def predict_used(facts: Iterable[Fact], declared: Declared) -> Used:
    """The totals of these facts for everything that is asked."""
    chosen = list(facts)
    found: Used = {}
    for asked in ASKED:
        by_project, by_day, by_region = asked
        cells: defaultdict[tuple[Any, ...], list[Fact]] = defaultdict(list)
        for fact in chosen:
            meter, labels = declared.meters[fact.meter], json.loads(fact.dimensions)
            group = (
                fact.account,
                fact.meter,
                fact.project if by_project else None,
                fact.day if by_day else None,
                labels.get("region") if by_region else None,
            )
            series = (fact.project, *(labels.get(name) for name in meter.series_by))
            window = fact.day if by_day or meter.daily else fact.day.replace(day=1)
            cells[group, series, window].append(fact)
        for (group, series, window), inside in cells.items():
            meter = declared.meters[inside[0].meter]
            quantity = _value(meter.aggregation, inside)
            if not (by_day or meter.daily or meter.aggregation in _ADDITIVE):
                quantity *= _part(declared, account=inside[0].account, project=series[0], month=window)
            found[asked, *group] = found.get((asked, *group), Fraction(0)) + quantity
    return found


def _value(aggregation: str, facts: list[Fact]) -> Fraction:
    values = [fact.value for fact in facts if fact.value is not None]
    match aggregation:
        case "Sum":
            return Fraction(sum(fact.sum for fact in facts))
        case "Count":
            return Fraction(sum(fact.count for fact in facts))
        case "Average":
            return Fraction(sum(values), len(values))
        case "Max":
            return Fraction(max(values))
        case "Min":
            return Fraction(min(values))
        case "Latest":
            return Fraction(max(facts, key=lambda fact: (fact.at, fact.id)).sum)
        case _:
            return Fraction(len({fact.counted for fact in facts if fact.counted is not None}))


def _part(declared: Declared, *, account: str, project: tuple[str, datetime], month: date) -> Fraction:
    """On how many days of the month the account had the last word on who pays for the project."""
    life = next(one for one in declared.lives[project[0]] if one.created_at == project[1])
    following = (month + timedelta(days=31)).replace(day=1)
    zone = ZoneInfo(declared.accounts[account].zone)
    days = [month + timedelta(days=n) for n in range((following - month).days)]
    own = sum(_payer_of(day, life.payers, zone) == account for day in days)
    return Fraction(own, len(days))


def _payer_of(day: date, payers: list[Paid], zone: ZoneInfo) -> str | None:
    start = datetime.combine(day, time(), zone)
    end = datetime.combine(day + timedelta(days=1), time(), zone)
    own = [paid for paid in payers if paid.since < end and (paid.until is None or paid.until > start)]
    return own[-1].account if own else None


def read_used(tx: Tx, projects: Mapping[int, tuple[str, datetime]]) -> Used:
    """What the API answers for everything that is asked."""
    named = [account_reads.find_account(tx, namespace=namespace_of(name), name=name) for name in ZONES]
    living = [account for account in named if account is not None]
    found: Used = {}
    for asked in ASKED:
        by_project, by_day, by_region = asked
        totals = reads.list_totals(
            tx,
            accounts=living,
            projects=None,
            meter=None,
            first=FROM,
            end=TO,
            grouping=Grouping(project=by_project, day=by_day, dimensions=("region",) if by_region else ()),
            limit=100_000,
        )
        assert totals is not None, "there are not so many"
        names = {account.number: account.name for account in living}
        for total in totals:
            key = (
                asked,
                names[total.account],
                total.meter.meter_name,
                None if total.project is None else projects[total.project],
                total.day,
                total.dimensions.get("region"),
            )
            found[key] = Fraction(total.quantity)
    return found
