"""Try mutants: each in a process of its own, forked from one that has collected the tests and run none of them.

A mutant is installed by giving its code to the function that stands, so that whoever has imported the function has the
mutant. The tests that call the function run one after the other until one fails: first those that noticed earlier
mutants of the function, then the quickest. Nothing that a test before has cached can hide a mutant.
"""

import gc
import importlib
import inspect
import json
import os
import resource
import selectors
import signal
import sys
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from decimal import Decimal
from pathlib import Path
from types import FrameType, FunctionType, ModuleType
from typing import Any, Literal, NoReturn

import pytest
from _pytest.runner import runtestprotocol

from tests.mutation.mutants import CONSTANTS, Mutant, mutated_files

TESTS = (
    "tests/unit/pricing",
    "tests/unit/commitments",
    "tests/unit/invoicing",
    "tests/unit/ledger/test_posting.py",
    "tests/unit/payments",
    "tests/property/test_commitments.py",
    "tests/property/test_comparisons.py",
    "tests/property/test_credit_taken.py",
    "tests/property/test_dunning.py",
    "tests/property/test_invoice_life.py",
    "tests/property/test_known_subscriptions.py",
    "tests/property/test_late_changes.py",
    "tests/property/test_percentages.py",
    "tests/property/test_pricing.py",
    "tests/property/test_recurring.py",
)
"""Those of pure rules, quick ones: none has a database, and none reads thousands of prices that others published."""

PROFILE = "mutation"
"""Of Hypothesis: few examples, always the same (tests/conftest.py)."""
SECONDS_MIN, SECONDS_FACTOR = 20.0, 4.0
"""How long the tests of a mutant may take: so many times what they took before, and never less than this."""
MEMORY_BYTES = 2 * 1024**3
"""What a mutant may need above what the process had: one that collects without end is not to take the machine down."""

Outcome = Literal["killed", "timed out", "survived"]


@dataclass(frozen=True, slots=True)
class Trial:
    """What became of a mutant: `by` is the test that failed."""

    mutant: Mutant
    outcome: Outcome
    seconds: float
    by: str = ""


@dataclass(slots=True)
class Plan:
    """What is to be tried, and where each result goes as it comes."""

    mutants: Sequence[Mutant]
    processes: int
    unchanged: Sequence[Mutant]
    """Functions as they stand: tests that notice those would notice anything."""
    deadline: float | None
    """On the monotonic clock: no mutant is begun after it."""
    report: Callable[[Trial], None]
    untried: list[Mutant] = field(default_factory=list[Mutant])
    problem: str = ""


def try_mutants(plan: Plan, *, tests: Sequence[str] = TESTS) -> None:
    """Try all mutants of the plan; those not reached before the deadline are in `untried`, what failed in `problem`."""
    # what this process leaks (a file that is not closed) must not fail the tests of the processes that it forks
    without = ["cacheprovider", "xdist", "unraisableexception", "threadexception"]
    arguments = [*(f"-pno:{plugin}" for plugin in without), "--capture=no", "--tb=no", "--no-header", "-qqq"]
    ended = pytest.main([*arguments, f"--hypothesis-profile={PROFILE}", *tests], plugins=[_Loop(plan)])
    if ended != pytest.ExitCode.OK and not plan.problem:
        plan.problem = f"pytest ended with {ended!r}"


class _Loop:
    """Takes the place of pytest's own loop over the tests that it has collected."""

    def __init__(self, plan: Plan) -> None:
        self._plan = plan

    def pytest_runtestloop(self, session: pytest.Session) -> bool:
        if session.testsfailed:
            self._plan.problem = "the tests cannot be collected: run them with pytest and see why"
            return True
        if self._plan.mutants:
            _warm_up()
            _Trials(self._plan, session.items).run()
        return True


def _warm_up() -> None:
    """Load what every process would have to load anew, and knows nothing of the rules."""
    from hypothesis import given, settings  # only pytest may import it first
    from hypothesis import strategies as st

    @settings(max_examples=1, database=None)
    @given(st.text(), st.decimals(), st.dates())
    def example(text: str, amount: Decimal, day: date) -> None:
        assert text is not None and amount is not None and day is not None

    example()
    gc.collect()
    gc.freeze()


@dataclass(frozen=True, slots=True)
class _Clean:
    """The run without a mutant: how long each test takes, and which tests reach each function."""

    seconds: Mapping[str, float]
    reach: Mapping[tuple[str, str], frozenset[str]]
    failed: str


@dataclass(slots=True)
class _Running:
    mutant: Mutant
    pid: int
    began: float
    until: float
    answer: bytes = b""


