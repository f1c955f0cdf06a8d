"""An auditor of who pays, written from the rules and not from the code: it reads rows, and says what cannot be.

At every instant a project has at most one payer; there is no gap between a superseded binding and its successor; the
history never shrinks; an account counts the projects that are bound to it.
"""

from collections import Counter, defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from itertools import pairwise
from typing import Any, LiteralString
from uuid import UUID

from milo_billing.infra.database import Tx

GROUP = "billing.miloapis.com"


@dataclass(frozen=True)
class Stretch:
    """A row of the time line. `end` None runs still."""

    binding: UUID
    project: int
    account: int
    start: datetime
    end: datetime | None


History = dict[UUID, Stretch]


def read_history(tx: Tx) -> History:
    """Every stretch there is, by the binding that began it."""
    found = tx.execute(
        "select binding, project, account, starts_at, nullif(ends_at, 'infinity') from accounts.payer_intervals"
    )
    return {row[0]: Stretch(*row) for row in found}


def shrunk(before: History, after: History) -> list[str]:
    """What the history said once and does not say any more. A stretch may end, once."""
    wrong: list[str] = []
    for binding, was in before.items():
        now = after.get(binding)
        if now is None:
            wrong.append(f"{was} has gone")
        elif (now.project, now.account, now.start) != (was.project, was.account, was.start):
            wrong.append(f"{was} became {now}")
        elif was.end not in (None, now.end):
            wrong.append(f"{was} ended again: {now}")
    return wrong


def audit(tx: Tx) -> list[str]:
    """Everything that cannot be. Read in one snapshot: `tx` is REPEATABLE READ, or nobody writes."""
    history = read_history(tx)
    bindings, accounts = _objects(tx, "billingaccountbindings"), _objects(tx, "billingaccounts")
    numbers = dict(
        tx.execute("select uid, number from accounts.accounts where deleted_at is null").fetchall()
    )
    projects = {
        row[0] for row in tx.execute("select number from directory.projects where deleted_at is null")
    }
    return [
        *_one_payer(history.values()),
        *_bindings_agree(bindings, history),
        *_counts_agree(bindings, accounts),
        *_paid_things_stand(history.values(), accounts=set(numbers.values()), projects=projects),
        *(f"account {uid} has no number" for uid in accounts if uid not in numbers),
    ]


def _objects(tx: Tx, resource: str) -> dict[UUID, dict[str, Any]]:
    query: LiteralString = (
        "select uid, jsonb_build_object('namespace', namespace, 'name', name, 'spec', spec, 'status', status) "
        "from controlplane.objects where api_group = %s and resource = %s"
    )
    return dict(tx.execute(query, (GROUP, resource)).fetchall())


def _one_payer(history: Iterable[Stretch]) -> Iterable[str]:
    lines: defaultdict[int, list[Stretch]] = defaultdict(list)
    for stretch in history:
        lines[stretch.project].append(stretch)
        if stretch.end is not None and stretch.end <= stretch.start:
            yield f"{stretch} is empty"
    for line in lines.values():
        line.sort(key=lambda stretch: stretch.start)
        for one, next_ in pairwise(line):
            if one.end is None or one.end > next_.start:
                yield f"two payers at once: {one} and {next_}"


def _bindings_agree(bindings: dict[UUID, dict[str, Any]], history: History) -> Iterable[str]:
    begins = {(stretch.project, stretch.start) for stretch in history.values()}
    active: Counter[str] = Counter()
    for uid, binding in bindings.items():
        phase, name = binding["status"]["phase"], binding["name"]
        stretch = history.get(uid)
        if stretch is None:
            yield f"binding {name} has no stretch"
            continue
        if (phase == "Active") != (stretch.end is None):
            yield f"binding {name} is {phase}, and {stretch}"
        if phase == "Active":
            active[binding["spec"]["projectRef"]["name"]] += 1
        elif (stretch.project, stretch.end) not in begins:
            yield f"a gap after {name}, which was superseded: {stretch}"
    yield from (f"project {name} has {count} active bindings" for name, count in active.items() if count > 1)
    for uid, stretch in history.items():
        if stretch.end is None and uid not in bindings:
            yield f"{stretch} runs, and its binding has gone"


def _counts_agree(
    bindings: dict[UUID, dict[str, Any]], accounts: dict[UUID, dict[str, Any]]
) -> Iterable[str]:
    bound = Counter(
        (binding["namespace"], binding["spec"]["billingAccountRef"]["name"])
        for binding in bindings.values()
        if binding["status"]["phase"] == "Active"
    )
    for account in accounts.values():
        key = (account["namespace"], account["name"])
        count = account["status"]["linkedProjectsCount"]
        if count != bound[key]:
            yield f"account {key} says {count} projects, {bound[key]} are bound to it"
        if account["status"]["phase"] == "Archived" and bound[key]:
            yield f"account {key} is archived and pays"


def _paid_things_stand(
    history: Iterable[Stretch], *, accounts: set[int], projects: set[int]
) -> Iterable[str]:
    for stretch in history:
        if stretch.end is None and stretch.account not in accounts:
            yield f"{stretch} runs on an account that has gone"
        if stretch.end is None and stretch.project not in projects:
            yield f"{stretch} runs for a project that has gone"
