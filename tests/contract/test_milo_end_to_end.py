"""Milo's end-to-end cases, played in either setting of `accounts.rebinding` and `accounts.requirePaymentProfile`."""

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import httpx
import pytest

from milo_billing.accounts.types import Rebinding
from milo_billing.infra.runtime import Runtime
from tests.contract.conftest import Cluster, prepare, serving_cluster
from tests.contract.milo_cases import CASES, NOT_PLAYED, Case, Outcome, Refused, Step

READINGS: list[tuple[Case, Rebinding, bool]] = [
    (case, rebinding, profile)
    for case in CASES
    for rebinding in (("supersede", "reject") if case.rebinding is None else (case.rebinding,))
    for profile in ((True, False) if case.require_profile is None else (case.require_profile,))
]


def named(reading: tuple[Case, Rebinding, bool]) -> str:
    case, rebinding, profile = reading
    return f"{case.name}-{rebinding}-{'profile' if profile else 'no profile'}"


@pytest.fixture
def played(reading: tuple[Case, Rebinding, bool], runtime: Runtime) -> Iterator[Cluster]:
    """A server in the settings of the reading, which admits the namespace `default`, and what the case builds on."""
    case, rebinding, profile = reading
    settings = runtime.settings.model_copy(
        update={
            "plain_namespaces": ("default",),
            "accounts_rebinding": rebinding,
            "accounts_require_payment_profile": profile,
        }
    )
    adapted = replace(runtime, settings=settings)
    with serving_cluster(adapted, token=prepare(adapted)) as cluster:
        for manifest in case.stands:
            cluster.created(manifest)
        yield cluster


@pytest.mark.parametrize("reading", READINGS, ids=named)
def test_a_case_is_played(reading: tuple[Case, Rebinding, bool], played: Cluster):
    for step in reading[0].steps:
        answer = do(played, step)
        wrong = list(differences(played, step, answer, step.here or step.there))
        assert wrong == [], step.say
        if step.here is not None:
            assert step.because, f"{step.say}: why is it otherwise here?"
            held = not list(differences(played, step, answer, step.there))
            assert not held, f"{step.say}: what Milo expects holds by now"


def do(cluster: Cluster, step: Step) -> httpx.Response:
    match step.verb:
        case "create":
            return cluster.create(step.target)
        case "merge":
            return cluster.merge(step.target, step.body)
        case "status":
            return cluster.merge(step.target, step.body, below="/status")
        case "delete":
            return cluster.http.delete(cluster.path(step.target))


def differences(cluster: Cluster, step: Step, answer: httpx.Response, outcome: Outcome) -> Iterator[str]:
    """How what happened is not the outcome."""
    if isinstance(outcome, Refused):
        if answer.status_code < 400 or outcome.words not in answer.json()["message"]:
            yield f"{answer.status_code} {answer.text[:500]}"
        return
    if answer.status_code >= 400:
        yield f"{answer.status_code} {answer.json()['message']}"
        return
    namespace = step.target["metadata"].get("namespace")
    for called, part in outcome.objects.items():
        plural, name = called.split("/")
        kind = cluster.kind(plural)
        scope = f"/namespaces/{namespace}" if kind.namespaced else ""
        found = cluster.http.get(f"/apis/{kind.group}/{kind.version}{scope}/{plural}/{name}")
        if part is None:
            if found.status_code != 404:
                yield f"{called} still exists"
        elif not shows(found.json(), part):
            yield f"{called} is {found.json().get('status')}"


def shows(found: Any, part: Any) -> bool:
    """Whether a value has at least this in it; an item of a list may stand anywhere."""
    if isinstance(part, dict):
        return isinstance(found, dict) and all(
            shows(found.get(key), value)  # pyright: ignore[reportUnknownMemberType, reportUnknownArgumentType]
            for key, value in part.items()  # pyright: ignore[reportUnknownVariableType]
        )
    if isinstance(part, list):
        return isinstance(found, list) and all(any(shows(each, item) for each in found) for item in part)  # pyright: ignore[reportUnknownVariableType]
    if part == 0 and found is None:  # a count of nothing may be left out
        return True
    return found == part


def test_what_is_not_played_says_why():
    assert all(NOT_PLAYED.values())
