"""An auditor who knows what was sent, what was acknowledged and what was declared, and predicts the database from it.

A request that nobody answered is in doubt: its events may be stored or not, but not twice. Where two courses are
possible for that reason, the row itself says which it was; everything else is predicted.
"""

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from typing import Any
from uuid import UUID

from tests.simulation.usage_simulation.correcting import Corrected, fact_of_correction, judge_correction
from tests.simulation.usage_simulation.courses import Act, Attempt, Course, Voided, list_courses
from tests.simulation.usage_simulation.declared import Log
from tests.simulation.usage_simulation.found import Found
from tests.simulation.usage_simulation.judging import Aside, Billed, Key, Refused, Verdict, judge, scope
from tests.simulation.usage_simulation.rollups import count_distinct, fact_of, roll_up
from tests.simulation.usage_simulation.used import predict_used

STORED = ("accepted", "quarantined")
_Tally = tuple[str, date, str]
_Tried = tuple[Attempt, list[Billed | Aside]]


@dataclass
class Prediction:
    """What the database must hold; rows by id.

    Where the rows leave it open how an event was counted on its way: `perhaps_not` of what is in `tallies` was not, and
    `perhaps` more was.
    """

    billed: dict[UUID, Billed] = field(default_factory=dict[UUID, Billed])
    aside: dict[UUID, Aside] = field(default_factory=dict[UUID, Aside])
    discarded: dict[UUID, Aside] = field(default_factory=dict[UUID, Aside])
    voided: dict[UUID, Billed] = field(default_factory=dict[UUID, Billed])
    replayed: dict[UUID, str] = field(default_factory=dict[UUID, str])
    foreign: set[UUID] = field(default_factory=set[UUID])
    tallies: Counter[_Tally] = field(default_factory=Counter[_Tally])
    perhaps: Counter[_Tally] = field(default_factory=Counter[_Tally])
    perhaps_not: Counter[_Tally] = field(default_factory=Counter[_Tally])
    at_least: Counter[_Tally] = field(default_factory=Counter[_Tally])
    wrong: list[str] = field(default_factory=list[str])


def audit(
    attempts: Sequence[Attempt], acts: Sequence[Act], corrected: Sequence[Corrected], log: Log, found: Found
) -> list[str]:
    """Everything that is not as it must be; nothing where all is well."""
    prediction = Auditor(acts, log, found).predict(attempts)
    facts = [fact_of(id, row) for id, row in prediction.billed.items() if id not in prediction.voided]
    facts += [fact_of_correction(one, log.after(one.known)) for one in corrected if one.uid is not None]
    return [
        *prediction.wrong,
        *_corrected(corrected, log),
        *_differences("usage.events", _said(prediction.billed), found.billed),
        *_differences("usage.quarantine", _said(prediction.aside), found.aside),
        *_differences("usage.discarded", _said(prediction.discarded), found.discarded),
        *_differences(
            "usage.voids", {id: row.counted_as for id, row in prediction.voided.items()}, found.voids
        ),
        *_differences("usage.replayed", prediction.replayed, found.replayed),
        *_differences("the roll-ups", roll_up(facts), found.rollups),
        *_differences("what was counted", count_distinct(facts), found.distinct),
        *_differences("what was used", predict_used(facts, log.after(len(log))), found.used),
        *_foreign(prediction, found),
        *_tallied(prediction, found),
    ]