class _Trials:
    def __init__(self, plan: Plan, items: Sequence[pytest.Item]) -> None:
        self._plan = plan
        self._items = {item.nodeid: item for item in items}
        self._functions = {(one.file, one.function) for one in plan.mutants}
        self._killers: defaultdict[tuple[str, str], Counter[str]] = defaultdict(Counter)
        self._selector = selectors.DefaultSelector()

    def run(self) -> None:
        clean = _run_clean(self._items, self._functions)
        if clean.failed:
            self._plan.problem = f"{clean.failed} fails without any mutant"
            return
        waiting = iter(self._plan.mutants)
        mutant = next(waiting, None)
        while mutant is not None or self._selector.get_map():
            late = self._plan.deadline is not None and time.monotonic() >= self._plan.deadline
            while mutant is not None and not late and len(self._selector.get_map()) < self._plan.processes:
                self._begin(mutant, clean)
                mutant = next(waiting, None)
            if late and mutant is not None:
                self._plan.untried += [mutant, *waiting]
                mutant = None
            self._collect()
        self._plan.problem = self._noticed_unchanged(clean)

    def _noticed_unchanged(self, clean: _Clean) -> str:
        """After all others, since what this process has become by then is what they were forked from."""
        for one in self._plan.unchanged:
            reach = clean.reach.get((one.file, one.function), frozenset[str]())
            items = [self._items[name] for name in sorted(reach)]
            if not items:
                continue  # no test reaches it, so none notices it either
            end, pid = _forked(lambda one=one, items=items: {"by": _killer(one, items)})
            by = json.loads(_answered(end, pid))["by"]
            if by:
                return f"{by} fails with {one.function} as it stands, in a process of its own"
        return ""

    def _begin(self, mutant: Mutant, clean: _Clean) -> None:
        place = (mutant.file, mutant.function)
        killers = self._killers[place]
        names = sorted(
            clean.reach.get(place, ()), key=lambda name: (-killers[name], clean.seconds[name], name)
        )
        if not names:
            self._plan.report(Trial(mutant, "survived", 0.0))
            return
        items = [self._items[name] for name in names]
        allowed = max(SECONDS_MIN, SECONDS_FACTOR * sum(clean.seconds[name] for name in names))
        end, pid = _forked(lambda: {"by": _killer(mutant, items)})
        began = time.monotonic()
        self._selector.register(
            end, selectors.EVENT_READ, _Running(mutant, pid, began=began, until=began + allowed)
        )

    def _collect(self) -> None:
        """Wait a moment for what has ended, and end what has taken too long."""
        for key, _ in self._selector.select(timeout=0.2):
            running: _Running = key.data
            piece = os.read(key.fd, 65536)
            running.answer += piece
            if not piece:
                self._end(key.fd, running)
        for key in list(self._selector.get_map().values()):
            if time.monotonic() > key.data.until:
                os.kill(key.data.pid, signal.SIGKILL)
                key.data.until = float("inf")

    def _end(self, end: int, running: _Running) -> None:
        self._selector.unregister(end)
        os.close(end)
        os.waitpid(running.pid, 0)
        seconds = time.monotonic() - running.began
        mutant = running.mutant
        if not running.answer:  # killed from here, or by its own lack of memory
            self._plan.report(Trial(mutant, "timed out", seconds))
            return
        by: str = json.loads(running.answer)["by"]
        if by:
            self._killers[mutant.file, mutant.function][by] += 1
        self._plan.report(Trial(mutant, "killed" if by else "survived", seconds, by))


def _forked(work: Callable[[], Mapping[str, Any]]) -> tuple[int, int]:
    """Run the work in a process of its own: the end of the pipe that its answer comes from, and its number."""
    end, other_end = os.pipe()
    pid = os.fork()
    if not pid:
        os.close(end)
        _answer(work, other_end)
    os.close(other_end)
    return end, pid


def _answer(work: Callable[[], Mapping[str, Any]], end: int) -> NoReturn:
    try:
        silence = os.open(os.devnull, os.O_WRONLY)
        os.dup2(silence, 1)
        os.dup2(silence, 2)
        gc.disable()
        with os.fdopen(end, "wb") as pipe:
            pipe.write(json.dumps(work()).encode())
    finally:
        os._exit(0)


def _answered(end: int, pid: int) -> bytes:
    with os.fdopen(end, "rb") as pipe:
        text = pipe.read()
    os.waitpid(pid, 0)
    if not text:
        raise RuntimeError("a run without mutants died")
    return text


