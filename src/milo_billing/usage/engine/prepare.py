"""Decide, for a whole group at once, what becomes of each event, as far as that needs no database.

Pure but for its caches: a group and a `Knowledge` give the same result every time. The versions of that knowledge are
compared in the ingest transaction, and the group is prepared again where they are stale. Owns: the order of reasons,
billing day, which event of several with one id counts. Not: ids that were here before (write).

An event is rejected before it is looked at further. Of several reasons to quarantine it gets the first of
malformed_data, unknown_meter, invalid_dimensions, invalid_value, too_late, attribution_failure.
"""

from collections.abc import Callable
from itertools import repeat
from typing import Final, TypeAlias

import numpy as np
from numpy.typing import NDArray

from milo_billing.kernel.ids import uuid7
from milo_billing.usage.engine import identifiers
from milo_billing.usage.engine.attribution import Attributed, attribute
from milo_billing.usage.engine.bands import band_codes, band_labels
from milo_billing.usage.engine.days import DAY_US, BillingDays
from milo_billing.usage.engine.groups import Group
from milo_billing.usage.engine.knowledge import Knowledge
from milo_billing.usage.engine.labels import INVALID, dimension_cache, resource_cache, with_labels
from milo_billing.usage.engine.payload import Payload, digests, read_payload, text_hashes
from milo_billing.usage.engine.prepared import (
    ATTRIBUTION_FAILURE,
    GOOD,
    INVALID_DIMENSIONS,
    INVALID_VALUE,
    MALFORMED_DATA,
    TOO_LATE,
    UNKNOWN_METER,
    Followers,
    Keys,
    Limits,
    Prepared,
    Rows,
)
from milo_billing.usage.engine.readings import SECOND_US
from milo_billing.usage.engine.screen import MS_US, Screened, screen
from milo_billing.usage.rules import foreign_id_hash

I64: TypeAlias = NDArray[np.int64]
Mask: TypeAlias = NDArray[np.bool_]

LATE_REPORT_US: Final = 3_600 * SECOND_US
"""An event that happened so long before its id was made counts as late in the statistics."""

_UUID7_RANDOM_BITS: Final = 74