class Auditor:
    """Predicts from answers and declarations. `found` is asked for ids of the server's, and where there is doubt."""

    def __init__(self, acts: Sequence[Act], log: Log, found: Found) -> None:
        self._replays = [act for act in acts if not isinstance(act, Voided)]
        self._voids: defaultdict[UUID, list[Act]] = defaultdict(list)
        for act in acts:
            if isinstance(act, Voided):
                self._voids[act.id].append(act)
        self._log = log
        self._found = found
        self._prediction = Prediction()
        self._nameless: dict[str, list[UUID]] = {}
        self._known: set[UUID] = set()

    def predict(self, attempts: Sequence[Attempt]) -> Prediction:
        """What must be stored, if the answers are true; and the answers that cannot be."""
        by_key: defaultdict[Key, list[_Tried]] = defaultdict(list)
        for attempt in attempts:
            verdicts = self._verdicts(attempt)
            kept = [verdict for verdict in verdicts if not isinstance(verdict, Refused)]
            if not kept:
                self._check_refusal(attempt, verdicts)
                continue
            by_key[kept[0].key].append((attempt, kept))
        natives = {key for key in by_key if isinstance(key, UUID)}
        self._nameless = self._found.by_text(without=natives)
        for key, tries in by_key.items():
            self._settle(key, tries)
        for id in self._voids.keys() - self._known:
            if any(act.told != "unknown" for act in self._voids[id] if isinstance(act, Voided) and act.told):
                self._prediction.wrong.append(f"an id that nobody sent was voided: {self._voids[id]}")
        return self._prediction

    def _verdicts(self, attempt: Attempt) -> list[Verdict]:
        """What it may come to: more than one only if something was declared while it was on its way."""
        verdicts: list[Verdict] = []
        for changes in range(attempt.known, attempt.known_by + 1):
            verdict = judge(attempt.offered, self._log.after(changes))
            if verdict not in verdicts:
                verdicts.append(verdict)
        return verdicts

    def _check_refusal(self, attempt: Attempt, verdicts: Sequence[Verdict]) -> None:
        reasons = [verdict.reason for verdict in verdicts if isinstance(verdict, Refused)]
        if attempt.fate is None:
            return
        if attempt.fate not in reasons:
            self._prediction.wrong.append(f"answered {attempt.fate}, not {reasons}: {_shown(attempt)}")
        self._prediction.at_least[*_scope(attempt), f"rejected:{attempt.fate}"] += 1

    def _settle(self, key: Key, tries: list[_Tried]) -> None:
        """Decide which attempt was stored and what became of it, and compare what all the others were told."""
        wrong = self._prediction.wrong
        takers = [one for one in tries if one[0].fate in STORED]
        told = [one for one in tries if one[0].fate is not None and one[0].fate not in STORED]
        doubtful = [one for one in tries if one[0].fate is None]
        if len(takers) > 1:
            wrong.append(f"taken {len(takers)} times: {_shown(takers[1][0])}")
            return
        possible = takers or doubtful
        id = key if isinstance(key, UUID) else self._name(possible)
        course = None if id is None else self._choose(id, possible, sure=bool(takers))
        if id is None or course is None:
            if takers:
                wrong.append(f"answered {takers[0][0].fate}, and not so stored: {_shown(takers[0][0])}")
            elif told:
                wrong.append(f"answered {told[0][0].fate}, and never stored: {_shown(told[0][0])}")
            return
        self._known.add(id)
        if not isinstance(key, UUID):
            self._prediction.foreign.add(id)
        self._note(id, course)
        self._check_told(course, told)

    def _courses(self, possible: Iterable[_Tried], acts: Sequence[Act]) -> list[Course]:
        found: list[Course] = []
        for attempt, verdicts in possible:
            for verdict in verdicts:
                if attempt.fate in (None, "accepted" if isinstance(verdict, Billed) else "quarantined"):
                    found += list_courses(attempt, verdict, acts, self._log)
        return found

    def _name(self, possible: Sequence[_Tried]) -> UUID | None:
        """The id that the server gave a foreign event: of a row that says what this one must say."""
        texts = [course.last.verdict.said for course in self._courses(possible, self._replays)]
        for replays in range(len(self._replays)):  # it was given up before the later ones
            texts += [course.last.verdict.said for course in self._courses(possible, self._replays[:replays])]
        for text in texts:
            if ids := self._nameless.get(text, []):
                return ids.pop(0)
        return None

    def _choose(self, id: UUID, possible: Sequence[_Tried], *, sure: bool) -> Course | None:
        """The course that was taken: the database is asked only where several are possible."""
        courses = self._courses(possible, (*self._replays, *self._voids[id]))
        if sure and len(courses) == 1:
            return courses[0]
        fitting = [course for course in courses if self._found.holds(id, course.last)]
        if not fitting:
            return courses[0] if sure and courses else None
        every = [_tallies_of(course) for course in fitting]
        surely, at_most = every[0], every[0]
        for tallies in every[1:]:
            surely, at_most = surely & tallies, at_most | tallies
        self._prediction.perhaps += at_most - surely
        self._prediction.perhaps_not += every[0] - surely
        return fitting[0]

    def _note(self, id: UUID, course: Course) -> None:
        prediction, last = self._prediction, course.last
        if isinstance(last.verdict, Billed):
            prediction.billed[id] = last.verdict
            if last.gone:
                prediction.voided[id] = last.verdict
        elif last.gone:
            prediction.discarded[id] = last.verdict
        else:
            prediction.aside[id] = last.verdict
        if last.moved_from is not None:
            prediction.replayed[id] = last.moved_from.reason
        prediction.tallies += _tallies_of(course)

    def _check_told(self, course: Course, told: Iterable[_Tried]) -> None:
        prediction, attempt = self._prediction, course.attempt
        for other, others in told:
            meant = {"duplicate" if one.meaning == course.first.meaning else "ID_CONFLICT" for one in others}
            if other.fate not in meant:
                prediction.wrong.append(
                    f"answered {other.fate}, not {meant}, after {_shown(attempt)}: {_shown(other)}"
                )
            if other.ended < attempt.began:
                prediction.wrong.append(f"answered {other.fate} before it was first sent: {_shown(other)}")
            fate = "duplicate" if other.fate == "duplicate" else f"rejected:{other.fate}"
            prediction.at_least[*_scope(other), fate] += 1


