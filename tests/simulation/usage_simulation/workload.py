"""Senders, each with a clock that is wrong in its own way, and what they send: mostly good, some of it bad on purpose.

Everything comes from one source of chance, so that a seed gives the same workload every time.
"""

import json
import random
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, TypeAlias, cast

from tests.simulation.usage_simulation.declared import POISON, RESOURCE, MeterDeclared
from tests.simulation.usage_simulation.provider import BEGINS, LATER, METERS

JSON: TypeAlias = dict[str, Any]
_PROJECTS = ("web", "api", "batch", "edge")
_OTHERS = ("free", "rivals", "late-comer", "former", "nobody")
CPU = "sim.example/cpu"
_METERS = {meter.name: meter for meter in (*METERS, *LATER)}
_DIMENSIONS: tuple[JSON, ...] = ({}, {"region": "eu"}, {"region": "us", "tier": "gold"}, {"tier": "gold"})
_USERS = ("ann", "bob", "cid")
_RESOURCES: tuple[JSON, ...] = (
    {"kind": "Instance", "name": "i-1"},
    {"name": "i-2", "kind": "Instance", "n": 5},
)
_PLAIN: tuple[JSON, ...] = (*_DIMENSIONS, {"region": "us"})
_COUNTED = tuple(("user", user) for user in _USERS)
_INT64 = 2**63
_CROCKFORD = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"


@dataclass
class Sender:
    """Who sends: for which organizations (None is all), and how far its clock is off.

    `spooled`: the SDK sends, and sends again, by itself.
    """

    name: str
    organizations: tuple[str, ...] | None
    skew: timedelta
    ids: tuple[str, ...]
    accept_late: bool = False
    spooled: bool = False
    unacknowledged: list[list[bytes]] = field(default_factory=list[list[bytes]])
    sent: list[bytes] = field(default_factory=list[bytes])


def make_senders() -> tuple[Sender, ...]:
    """An agent of the platform, two of customers, one for both, and one that brings files of long ago."""
    return (
        Sender("node", None, timedelta(0), ("ulid", "ulid", "uuid7", "foreign")),
        Sender("acme", ("acme",), timedelta(minutes=-25), ("foreign", "uuid7")),
        Sender("rival", ("rival",), timedelta(minutes=40), ("foreign", "ulid")),
        Sender("both", ("acme", "rival"), timedelta(minutes=59), ("foreign", "ulid")),
        Sender("loader", None, timedelta(hours=-3), ("foreign",), accept_late=True),
    )


