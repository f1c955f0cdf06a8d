"""The usage of a month, generated from a seed: what is sent when, and what is wrong with some of it.

Owns: the readings and the two deliveries. Not: what they cost (expected).
"""

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from demo.provider import METERS, PROJECTS, REBOUND, Account, Meter, Project, find_account
from milo_billing.client.usage import new_event

SEED = 20261001
YEAR, MONTH = 2026, 10
FIRST_DAY, LAST_DAY = "2026-10-01", "2026-10-31"

EVENTS = 200_000
DUPLICATES = 2_000
LATE = 2_000
BAD_EACH = 100
"""How many unattributable events of each kind there are."""

REBOUND_AT = datetime(2026, 10, 15, 12, tzinfo=UTC)
"""The server's clock during the first delivery, at whose end the payer of one project changes."""

SECOND_DELIVERY_AT = datetime(2026, 11, 1, 6, tzinfo=UTC)
"""The server's clock during the second delivery: the month is over in every zone of the sample."""

_QUIET = timedelta(minutes=15)
"""Nothing is used right after REBOUND_AT: the change takes effect some seconds after it, and both sides must agree."""

_LATE_FROM = datetime(2026, 10, 5, tzinfo=UTC)
_TOO_LATE = datetime(2026, 10, 1, 10, tzinfo=UTC)  # more than 30 days before the second delivery

_SIZES = {"s": (60, 3_600), "By": (200_000, 90_000_000), "{request}": (10, 900), "{token}": (500, 12_000)}
"""Least and most of one reading, by the meter's unit."""


@dataclass(frozen=True, slots=True)
class Reading:
    """One event before it is sent. `id_at` and `random80` make its id; `project` and `meter` may not
    exist.
    """

    id_at: datetime
    random80: int
    at: datetime
    project: str
    meter: str
    value: int
    dimensions: tuple[tuple[str, str], ...]

    def event(self) -> dict[str, Any]:
        """As it is sent."""
        event = new_event(
            meter=self.meter,
            project=self.project,
            value=self.value,
            time=self.id_at,
            random80=self.random80,
            source="kestrel-metering",
            dimensions=dict(self.dimensions),
        )
        if self.at != self.id_at:
            event["time"] = self.at.isoformat().replace("+00:00", "Z")
        return event


@dataclass(frozen=True, slots=True)
class Month:
    """Everything that is sent. `counted` is what belongs on invoices: each reading once, without the bad
    ones.
    """

    first: Sequence[Reading]
    second: Sequence[Reading]
    counted: Sequence[Reading]
    late: int
    duplicates: int
    bad: dict[str, int]


def generate_month() -> Month:
    """The month, the same each time."""
    rng = random.Random(SEED)
    good = EVENTS - DUPLICATES - 4 * BAD_EACH
    weights = [project.weight for project in PROJECTS]
    chosen = rng.choices(PROJECTS, weights=weights, k=good)
    spans = {
        project.name: _local_month(find_account(project.organization, project.account))
        for project in PROJECTS
    }
    counted = sorted((_reading(rng, project, spans[project.name]) for project in chosen), key=lambda r: r.at)

    before = [reading for reading in counted if reading.at < REBOUND_AT]
    after = [reading for reading in counted if reading.at >= REBOUND_AT]
    held_back = set(rng.sample(_can_be_late(before), k=LATE))
    punctual = [reading for index, reading in enumerate(before) if index not in held_back]
    late = [before[index] for index in sorted(held_back)]

    first_again = rng.sample(punctual, k=DUPLICATES // 2)
    second_again = rng.sample(counted, k=DUPLICATES - len(first_again))
    bad = _bad_readings(rng)
    second = [*after, *late]
    rng.shuffle(second)  # what arrives late arrives in no order
    return Month(
        first=[*punctual, *first_again],
        second=[*second, *second_again, *(reading for readings in bad.values() for reading in readings)],
        counted=counted,
        late=len(late),
        duplicates=DUPLICATES,
        bad={reason: len(readings) for reason, readings in bad.items()},
    )


def _local_month(account: Account) -> tuple[datetime, datetime]:
    """The month in the account's zone, as instants."""
    zone = ZoneInfo(account.zone)
    start = datetime(YEAR, MONTH, 1, tzinfo=zone)
    end = datetime(YEAR, MONTH + 1, 1, tzinfo=zone)
    return start.astimezone(UTC), end.astimezone(UTC)


def month_start(account: Account) -> datetime:
    """The instant at which the month begins for an account."""
    return _local_month(account)[0]


def _reading(rng: random.Random, project: Project, span: tuple[datetime, datetime]) -> Reading:
    # Random.random and not randrange or choice: a third of the time, over 200,000 readings
    some = rng.random
    meter = METERS[int(some() * len(METERS))]
    start, end = span
    at = start + timedelta(milliseconds=int(some() * (end - start).total_seconds() * 1000))
    if REBOUND_AT <= at < REBOUND_AT + _QUIET:
        at += _QUIET
    least, most = _SIZES[meter.unit]
    return Reading(
        id_at=at,
        random80=rng.getrandbits(80),
        at=at,
        project=project.name,
        meter=meter.name,
        value=least + int(some() * (most - least + 1)),
        dimensions=((meter.dimension, meter.values[int(some() * len(meter.values))]),),
    )


def _can_be_late(before: Sequence[Reading]) -> list[int]:
    """Readings that may arrive with the second delivery and still lie within the late window then.

    Half of them are of the project whose payer has changed in between: they belong to the payer of their
    time.
    """
    fresh = [index for index, reading in enumerate(before) if reading.at >= _LATE_FROM]
    rebound = [index for index in fresh if before[index].project == REBOUND]
    return [*rebound, *(index for index in fresh if before[index].project != REBOUND)][: 2 * len(rebound)]


def _bad_readings(rng: random.Random) -> dict[str, list[Reading]]:
    """By the reason with which the server must quarantine them."""
    at = REBOUND_AT + timedelta(days=3)
    sample = Reading(
        id_at=at,
        random80=0,
        at=at,
        project="webshop",
        meter=METERS[0].name,
        value=60,
        dimensions=((METERS[0].dimension, METERS[0].values[0]),),
    )

    def several(**changed: Any) -> list[Reading]:
        made: list[Reading] = []
        for number in range(BAD_EACH):
            later = at + timedelta(seconds=number)
            base = replace(sample, id_at=later, at=later, random80=rng.getrandbits(80))
            made.append(replace(base, **changed))
        return made

    return {
        "attribution_failure": several(project="webshop-old"),
        "unknown_meter": several(meter="compute.kestrel.example/gpu-seconds"),
        "invalid_dimensions": several(dimensions=(("planet", "mars"),)),
        "too_late": several(at=_TOO_LATE),
    }


def batches(readings: Sequence[Reading], *, size: int) -> Iterator[list[dict[str, Any]]]:
    """Events, `size` at a time; made as they are needed."""
    for start in range(0, len(readings), size):
        yield [reading.event() for reading in readings[start : start + size]]


def meter_of(name: str) -> Meter:
    """The meter of a name."""
    return next(meter for meter in METERS if meter.name == name)
