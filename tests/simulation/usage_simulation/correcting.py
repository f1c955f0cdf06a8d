"""What should become of a UsageCorrection, written from docs and not from the code: refused, or a fact of its day."""

import json
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from uuid import UUID
from zoneinfo import ZoneInfo

from tests.simulation.usage_simulation.declared import Declared, Life
from tests.simulation.usage_simulation.rollups import Fact

MICROSECOND = timedelta(microseconds=1)


@dataclass(frozen=True)
class Wanted:
    """A correction as staff write it."""

    account: str
    project: str
    meter: str
    day: date
    dimensions: tuple[tuple[str, str], ...]
    quantity: int


@dataclass(frozen=True)
class Corrected:
    """A correction that was filed: `uid` is what the API answered, None where it refused."""

    wanted: Wanted
    at: datetime
    known: int
    uid: UUID | None
    refused: tuple[str, ...]


def judge_correction(wanted: Wanted, declared: Declared, *, now: datetime) -> set[str]:
    """The fields that are wrong; none where it must be taken."""
    account, meter = declared.accounts[wanted.account], declared.meters.get(wanted.meter)
    wrong: set[str] = set()
    if account.archived:
        wrong.add("spec.billingAccountRef.name")
    if meter is None:
        wrong.add("spec.meterName")
    else:
        names = {name for name, _ in wanted.dimensions}
        wrong |= {f"spec.dimensions[{name}]" for name in names - meter.dimensions}
        if meter.aggregation == "UniqueCount":
            wrong.add("spec.meterName")
    if wanted.day > now.astimezone(ZoneInfo(account.zone)).date():
        wrong.add("spec.day")
    if not _paid_within(wanted, declared):
        wrong.add("spec.projectRef.name")
    return wrong


def fact_of_correction(corrected: Corrected, declared: Declared) -> Fact:
    """What it counts: for Sum and Count the quantity alone, else one event more at the end of the day."""
    wanted = corrected.wanted
    aggregation = declared.meters[wanted.meter].aggregation
    life = _life(wanted, declared)
    assert life is not None and corrected.uid is not None, "it was taken"
    return Fact(
        account=wanted.account,
        project=(life.name, life.created_at),
        meter=wanted.meter,
        day=wanted.day,
        dimensions=json.dumps(dict(wanted.dimensions), sort_keys=True, separators=(",", ":")),
        sum=0 if aggregation == "Count" else wanted.quantity,
        count={"Sum": 0, "Count": wanted.quantity}.get(aggregation, 1),
        value=None if aggregation in ("Sum", "Count") else wanted.quantity,
        at=_day_of(wanted, declared)[1] - MICROSECOND,
        id=corrected.uid,
    )


def _paid_within(wanted: Wanted, declared: Declared) -> bool:
    """Whether the account paid for the project on some part of the day."""
    life, (start, end) = _life(wanted, declared), _day_of(wanted, declared)
    return life is not None and any(
        paid.account == wanted.account and paid.since < end and (paid.until is None or paid.until > start)
        for paid in life.payers
    )


def _life(wanted: Wanted, declared: Declared) -> Life | None:
    """The project that bore the name when the day ended."""
    return declared.bearer(wanted.project, _day_of(wanted, declared)[1] - MICROSECOND)


def _day_of(wanted: Wanted, declared: Declared) -> tuple[datetime, datetime]:
    zone = ZoneInfo(declared.accounts[wanted.account].zone)
    following = wanted.day + timedelta(days=1)
    return (
        datetime.combine(wanted.day, time(), zone).astimezone(UTC),
        datetime.combine(following, time(), zone).astimezone(UTC),
    )