class Workload:
    """Makes batches for senders."""

    def __init__(self, chance: random.Random) -> None:
        self._chance = chance
        self._count = 0
        self.boundaries: list[datetime] = []
        """Instants at which a payer changed, as the API answered: just where attribution may go wrong."""

    def batch(self, sender: Sender, now: datetime) -> list[bytes]:
        """A new request: new events, and now and then one that was sent before, or one that takes another's id."""
        chance, batch = self._chance, list[bytes]()
        for _ in range(chance.choice((0, 1, 1, 3, 10, 20, 40))):
            roll = chance.random()
            if sender.sent and roll < 0.08:
                batch.append(chance.choice(sender.sent))
            elif sender.sent and roll < 0.12:
                batch.append(self._respelled(chance.choice(sender.sent)))
            elif sender.sent and roll < 0.15:
                batch.append(self._conflicting(chance.choice(sender.sent)))
            elif batch and roll < 0.17:
                batch.append(chance.choice(batch))
            else:
                batch.append(self._event(sender, now + sender.skew))
        sender.sent = [*sender.sent, *batch][-400:]
        return batch

    def _event(self, sender: Sender, now: datetime) -> bytes:
        chance = self._chance
        event: JSON = {
            "specversion": "1.0",
            "id": self._id(chance.choice(sender.ids), now),
            "source": chance.choice(("sim/a", "sim/b")),
            "type": CPU if chance.random() < 0.5 else chance.choice(tuple(_METERS)),
            "subject": f"projects/{self._project(sender)}",
            "time": _spelled(self._time(sender, now), chance),
            "data": self._data(),
        }
        self._fit(event["data"], _METERS[event["type"]])
        if chance.random() < 0.15:
            chance.choice(_DEFECTS)(event, chance, now)
        return _written(event, chance)

    def _project(self, sender: Sender) -> str:
        if self._chance.random() < 0.2:
            return self._chance.choice(_OTHERS)
        own = ("rivals",) if sender.organizations == ("rival",) else _PROJECTS
        return self._chance.choice(own)

    def _id(self, kind: str, now: datetime) -> str:
        self._count += 1
        if kind == "foreign":
            return f"order-{self._chance.randrange(3000)}"  # few: other senders and sources use the same
        made = now - timedelta(
            days=self._chance.choice((0, 0, 0, 0, 1, 20, 44)), seconds=self._chance.randrange(60)
        )
        ms = int(made.timestamp() * 1000)
        return _ulid(ms, self._chance) if kind == "ulid" else _uuid7(ms, self._chance)

    def _time(self, sender: Sender, now: datetime) -> datetime:
        """Mostly just now; late ones; ones at the very instants that matter."""
        chance = self._chance
        roll = chance.random()
        if self.boundaries and roll < 0.15:
            return chance.choice(self.boundaries) + timedelta(microseconds=chance.choice((-1, 0, 1)))
        if roll < 0.2:  # midnights of the zones, of the days around
            minutes = chance.choice((0, 4 * 60, 5 * 60, 10 * 60 + 15, 11 * 60 + 15, 18 * 60 + 15))
            midnight = BEGINS.replace(hour=0) + timedelta(days=chance.randrange(4), minutes=minutes)
            return min(midnight + timedelta(microseconds=chance.choice((-1, 0))), now)
        if roll < 0.3:
            return now - timedelta(days=chance.randrange(1, 29), seconds=chance.randrange(86_400))
        if sender.accept_late and roll < 0.7:
            return now - timedelta(days=chance.randrange(31, 75), seconds=chance.randrange(86_400))
        return now - timedelta(microseconds=chance.randrange(7_200_000_000))

    def _data(self) -> JSON:
        chance = self._chance
        value: Any = chance.choice((0, 1, 7, -3, chance.randrange(10**6)))
        if chance.random() < 0.05:
            value = chance.choice((_INT64 - 1, -_INT64, _INT64 - 2))
        data: JSON = {"value": str(value) if chance.random() < 0.7 else value}
        if chance.random() < 0.8:
            data["dimensions"] = dict(chance.choice(_DIMENSIONS))
        if chance.random() < 0.3:
            data["resource"] = dict(chance.choice(_RESOURCES))
        return data

    def _fit(self, data: JSON, meter: MeterDeclared) -> None:
        """Mostly the labels that the meter takes."""
        given = {
            name: label for name, label in data.get("dimensions", {}).items() if name in meter.dimensions
        }
        if meter.counted not in (None, RESOURCE) and self._chance.random() < 0.95:
            given[meter.counted] = self._chance.choice(_USERS)
        if meter.counted == RESOURCE and self._chance.random() < 0.95:
            data["resource"] = dict(self._chance.choice(_RESOURCES))
        if given or self._chance.random() < 0.2:
            data["dimensions"] = given
        else:
            data.pop("dimensions", None)

    def _respelled(self, raw: bytes) -> bytes:
        """The same event in other words, where it is plain enough to be sure that it means the same."""
        plain = _read_plain(raw)
        if plain is None:
            return raw
        data = plain["data"]
        number = int(data["value"])
        data["value"] = str(number) if isinstance(data["value"], int) else number
        if data.get("dimensions") == {}:
            del data["dimensions"]
        shuffled = list(plain.items())
        self._chance.shuffle(shuffled)
        time = str(plain["time"]).replace("Z", "+00:00")
        return _written({**dict(shuffled), "time": time}, self._chance)

    def _conflicting(self, raw: bytes) -> bytes:
        """Another event under the same id."""
        changed = _read_plain(raw)
        if changed is None:
            return raw
        if self._chance.random() < 0.5:
            changed["data"]["value"] = str(self._chance.randrange(10**9, 10**10))
        else:
            earlier = datetime.fromisoformat(str(changed["time"])[:26].rstrip("Z") + "+00:00")
            changed["time"] = _text(earlier - timedelta(seconds=1))
        return _written(changed, self._chance)


def _read_plain(raw: bytes) -> JSON | None:
    """The event, if it is a usual one."""
    read: Any = json.loads(raw)
    if not isinstance(read, dict):
        return None
    event = cast("JSON", read)
    return event if _is_plain(event) else None


def _is_plain(event: JSON) -> bool:
    time = event.get("time")
    if not isinstance(time, str) or not time.endswith("Z") or len(time) != 27:
        return False
    if not isinstance(event.get("data"), dict):
        return False
    body = cast("JSON", event["data"])
    value = body.get("value")
    whole = isinstance(value, int) and not isinstance(value, bool)
    whole = whole or (isinstance(value, str) and value.removeprefix("-").isdecimal() and value.isascii())
    given = cast("JSON", body["dimensions"]) if isinstance(body.get("dimensions"), dict) else {}
    labels = {name: label for name, label in given.items() if (name, label) not in _COUNTED}
    usual = (
        body.get("dimensions", given) == given
        and labels in _PLAIN
        and body.get("resource") in (None, *_RESOURCES)
    )
    return whole and -_INT64 <= int(str(value)) < _INT64 and usual


