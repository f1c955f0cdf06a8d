"""A provider that is declared through the engine, and changes while usage comes in; everything it is told is logged."""

import random
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

from milo_billing.accounts import operations as accounts
from milo_billing.accounts.reads import accounts as account_reads
from milo_billing.accounts.resources.accounts import BillingAccount
from milo_billing.accounts.resources.bindings import BillingAccountBinding
from milo_billing.catalog.resources.meters import MeterDefinition
from milo_billing.controlplane.rows import Row
from milo_billing.directory.resources import Project
from milo_billing.infra.database import EVERYWHERE, Databases
from milo_billing.kernel.errors import Invalid
from milo_billing.usage.resources import UsageCorrection
from tests.accounts_world import World, binding_spec, make_world
from tests.simulation.usage_simulation.correcting import Corrected, Wanted
from tests.simulation.usage_simulation.declared import (
    RESOURCE,
    AccountDeclared,
    Bound,
    ClockBands,
    Log,
    MeterDeclared,
    ProjectDeclared,
    ProjectGone,
    Unbound,
    ValueBands,
)
from tests.usage_world import meter_spec

LONG_BEFORE = datetime.fromisoformat("2026-08-20T09:00:00Z")
BEGINS = datetime.fromisoformat("2026-10-30T21:00:00Z")
"""Two days before New York puts its clocks back, so that a billing day of 25 hours lies in it."""

ZONES = {
    "utc": "Etc/UTC",
    "york": "America/New_York",
    "nepal": "Asia/Kathmandu",
    "chatham": "Pacific/Chatham",
    "gone": "Etc/UTC",
    "rich": "Asia/Tokyo",
}
PAYERS = ("utc", "york", "nepal", "chatham")
_REGION = frozenset({"region"})
METERS = (
    MeterDeclared("sim.example/cpu", "Published", frozenset({"region", "tier"})),
    MeterDeclared("sim.example/bytes", "Published", frozenset({"status"})),
    MeterDeclared("sim.example/old", "Deprecated", frozenset()),
    MeterDeclared("sim.example/retired", "Retired", frozenset()),
    MeterDeclared("sim.example/draft", "Draft", _REGION),
    MeterDeclared("sim.example/calls", "Published", _REGION, "Count"),
    MeterDeclared("sim.example/peak", "Published", frozenset({"region", "tier"}), "Max", ("region",)),
    MeterDeclared("sim.example/low", "Published", _REGION, "Min", daily=True),
    MeterDeclared("sim.example/mean", "Published", _REGION, "Average"),
    MeterDeclared("sim.example/state", "Published", _REGION, "Latest", ("region",), daily=True),
    MeterDeclared(
        "sim.example/users", "Published", frozenset({"region", "tier"}), "UniqueCount", counted="user"
    ),
    MeterDeclared(
        "sim.example/hosts", "Published", _REGION, "UniqueCount", ("region",), daily=True, counted=RESOURCE
    ),
    MeterDeclared(
        "sim.example/power",
        "Published",
        _REGION,
        bands=(
            ClockBands("hours", "America/New_York", (8, 20), "peak", "off-peak"),
            ValueBands("size", ((0, "none"), (7, "small")), "large"),
        ),
    ),
)
LATER = (
    MeterDeclared("sim.example/unknown", "Published", _REGION),
    MeterDeclared("sim.example/unheard-of", "Published", _REGION, "Max"),
)
"""Meters that are sent for before anybody has declared them."""

_AGEING = ("sim.example/bytes", "sim.example/old", "sim.example/draft", "sim.example/unknown")
PHASES = ("Draft", "Published", "Deprecated", "Retired")
PROJECTS = ("web", "api", "batch", "edge")
UNBOUND, RIVALS, ENDED, LATE_COMER = "free", "rivals", "former", "late-comer"
RIVALS_ACCOUNT = "rich"
_BACKDATE = "billing.miloapis.com/billingaccountbindings.backdate"
_ARCHIVE = "billing.miloapis.com/billingaccounts.archive"


