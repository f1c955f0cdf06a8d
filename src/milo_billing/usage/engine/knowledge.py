"""What attribution needs to know, as arrays: meters, project names, payer intervals, accounts' zones.

A `Knowledge` is immutable; `refreshed` reads what changed since and gives a new one. Whether it is current is decided
in the ingest transaction, by comparing `versions` under the fence. Owns no rule of who pays: the intervals say.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Final, NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

from milo_billing.accounts.reads import accounts as account_reads
from milo_billing.accounts.reads import payers as payer_reads
from milo_billing.accounts.types import Account, PayerInterval
from milo_billing.catalog import reads as catalog
from milo_billing.catalog.types import Bands, Meter, ResourceType
from milo_billing.directory import reads as directory
from milo_billing.directory.types import ProjectEntry
from milo_billing.infra.database import Tx
from milo_billing.usage.engine.readings import to_us
from milo_billing.usage.rules import text_hash

I64: TypeAlias = NDArray[np.int64]
I32: TypeAlias = NDArray[np.int32]
U64: TypeAlias = NDArray[np.uint64]
Mask: TypeAlias = NDArray[np.bool_]

ALWAYS: Final = np.iinfo(np.int64).max
METERED_PHASES: Final = frozenset({"Published", "Deprecated"})
"""Usage of a Draft meter is not expected yet, of a Retired one no more."""


class Versions(NamedTuple):
    """Rows of controlplane.versions: each grows with every change of its kind."""

    payers: int
    meters: int
    projects: int


NOTHING_KNOWN: Final = Versions(0, 0, 0)


@dataclass(frozen=True, slots=True)
class Meters:
    """Slot 0 is "unknown"; `slot_of` leads from the meter's name to its slot.

    `unique_key` is what a meter counts (None: nothing distinct), `bands` decide further dimensions, and `resources`
    lead from the (group, kind) that a meter may be measured on to its labels (None: any). The masks say where these
    have to be looked at: in most groups nowhere.
    """

    slot_of: Mapping[str, int]
    numbers: I32
    hashes: U64
    dimensions: tuple[frozenset[str], ...]
    unique_key: tuple[str | None, ...]
    bands: tuple[tuple[Bands, ...], ...]
    resources: tuple[Mapping[tuple[str, str], frozenset[str]] | None, ...]
    keyed: Mask
    banded: Mask
    typed: Mask


@dataclass(frozen=True, slots=True)
class Projects:
    """Names as subjects (`projects/<name>`) → slot (0 is unknown) → the lives of that name, in order of creation.

    Life `first[s] … last[s]` of slot s: project number, owner, [created, deleted). A name can be used again.
    """

    slot_of: Mapping[str, int]
    hashes: U64
    first: I64
    last: I64
    numbers: I32
    owners: I64
    created: I64
    deleted: I64


@dataclass(frozen=True, slots=True)
class Payers:
    """Intervals sorted by (project, start); those of project p are `first[p] … last[p]`, none where last < first."""

    first: I64
    last: I64
    project: I32
    account: I32
    start: I64
    end: I64


@dataclass(frozen=True, slots=True)
class Accounts:
    """By account number: index of its zone in `zones`, and whether it is archived."""

    zone: I64
    archived: Mask
    zones: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Knowledge:
    """Everything at once, with the versions it was read at."""

    versions: Versions
    meters: Meters
    projects: Projects
    payers: Payers
    accounts: Accounts


def nothing() -> Knowledge:
    """Before the first read: no version in the database is so low, so that the first group reads everything."""
    return Knowledge(NOTHING_KNOWN, _meters((), ()), _projects(()), _payers((), None), _accounts((), None))


def refreshed(tx: Tx, known: Knowledge, versions: Versions, *, projects: bool) -> Knowledge:
    """What is true at `versions`, reading only what differs; projects only if asked, since that reads them all."""
    fresh = replace(known, versions=versions._replace(projects=known.versions.projects))
    if versions.meters != known.versions.meters:
        fresh = replace(fresh, meters=_meters(catalog.load_meters(tx), catalog.load_resource_types(tx)))
    if versions.payers != known.versions.payers:
        since = known.versions.payers
        fresh = replace(
            fresh,
            payers=_payers(payer_reads.load_intervals(tx, since_version=since), known.payers),
            accounts=_accounts(account_reads.load_accounts(tx, since_version=since), known.accounts),
        )
    if projects and versions.projects != known.versions.projects:
        fresh = replace(fresh, projects=_projects(directory.load_projects(tx)), versions=versions)
    return fresh


def _meters(found: Iterable[Meter], types: Iterable[ResourceType]) -> Meters:
    metered = [meter for meter in found if meter.phase in METERED_PHASES]
    known = {each.name: each for each in types}
    resources = (None, *(_admitted(meter, known) for meter in metered))
    return Meters(
        slot_of={meter.meter_name: slot for slot, meter in enumerate(metered, 1)},
        numbers=np.array([0, *(meter.number for meter in metered)], np.int32),
        hashes=np.array([0, *(text_hash(meter.meter_name.encode()) for meter in metered)], np.uint64),
        dimensions=(frozenset(), *(frozenset(meter.dimensions) for meter in metered)),
        unique_key=(None, *(meter.unique_key for meter in metered)),
        bands=((), *(meter.bands for meter in metered)),
        resources=resources,
        keyed=np.array([False, *(meter.unique_key is not None for meter in metered)], np.bool_),
        banded=np.array([False, *(bool(meter.bands) for meter in metered)], np.bool_),
        typed=np.array([each is not None for each in resources], np.bool_),
    )


def _admitted(
    meter: Meter, known: Mapping[str, ResourceType]
) -> Mapping[tuple[str, str], frozenset[str]] | None:
    if not meter.resource_types:
        return None
    types = [known[name] for name in meter.resource_types if name in known]
    return {(each.group, each.kind): frozenset(each.labels) for each in types}


def _projects(found: Iterable[ProjectEntry]) -> Projects:
    lives = sorted(found, key=lambda project: (project.name, project.created_at))
    first, last = [0], [-1]
    slot_of: dict[str, int] = {}
    for i, project in enumerate(lives):
        subject = f"projects/{project.name}"
        if subject in slot_of:
            last[-1] = i
        else:
            slot_of[subject] = len(first)
            first.append(i)
            last.append(i)
    return Projects(
        slot_of=slot_of,
        hashes=np.array([0, *(text_hash(subject.encode()) for subject in slot_of)], np.uint64),
        first=np.array(first, np.int64),
        last=np.array(last, np.int64),
        numbers=np.array([project.number for project in lives], np.int32),
        owners=np.array([project.owner_org for project in lives], np.int64),
        created=np.array([to_us(project.created_at) for project in lives], np.int64),
        deleted=np.array([_end(project.deleted_at) for project in lives], np.int64),
    )


def _payers(changed: Iterable[PayerInterval], known: Payers | None) -> Payers:
    rows = np.array(
        [(i.project, i.account, to_us(i.starts_at), _end(i.ends_at)) for i in changed], np.int64
    ).reshape(-1, 4)
    if known is not None:
        old = np.stack(
            [known.project.astype(np.int64), known.account.astype(np.int64), known.start, known.end], axis=1
        )
        rows = np.concatenate([old, rows])
    order = np.lexsort(
        (rows[:, 2], rows[:, 0])
    )  # stable: of the same (project, start) the newer read comes last
    rows = rows[order]
    newest = np.ones(len(rows), np.bool_)
    newest[:-1] = (rows[1:, 0] != rows[:-1, 0]) | (rows[1:, 2] != rows[:-1, 2])
    rows = rows[newest]
    numbers = np.arange((int(rows[-1, 0]) if len(rows) else 0) + 1)
    return Payers(
        first=np.searchsorted(rows[:, 0], numbers, side="left").astype(np.int64),
        last=np.searchsorted(rows[:, 0], numbers, side="right").astype(np.int64) - 1,
        project=rows[:, 0].astype(np.int32),
        account=rows[:, 1].astype(np.int32),
        start=np.ascontiguousarray(rows[:, 2]),
        end=np.ascontiguousarray(rows[:, 3]),
    )


def _accounts(changed: Iterable[Account], known: Accounts | None) -> Accounts:
    found = list(changed)
    zones = list(known.zones) if known is not None else []
    index = {zone: i for i, zone in enumerate(zones)}
    size = max([0 if known is None else len(known.zone), *(account.number + 1 for account in found)])
    zone = np.zeros(size, np.int64)
    archived = np.zeros(size, np.bool_)
    if known is not None:
        zone[: len(known.zone)] = known.zone
        archived[: len(known.archived)] = known.archived
    for account in found:
        if account.time_zone not in index:
            index[account.time_zone] = len(zones)
            zones.append(account.time_zone)
        zone[account.number] = index[account.time_zone]
        archived[account.number] = account.phase == "Archived"
    return Accounts(zone=zone, archived=archived, zones=tuple(zones))


def _end(instant: datetime | None) -> int:
    return int(ALWAYS) if instant is None else to_us(instant)
