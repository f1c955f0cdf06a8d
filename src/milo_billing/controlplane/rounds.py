"""How a worker goes round: all that a job is for, a page at a time, each in a transaction of its own.

Owns: pages, transactions, and what becomes of one that cannot be done. Not: when (jobs of the slices), nor what.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Final, TypeVar

import structlog
from prometheus_client import Counter

from milo_billing.controlplane.doors import repeated
from milo_billing.controlplane.engine import Engine
from milo_billing.controlplane.identity import Identity
from milo_billing.controlplane.work import Work
from milo_billing.infra.clock import Clock, new_uid
from milo_billing.infra.database import EVERYWHERE, Database, Tx, is_away
from milo_billing.kernel.errors import MiloError

PAGE: Final = 500
"""So much one transaction lists of what there is to do."""

C = TypeVar("C")
K = TypeVar("K")
R = TypeVar("R")


def _itself(one: Any) -> Any:
    return one


_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Rounds:
    """The rounds of one worker, who reaches everything and acts under the name `identity`."""

    engine: Engine
    database: Database
    clock: Clock
    identity: Identity

    def write(self, do: Callable[[Work], R]) -> R:
        """What `do` makes in a transaction of its own, tried again where it met another one."""

        def once() -> R:
            with self.database.transaction(reach=EVERYWHERE) as tx:
                work = Work(tx, self.identity, EVERYWHERE, audit_id=new_uid(), now=self.clock.now())
                made = do(work)
                self.engine.commit(work)
                return made

        return repeated(once)

    def go(
        self,
        list_page: Callable[[Tx, C, int], Sequence[K]],
        do: Callable[[K], Iterable[str]],
        *,
        begin: C,
        outcomes: Counter,
        failed: str,
        at: Callable[[K], C] = _itself,
    ) -> None:
        """Do each of what `list_page` lists behind the last one, from `begin`, at most so many at a time; `at` says
        where one stands in that order, which is also its name in the log.

        `do` opens its own transactions (`write`) and says what became of it, counted in `outcomes`. One that cannot be
        done, also by a defect of ours, is counted as `failed` and logged under that name, and keeps no other waiting.
        The round ends, for the next one, where the database is away.
        """
        after = begin
        while True:
            with self.database.transaction(reach=EVERYWHERE) as tx:
                page = list_page(tx, after, PAGE)
            for one in page:
                try:
                    for outcome in do(one):
                        outcomes.labels(outcome).inc()
                except MiloError as error:
                    outcomes.labels("failed").inc()
                    _log.error(failed, subject=str(at(one)), reason=str(error))
                except Exception as error:  # the defect of one must not stop the others
                    if is_away(error):
                        raise
                    outcomes.labels("failed").inc()
                    _log.error(failed, subject=str(at(one)), exc_info=error)
            if len(page) < PAGE:
                return
            after = at(page[-1])