def _text(instant: datetime) -> str:
    return instant.astimezone(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")


def _spelled(instant: datetime, chance: random.Random) -> str:
    roll = chance.random()
    if roll < 0.8:
        return _text(instant)
    if roll < 0.9:
        return _text(instant).replace("Z", f"{chance.randrange(1000):03}Z")  # nanoseconds, which are cut off
    zone = timedelta(hours=5, minutes=45)
    return (instant + zone).isoformat(timespec="microseconds")[:26] + "+05:45"


def _written(event: Any, chance: random.Random) -> bytes:
    separators = chance.choice(((",", ":"), (", ", ": ")))
    return json.dumps(event, separators=separators, ensure_ascii=chance.random() < 0.5).encode()


def _ulid(ms: int, chance: random.Random) -> str:
    number = ms << 80 | chance.getrandbits(80)
    digits = "".join(_CROCKFORD[number >> 5 * place & 31] for place in reversed(range(26)))
    return digits if chance.random() < 0.9 else digits.lower()


def _uuid7(ms: int, chance: random.Random) -> str:
    high = ms << 16 | 7 << 12 | chance.getrandbits(12)
    low = 2 << 62 | chance.getrandbits(62)
    digits = f"{high:016x}{low:016x}"
    return "-".join((digits[:8], digits[8:12], digits[12:16], digits[16:20], digits[20:]))


# -- what can be wrong with an event, one thing each

Defect: TypeAlias = Callable[[JSON, random.Random, datetime], None]


def _without(name: str) -> Defect:
    def spoil(event: JSON, chance: random.Random, now: datetime) -> None:
        del event[name]

    return spoil


def _with(name: str, *values: Any) -> Defect:
    def spoil(event: JSON, chance: random.Random, now: datetime) -> None:
        event[name] = chance.choice(values)

    return spoil


def _data_with(name: str, *values: Any) -> Defect:
    def spoil(event: JSON, chance: random.Random, now: datetime) -> None:
        event["data"][name] = chance.choice(values)

    return spoil


def _far_ahead(event: JSON, chance: random.Random, now: datetime) -> None:
    event["time"] = _text(now + timedelta(hours=chance.choice((3, 24, 24 * 400))))


def _id_far_ahead(event: JSON, chance: random.Random, now: datetime) -> None:
    event["id"] = _ulid(int((now + timedelta(hours=chance.choice((3, 90)))).timestamp() * 1000), chance)


def _id_of_long_ago(event: JSON, chance: random.Random, now: datetime) -> None:
    event["id"] = _ulid(int((now - timedelta(days=chance.choice((60, 400)))).timestamp() * 1000), chance)


def _too_late(event: JSON, chance: random.Random, now: datetime) -> None:
    event["time"] = _text(now - timedelta(days=chance.choice((31, 32, 300))))


def _poison(event: JSON, chance: random.Random, now: datetime) -> None:
    event["type"], event["data"]["dimensions"] = CPU, POISON


_DEFECTS: tuple[Defect, ...] = (
    *(_without(name) for name in ("id", "source", "specversion", "type", "subject", "time", "data")),
    _with("id", "", 5, None, "01ARZ3NDEKTSV4RRFFQ69G5FAU", "81ARZ3NDEKTSV4RRFFQ69G5FAV"),
    _with("specversion", "0.3", 1),
    _with("datacontenttype", "application/xml", "text/plain; charset=utf-8"),
    _with("datacontenttype", "application/json; charset=utf-8", "application/vnd.sim+json", None),
    _with("type", "sim.example/unknown", "sim.example/draft", "sim.example/retired"),
    _with("subject", "web", "projects/", "projects/web/x", "projects/NULL\0"),
    _with("time", "yesterday", "2026-10-30", "2026-02-30T00:00:00Z", "2026-10-30 21:00:00"),
    _with("data", [], "text", 5, True),
    _with("traceparent", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"),
    _data_with("value", True, None, [], {}),
    _data_with("value", "1.5", 1.5, "", "+1", " 1", str(_INT64), -_INT64 - 1, "1e3", "٣"),
    _data_with("dimensions", {"colour": "red"}, {"region": 5}, [], "eu", {"region": "x" * 257}),
    _data_with("dimensions", {f"d{n}": "x" for n in range(33)}, {"region": "a\0b"}),
    _data_with("resource", [], "i-1", {"name": "x" * 5_000}),
    _far_ahead,
    _id_far_ahead,
    _id_of_long_ago,
    _too_late,
    _too_late,
    _poison,
    _poison,
)