class Provider:
    """Acme's projects are paid for by accounts in four zones; `log` has what the API said."""

    def __init__(self, databases: Databases, folder: Path) -> None:
        self.world: World = make_world(databases, folder)
        self.log = Log()
        self._bindings: dict[str, str] = {}
        self._names = 0
        self.world.grants.granted |= {_BACKDATE: EVERYWHERE, _ARCHIVE: EVERYWHERE}

    @property
    def now(self) -> datetime:
        """What the doors' clock says."""
        return self.world.clock.now()

    def tick(self, chance: random.Random) -> datetime:
        """Let a moment pass: no two things happen at the same instant, as a clock that goes on has it."""
        return self.world.clock.forward(microseconds=1 + chance.randrange(900_000))

    def declare(self) -> None:
        """What stands when usage begins."""
        self.world.clock.instant = LONG_BEFORE
        for name, zone in ZONES.items():
            spec = {"currencyCode": "USD", "paymentProfile": {"type": "BankTransfer"}, "timeZone": zone}
            self.world.create(BillingAccount, name, spec, namespace=namespace_of(name))
            self.log.add(AccountDeclared(name, zone, _organization(name)))
        for meter in METERS:
            self._publish(meter)
        for name in (*PROJECTS, UNBOUND, RIVALS, ENDED):
            self.project(name, organization="rival" if name == RIVALS else "acme")
        for name, account in zip(PROJECTS, PAYERS, strict=True):
            self.world.clock.forward(seconds=1)
            self.bind(name, account)
        self.bind(RIVALS, RIVALS_ACCOUNT)
        self.bind(ENDED, "gone")
        self.world.clock.forward(days=5)
        self.unbind(ENDED)
        self.world.clock.instant = BEGINS
        self._finish("gone")
        self.world.act(BillingAccount, "gone", "archive")
        self.log.add(AccountDeclared("gone", ZONES["gone"], archived=True))

    def _finish(self, name: str) -> None:
        """Say, as the final invoice of an account does, that nothing of it is left to be invoiced."""
        with self.world.databases.app.transaction(reach=EVERYWHERE) as tx:
            found = account_reads.find_account(tx, namespace=namespace_of(name), name=name)
            assert found is not None, "it was declared"
            accounts.mark_closed(tx, account=found.number, until=BEGINS)
            accounts.mark_final(tx, account=found.number, until=BEGINS)

    def _publish(self, meter: MeterDeclared) -> None:
        kind = _object_name(meter.name)
        self.world.create(MeterDefinition, kind, _spec(meter))
        for step in PHASES[1 : PHASES.index(meter.phase) + 1]:
            self.world.patch(MeterDefinition, kind, {"phase": step})
        self.log.add(meter)

    def project(self, name: str, *, organization: str = "acme") -> None:
        """A new project, perhaps of a name that was used before."""
        self.world.project(name, organization=organization)
        self.log.add(ProjectDeclared(name, organization, self.now))

    def bind(self, project: str, account: str, *, since: datetime | None = None) -> None:
        """Let the account pay from now on, or from `since` where nobody has paid before."""
        self._names += 1
        name = f"{project}-{self._names}"
        spec = {} if since is None else {"effectiveFrom": _text(since)}
        wanted = binding_spec(project, account, **spec)
        row = self.world.create(BillingAccountBinding, name, wanted, namespace=namespace_of(account))
        self._bindings[project] = name
        self.log.add(Bound(project, account, _answered(row, "establishedAt")))

    def unbind(self, project: str) -> None:
        """Nobody pays any more."""
        row = self.world.unbind(self._bindings.pop(project))
        self.log.add(Unbound(project, _answered(row, "endedAt")))

    def correct(self, wanted: Wanted) -> Corrected:
        """File a correction of usage, and note what the API answered."""
        self._names += 1
        spec = {
            "billingAccountRef": {"name": wanted.account},
            "projectRef": {"name": wanted.project},
            "meterName": wanted.meter,
            "day": wanted.day.isoformat(),
            "quantity": str(wanted.quantity),
            "dimensions": dict(wanted.dimensions),
            "reason": "the agent was down",
        }
        name, namespace = f"correction-{self._names}", namespace_of(wanted.account)
        refused: tuple[str, ...] = ()
        uid: UUID | None = None
        try:
            uid = self.world.create(UsageCorrection, name, spec, namespace=namespace).uid
        except Invalid as error:
            refused = tuple(each.field for each in error.errors)
        return Corrected(wanted, self.now, len(self.log), uid, refused)

    def change_payers(self, chance: random.Random) -> str:
        """One change that takes the fence; returns what it was."""
        now = self.log.after(len(self.log))
        living = [
            name
            for name in (*PROJECTS, UNBOUND, LATE_COMER)
            if _lives(now.lives.get(name, [])) and now.lives[name][-1].organization == "acme"
        ]
        bound = [name for name in living if name in self._bindings]
        free = [name for name in living if name not in self._bindings]
        if free and chance.random() < 0.5:
            name = chance.choice(free)
            first = not now.lives[name][-1].payers and len(now.lives[name]) == 1
            since = self.now - timedelta(hours=chance.randrange(1, 72)) if first else None
            self.bind(name, chance.choice(PAYERS), since=since)
            return f"bound {name}"
        if not bound:
            return "nothing to rebind"
        name = chance.choice(bound)
        if chance.random() < 0.2:
            self.unbind(name)
            return f"unbound {name}"
        self.bind(name, chance.choice(PAYERS))
        return f"rebound {name}"

    def change_things(self, chance: random.Random) -> str:
        """One change that needs no fence: a meter, or a project that comes or goes; returns what it was."""
        now = self.log.after(len(self.log))
        if chance.random() < 0.5:
            return self._change_meter(chance, list(now.meters.values()))
        if chance.random() < 0.3 and len(now.meters) < len(METERS) + len(LATER):
            meter = LATER[len(now.meters) - len(METERS)]
            self._publish(meter)
            return f"published {meter.name}"
        name = chance.choice((*PROJECTS, UNBOUND, LATE_COMER))
        if not _lives(now.lives.get(name, [])):
            self.project(
                name, organization=chance.choice(("acme", "acme", "rival")) if name == "api" else "acme"
            )
            return f"created {name}"
        if name in self._bindings:
            return f"{name} is paid for and stays"
        self.world.delete(Project, name)
        self.log.add(ProjectGone(name, self.now))
        return f"deleted {name}"

    def mend(self, chance: random.Random) -> None:
        """Declare what events have waited for: the meters that nobody had declared, and somebody who pays."""
        now = self.log.after(len(self.log))
        for meter in LATER[len(now.meters) - len(METERS) :]:
            self._publish(meter)
        for name in (UNBOUND, LATE_COMER):
            lives = now.lives.get(name, [])
            if name not in self._bindings and _lives(lives):
                first = not lives[-1].payers and len(lives) == 1
                since = self.now - timedelta(hours=chance.randrange(24, 96)) if first else None
                self.bind(name, chance.choice(PAYERS), since=since)

    def _change_meter(self, chance: random.Random, meters: list[MeterDeclared]) -> str:
        meter = chance.choice(meters)
        ages = meter.name in _AGEING and meter.phase != "Retired"
        if ages and chance.random() < 0.5:
            phase = PHASES[PHASES.index(meter.phase) + 1]
            self.world.patch(MeterDefinition, _object_name(meter.name), {"phase": phase})
            self.log.add(replace(meter, phase=phase))
            return f"{meter.name} became {phase}"
        added = f"added-{len(meter.dimensions)}"
        if added in meter.dimensions or meter.phase == "Retired":
            return f"{meter.name} stays"
        dimensions = sorted({*meter.dimensions, added})
        changed: dict[str, Any] = {"measurement": {"dimensions": dimensions}}
        self.world.patch(MeterDefinition, _object_name(meter.name), changed)
        self.log.add(replace(meter, dimensions=frozenset(dimensions)))
        return f"{meter.name} declares {added}"