class Preparer:
    """Holds the caches that grow while groups are prepared. One group at a time: the pipeline sees to it."""

    def __init__(self, *, random_bits: Callable[[int], int]) -> None:
        self.dimensions = dimension_cache()
        self.resources = resource_cache()
        self._billing_days = BillingDays()
        self._random_bits = random_bits

    def prepare(
        self, group: Group, knowledge: Knowledge, limits: Limits, *, stored_under: Keys | None = None
    ) -> Prepared:
        """What becomes of every event of the group, if `knowledge` holds and no id was here before.

        `stored_under` are the ids that the events of the group have here already, all different: of a replay.
        """
        screened, fates, rejected = screen(group, limits)
        types = [event.type for event in screened.events]
        meters = np.fromiter(map(knowledge.meters.slot_of.get, types, repeat(0)), np.int64, len(types))
        payload = read_payload(
            screened.events,
            meters=knowledge.meters,
            slots=meters,
            dimensions=self.dimensions,
            resources=self.resources,
        )
        rows, dimension_slots = self._rows(group, screened, payload, knowledge, limits, meters, stored_under)
        first, followers = once_each(rows)
        rows = rows.take(first)
        self._name_foreign(rows)
        stored = first[rows.reason == GOOD]
        return Prepared(
            group=group,
            knowledge=knowledge,
            limits=limits,
            fates=fates,
            rejected=rejected,
            rows=rows,
            followers=followers,
            new_dimensions=self.dimensions.unstored(dimension_slots, payload.dimensions, among=stored),
            new_resources=self.resources.unstored(
                payload.resource_slots, payload.resources, among=stored[payload.has_resource[stored]]
            ),
        )

    def _rows(
        self,
        group: Group,
        screened: Screened,
        payload: Payload,
        knowledge: Knowledge,
        limits: Limits,
        meters: I64,
        stored_under: Keys | None,
    ) -> tuple[Rows, I64]:
        """One row an event that is not rejected, in the group's order, and the slot of its dimension set; foreign ones
        have no id yet.
        """
        n = len(screened.events)
        types = [event.type for event in screened.events]
        subjects = [event.subject for event in screened.events]
        projects = np.fromiter(map(knowledge.projects.slot_of.get, subjects, repeat(0)), np.int64, n)
        instant = np.minimum(screened.event_at, screened.received_at)
        senders = [part.request.sender for part in group.parts]
        found = attribute(knowledge, projects, instant, senders, screened.part)
        faulty = _faulty(group, screened)
        reason = self._reasons(group, screened, payload, knowledge, limits, meters, found)
        reason[list(faulty)] = MALFORMED_DATA
        day = self._days(knowledge, found, reason == GOOD)
        slots = self._banded(knowledge, meters, payload, found, reason == GOOD)
        if stored_under is None:
            foreign = screened.ids.kind == identifiers.FOREIGN
            key = _keys(group, screened, foreign)
        else:
            foreign, key = np.zeros(n, np.bool_), stored_under[screened.number]
        rows = Rows(
            key=key,
            foreign=foreign,
            id=key,
            number=screened.number.astype(np.int64),
            reason=reason,
            event_at=screened.event_at,
            received_at=screened.received_at,
            account=found.account,
            project=found.project,
            meter=knowledge.meters.numbers[meters],
            day=day,
            dimensions=self.dimensions.hashes(slots, payload.dimensions),
            value=payload.value,
            resource=np.where(payload.has_resource, payload.resource_hashes, np.uint64(0)),
            digest=digests(
                screened,
                payload,
                type_hashes=text_hashes(knowledge.meters.hashes, meters, types),
                subject_hashes=text_hashes(knowledge.projects.hashes, projects, subjects),
                faulty=faulty,
            ),
            series=pack_series(found.interval, meters, slots, day),
            keyed=payload.keyed,
            distinct=payload.key,
            owner=found.owner,
            timed=screened.timed,
            late=screened.event_at < screened.made_at - LATE_REPORT_US,
        )
        return rows, slots

    def _reasons(
        self,
        group: Group,
        screened: Screened,
        payload: Payload,
        knowledge: Knowledge,
        limits: Limits,
        meters: I64,
        found: Attributed,
    ) -> NDArray[np.int8]:
        accept_late = np.array([part.request.accept_late for part in group.parts], np.bool_)[screened.part]
        oldest = screened.received_at - limits.late_days_max * DAY_US
        reason = np.full(len(screened.events), GOOD, np.int8)
        # from the weakest reason to the strongest: the last one written stays
        reason[~found.paid] = ATTRIBUTION_FAILURE
        reason[(screened.event_at < oldest) & ~accept_late] = TOO_LATE
        reason[~payload.integer] = INVALID_VALUE
        reason[~self._declared(knowledge, meters, payload.dimension_slots)] = INVALID_DIMENSIONS
        reason[knowledge.meters.keyed[meters] & ~payload.keyed] = INVALID_DIMENSIONS
        reason[~self._measurable(knowledge, meters, payload)] = INVALID_DIMENSIONS
        reason[meters == 0] = UNKNOWN_METER
        reason[~screened.timed | (payload.resource_slots == INVALID)] = MALFORMED_DATA
        return reason

    def _declared(self, knowledge: Knowledge, meters: I64, dimension_slots: I64) -> Mask:
        """Whether the meter declares all dimensions of the event; decided once for each pair that occurs."""
        width = int(dimension_slots.max(initial=0)) + 2  # INVALID is -1
        pairs = meters * width + dimension_slots + 1
        verdicts = np.zeros(len(knowledge.meters.dimensions) * width, np.bool_)
        occurring: list[int] = np.flatnonzero(np.bincount(pairs)).tolist()
        for pair in occurring:
            meter, slot = divmod(pair, width)
            if slot - 1 != INVALID:
                verdicts[pair] = self.dimensions.names(slot - 1) <= knowledge.meters.dimensions[meter]
        return verdicts[pairs]

    def _measurable(self, knowledge: Knowledge, meters: I64, payload: Payload) -> Mask:
        """Whether the meter is measured on resources of this type with these labels; once for each that occurs."""
        good = np.ones(len(meters), np.bool_)
        looked_at = (
            knowledge.meters.typed[meters] & payload.has_resource & (payload.resource_slots != INVALID)
        )
        where = np.flatnonzero(looked_at)
        if not len(where):
            return good
        pairs, first, place = np.unique(
            pack_series(meters[where], payload.resource_slots[where]), return_index=True, return_inverse=True
        )
        verdicts = np.zeros(len(pairs), np.bool_)
        occurring: list[int] = where[first].tolist()
        for verdict, i in enumerate(occurring):
            allowed = knowledge.meters.resources[int(meters[i])]
            resource = self.resources.resource(int(payload.resource_slots[i]), payload.resources[i])
            labels = None if allowed is None else allowed.get((resource.group, resource.kind))
            verdicts[verdict] = (
                labels is not None and resource.labels is not None and resource.labels <= labels
            )
        good[where] = verdicts[place]
        return good

    def _banded(
        self, knowledge: Knowledge, meters: I64, payload: Payload, found: Attributed, good: Mask
    ) -> I64:
        """The slots of the dimension sets that good events are rolled up under, bands included.

        What `payload.dimensions` holds of such an event becomes the set with its bands.
        """
        slots = payload.dimension_slots
        looked_at = good & knowledge.meters.banded[meters]
        if not looked_at.any():
            return slots
        slots = slots.copy()
        present: list[int] = np.unique(meters[looked_at]).tolist()
        for meter in present:
            where = np.flatnonzero(looked_at & (meters == meter))
            bands = knowledge.meters.bands[meter]
            codes = band_codes(bands, values=payload.value[where], instants=found.instant[where])
            _, first, place = np.unique(
                pack_series(slots[where], codes), return_index=True, return_inverse=True
            )
            labels = band_labels(bands)
            sets = [with_labels(payload.dimensions[where[i]], labels[codes[i]]) for i in first.tolist()]
            slots[where] = np.array(self.dimensions.more_slots(sets), np.int64)[place]
            for i, chosen in zip(where.tolist(), place.tolist(), strict=True):
                payload.dimensions[i] = sets[chosen]
        return slots

    def _days(self, knowledge: Knowledge, found: Attributed, good: Mask) -> I64:
        """Billing days of the attribution instants, of good rows."""
        day = np.zeros(len(good), np.int64)
        if not good.any():
            return day
        zones = knowledge.accounts.zone[found.account]
        present: list[int] = np.unique(zones[good]).tolist()
        for zone in present:
            chosen = good & (zones == zone)
            day[chosen] = self._billing_days.days(found.instant[chosen], zone=knowledge.accounts.zones[zone])
        return day

    def _name_foreign(self, rows: Rows) -> None:
        """Give foreign events the id they are stored under: a UUIDv7 of their receipt."""
        if not rows.foreign.any():
            return
        rows.id = rows.key.copy()
        for i in np.flatnonzero(rows.foreign).tolist():
            rows.id[i] = uuid7(int(rows.received_at[i]) // MS_US, self._random_bits(_UUID7_RANDOM_BITS)).bytes


def once_each(rows: Rows) -> tuple[NDArray[np.intp], Followers]:
    """The first event of each key, sorted by (foreign, key), and those that came after it with the same key."""
    high, low = identifiers.halves(rows.key)
    order = np.argsort(high, kind="stable")  # stable: the first to come stays first
    if rows.foreign.any() or (high[order[1:]] == high[order[:-1]]).any():
        order = np.lexsort((low, high, rows.foreign))
    high, low, foreign = high[order], low[order], rows.foreign[order]
    again = np.zeros(len(order), np.bool_)
    again[1:] = (high[1:] == high[:-1]) & (low[1:] == low[:-1]) & (foreign[1:] == foreign[:-1])
    leader = np.cumsum(~again) - 1
    follow = order[again]
    return order[~again], Followers(rows.number[follow], rows.digest[follow], leader[again])


def pack_series(*columns: I64) -> I64:
    """One integer that is the same where all columns are: a mixed-radix number, made denser where it would overflow."""
    packed = np.zeros(len(columns[0]), np.int64)
    if not len(packed):
        return packed
    span = 1
    for column in columns:
        digit = column - column.min()
        width = int(digit.max()) + 1
        if span * width >= 2**63:
            packed = np.unique(packed, return_inverse=True)[1].astype(np.int64)
            digit = np.unique(digit, return_inverse=True)[1].astype(np.int64)
            span, width = int(packed.max()) + 1, int(digit.max()) + 1  # at most EVENTS_MAX² now
        packed = packed * width + digit
        span *= width
    return packed


def _keys(group: Group, screened: Screened, foreign: Mask) -> Keys:
    keys = identifiers.to_bytes(screened.ids.high, screened.ids.low)
    for i in np.flatnonzero(foreign).tolist():
        event = screened.events[i]
        sender = group.parts[int(screened.part[i])].request.sender
        keys[i] = foreign_id_hash(owner_org=sender.owner_org, source=event.source, id=event.id)
    return keys


def _faulty(group: Group, screened: Screened) -> dict[int, bytes]:
    """Originals of the events that decoding found unusable, by index into `screened`."""
    found: dict[int, bytes] = {}
    for part, start in zip(group.parts, group.starts(), strict=True):
        for index in part.request.batch.faults:
            if part.start <= index < part.stop:
                here = np.flatnonzero(screened.number == start + index - part.start)
                found.update((i, part.request.batch.original(index)) for i in here.tolist())
    return found
