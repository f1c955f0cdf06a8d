"""An auditor who knows what was sent, what was acknowledged and what was declared, and predicts the database from it.

A request that nobody answered is in doubt: its events may be stored or not, but not twice. Where two instants of
receipt are possible for that reason, the row itself says which it was; everything else is predicted.
"""

from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import date
from uuid import UUID

from tests.simulation.usage_simulation.declared import Log
from tests.simulation.usage_simulation.found import Found
from tests.simulation.usage_simulation.judging import (
    Aside,
    Billed,
    Key,
    Offered,
    Refused,
    Verdict,
    judge,
    scope,
)
from tests.simulation.usage_simulation.rollups import RollUps, roll_up

STORED = ("accepted", "quarantined")
SHOWN_MAX = 12


@dataclass(frozen=True)
class Attempt:
    """One event in one request. `began` and `ended` count turns; `known` and `known_by` declarations then.

    `fate` is what was answered for it; None where nothing was.
    """

    offered: Offered
    began: int
    ended: int
    known: int
    known_by: int
    fate: str | None


@dataclass
class Prediction:
    """What the database must hold."""

    billed: list[Billed] = field(default_factory=list[Billed])
    aside: list[Aside] = field(default_factory=list[Aside])
    tallies: Counter[tuple[str, date, str]] = field(default_factory=Counter[tuple[str, date, str]])
    at_least: Counter[tuple[str, date, str]] = field(default_factory=Counter[tuple[str, date, str]])
    wrong: list[str] = field(default_factory=list[str])


def audit(attempts: Sequence[Attempt], log: Log, found: Found) -> list[str]:
    """Everything that is not as it must be; nothing where all is well."""
    prediction = predict(attempts, log, found)
    ids, wrong = _match(prediction, found)
    predicted = roll_up((ids[row.key], row) for row in prediction.billed if row.key in ids)
    return [
        *prediction.wrong,
        *wrong,
        *_differences("the roll-ups", predicted, found.rollups),
        *_tallied(prediction, found),
    ]


def predict(attempts: Sequence[Attempt], log: Log, found: Found) -> Prediction:
    """What must be stored, if the answers are true; and the answers that cannot be."""
    prediction = Prediction()
    by_key: defaultdict[Key, list[tuple[Attempt, list[Billed | Aside]]]] = defaultdict(list)
    for attempt in attempts:
        verdicts = _verdicts(attempt, log)
        kept = [verdict for verdict in verdicts if not isinstance(verdict, Refused)]
        if not kept:
            _check_refusal(prediction, attempt, verdicts)
            continue
        by_key[kept[0].key].append((attempt, kept))
    for key, tries in by_key.items():
        _settle(prediction, key, tries, found)
    return prediction


def _verdicts(attempt: Attempt, log: Log) -> list[Verdict]:
    """What it may come to: more than one only if something was declared while it was on its way."""
    verdicts: list[Verdict] = []
    for changes in range(attempt.known, attempt.known_by + 1):
        verdict = judge(attempt.offered, log.after(changes))
        if verdict not in verdicts:
            verdicts.append(verdict)
    return verdicts


def _check_refusal(prediction: Prediction, attempt: Attempt, verdicts: Sequence[Verdict]) -> None:
    reasons = [verdict.reason for verdict in verdicts if isinstance(verdict, Refused)]
    if attempt.fate is None:
        return
    if attempt.fate not in reasons:
        prediction.wrong.append(f"answered {attempt.fate}, not {reasons}: {_shown(attempt)}")
    prediction.at_least[*_scope(attempt), f"rejected:{attempt.fate}"] += 1


def _settle(
    prediction: Prediction, key: Key, tries: list[tuple[Attempt, list[Billed | Aside]]], found: Found
) -> None:
    """Decide which attempt was stored, and compare what all the others were told."""
    takers = [one for one in tries if one[0].fate in STORED]
    told = [one for one in tries if one[0].fate is not None and one[0].fate not in STORED]
    doubtful = [one for one in tries if one[0].fate is None]
    if len(takers) > 1:
        prediction.wrong.append(f"taken {len(takers)} times: {_shown(takers[1][0])}")
        return
    winner = _winner(takers, doubtful, key, found)
    if winner is None:
        if told:
            prediction.wrong.append(f"answered {told[0][0].fate}, and never stored: {_shown(told[0][0])}")
        return
    attempt, verdict = winner
    if attempt.fate is not None and (attempt.fate == "accepted") != isinstance(verdict, Billed):
        prediction.wrong.append(f"answered {attempt.fate}, not as {verdict}: {_shown(attempt)}")
    _count(prediction, attempt, verdict)
    for other, others in told:
        meant = {"duplicate" if one.meaning == verdict.meaning else "ID_CONFLICT" for one in others}
        if other.fate not in meant:
            prediction.wrong.append(
                f"answered {other.fate}, not {meant}, after {_shown(attempt)}: {_shown(other)}"
            )
        if other.ended < attempt.began:
            prediction.wrong.append(f"answered {other.fate} before it was first sent: {_shown(other)}")
        fate = "duplicate" if other.fate == "duplicate" else f"rejected:{other.fate}"
        prediction.at_least[*_scope(other), fate] += 1