def _lives(lives: list[Any]) -> bool:
    return bool(lives) and lives[-1].deleted_at is None


def _organization(account: str) -> str:
    return "rival" if account == RIVALS_ACCOUNT else "acme"


def namespace_of(account: str) -> str:
    """Where the account is declared."""
    return f"organization-{_organization(account)}"


def _spec(meter: MeterDeclared) -> dict[str, Any]:
    """As staff declare it."""
    measurement: dict[str, Any] = {
        "aggregation": meter.aggregation,
        "seriesBy": list(meter.series_by),
        "window": "Day" if meter.daily else "Period",
        "bands": [_bands(each) for each in meter.bands],
    }
    if meter.counted is not None:
        measurement["uniqueKey"] = meter.counted
    return meter_spec(meter.name, *sorted(meter.dimensions), phase="Draft", **measurement)


def _bands(bands: ValueBands | ClockBands) -> dict[str, Any]:
    if isinstance(bands, ValueBands):
        ranges = [{"name": name, "upTo": str(bound)} for bound, name in bands.bounds]
        return {"dimension": bands.dimension, "by": "Value", "ranges": [*ranges, {"name": bands.above}]}
    start, end = (f"{hour:02}:00" for hour in bands.hours)
    return {
        "dimension": bands.dimension,
        "by": "TimeOfDay",
        "timeZone": bands.zone,
        "ranges": [
            {"name": bands.inside, "from": start, "to": end},
            {"name": bands.outside, "from": end, "to": start},
        ],
    }


def _object_name(meter: str) -> str:
    return meter.rpartition("/")[2]


def _text(instant: datetime) -> str:
    return instant.isoformat().replace("+00:00", "Z")


def _answered(row: Row, edge: str) -> datetime:
    return datetime.fromisoformat(row.status["billingResponsibility"][edge])
