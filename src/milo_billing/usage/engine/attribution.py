"""Who pays for each event: the project that bore the name, and the account whose interval holds the instant.

The same answers as `directory.reads.find_project` and `accounts.reads.payers.find_payer`, for thousands of events at
once; a test compares them. An event for a project out of the sender's reach is as unpaid as one for a project that does
not exist, so that nobody learns which names there are.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from milo_billing.usage.engine.groups import Sender
from milo_billing.usage.engine.knowledge import Knowledge, Payers, Projects

I64: TypeAlias = NDArray[np.int64]
I32: TypeAlias = NDArray[np.int32]
Mask: TypeAlias = NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Attributed:
    """Per event: the project and account numbers (0 where there is none) and the payer interval's index (-1).

    `owner` is the project's organization where the sender reaches it, else the sender's own.
    """

    instant: I64
    project: I32
    account: I32
    interval: I64
    owner: I64
    paid: Mask


def attribute(
    knowledge: Knowledge, project_slots: I64, instant: I64, senders: Sequence[Sender], part: I64
) -> Attributed:
    """Attribute events at their instants; `senders[part[i]]` sent event i."""
    life, alive = _lives(knowledge.projects, project_slots, instant)
    owner = (
        knowledge.projects.owners[life] if len(knowledge.projects.owners) else np.zeros(len(life), np.int64)
    )
    reached = alive & _reached(senders, part, owner)
    own = np.array([sender.owner_org for sender in senders], np.int64)[part]
    project = np.zeros(len(life), np.int32)
    project[reached] = knowledge.projects.numbers[life[reached]]
    interval, paid = _intervals(knowledge.payers, project, instant)
    account = np.zeros(len(life), np.int32)
    account[paid] = knowledge.payers.account[interval[paid]]
    paid[paid] = ~knowledge.accounts.archived[account[paid]]
    return Attributed(
        instant=instant,
        project=project,
        account=account,
        interval=np.where(paid, interval, -1),
        owner=np.where(reached, owner, own),
        paid=paid,
    )


def _lives(projects: Projects, slots: I64, instant: I64) -> tuple[I64, Mask]:
    """The last life of the name that began by the instant, else its first; and whether it had not ended yet."""
    life = projects.last[slots]
    known = life >= 0
    life = np.where(known, life, 0)
    if not known.any():
        return life, known
    first = projects.first[slots]
    while (earlier := known & (instant < projects.created[life]) & (life > first)).any():
        life[earlier] -= 1
    return life, known & (instant < projects.deleted[life])


def _reached(senders: Sequence[Sender], part: I64, owner: I64) -> Mask:
    if all(sender.everywhere for sender in senders):
        return np.ones(len(owner), np.bool_)
    distinct: dict[Sender, int] = {}
    index = np.array([distinct.setdefault(sender, len(distinct)) for sender in senders], np.int64)[part]
    reached = np.zeros(len(owner), np.bool_)
    for sender, i in distinct.items():
        sent = index == i
        reached[sent] = sender.everywhere or np.isin(owner[sent], np.array(sorted(sender.reach)))
    return reached


def _intervals(payers: Payers, project: I32, instant: I64) -> tuple[I64, Mask]:
    """The last interval of the project that began by the instant, and whether it holds the instant."""
    interval = np.zeros(len(project), np.int64)
    listed = project < len(payers.first)
    numbers = np.where(listed, project, 0)
    first, last = payers.first[numbers], payers.last[numbers]
    paid = listed & (last >= first)
    if not paid.any():
        return interval, paid
    interval[paid] = last[paid]
    while (earlier := paid & (instant < payers.start[interval]) & (interval > first)).any():
        interval[earlier] -= 1
    return interval, paid & (payers.start[interval] <= instant) & (instant < payers.end[interval])