def _tallies_of(course: Course) -> Counter[_Tally]:
    """How an event is counted: when it comes, and once more when a replay makes it count."""
    where, first, last = _scope(course.attempt), course.first, course.last
    tallies: Counter[_Tally] = Counter()
    if isinstance(first, Billed):
        tallies[*where, "accepted"] += 1
        tallies[*where, "late"] += first.late
    else:
        tallies[*where, f"quarantined:{first.reason}"] += 1
    if last.moved_from is not None and isinstance(last.verdict, Billed):
        where = last.moved_from.owner, last.verdict.received.date()
        tallies[*where, "accepted"] += 1
        tallies[*where, "replayed"] += 1
        tallies[*where, "late"] += last.verdict.late
    return +tallies


def _scope(attempt: Attempt) -> tuple[str, date]:
    return scope(attempt.offered.organizations), attempt.offered.received.date()


# -- comparing


def _said(rows: Mapping[UUID, Billed] | Mapping[UUID, Aside]) -> dict[UUID, str]:
    return {id: row.said for id, row in rows.items()}


def _differences(what: str, predicted: Mapping[Any, object], found: Mapping[Any, object]) -> Iterable[str]:
    for key in sorted(predicted.keys() | found.keys(), key=repr):
        if predicted.get(key) != found.get(key):
            yield f"{what} at {key}: predicted {predicted.get(key)}, found {found.get(key)}"


def _corrected(corrected: Iterable[Corrected], log: Log) -> Iterable[str]:
    for one in corrected:
        meant = judge_correction(one.wanted, log.after(one.known), now=one.at)
        if meant != set(one.refused):
            yield f"{one.wanted} at {one.at}: refused for {one.refused}, not for {meant}"


def _foreign(prediction: Prediction, found: Found) -> Iterable[str]:
    if prediction.foreign ^ found.foreign:
        yield f"usage.foreign_ids: on one side only {sorted(prediction.foreign ^ found.foreign)}"


def _tallied(prediction: Prediction, found: Found) -> Iterable[str]:
    exact = {key: count for key, count in found.tallies.items() if not key[2].startswith(("dup", "rej"))}
    for key in sorted(exact.keys() | prediction.tallies.keys()):
        least, counted = prediction.tallies[key] - prediction.perhaps_not[key], exact.get(key, 0)
        if not least <= counted <= least + prediction.perhaps[key]:
            yield f"usage.tallies at {key}: predicted {least}, found {counted}"
    for key, count in prediction.at_least.items():  # more where an answer was lost
        if found.tallies.get(key, 0) < count:
            yield f"usage.tallies at {key}: at least {count}, found {found.tallies.get(key, 0)}"


def _shown(attempt: Attempt) -> str:
    offered = attempt.offered
    return f"{offered.raw.decode()[:400]} of {offered.organizations} at {offered.received} (turn {attempt.began})"