def _run_clean(items: Mapping[str, pytest.Item], functions: set[tuple[str, str]]) -> _Clean:
    end, pid = _forked(lambda: _watched(items, functions))
    answer = json.loads(_answered(end, pid))
    reach: defaultdict[tuple[str, str], set[str]] = defaultdict(set)
    for name, places in answer["places"].items():
        for file, function in places:
            reach[file, function].add(name)
    return _Clean(
        answer["seconds"], {place: frozenset(names) for place, names in reach.items()}, answer["failed"]
    )


def _watched(items: Mapping[str, pytest.Item], functions: set[tuple[str, str]]) -> Mapping[str, Any]:
    """Run every test, and see which of the functions it calls. Constants are reached by what reaches their module."""
    codes: dict[int, tuple[str, str]] = {}  # by identity: two files with the same words have equal codes
    for file in {file for file, _ in functions}:
        module = _module(file)
        for name, function in _functions_of(module):
            codes[id(function.__code__)] = (file, name)
    reached: set[tuple[str, str]] = set()

    def watch(frame: FrameType, event: str, argument: object) -> None:
        place = codes.get(id(frame.f_code))
        if place is not None:
            reached.update((place, (place[0], CONSTANTS)))

    seconds: dict[str, float] = {}
    places: dict[str, list[tuple[str, str]]] = {}
    failed = ""
    for name, item, following in _with_following(list(items.values())):
        reached.clear()
        _forget()
        began = time.monotonic()
        sys.settrace(watch)
        fails = _fails(item, following)
        sys.settrace(None)
        seconds[name] = time.monotonic() - began
        places[name] = sorted(reached & functions)
        failed = failed or (name if fails else "")
    return {"seconds": seconds, "places": places, "failed": failed}


def _forget() -> None:
    """Empty the caches of the rules: a test that is answered from one would not be seen to reach what is behind it."""
    for file in mutated_files():
        for value in vars(_module(file)).values():
            clear = getattr(value, "cache_clear", None)
            if clear is not None:
                clear()


def _killer(mutant: Mutant, items: Sequence[pytest.Item]) -> str:
    """The test that fails with the mutant, or none."""
    _limit_memory()
    if not _install(mutant):
        return "(import)"
    for name, item, following in _with_following(items):
        if _fails(item, following):
            return name
    return ""


def _limit_memory() -> None:
    size = Path("/proc/self/statm")
    if size.exists():  # Linux
        used = int(size.read_text().split()[0]) * resource.getpagesize()
        resource.setrlimit(resource.RLIMIT_AS, (used + MEMORY_BYTES, used + MEMORY_BYTES))


def _with_following(items: Sequence[pytest.Item]) -> Iterator[tuple[str, pytest.Item, pytest.Item | None]]:
    for item, following in zip(items, [*items[1:], None], strict=True):
        yield item.nodeid, item, following


def _fails(item: pytest.Item, following: pytest.Item | None) -> bool:
    return any(report.failed for report in runtestprotocol(item, log=False, nextitem=following))


def _install(mutant: Mutant) -> bool:
    """Put the mutant in the place of what it was made from; false where it cannot even be defined."""
    module = _module(mutant.file)
    scope = vars(module) if mutant.function == CONSTANTS else {**vars(module)}
    try:
        exec(compile(mutant.code, mutant.file, "exec", dont_inherit=True), scope)
    except Exception:  # whatever it is, the module could not be imported
        return False
    if mutant.function != CONSTANTS:
        made = scope[mutant.function.rpartition(".")[2]]
        function = dict(_functions_of(module))[mutant.function]
        function.__code__, function.__defaults__ = made.__code__, made.__defaults__
        function.__kwdefaults__ = made.__kwdefaults__
    return True


def _module(file: str) -> ModuleType:
    return importlib.import_module(file.removesuffix(".py").replace("/", "."))


def _functions_of(module: ModuleType) -> Iterator[tuple[str, FunctionType]]:
    """The functions and methods that the module defines, whatever decorates them."""
    for name, value in vars(module).items():
        if getattr(value, "__module__", None) != module.__name__:
            continue
        if inspect.isclass(value):
            for inner_name, inner in vars(value).items():
                bare = _bare(inner)
                if bare is not None and bare.__qualname__ == f"{name}.{inner_name}":
                    yield bare.__qualname__, bare
        else:
            bare = _bare(value)
            if bare is not None and bare.__name__ == name:
                yield name, bare


def _bare(value: Any) -> FunctionType | None:
    if isinstance(value, property):
        value = value.fget
    value = getattr(value, "__func__", value)  # of a static or a class method
    bare: object = inspect.unwrap(value) if callable(value) else value
    return bare if isinstance(bare, FunctionType) else None