def _winner(
    takers: list[tuple[Attempt, list[Billed | Aside]]],
    doubtful: list[tuple[Attempt, list[Billed | Aside]]],
    key: Key,
    found: Found,
) -> tuple[Attempt, Billed | Aside] | None:
    """The attempt that was stored and what it came to; the database is asked only where several are possible."""
    possible = [(attempt, verdict) for attempt, verdicts in takers or doubtful for verdict in verdicts]
    if takers:
        attempt = takers[0][0]
        fitting = [one for one in possible if (attempt.fate == "accepted") == isinstance(one[1], Billed)]
        possible = fitting or possible
    if takers and len(possible) == 1:
        return possible[0]
    seen = [(attempt, verdict) for attempt, verdict in possible if found.holds(key, verdict)]
    if seen:
        return seen[0]
    return possible[0] if takers else None


def _count(prediction: Prediction, attempt: Attempt, verdict: Billed | Aside) -> None:
    where = _scope(attempt)
    if isinstance(verdict, Billed):
        prediction.billed.append(verdict)
        prediction.tallies[*where, "accepted"] += 1
        if verdict.late:
            prediction.tallies[*where, "late"] += 1
    else:
        prediction.aside.append(verdict)
        prediction.tallies[*where, f"quarantined:{verdict.reason}"] += 1


def _scope(attempt: Attempt) -> tuple[str, date]:
    return scope(attempt.offered.organizations), attempt.offered.received.date()


# -- comparing


def _match(prediction: Prediction, found: Found) -> tuple[dict[Key, UUID], list[str]]:
    """The id of every predicted row, and the rows that are on one side only.

    The server makes the ids of foreign events: they are taken from the rows that say the same.
    """
    wrong: list[str] = []
    ids: dict[Key, UUID] = {}
    for what, predicted, rows in (
        ("usage.events", prediction.billed, found.billed),
        ("usage.quarantine", prediction.aside, found.aside),
    ):
        foreign: defaultdict[str, list[UUID]] = defaultdict(list)
        left = dict(rows)
        for row in predicted:
            if isinstance(row.key, UUID) and left.get(row.key) == row.said:
                ids[row.key] = row.key
                del left[row.key]
        natives = {row.key for row in predicted if isinstance(row.key, UUID)}
        for id, text in sorted(left.items()):
            if id not in natives:
                foreign[text].append(id)
        for row in predicted:
            if row.key in ids:
                continue
            if not isinstance(row.key, UUID) and foreign[row.said]:
                ids[row.key] = foreign[row.said].pop(0)
                del left[ids[row.key]]
            else:
                wrong.append(f"not in {what}: {row.key} {row.said}")
        wrong += [f"not predicted, in {what}: {id} {text}" for id, text in left.items()]
    own = {id for key, id in ids.items() if not isinstance(key, UUID)}
    if own ^ found.foreign:
        wrong.append(f"usage.foreign_ids: {len(own ^ found.foreign)} ids on one side only")
    return ids, wrong


def _differences(what: str, predicted: RollUps, found: RollUps) -> Iterable[str]:
    for key in sorted(predicted.keys() | found.keys(), key=repr):
        if predicted.get(key) != found.get(key):
            yield f"{what} at {key}: predicted {predicted.get(key)}, found {found.get(key)}"


def _tallied(prediction: Prediction, found: Found) -> Iterable[str]:
    exact = {key: count for key, count in found.tallies.items() if not key[2].startswith(("dup", "rej"))}
    for key in sorted(exact.keys() | prediction.tallies.keys()):
        if exact.get(key, 0) != prediction.tallies[key]:
            yield f"usage.tallies at {key}: predicted {prediction.tallies[key]}, found {exact.get(key, 0)}"
    for key, count in prediction.at_least.items():  # more where an answer was lost
        if found.tallies.get(key, 0) < count:
            yield f"usage.tallies at {key}: at least {count}, found {found.tallies.get(key, 0)}"


def _shown(attempt: Attempt) -> str:
    offered = attempt.offered
    return f"{offered.raw.decode()[:400]} of {offered.organizations} at {offered.received} (turn {attempt.began})"
